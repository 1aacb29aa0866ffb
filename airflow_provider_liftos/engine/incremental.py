"""What a run must bring besides its own days: days that no run has published in their final form.

A cursor alone forgets the days after a hole, and reads everything behind it again. So the days that
are published are kept as spans: the cursor is where the first of them ends, the others are finished
days beyond it, and what lies between is known to be missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from types import MappingProxyType
from typing import TypeAlias

from airflow_provider_liftos.model.platform import Stream
from airflow_provider_liftos.model.report import Report, Window

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The published days of an account's report and level, in any order, none twice.

    ``final`` ones were read when the platform restated them no more, ``early`` ones before.
    """

    final: tuple[Window, ...] = ()
    early: tuple[Window, ...] = ()

    @property
    def spans(self) -> tuple[Window, ...]:
        """All of them, ascending, as few as possible."""
        return tuple(joined((*self.final, *self.early)))

    @property
    def first(self) -> date | None:
        """The first published day."""
        return self.spans[0].since if self.spans else None

    @property
    def cursor(self) -> date | None:
        """The last day up to which every day since the first is published."""
        return self.spans[0].until if self.spans else None

    @property
    def beyond(self) -> tuple[Window, ...]:
        """Finished days after the first hole."""
        return self.spans[1:]

    @property
    def holes(self) -> tuple[Window, ...]:
        """Days between published ones that are not, ascending."""
        if not self.spans:
            return ()
        whole = Window(since=self.spans[0].since, until=self.spans[-1].until)
        return tuple(without(whole, self.spans))


Key: TypeAlias = tuple[str, str, str]  # account, report, level
Known: TypeAlias = Mapping[Key, Progress]


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """How far back a pipeline's days go: to ``since``, or to the first day that was published.

    ``days`` is how many days of it one run adds to an account's report, newest first, so that
    yesterday never waits for last year.
    """

    since: date | None = None
    days: int = 30


def missing(
    progress: Progress,
    window: Window,
    kept: Window,
    history: History,
    alone: Sequence[Window] = (),
) -> list[Window]:
    """Days before the run's own window that it should bring as well, newest first.

    All days since the newest published one (runs that never were), and those that were read too
    early and then left alone; of older holes and of history as much as ``history`` grants. A report
    of which nothing is published has its first load: the window alone. ``kept`` are the days that
    the platform can tell of. Days in ``alone`` are left alone, and count as nobody's history.
    """
    spans = progress.spans
    if not spans or window.since <= kept.since:
        return []
    before = window.since - _DAY
    behind = Window(since=kept.since, until=before)
    again = _but([part for early in progress.early for part in _within(early, behind)], alone)
    begin = max(history.since or spans[0].since, kept.since)
    if begin > before:
        return joined(again)[::-1]
    open_days = without(Window(since=begin, until=before), spans)
    unread = [part for part in open_days if part.until == before and spans[0].until < part.since]
    older = _but([part for part in open_days if part not in unread], alone)
    return joined([*again, *_but(unread, alone), *_newest(older, history.days)])[::-1]


def _but(windows: Iterable[Window], taken: Sequence[Window]) -> list[Window]:
    return [part for window in windows for part in without(window, taken)]


def missing_by_report(
    known: Known, account: str, reports: Sequence[Report], window: Window, kept: Window,
    history: History, kept_days: Callable[[Report], int | None] = lambda _report: None,
    alone: Mapping[str, Sequence[Window]] = MappingProxyType({}),
) -> dict[str, list[Window]]:  # fmt: skip
    """The same for each of an account's reports, by name and level as ``basic:ad``.

    ``kept_days`` says of which reports the platform keeps fewer days.
    """
    found = {}
    for report in reports:
        of_report = _newest_days(kept, kept_days(report))
        progress = known.get((account, report.name, str(report.level)), Progress())
        name = f"{report.name}:{report.level}"
        if days := missing(progress, window, of_report, history, alone.get(name, ())):
            found[name] = days
    return found


_HOUR = 3600.0
_DAY_SECONDS = 24 * _HOUR


def listings(
    known: Mapping[tuple[str, str], float], account: str, streams: Iterable[Stream], moment: float,
    full_days: float,
) -> dict[str, float]:  # fmt: skip
    """When an account's streams were last listed in full, where it is enough to read what changed.

    ``known`` holds the moments (epoch seconds) by account and stream. It is not enough where the
    platform does not remember that long, and every ``full_days``: what changes by itself, and what
    a platform forgets to tell, must not stay wrong. An hour less, as daily runs are not punctual.
    """
    found = {}
    for stream in streams:
        since = known.get((account, stream.name))
        if stream.changes is None or since is None:
            continue
        days = min(full_days * _DAY_SECONDS - _HOUR, (stream.changes.days - 1) * _DAY_SECONDS)
        if moment - since < days:
            found[stream.name] = since
    return found


def _newest_days(window: Window, days: int | None) -> Window:
    return next(window.chunks(days)) if days else window


def _newest(windows: Sequence[Window], days: int) -> Iterator[Window]:
    """The newest so many days of ascending windows."""
    for window in reversed(windows):
        if days < 1:
            return
        part = next(window.chunks(days))
        days -= part.days
        yield part


def _within(window: Window, bounds: Window) -> Iterator[Window]:
    since, until = max(window.since, bounds.since), min(window.until, bounds.until)
    if since <= until:
        yield Window(since=since, until=until)


def joined(windows: Iterable[Window]) -> list[Window]:
    """The same days as few windows, ascending."""
    found: list[Window] = []
    for window in sorted(windows, key=lambda w: w.since):
        if found and window.since <= found[-1].until + _DAY:
            until = max(found[-1].until, window.until)
            found[-1] = Window(since=found[-1].since, until=until)
        else:
            found.append(window)
    return found


def without(window: Window, taken: Sequence[Window]) -> list[Window]:
    """The days of a window that are in none of the others, ascending."""
    left: list[Window] = []
    since = window.since
    for other in joined(taken):
        if since < other.since:
            left += _within(Window(since=since, until=other.since - _DAY), window)
        since = max(since, other.until + _DAY)
    if since <= window.until:
        left.append(Window(since=since, until=window.until))
    return left
