"""Accounts x windows x reports into slices."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.model.platform import Platform
from airflow_provider_liftos.model.report import Account, Report, Slice, Window

T = TypeVar("T")

log = logging.getLogger(__name__)

_EPOCH = date(2000, 1, 3)
"""A Monday from which increments are counted: weeks are weeks, and every run cuts alike."""


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


def memory(account: Account, platform: Platform, moment: float) -> Window:
    """The days that the platform can tell of, up to the newest one that is over there."""
    today = datetime.fromtimestamp(moment, UTC).astimezone(zone(account)).date()
    kept = platform.availability
    return Window(
        since=today - timedelta(days=kept.history_days),
        until=today - timedelta(days=kept.delay_days),
    )


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
    if asked.lifetime or window.since < oldest:
        wanted = "the account's beginning" if asked.lifetime else window.since
        warnings.append(
            f"{account.account_id}: the window was cut to begin at {oldest}"
            f" instead of {wanted}: {platform.availability.note}"
        )
        window = Window(since=max(window.since, oldest), until=window.until)
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
    memories: Mapping[str, Window] | None = None,
    more: Mapping[str, Mapping[str, Sequence[Window]]] | None = None,
    listed: Mapping[str, Mapping[str, float]] | None = None,
) -> list[Slice]:
    """Every slice of a task: newest days first, entities last, nothing twice.

    Each report is checked here, before anything is submitted. ``memories`` holds what ``memory``
    says of each account: how far a window may be widened for increments of several days. ``more``
    holds further days of single reports (``basic:ad``) of an account, ``listed`` when streams of an
    account were last listed (epoch seconds), where only changes since are to be read.
    """
    for report in reports:
        if report.query and not platform.query_language:
            raise ConfigurationError(f"{platform.title} has no query language; leave query out")
    checked = [platform.check(report) for report in reports]
    names = [f"{report.name}:{report.level}" for report in checked]
    if doubles := {name for name in names if names.count(name) > 1}:
        raise ConfigurationError(f"report {min(doubles)!r} is asked for twice; rename one")
    planned: list[Slice] = []
    for account, window in windows:
        for report in checked:
            kept = (memories or {}).get(account.account_id)
            days = min(slice_days, platform.longest(report) or slice_days)
            further = (more or {}).get(account.account_id, {}).get(f"{report.name}:{report.level}")
            spans = _apart([window, *(further or ())], report.time_increment)
            planned += [
                Slice(
                    platform=platform.name,
                    account_id=account.account_id,
                    window=part,
                    report=report,
                )
                for span in spans
                for part in chunks(span, report.time_increment, days, kept)
            ]
    for account, window in windows:
        for name in streams:
            platform.stream(name)
            since = (listed or {}).get(account.account_id, {}).get(name)
            planned.append(
                Slice(
                    platform=platform.name,
                    account_id=account.account_id,
                    window=Window(since=window.until, until=window.until),
                    stream=name,
                    changed_since=_moment(since, account) if since else "",
                )
            )
    return sorted(
        planned, key=lambda s: (s.stream is not None, -s.window.until.toordinal(), s.account_id)
    )


def _moment(epoch: float, account: Account) -> str:
    """A moment by the account's clock, with its distance from UTC."""
    return datetime.fromtimestamp(epoch, zone(account)).isoformat()


def _apart(windows: Sequence[Window], increment: int) -> list[Window]:
    """Windows without common days, also once they are widened to whole increments."""
    found: list[Window] = []
    for window in sorted(windows, key=lambda w: w.since):
        if found and _begin(window.since, increment) <= _begin(found[-1].until, increment):
            until = max(found[-1].until, window.until)
            found[-1] = Window(since=found[-1].since, until=until)
        else:
            found.append(window)
    return found


def chunks(
    window: Window, increment: int, slice_days: int, kept: Window | None = None
) -> Iterator[Window]:
    """Parts of whole increments, newest first; the window is widened to whole increments.

    A row of several days is replaced as a whole or not at all: were runs to cut differently, rows
    of one would reach into days of another, and be counted twice. The newest increment ends where
    the platform's days end (without ``kept``: where the window ends). An oldest one that the
    platform knows only in part is left out, unless nothing else was asked for.
    """
    since = _begin(window.since, increment)
    end = _begin(window.until, increment) + timedelta(days=increment - 1)
    until = min(end, max(kept.until, window.until) if kept else window.until)
    if kept and increment > 1 and since < kept.since:
        since += timedelta(days=increment)
        since = since if since <= until else max(kept.since, window.since)
        log.warning("increments of %s days begin at %s: no older one is whole", increment, since)
    days = max(slice_days // increment, 1) * increment
    for part in Window(since=since, until=end).chunks(days):
        yield Window(since=part.since, until=min(part.until, until))


def _begin(day: date, increment: int) -> date:
    """First day of the increment that the day is in."""
    return day - timedelta(days=(day - _EPOCH).days % increment)


def batches(items: Sequence[T], size: int) -> list[list[T]]:
    """Accounts in groups of at most ``size``, one mapped task each."""
    return [list(items[start : start + size]) for start in range(0, len(items), size)]
