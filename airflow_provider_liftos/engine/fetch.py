"""Pages of a finished report or a stream into staged files, one page in memory at a time."""

from __future__ import annotations

from collections.abc import Callable

from airflow_provider_liftos.engine.manifest import File
from airflow_provider_liftos.engine.staging import RawWriter, Staging
from airflow_provider_liftos.model.errors import NotReady, TooMuchData, Unavailable
from airflow_provider_liftos.model.platform import Page
from airflow_provider_liftos.model.wire import Request
from airflow_provider_liftos.transport.flow import Flow, Sleep
from airflow_provider_liftos.transport.session import Session

SMALLEST_PAGE = 10
_READY_PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0)

Ask = Callable[[int, str | None], Request]


def pages(
    session: Session,
    ask: Ask,
    read: Callable[[bytes], Page],
    size: int,
    staging: Staging,
    folder: str,
) -> Flow[tuple[File, ...]]:
    """Follow the cursor to its end; the files written.

    A page that is too much is asked for again at half the size, down to SMALLEST_PAGE, and then
    TooMuchData is raised. A result that is not readable yet is asked for again for half a minute.
    """
    writer = RawWriter(staging, folder)
    cursor: str | None = None
    seen: set[str] = set()
    while True:
        page, size = yield from _page(session, ask, read, size, cursor)
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
    session: Session, ask: Ask, read: Callable[[bytes], Page], size: int, cursor: str | None
) -> Flow[tuple[Page, int]]:
    pauses = list(_READY_PAUSES)
    while True:
        try:
            page = yield from session.call(ask(size, cursor), read)
        except TooMuchData:
            if size // 2 < SMALLEST_PAGE:
                raise
            size //= 2
        except NotReady:
            if not pauses:
                raise
            yield Sleep(pauses.pop(0))
        else:
            return page, size
