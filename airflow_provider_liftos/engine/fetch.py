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
from airflow_provider_liftos.transport.session import Session

SMALLEST_PAGE = 10
_READY_PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0)

_LONGEST_WAIT = 900.0
_PATIENCE = 3600.0
"""Seconds to wait for a limit amid a read, at once and for one page: begun reads must end, since
one that ends early begins again at its first page. The first page itself may wait elsewhere."""


def rows(
    session: Session,
    reading: Reading,
    staging: Staging,
    folder: str,
    *,
    page_size: int | None = None,
    now: Callable[[], float] = time.time,
) -> Flow[tuple[File, ...]]:
    """All rows of a reading; the files written."""
    if isinstance(reading, Streamed):
        decoder = reading.decoder
        begin = lambda: _Intake(decoder(), RawWriter(staging, folder))  # noqa: E731
        return (yield from session.stream(reading.request, begin))
    if page_size:
        reading = replace(reading, page_size=page_size)
    return (yield from pages(session, reading, staging, folder, now))


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
) -> Flow[tuple[File, ...]]:
    """Follow the cursor to its end; the files written.

    Raises Throttled when the first page must wait for long, or a later one for very long.
    A page that is too much is asked for again at half the size, down to SMALLEST_PAGE, and then
    TooMuchData is raised. A result that is not readable yet is asked for again for half a minute.
    """
    writer = RawWriter(staging, folder)
    cursor: str | None = None
    size = reading.page_size
    seen: set[str] = set()
    while True:
        page, size = yield from _page(session, reading, size, cursor, now)
        writer.write(page.rows)
        if page.cursor is None:
            return writer.close()
        cursor = page.cursor
        if cursor in seen:
            raise Unavailable(
                "the platform gives the same cursor twice; following it would never end",
                platform=session.platform.name,
            )
        seen.add(cursor)


def _page(
    session: Session,
    reading: Paged,
    size: int,
    cursor: str | None,
    now: Callable[[], float],
) -> Flow[tuple[Page, int]]:
    pauses = list(_READY_PAUSES)
    patience = _PATIENCE if cursor else 0.0
    while True:
        try:
            page = yield from session.call(reading.request(size, cursor), reading.page)
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
            if wait > min(_LONGEST_WAIT, patience):
                raise
            patience -= wait
            session.usage.throttled_seconds += wait
            yield Sleep(wait)
        else:
            return page, size
