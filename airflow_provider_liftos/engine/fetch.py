"""Rows into staged files, page by page or as one long answer comes in, in bounded memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from airflow_provider_liftos.engine.manifest import File
from airflow_provider_liftos.engine.staging import RawWriter, Staging
from airflow_provider_liftos.model.errors import (
    NotReady,
    Throttled,
    TooManyIds,
    TooMuchData,
    Unavailable,
)
from airflow_provider_liftos.model.platform import Decoder, Page, Paged, Reading, Streamed
from airflow_provider_liftos.transport.flow import Flow, Sleep
from airflow_provider_liftos.transport.pace import LONGEST_SLEEP
from airflow_provider_liftos.transport.session import Departure, Session

SMALLEST_PAGE = 10
_READY_PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0)

_CHEAP = 10
"""Pages that may be read a second time rather than keep a worker's slot for a long wait.

A read that is broken off begins again at its first page: cursors end, and rows may have changed
meanwhile. Those pages are taken from the very limit that is used up, so only few are, and only
once per slice: a limit that lets no more than a few pages pass would else be read against for ever.
"""

_LONGEST_WAIT = 900.0
_PATIENCE = 3600.0
"""Seconds to wait in the slot for a limit amid any other read, at once and for one page."""


def rows(
    session: Session,
    reading: Reading,
    staging: Staging,
    folder: str,
    *,
    page_size: int | None = None,
    now: Callable[[], float] = time.time,
    restarts: int = 0,
    departs: Departure | None = None,
) -> Flow[tuple[File, ...]]:
    """All rows of a reading; the files written. ``restarts`` says how often it was broken off.

    ``departs`` is told when the only answer, or the first page, is asked for: no row is older than
    what it was told last.
    """
    if isinstance(reading, Streamed):
        decoder = reading.decoder
        begin = lambda: _Intake(decoder(), RawWriter(staging, folder))  # noqa: E731
        return (yield from session.stream(reading.request, begin, departs))
    if page_size:
        reading = replace(reading, page_size=page_size)
    return (yield from pages(session, reading, staging, folder, now, restarts, departs))


class _Intake:
    """One attempt at a long answer, with files of its own."""

    def __init__(self, decoder: Decoder, writer: RawWriter) -> None:
        self._decoder = decoder
        self._writer = writer

    def take(self, piece: bytes) -> None:
        self._writer.write(self._decoder.feed(piece))

    def finish(self) -> tuple[File, ...]:
        self._writer.write(self._decoder.end())
        return self._writer.close()

    def close(self) -> None:
        self._writer.discard()


def pages(
    session: Session,
    reading: Paged,
    staging: Staging,
    folder: str,
    now: Callable[[], float] = time.time,
    restarts: int = 0,
    departs: Departure | None = None,
) -> Flow[tuple[File, ...]]:
    """Follow the cursor to its end; the files written.

    Raises Throttled when the first page must wait for long; a later one too, if few were read and
    none of them for a second time (``restarts``), and else when it must wait for very long.
    A page that is too much is asked for again at half the size, down to SMALLEST_PAGE, and then
    TooMuchData is raised. A result that is not readable yet is asked for again for half a minute.
    """
    writer = RawWriter(staging, folder)
    try:
        yield from _follow(session, reading, writer, now, restarts, departs)
        return writer.close()
    finally:
        writer.discard()


def _follow(
    session: Session,
    reading: Paged,
    writer: RawWriter,
    now: Callable[[], float],
    restarts: int,
    departs: Departure | None,
) -> Flow[None]:
    cursor: str | None = None
    size = reading.page_size
    seen: set[str] = set()
    while True:
        longest = _longest(len(seen), restarts)
        page, size = yield from _page(session, reading, size, cursor, now, longest, departs)
        departs = None
        writer.write(page.rows)
        if page.cursor is None:
            return
        cursor = page.cursor
        if cursor in seen:
            raise Unavailable(
                "the platform gives the same cursor twice; following it would never end",
                platform=session.platform.name,
            )
        seen.add(cursor)


def _longest(pages_read: int, restarts: int) -> float:
    """Seconds to wait in the slot for the next page; what takes longer is for another stint."""
    if not pages_read:
        return 0.0
    return _LONGEST_WAIT if restarts or pages_read > _CHEAP else LONGEST_SLEEP


def _page(
    session: Session,
    reading: Paged,
    size: int,
    cursor: str | None,
    now: Callable[[], float],
    longest: float,
    departs: Departure | None,
) -> Flow[tuple[Page, int]]:
    pauses = list(_READY_PAUSES)
    patience = _PATIENCE
    while True:
        try:
            page = yield from session.call(reading.request(size, cursor), reading.page, departs)
        except TooManyIds:
            raise
        except TooMuchData:
            if size // 2 < SMALLEST_PAGE:
                raise
            size //= 2
        except NotReady:
            if not pauses:
                raise
            yield Sleep(pauses.pop(0))
        except Throttled as error:
            wait = max(error.retry_at - now(), 1.0)
            if wait > min(longest, patience):
                error.begun = cursor is not None
                raise
            patience -= wait
            session.usage.throttled_seconds += wait
            yield Sleep(wait)
        else:
            return page, size
