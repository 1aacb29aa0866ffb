"""Whether days of UTC can be put together from hourly rows of an account's own zone.

Platforms label an hour by the account's clock. Where that clock is a whole number of hours from
UTC, every labelled hour lies on one UTC day, and sums over hours are exact. Where it is not
(Kolkata, Kathmandu, Adelaide), midnight in UTC cuts an hour in two, and nobody can tell its parts.
When clocks go back, one label names two hours; that hurts only where midnight in UTC lies between
them (Chisinau).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.model.report import Window

# Every offset in use since 1972 is a multiple of it.
_QUARTER = timedelta(minutes=15)
_HOUR = timedelta(hours=1)


def hours_of(zone: str, day: date) -> Mapping[int, timedelta]:
    """The labels of the hours of a local day, and how long each lasts: 23, 24 or 25 h in all.

    Raises:
        ConfigurationError: there is no such zone.
    """
    length: dict[int, timedelta] = {}
    for hour, _ in _quarters(zone, day):
        length[hour] = length.get(hour, timedelta()) + _QUARTER
    return length


def utc_days(zone: str, day: date) -> Mapping[int, frozenset[date]]:
    """The UTC days that each labelled hour of a local day lies on: one, or there is no telling."""
    days: dict[int, set[date]] = {}
    for hour, moment in _quarters(zone, day):
        days.setdefault(hour, set()).add(moment.date())
    return {hour: frozenset(found) for hour, found in days.items()}


def local_days(zone: str, day: date) -> tuple[date, ...]:
    """The local days, one to three, whose hours make up a day of UTC."""
    first = datetime.combine(day, time(), UTC)
    moments = (first + step * _QUARTER for step in range(96))
    return tuple(sorted({moment.astimezone(_zone(zone)).date() for moment in moments}))


def why_not(zone: str, window: Window) -> str | None:
    """Why the UTC days of a window cannot be put together exactly; None where they can.

    Raises:
        ConfigurationError: there is no such zone.
    """
    for day in window.dates():
        for local in local_days(zone, day):
            for hour, days in utc_days(zone, local).items():
                if day in days and len(days) > 1:
                    return _reason(zone, local, hour)
    return None


def _reason(zone: str, day: date, hour: int) -> str:
    offset = datetime.combine(day, time(hour), _zone(zone)).utcoffset() or timedelta()
    if offset % _HOUR:
        minutes = int(offset % _HOUR / timedelta(minutes=1))
        return (
            f"{zone} is {minutes} minutes off whole hours of UTC: the hour from {hour}:00 lies on"
            " two UTC days, and hourly rows cannot be divided"
        )
    return (
        f"in {zone} the hour from {hour}:00 comes twice on {day}, once on each side of midnight in"
        " UTC, and its rows do not say which is which"
    )


def _quarters(zone: str, day: date) -> list[tuple[int, datetime]]:
    """Quarters of an hour of a local day: the hour's label, and the moment in UTC."""
    local = _zone(zone)
    # No day is further from UTC than 14 hours, nor longer than 25.
    moment = datetime.combine(day, time(), UTC) - 15 * _HOUR
    found = []
    for _ in range(4 * 56):
        here = moment.astimezone(local)
        if here.date() == day:
            found.append((here.hour, moment))
        moment += _QUARTER
    return found


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ConfigurationError(f"there is no time zone {name!r}") from None
