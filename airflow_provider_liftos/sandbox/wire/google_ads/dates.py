"""Ranges of days as queries write them, on the customer's calendar."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, timedelta

from .errors import query_error
from .gaql import Condition

_DAY = timedelta(days=1)
_PERIODS = {"week": 0, "month": 1, "quarter": 3}


@dataclass(frozen=True, slots=True)
class Span:
    """Days from ``since`` to ``until``, both included; None where the range is open."""

    since: date | None = None
    until: date | None = None

    @property
    def finite(self) -> bool:
        """Say whether both ends are given."""
        return self.since is not None and self.until is not None

    @property
    def days(self) -> int:
        """Return how many days a finite range has."""
        return (self.until - self.since).days + 1 if self.since and self.until else 0

    def cut(self, since: date | None, until: date | None) -> Span:
        """Return what both ranges have in common."""
        starts = [day for day in (self.since, since) if day]
        ends = [day for day in (self.until, until) if day]
        return Span(max(starts) if starts else None, min(ends) if ends else None)


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def _sunday(day: date) -> date:
    return day - timedelta(days=(day.weekday() + 1) % 7)


def _last_month(today: date) -> tuple[date, date]:
    until = today.replace(day=1) - _DAY
    return until.replace(day=1), until


def _business_week(today: date) -> tuple[date, date]:
    monday = _monday(today) - timedelta(days=7)
    return monday, monday + timedelta(days=4)


def _week_before(first: date) -> tuple[date, date]:
    return first - timedelta(days=7), first - _DAY


# None of the LAST_n includes today.
DURING: dict[str, Callable[[date], tuple[date, date]]] = {
    "TODAY": lambda today: (today, today),
    "YESTERDAY": lambda today: (today - _DAY, today - _DAY),
    "LAST_7_DAYS": lambda today: (today - timedelta(days=7), today - _DAY),
    "LAST_14_DAYS": lambda today: (today - timedelta(days=14), today - _DAY),
    "LAST_30_DAYS": lambda today: (today - timedelta(days=30), today - _DAY),
    "LAST_BUSINESS_WEEK": _business_week,
    "THIS_MONTH": lambda today: (today.replace(day=1), today),
    "LAST_MONTH": _last_month,
    "THIS_WEEK_SUN_TODAY": lambda today: (_sunday(today), today),
    "THIS_WEEK_MON_TODAY": lambda today: (_monday(today), today),
    "LAST_WEEK_SUN_SAT": lambda today: _week_before(_sunday(today)),
    "LAST_WEEK_MON_SUN": lambda today: _week_before(_monday(today)),
}


def parse_day(text: str, field: str) -> date:
    """Read ``YYYY-MM-DD`` or ``YYYYMMDD``, also at the head of a moment; raises AdsError."""
    head = text[:10]
    try:
        if len(text) == 8 and text.isdigit():
            return date(int(text[:4]), int(text[4:6]), int(text[6:]))
        if len(head) == 10 and head[4] == head[7] == "-":
            return date.fromisoformat(head)
    except ValueError:
        pass
    raise query_error(
        "INVALID_DATE_FORMAT", f"Invalid date '{text}' for '{field}'.", trigger=text
    ) from None


def span_of(conditions: Iterable[Condition], today: date) -> Span:
    """Return the days that conditions on a date leave; raises AdsError."""
    found = Span()
    for one in conditions:
        found = found.cut(*_ends(one, today))
    return found


def _ends(one: Condition, today: date) -> tuple[date | None, date | None]:
    segment = one.field.rpartition(".")[2]
    if segment == "year":
        years = sorted(int(value) for value in one.values if value.isdigit())
        return (date(years[0], 1, 1), date(years[-1], 12, 31)) if years else (None, None)
    if segment in _PERIODS and one.operator == "=":
        first = parse_day(one.values[0], one.field)
        return first, last_day(segment, first)
    if one.operator == "DURING":
        literal = one.values[0].upper()
        if literal not in DURING:
            raise query_error(
                "INVALID_VALUE_WITH_DURING_OPERATOR",
                f"'{one.values[0]}' is not valid with DURING.",
                trigger=one.values[0],
            )
        return DURING[literal](today)
    days = [parse_day(value, one.field) for value in one.values]
    if one.operator in ("=", "IN"):
        return min(days), max(days)
    if one.operator == "BETWEEN":
        return days[0], days[1]
    first = days[0]
    open_ended: dict[str, tuple[date | None, date | None]] = {
        ">=": (first, None),
        ">": (first + _DAY, None),
        "<=": (None, first),
        "<": (None, first - _DAY),
    }
    return open_ended.get(one.operator, (None, None))


def first_day(segment: str, day: date) -> date:
    """Return the first day of the week, month or quarter that ``day`` lies in."""
    if segment == "week":
        return _monday(day)
    if segment == "quarter":
        return date(day.year, (day.month - 1) // 3 * 3 + 1, 1)
    return day.replace(day=1) if segment == "month" else day


def last_day(segment: str, first: date) -> date:
    """Return the last day of the week, month or quarter that begins on ``first``."""
    months = _PERIODS[segment]
    if not months:
        return first + timedelta(days=6)
    at = first.year * 12 + first.month - 1 + months
    return date(at // 12, at % 12 + 1, 1) - _DAY
