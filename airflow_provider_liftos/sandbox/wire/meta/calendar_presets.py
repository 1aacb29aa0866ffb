"""Date presets and increments, on the account's calendar."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

Days = tuple[date, date]
MONTHS_KEPT = 37


def months_back(day: date, months: int) -> date:
    """Return the same day so many months earlier, or the last one that month has."""
    whole = day.year * 12 + day.month - 1 - months
    year, month = divmod(whole, 12)
    for last in (day.day, 30, 29, 28):
        try:
            return date(year, month + 1, min(last, day.day))
        except ValueError:
            continue
    raise AssertionError("every month has 28 days")


def _before(days: int) -> Callable[[date], Days]:
    return lambda today: (today - timedelta(days=days), today - timedelta(days=1))


def _month(today: date) -> date:
    return today.replace(day=1)


def _quarter(today: date) -> date:
    return today.replace(month=(today.month - 1) // 3 * 3 + 1, day=1)


def _previous(start: Callable[[date], date]) -> Callable[[date], Days]:
    def whole(today: date) -> Days:
        last = start(today) - timedelta(days=1)
        return start(last), last

    return whole


def _year(today: date) -> date:
    return today.replace(month=1, day=1)


def _monday(today: date) -> date:
    return today - timedelta(days=today.weekday())


def _sunday(today: date) -> date:
    return today - timedelta(days=(today.weekday() + 1) % 7)


PRESETS: dict[str, Callable[[date], Days]] = {
    "today": lambda today: (today, today),
    "yesterday": _before(1),
    **{f"last_{days}d": _before(days) for days in (3, 7, 14, 28, 30, 90)},
    "this_month": lambda today: (_month(today), today),
    "last_month": _previous(_month),
    "this_quarter": lambda today: (_quarter(today), today),
    "last_quarter": _previous(_quarter),
    "this_year": lambda today: (_year(today), today),
    "last_year": _previous(_year),
    "this_week_mon_today": lambda today: (_monday(today), today),
    "this_week_sun_today": lambda today: (_sunday(today), today),
    "last_week_mon_sun": _previous(_monday),
    "last_week_sun_sat": _previous(_sunday),
    "maximum": lambda today: (months_back(today, MONTHS_KEPT), today),
    "data_maximum": lambda today: (months_back(today, MONTHS_KEPT), today),
}


def chunks(days: Days, increment: str) -> tuple[Days, ...]:
    """Cut a range by ``time_increment``: all_days, monthly, or a number of days."""
    since, until = days
    if increment == "all_days":
        return (days,)
    found: list[Days] = []
    while since <= until:
        if increment == "monthly":
            following = (since.replace(day=28) + timedelta(days=4)).replace(day=1)
        else:
            following = since + timedelta(days=int(increment))
        found.append((since, min(until, following - timedelta(days=1))))
        since = following
    return tuple(found)
