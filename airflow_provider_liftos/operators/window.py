"""Which days a run asks for: a person's, else the partition, the interval, the last days."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from airflow_provider_liftos.engine.plan import DateRange
from airflow_provider_liftos.model.errors import ConfigurationError

_BY_ITSELF = {"scheduled", "asset_triggered"}


def asked(context: Mapping[str, Any], restatement_days: int, last_days: int) -> DateRange:
    """The window of a run.

    1. params ``since`` and ``until``, ``last_n_days`` or ``lifetime``; 2. the partition key;
    3. a data interval that is not empty, in days of the schedule's zone, re-read through the
    restatement window when the schedule made the run (a backfill names its own days); 4. the last
    days. A run by hand never takes its interval: Airflow's form fills in a logical date, from which
    follows an interval that nobody has asked for.
    """
    params = context.get("params") or {}
    explicit = _explicit(params)
    if explicit is not None:
        return explicit
    if key := context.get("partition_key"):
        day = _day(str(key)[:10], "partition key")
        return DateRange(since=day, until=day)
    start, end = context.get("data_interval_start"), context.get("data_interval_end")
    if start is not None and end is not None and end > start and _kind(context) != "manual":
        since, end_day = (moment.astimezone(_zone(context)).date() for moment in (start, end))
        until = max(since, end_day - timedelta(days=1))
        lookback = params.get("lookback_days")
        if lookback is None:
            lookback = restatement_days if _kind(context) == "scheduled" else 0
        return DateRange(since=since, until=until, lookback_days=int(lookback))
    return DateRange(last_days=last_days)


def catches_up(context: Mapping[str, Any]) -> bool:
    """Whether a run also brings what is missing behind its window: one that nobody gave days."""
    if _explicit(context.get("params") or {}) or context.get("partition_key"):
        return False
    return _kind(context) in _BY_ITSELF


def names_days(context: Mapping[str, Any]) -> bool:
    """Whether somebody has named the days of a run: a person, a partition or a backfill."""
    named = _explicit(context.get("params") or {}) or context.get("partition_key")
    return bool(named) or _kind(context) == "backfill"


def _explicit(params: Mapping[str, Any]) -> DateRange | None:
    since, until = params.get("since"), params.get("until")
    if since or until:
        if not (since and until):
            raise ConfigurationError("give both since and until, or neither")
        window = DateRange(since=_day(since, "since"), until=_day(until, "until"))
        if window.since and window.until and window.until < window.since:
            raise ConfigurationError(
                f"the window ends ({window.until}) before it begins ({window.since});"
                " exchange the two dates"
            )
        return window
    if params.get("lifetime"):
        return DateRange(lifetime=True)
    if days := params.get("last_n_days"):
        if int(days) < 1:
            raise ConfigurationError(f"last_n_days is {days}; it must be at least 1")
        return DateRange(last_days=int(days))
    return None


def _day(value: Any, name: str) -> date:
    try:
        return value if isinstance(value, date) else date.fromisoformat(str(value)[:10])
    except ValueError:
        raise ConfigurationError(f"{name} is {value!r}; write it as YYYY-MM-DD") from None


def _zone(context: Mapping[str, Any]) -> tzinfo:
    """Where the schedule's days begin: midnight in Berlin is still yesterday in UTC."""
    schedule = getattr(context.get("dag"), "timetable", None)
    zone = getattr(schedule, "timezone", None) or UTC
    return ZoneInfo(zone) if isinstance(zone, str) else zone


def _kind(context: Mapping[str, Any]) -> str:
    """``scheduled``, ``manual``, ``backfill``, ..."""
    run = context.get("dag_run")
    return str(getattr(run, "run_type", "")).rpartition(".")[2].lower()
