"""A session of a Databricks SQL warehouse: no transactions, conflicts, and what refusals mean.

Every statement commits by itself, and each of ours may be sent again: the connector does so when an
answer is lost on the way.
"""

from __future__ import annotations

import ctypes
import logging
import os
import random
import re
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Protocol

from airflow_provider_liftos.model.errors import (
    ConfigurationError,
    WarehouseDenied,
    WarehouseError,
)
from airflow_provider_liftos.warehouses.databricks_settings import refuses_tags
from airflow_provider_liftos.warehouses.databricks_sql import CAPABILITIES

log = logging.getLogger(__name__)


class Connect(Protocol):
    """Opens a connection of the vendor's connector, which may send files of a folder."""

    def __call__(self, folder: str, *, tags: bool) -> Any:
        """The connection; its statements carry tags, if the workspace knows such."""


_LONGEST = 400  # characters of a refusal that are shown
_TRIES = 6
_IDLE_SECONDS = 60.0
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.2, 10.0
_CONFLICT = re.compile(
    r"DELTA_CONCURRENT|DELTA_METADATA_CHANGED|DELTA_PROTOCOL_CHANGED"
    r"|Concurrent(Append|DeleteRead|DeleteDelete|Transaction|Write)Exception|MetadataChanged"
)
_SIGNED = re.compile(r"\?[^\s'\")]*")  # signatures stand behind the question mark of an address
_REFUSED = "Nothing that was published has changed."
_AGAIN = "Nothing that was published has changed; run the task again."
_DENIED = (
    "Nothing was changed; grant USE CATALOG, USE SCHEMA, CREATE TABLE, CREATE VOLUME and MODIFY to"
    " the connection's principal, or let it own the schemas."
)
_AWAY = (
    "Nothing that was published has changed; see whether the SQL warehouse can be reached and"
    " starts, then run the task again."
)
_LOGIN = "Nothing was changed; correct the token or the client secret of the connection."
_CATALOG = "Nothing was changed; name a catalog that is there in the connection's extra."
_HINTS: tuple[tuple[str, str], ...] = (  # by a part of what was said
    (
        r"PERMISSION_DENIED|INSUFFICIENT_P\w+|(privilege|permission) on|SQLSTATE: 42501",
        _DENIED,
    ),
    (r"\b40[13]\b|[Ii]nvalid access token|Unauthorized|FORBIDDEN", _LOGIN),
    (_CONFLICT.pattern, _AGAIN),
    (
        r"refused|not known|resolve|[Rr]etr(y|ies)|\b(50\d|429)\b|tim.*out|[Rr]eset|[Aa]borted",
        _AWAY,
    ),
    (r"NO_SUCH_CATALOG|CATALOG_NOT_FOUND|SCHEMA_NOT_FOUND", _CATALOG),
)
_FINAL = (_DENIED, _LOGIN, _CATALOG)  # only a person ends these
_READING = ("SELECT", "WITH", "SHOW", "DESCRIBE")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabricksSession:
    """A connection in use. ``keep`` is asked before every statement whether its turn still holds.

    ``columns`` remembers the order of tables' columns. ``sleep`` takes seconds.
    """

    connection: Any
    keep: Callable[[], None] = lambda: None
    columns: dict[tuple[object, ...], list[tuple[Any, ...]]] = field(default_factory=dict)
    reads_only: bool = False
    sleep: Callable[[float], None] = time.sleep

    def execute(self, sql: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run one statement with ``?`` placeholders; all its rows.

        A writer that another one got ahead of is refused without having changed anything: it tries
        again.
        """
        if self.reads_only and not sql.lstrip(" \n(").upper().startswith(_READING):
            raise WarehouseError(f"a query is read-only, and this would write: {sql[:40]!r}")
        if sql == CAPABILITIES.columns and tuple(params) in self.columns:
            return self.columns[tuple(params)]
        rows = self._tried(sql, [_bound(value) for value in params])
        if sql == CAPABILITIES.columns and rows:
            self.columns[tuple(params)] = rows
        return rows

    def _tried(self, sql: str, params: Sequence[object]) -> list[tuple[Any, ...]]:
        pause = _SHORTEST_PAUSE
        for left in reversed(range(_TRIES)):
            self.keep()
            try:
                return self._once(sql, params)
            except Exception as error:
                if not left or not _CONFLICT.search(str(error)):
                    raise
            # Full jitter, so that writers do not meet again.
            self.sleep(random.uniform(_SHORTEST_PAUSE, pause))  # noqa: S311
            pause = min(_LONGEST_PAUSE, pause * 2)
        raise AssertionError

    def _once(self, sql: str, params: Sequence[object]) -> list[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(sql, params or None)
            found = cursor.active_result_set
            if found is None or found.is_staging_operation:
                return []
            return [tuple(map(_plain, row)) for row in cursor.fetchall()]


class DatabricksServer:
    """Where the warehouse is. May be shared by threads, and used after a fork.

    A connection is kept for who needs one next, for a minute: opening one takes as long as the
    statements of a small slice. While it is idle, it keeps no SQL warehouse from stopping.
    ``label`` names the warehouse in messages, ``clock`` and ``sleep`` are in seconds.
    """

    def __init__(
        self,
        connect: Connect,
        label: str,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connect = connect
        self.label = label
        self.sleep = sleep
        self._clock = clock
        self._columns: dict[tuple[object, ...], list[tuple[Any, ...]]] = {}
        self._idle: list[tuple[float, Any]] = []
        self._used: list[Any] = []
        self._tags = True
        self._lock = threading.Lock()
        weakref.finalize(self, _close_all, self._idle)
        _SERVERS.add(self)

    @contextmanager
    def session(
        self, *, keep: Callable[[], None] = lambda: None, reads_only: bool = False
    ) -> Iterator[DatabricksSession]:
        """Statements on a connection of their own, which may send files of the temporary folder.

        Raises:
            ConfigurationError: the connector is not installed.
            WarehouseError: the warehouse is out of reach, or refused; WarehouseDenied when it will
                go on refusing.
        """
        check_driver()
        connection = None
        try:
            connection = self._taken() or self._opened()
            with self._lock:
                self._used.append(connection)
            yield DatabricksSession(
                connection=connection,
                keep=keep,
                columns=self._columns,
                reads_only=reads_only,
                sleep=self.sleep,
            )
        except BaseException as error:
            self._columns.clear()  # somebody may have added one
            if self._given_back(connection):
                _close(connection)
            if not isinstance(error, Exception) or not _is_theirs(error):
                raise
            # Not chained: what the connector says may hold addresses that are signed.
            raise self.refused(error) from None
        if self._given_back(connection):
            with self._lock:
                self._idle.append((self._clock(), connection))

    def _given_back(self, connection: Any) -> bool:
        """Whether it was in use; not in a child that was forked in the meantime."""
        with self._lock:
            before = len(self._used)
            self._used[:] = [one for one in self._used if one is not connection]
            return len(self._used) < before

    def _opened(self) -> Any:
        """A new connection; where a workspace knows no tags, without them from then on."""
        folder, tags = tempfile.gettempdir(), self._tags
        try:
            return self._connect(folder, tags=tags)
        except Exception as error:
            if not tags or not refuses_tags(error):
                raise
        with self._lock:
            known, self._tags = not self._tags, False
        if not known:
            log.info(
                "Databricks (%s) knows no query tags: what its statements cost is not told apart"
                " by DAG and task.",
                self.label,
            )
        return self._connect(folder, tags=False)

    def _taken(self) -> Any:
        """An idle connection; those that were idle for long are closed."""
        with self._lock:
            fresh = [one for one in self._idle if self._clock() - one[0] < _IDLE_SECONDS]
            old = [one for at, one in self._idle if self._clock() - at >= _IDLE_SECONDS]
            taken = fresh.pop()[1] if fresh else None
            self._idle[:] = fresh
        for one in old:
            _close(one)
        return taken

    def disown(self) -> None:
        """In a child: what its parent has opened stays the parent's, who goes on using it."""
        for one in (*self._used, *(connection for _, connection in self._idle)):
            # For ever, also at the child's end: a connection closes its session when it is freed.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(one))
        self._used.clear()
        self._idle.clear()
        self._lock = threading.Lock()  # another thread of the parent may have held it

    def refused(self, error: BaseException) -> WarehouseError:
        """Our error for the connector's, as one line, without statements and signatures."""
        said = " ".join(str(error).split()) or type(error).__name__
        said = _SIGNED.sub("?…", said)
        hint = next((hint for part, hint in _HINTS if re.search(part, said)), _REFUSED)
        text = said[:_LONGEST].rstrip(".")
        kind = WarehouseDenied if hint in _FINAL else WarehouseError
        return kind(f"Databricks ({self.label}) refused: {text}.", hint=hint)


def _close(connection: Any) -> None:
    if connection is not None:
        with suppress(Exception):
            connection.close()


def _close_all(idle: Sequence[tuple[float, Any]]) -> None:
    for _, connection in idle:
        _close(connection)


_SERVERS: weakref.WeakSet[DatabricksServer] = weakref.WeakSet()


def _disown() -> None:
    for server in list(_SERVERS):
        server.disown()


os.register_at_fork(after_in_child=_disown)


def check_driver() -> None:
    """Raise ConfigurationError when the connector is not installed."""
    try:
        import databricks.sql  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(
            "The Databricks connector is not installed.",
            hint="Install airflow-provider-liftos[databricks].",
        ) from error


def _is_theirs(error: Exception) -> bool:
    """Whether the connector or the way to it failed, and not our own code or a caller's."""
    import urllib3.exceptions
    from databricks.sql.exc import Error

    if isinstance(error, Error | urllib3.exceptions.HTTPError | OSError):
        return True
    return type(error).__module__.startswith(("airflow.", "requests.", "thrift."))


def _bound(value: object) -> object:
    """A parameter as the connector takes it; exact decimals without an exponent."""
    return Decimal(f"{value:f}") if isinstance(value, Decimal) else value


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    return value.item() if hasattr(value, "item") else value
