"""One connection to Snowflake, one transaction, and what its refusals mean.

Statements carry typed parameters for ``?``, bound by the server. A connection is made anew when it
was idle for a minute; until then the next unit of work takes it, for a login takes as long as the
statements of a small slice. Nothing is sent while nothing is to be done: an idle connection keeps
no virtual warehouse awake.
"""

from __future__ import annotations

import logging
import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow_provider_liftos.model.errors import (
    ConfigurationError,
    WarehouseDenied,
    WarehouseError,
)

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection
    from snowflake.connector.errors import Error

log = logging.getLogger(__name__)

_LOGIN_SECONDS = 30
_IDLE_SECONDS = 60.0
_NETWORK_SECONDS = 600.0
_LONGER_THAN_LOCKS = 180.0  # seconds; a statement that waits for a lock shall be told of that
_PAUSES = 1.0, 5.0  # seconds, between which those choose who were not let into a queue
_TAG = '{"app": "liftos"}'
_LONGEST = 400  # characters of a refusal that are shown
_REFUSED = "Nothing that was published has changed."
_AGAIN = "Nothing that was published has changed; run the task again."
_CONNECTING = 250001
_CROWDED = 625  # Snowflake lets at most 20 statements wait for one table's lock
_HINTS: Mapping[int, str] = {
    # The codes of the server and of its client, by the vendor's documentation and seen.
    604: "Nothing that was published has changed. If it took longer than network_timeout (seconds)"
    " in the connection's extra allows, raise that, or take a larger virtual warehouse.",
    606: "Nothing was changed; name a virtual warehouse in the connection's extra.",
    _CROWDED: _AGAIN,
    3001: "Nothing was changed; give the role what it lacks on the database, its schemas and their"
    " tables, or name another role in the connection's extra.",
    90105: "Nothing was changed; name a database in the connection's extra.",
    _CONNECTING: "Nothing was changed; see whether the account, its address and the login are"
    " right, and whether it can be reached from here.",
}
_LOGIN = (
    "Nothing was changed; correct the connection's login, its password, key or token, its role, or"
    " the account's network policy."
)
# Who is refused while connecting is told so in words alone, by the code of a lost connection.
_LOGIN_SAYS = re.compile(
    r"username or password|JWT token is invalid|[Ii]nvalid OAuth|[Rr]ole .*(connect string|granted"
    r"|Access Token)|not allowed to access Snowflake|user .*(locked|disabled)|disabled user",
    re.IGNORECASE,
)
_DENIED = (606, 2003, 2043, 3001, 90105)  # only a person ends these
_DENIED_STATES = ("42501", "02000", "42S02")
_OF_STATES: Mapping[str, str] = {
    "42501": _HINTS[3001],
    "02000": "Nothing was changed; correct database, schema or role of the connection.",
    "42S02": "Nothing was changed; correct database, schema or role of the connection.",
    "57014": _AGAIN,  # cancelled, or waited for too long
    "08001": _HINTS[_CONNECTING],
}


