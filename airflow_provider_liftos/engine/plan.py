"""Accounts x windows x reports into slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.model.platform import Platform
from airflow_provider_liftos.model.report import Account, Report, Slice, Window


@dataclass(frozen=True, slots=True, kw_only=True)
class DateRange:
    """What a run asks for: fixed days, the last N days, or all there is.

    ``since``/``until`` are days in each account's own zone. ``last_days`` ends yesterday, or today
    with ``today`` (partial numbers).
    """

    since: date | None = None
    until: date | None = None
    last_days: int | None = None
    lifetime: bool = False
    today: bool = False
    lookback_days: int = 0


def zone(account: Account) -> ZoneInfo:
    """The account's time zone; ConfigurationError when its name is unknown."""
    try:
        return ZoneInfo(account.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigurationError(
            f"unknown time zone {account.timezone!r}", account=account.account_id
        ) from None


def resolve(
    asked: DateRange, account: Account, platform: Platform, moment: float
) -> tuple[Window, list[str]]:
    """The window for one account, clamped to what the platform keeps, with warnings.

    Raises ConfigurationError for reversed dates, dates in the future, and windows that lie wholly
    before the platform's memory.
    """
    today = datetime.fromtimestamp(moment, UTC).astimezone(zone(account)).date()
    window = _window(asked, today, platform)
    oldest = today - timedelta(days=platform.availability.history_days)
    if window.since > today:
        raise ConfigurationError(
            f"the window begins in the future ({window.since}; it is {today} there)",
            platform=platform.name,
            account=account.account_id,
        )
    if window.until < oldest:
        raise ConfigurationError(
            f"the window {window.since}..{window.until} ends before the platform's memory begins"
            f" ({oldest}; {platform.availability.note})",
            platform=platform.name,
            account=account.account_id,
        )
    warnings = []
    if window.until > today:
        warnings.append(f"{account.account_id}: the window was cut at {today}, the day it is there")
        window = Window(since=window.since, until=today)
    if window.since < oldest:
        if not asked.lifetime:
            warnings.append(
                f"{account.account_id}: the window was cut to begin at {oldest}"
                f" instead of {window.since}: {platform.availability.note}"
            )
        window = Window(since=oldest, until=window.until)
    return window, warnings


def _window(asked: DateRange, today: date, platform: Platform) -> Window:
    newest = today if asked.today else today - timedelta(days=platform.availability.delay_days)
    if asked.lifetime:
        oldest = today - timedelta(days=platform.availability.history_days)
        return Window(since=oldest, until=newest)
    if asked.last_days is not None and asked.last_days < 0:
        raise ConfigurationError(f"last_days is {asked.last_days}; it is a number of days above 0")
    if asked.last_days:
        return Window(since=newest - timedelta(days=asked.last_days - 1), until=newest)
    if asked.since is None or asked.until is None:
        raise ConfigurationError("no window was given; set since and until, last_days, or lifetime")
    window = Window(since=asked.since, until=asked.until)
    return Window(since=window.since - timedelta(days=asked.lookback_days), until=window.until)


def slices(
    platform: Platform,
    windows: Sequence[tuple[Account, Window]],
    reports: Sequence[Report],
    streams: Sequence[str],
    slice_days: int,
) -> list[Slice]:
    """Every slice of a task: newest days first, entities last, nothing twice.

    Each report is checked here, before anything is submitted.
    """
    checked = [platform.check(report) for report in reports]
    names = [f"{report.name}:{report.level}" for report in checked]
    if doubles := {name for name in names if names.count(name) > 1}:
        raise ConfigurationError(f"report {min(doubles)!r} is asked for twice; rename one")
    planned: list[Slice] = []
    for account, window in windows:
        for report in checked:
            # Chunks of whole increments: a report by the week is never cut in its middle.
            days = max(slice_days // report.time_increment, 1) * report.time_increment
            planned += [
                Slice(
                    platform=platform.name,
                    account_id=account.account_id,
                    window=part,
                    report=report,
                )
                for part in window.chunks(days)
            ]
    for account, window in windows:
        for name in streams:
            platform.stream(name)
            planned.append(
                Slice(
                    platform=platform.name,
                    account_id=account.account_id,
                    window=Window(since=window.until, until=window.until),
                    stream=name,
                )
            )
    return sorted(
        planned, key=lambda s: (s.stream is not None, -s.window.until.toordinal(), s.account_id)
    )


def batches(accounts: Sequence[Account], size: int) -> list[list[Account]]:
    """Accounts in groups of at most ``size``, one mapped task each."""
    return [list(accounts[start : start + size]) for start in range(0, len(accounts), size)]
