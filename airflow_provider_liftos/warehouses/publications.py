"""Slices to publish: which go together in one unit of writing, and which side by side."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Event
from typing import Any, TypeAlias, TypeVar

from airflow_provider_liftos.engine.manifest import SliceResult
from airflow_provider_liftos.model.errors import LiftosError
from airflow_provider_liftos.model.report import Slice
from airflow_provider_liftos.warehouses.contract import Note

log = logging.getLogger(__name__)

T = TypeVar("T")

Line: TypeAlias = Callable[[Callable[[], bool]], Iterator[T]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much one unit of writing takes: staged rows and slices, and years of exchange rates.

    That is of loading. Of publishing it is ``together`` staged rows, if that is more than a slice,
    and ``at_once`` slices; 0 rows: each slice goes in its own, also an empty one.
    ``seconds`` is how long one connection is kept for many units.
    ``lanes`` is how many connections publish side by side what one unit cannot take.
    """

    rows: int
    slices: int
    years: int = 100
    together: int = 0
    at_once: int = 100
    seconds: float = 60.0
    lanes: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """A slice to publish: into which table, of which load, for whom, and when (epoch seconds)."""

    result: SliceResult
    table: str
    load_id: str
    org_id: str
    now: Callable[[], float]
    note: Note | None

    @property
    def account(self) -> tuple[str, str]:
        """Whose rows it replaces."""
        return self.result.slice.platform, self.result.slice.account_id

    def crosses(self, other: Publication) -> bool:
        """Whether both replace the same rows, so that the later one must find the earlier's."""
        mine, others = self.result.slice, other.result.slice
        return (
            (self.account, self.table, _name(mine)) == (other.account, other.table, _name(others))
            and mine.window.since <= others.window.until
            and others.window.since <= mine.window.until
        )


def together(some: Iterable[Publication], sizes: Sizes) -> list[Publication]:
    """The first of them, and those behind it that are published in the same unit."""
    found: list[Publication] = []
    rows = 0
    for one in some:
        rows += one.result.staged_rows
        full = rows > sizes.together or len(found) >= _most(sizes)
        if found and (full or any(one.crosses(other) for other in found)):
            break
        found.append(one)
    return found


def lanes(some: Sequence[Publication], sizes: Sizes) -> list[deque[Publication]]:
    """What goes side by side: an account's slices in one lane, in their order.

    There is one lane for each unit that they fill, up to as many as there may be.
    """
    rows = sum(one.result.staged_rows for one in some)
    units = max(_parts(rows, sizes.together or rows), _parts(len(some), _most(sizes)))
    found = [_Lane() for _ in range(max(1, min(sizes.lanes, units)))]
    by_account: dict[tuple[str, str], list[Publication]] = {}
    for one in some:
        by_account.setdefault(one.account, []).append(one)
    for slices in by_account.values():
        min(found, key=_weight).take(slices)
    return [lane.slices for lane in found if lane.slices]


def _most(sizes: Sizes) -> int:
    return sizes.at_once if sizes.together else 1


@dataclass(slots=True)
class _Lane:
    slices: deque[Publication] = field(default_factory=deque)
    weight: int = 0

    def take(self, some: Sequence[Publication]) -> None:
        self.slices.extend(some)
        self.weight += sum(_SLICE + one.result.staged_rows for one in some)


_SLICE = 1_000  # rows that cost about what a slice does, however few it has


def take_over(left: deque[Publication], behind: deque[deque[Publication]]) -> None:
    """Go on, where nothing is left, with a whole lane that was left behind."""
    if not left:
        with suppress(IndexError):  # there is none, or another one was faster
            left.extend(behind.popleft())


def side_by_side(lines: Sequence[Line[T]]) -> Iterator[T]:
    """What several lines of work give, each in a thread of its own, as it comes.

    Each is given a question to ask now and then: whether to come to an end, because another one
    failed or nobody wants more. The error that came first is raised once all have given what they
    did; what others failed with, too, is told in the log.
    """
    if len(lines) < 2:
        for line in lines:
            yield from line(never)
        return
    stop, given, end = Event(), SimpleQueue[Any](), object()
    failed: list[BaseException] = []

    def follow(line: Line[T]) -> None:
        try:
            for one in line(stop.is_set):
                given.put(one)
        except BaseException as error:  # noqa: BLE001 - the caller raises it
            failed.append(error)
            stop.set()
        finally:
            given.put(end)

    raised: BaseException | None = None
    try:
        with ThreadPoolExecutor(len(lines)) as pool:
            try:
                for line in lines:
                    pool.submit(copy_context().run, follow, line)
                for _ in lines:
                    yield from iter(given.get, end)
            finally:
                stop.set()
        if failed:
            raised = failed[0]
            raise raised
    finally:
        for error in failed:
            if error is not raised:
                log.warning("Of what went side by side another one failed: %s", _said(error))


def _said(error: BaseException) -> object:
    """Only our own errors are known to tell no secrets."""
    return error if isinstance(error, LiftosError) else type(error).__name__


def never() -> bool:
    """The answer for who works alone: nobody asks for an end."""
    return False


def _weight(lane: _Lane) -> int:
    return lane.weight


def _parts(whole: int, part: int) -> int:
    return -(-whole // part) if part else 0


def _name(part: Slice) -> tuple[str, str] | None:
    """By which its rows are found, whatever else a report of that name asks for."""
    return (part.report.name, str(part.report.level)) if part.report else None