@dataclass(frozen=True, slots=True)
class SnowflakeSession:
    """A connection in use."""

    connection: SnowflakeConnection

    def execute(self, sql: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run one statement with ``?`` placeholders; all its rows."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql, [_bound(value) for value in params] or None)
            return [tuple(row) for row in cursor.fetchall()]


@dataclass(frozen=True, slots=True, kw_only=True)
class SnowflakeAccount:
    """Where the warehouse is. May be shared by threads, and used after a fork.

    ``parameters`` gives what the connector connects with; it holds secrets, and is asked each time,
    because tokens end. ``wait`` (seconds) bounds how long others may hold what a statement needs:
    a transaction whose process died is ended by Snowflake after five minutes of others waiting. It
    bounds twice: how long to try to get into a full queue, and how long to stand in it.
    """

    parameters: Callable[[], Mapping[str, Any]] = field(repr=False)
    wait: float = 420.0
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)
    _idle: list[tuple[int, float, SnowflakeConnection]] = field(default_factory=list, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @contextmanager
    def session(self) -> Iterator[SnowflakeSession]:
        """Statements that each count at once, as all that define tables do.

        Raises:
            ConfigurationError: the driver is not installed, or the connection names no database.
            WarehouseError: Snowflake is out of reach, or refused; WarehouseDenied when it will go
                on refusing.
        """
        _check_driver()
        from snowflake.connector.errors import Error

        connection = None
        try:
            connection = self._taken() or self._connect()
            yield SnowflakeSession(connection)
        except Error as error:
            who = _who(connection)
            self._close(connection)
            raise refused(error, who) from error
        except BaseException:
            self._close(connection)
            raise
        with self._lock:
            self._idle.append((os.getpid(), self.clock(), connection))

    @contextmanager
    def transaction(
        self, first: Callable[[SnowflakeSession], None] | None = None
    ) -> Iterator[SnowflakeSession]:
        """One transaction; on any error everything is as it was. Raises as ``session`` does.

        ``first`` is what it begins with. While too many others wait for what that locks, it is done
        again, in a new transaction each time.
        """
        with self.session() as session:
            until = self.clock() + self.wait
            while not self._begun(session, first, until - self.clock()):
                pass
            try:
                yield session
                session.execute("COMMIT")
            except BaseException:
                _undo(session)
                raise

    def _begun(
        self,
        session: SnowflakeSession,
        first: Callable[[SnowflakeSession], None] | None,
        left: float,
    ) -> bool:
        """Whether a transaction is open now; if not, a pause has been made."""
        from snowflake.connector.errors import Error

        session.execute("BEGIN TRANSACTION")
        try:
            if first is not None:
                first(session)
        except Error as error:
            _undo(session)
            if error.errno != _CROWDED or left <= 0:
                raise
        else:
            return True
        # Full jitter, so that waiters do not knock together.
        pause = min(left, random.uniform(*_PAUSES))  # noqa: S311
        log.info("Too many wait for their turn to write to Snowflake; again in %.1f s.", pause)
        self.sleep(pause)
        return False

    def _taken(self) -> SnowflakeConnection | None:
        """An idle connection of this process; those that were idle for long are closed."""
        with self._lock:
            mine = [one for one in self._idle if one[0] == os.getpid()]
            self._idle.clear()  # another process's are its own to close
            fresh = [one for one in mine if self.clock() - one[1] < _IDLE_SECONDS]
            taken = fresh.pop()[2] if fresh else None
            self._idle.extend(fresh)
        for one in mine:
            if one not in fresh and one[2] is not taken:
                self._close(one[2])
        return taken

    def _connect(self) -> SnowflakeConnection:
        given = dict(self.parameters())
        if not given.get("database"):
            raise ConfigurationError(
                "the Snowflake connection names no database",
                hint="Put database, and warehouse and role, into the connection's extra.",
            )
        from snowflake.connector.errors import Error

        try:
            return self._opened(given)
        except Error as error:
            raise refused(error, _named(given)) from error

    def _opened(self, given: Mapping[str, Any]) -> SnowflakeConnection:
        import snowflake.connector

        # Without it the connector asks for ever. It is also how long one statement may take.
        patience = round(max(_NETWORK_SECONDS, self.wait + _LONGER_THAN_LOCKS))
        return snowflake.connector.connect(
            **{
                "login_timeout": _LOGIN_SECONDS,
                "network_timeout": patience,
                **{name: value for name, value in given.items() if value is not None},
                "paramstyle": "qmark",
                "session_parameters": _parameters(given, self.wait),
            }
        )

    @staticmethod
    def _close(connection: SnowflakeConnection | None) -> None:
        if connection is not None:
            with suppress(Exception):
                connection.close(retry=False)


def refused(error: Error, who: str = "") -> WarehouseError:
    """Our error for the driver's, as one line; ``who`` is whom it refused, and where."""
    said = " ".join(str(error.raw_msg or error.msg or type(error).__name__).split())
    said = said.removeprefix("SQL compilation error: ")
    number = error.errno if isinstance(error.errno, int) else -1
    login = number == _CONNECTING and _LOGIN_SAYS.search(said)
    state = "" if login else error.sqlstate or ""
    hint = _LOGIN if login else _HINTS.get(number) or _OF_STATES.get(state, _REFUSED)
    denied = login or number in _DENIED or state in _DENIED_STATES
    place = f"Snowflake ({who})" if who else "Snowflake"
    return (WarehouseDenied if denied else WarehouseError)(
        f"{place} refused: {said[:_LONGEST].rstrip('.')} ({number:06d}).", hint=hint
    )


def _who(connection: SnowflakeConnection | None) -> str:
    """Whom a connection is for, as it says itself."""
    names = ("account", "database", "role")
    return _named({name: getattr(connection, name, None) for name in names})


def _named(given: Mapping[str, Any]) -> str:
    place = "/".join(str(given[name]) for name in ("account", "database") if given.get(name))
    return f"{place} as role {given['role']}" if given.get("role") else place


def _undo(session: SnowflakeSession) -> None:
    with suppress(Exception):  # closing the connection undoes it, too
        session.execute("ROLLBACK")


def _parameters(given: Mapping[str, Any], wait: float) -> dict[str, Any]:
    """The session's: the connection's own but for ours, whichever case people type names in."""
    ours = _settings(wait)
    own = {
        name: value
        for name, value in (given.get("session_parameters") or {}).items()
        if name.upper() not in ours
    }
    tag = {} if any(name.upper() == "QUERY_TAG" for name in own) else {"QUERY_TAG": _TAG}
    return {**tag, **own, **ours}


def _settings(wait: float) -> dict[str, Any]:
    """What results and waiting depend on, whatever the account's own settings are."""
    return {
        "TIMEZONE": "UTC",
        "TIMESTAMP_TYPE_MAPPING": "TIMESTAMP_NTZ",
        "LOCK_TIMEOUT": max(1, round(wait)),
        "AUTOCOMMIT": True,
        "QUOTED_IDENTIFIERS_IGNORE_CASE": False,
        "CLIENT_SESSION_KEEP_ALIVE": False,
        "CLIENT_OUT_OF_BAND_TELEMETRY_ENABLED": False,
    }


def _bound(value: object) -> object:
    """A parameter as the connector takes it: plain texts, of exact decimals, too."""
    if isinstance(value, datetime):
        return ("TIMESTAMP_TZ" if value.tzinfo else "TIMESTAMP_NTZ", value)
    return str(value) if isinstance(value, Decimal | str) else value


def _check_driver() -> None:
    try:
        import snowflake.connector  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(
            "The Snowflake driver is not installed.",
            hint="Install airflow-provider-liftos[snowflake].",
        ) from error
