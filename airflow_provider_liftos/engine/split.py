"""What to ask instead when a report keeps failing: fewer days, then fewer ids, then fewer fields.

Everything a slice covered is covered by its parts, also ids that nobody listed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from airflow_provider_liftos.model.errors import (
    CircuitOpen,
    LiftosError,
    Missing,
    NotAuthorized,
    Unavailable,
)
from airflow_provider_liftos.model.platform import Credentials, Paged, Platform
from airflow_provider_liftos.model.report import Ids, Level, Report, Slice, Window
from airflow_provider_liftos.model.unified import TABLES
from airflow_provider_liftos.model.wire import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Parts that replace a slice. ``by`` says how: days, ids or fields.

    A split by fields gives rows in several files that belong together: they are merged.
    """

    by: str
    parts: tuple[Slice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FindIds:
    """Ask for the ids of the slice first, then split by them."""

    search: Slice


@dataclass(frozen=True, slots=True, kw_only=True)
class DropField:
    """One field alone keeps failing: go on without it, and say so."""

    field: str


def shrink(cut: Slice, *, ids_alone: bool = False) -> Split | FindIds | DropField | None:
    """The next smaller way to ask, or None when there is nothing smaller.

    ``ids_alone`` says that neither fewer days nor fewer fields would help.
    """
    report = cut.report
    if report is None:
        return None
    if ids_alone:
        return _fewer_ids(cut, report)
    if cut.find_ids:  # even the ids are too much to ask
        return _fields_instead(cut.narrowed(find_ids=False))
    if cut.window.days > report.time_increment:
        return Split(by="days", parts=_by_days(cut, report))
    return _fewer_ids(cut, report) or _fields_instead(cut)


def _fewer_ids(cut: Slice, report: Report) -> Split | FindIds | None:
    if cut.find_ids:
        return None
    if cut.ids is None and report.level is not Level.ACCOUNT and _splittable(report):
        return FindIds(search=cut.narrowed(find_ids=True))
    if cut.ids is not None and not cut.ids.everything_else and len(cut.ids.values) > 1:
        return Split(by="ids", parts=_of_ids(cut, cut.ids.values))
    return None


def _splittable(report: Report) -> bool:
    return bool(report.metrics)


def _by_days(cut: Slice, report: Report) -> tuple[Slice, ...]:
    if report.time_increment == 1:
        return tuple(cut.narrowed(window=half) for half in reversed(cut.window.halves()))
    # Counted from the first day, as the platform does: only the newest may be a part of one.
    dates = list(cut.window.dates())
    starts = dates[:: report.time_increment]
    ends = [*(day - timedelta(days=1) for day in starts[1:]), cut.window.until]
    windows = [Window(since=since, until=until) for since, until in zip(starts, ends, strict=True)]
    return tuple(cut.narrowed(window=window) for window in reversed(windows))


def by_ids(cut: Slice, ids: Sequence[str], most: int | None = None) -> Split | DropField | None:
    """Split an unrestricted slice once its ids are known; the rest of the world is a part too.

    A part names half of the ids, but no more than ``most``.
    """
    known = tuple(sorted(set(ids)))
    if len(known) < 2:
        return _fields_instead(cut)
    rest = cut.narrowed(ids=Ids(values=known, everything_else=True))
    return Split(by="ids", parts=(*_of_ids(cut, known, most), rest))


def _fields_instead(cut: Slice) -> Split | DropField | None:
    report = cut.report
    if report is None:
        return None
    if len(report.metrics) > 1:
        return Split(by="fields", parts=_by_fields(cut, report))
    return DropField(field=report.metrics[0]) if report.metrics else None


def _of_ids(cut: Slice, ids: Sequence[str], most: int | None = None) -> tuple[Slice, ...]:
    size = min(-(-len(ids) // 2), most or len(ids))
    parts = (tuple(ids[start : start + size]) for start in range(0, len(ids), size))
    return tuple(cut.narrowed(ids=Ids(values=part)) for part in parts)


def _by_fields(cut: Slice, report: Report) -> tuple[Slice, ...]:
    middle = len(report.metrics) // 2
    halves = (report.metrics[:middle], report.metrics[middle:])
    ids = cut.ids or Ids(values=(), everything_else=True)  # all there are; not to be sought again
    return tuple(cut.narrowed(report=replace(report, metrics=half), ids=ids) for half in halves)


def without(cut: Slice, field: str) -> Slice:
    """The slice without a field the platform no longer knows: a metric, or one that describes."""
    report = cut.report
    if report is None or field not in report.metrics:
        return cut.narrowed(without=tuple(dict.fromkeys((*cut.without, field))))
    rest = tuple(metric for metric in report.metrics if metric != field)
    return cut.narrowed(report=replace(report, metrics=rest))


def at_once(cut: Slice, days: int) -> Split:
    """The same, to be read at once instead of being prepared, in parts the platform takes."""
    windows = cut.window.chunks(days)
    return Split(by="days", parts=tuple(cut.narrowed(at_once=True, window=w) for w in windows))


def changed(cut: Slice, platform: Platform, rows: Iterable[Mapping[str, Any]]) -> Slice:
    """What to read of a stream once its changes have come back: what they name, or everything."""
    told = platform.stream(str(cut.stream)).changes
    campaigns = told.campaigns(rows) if told else None
    ids = None if campaigns is None else Ids(values=tuple(sorted(campaigns)))
    return cut.narrowed(changed_since="", ids=ids)


def can_list_instead(cut: Slice, error: LiftosError) -> bool:
    """Whether changes cannot be had, while a listing might: the account itself is within reach."""
    return bool(cut.changed_since) and not isinstance(
        error, (CircuitOpen, Missing, NotAuthorized, Unavailable)
    )


def can_do_without(
    platform: Platform, credentials: Credentials, name: str, cut: Slice, rest: Slice
) -> bool:
    """Whether rows are rows without that field, and ``rest``, which lacks it, asks otherwise."""
    if cut.report:
        needed = platform.mapping(cut.report, {}).required
    else:
        stream = platform.stream(str(cut.stream))
        key = TABLES[stream.table].key[-1]
        needed = tuple(f.source for f in stream.fields if f.column == key)
    asks = _question(platform, credentials, rest) != _question(platform, credentials, cut)
    return name not in needed and asks


def _question(platform: Platform, credentials: Credentials, cut: Slice) -> Request:
    """The first request for a slice."""
    reading = platform.reading(cut, credentials)
    if reading is None:
        return platform.asynchronous().submit(cut)
    return reading.request(1, None) if isinstance(reading, Paged) else reading.request
