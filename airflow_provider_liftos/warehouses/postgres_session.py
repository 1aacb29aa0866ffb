"""One connection to Postgres, one transaction, and what its refusals mean.

Postgres' text cannot hold the character NUL. It is kept as its symbol, ``␀``, in rows as in
parameters, so that what has it in its name is found under that name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow_provider_liftos.model.errors import (
    ConfigurationError,
    WarehouseCrowded,
    WarehouseDenied,
    WarehouseError,
)
from airflow_provider_liftos.model.postgres import PATIENCE, SERVERS_PATIENCE
from airflow_provider_liftos.warehouses.postgres_sql import NUL, SHOWN

if TYPE_CHECKING:
    from psycopg import Connection, Error, RawCursor

    Link = Connection[tuple[Any, ...]]


IDLE_SECONDS = 300.0
"""How long a transaction may stand still; then the server ends it. A host that is frozen or lost
amid one would keep its locks for hours otherwise, while others wait and fail."""

# Milliseconds: while it takes rows, a server's disk may stand still for longer than its network.
_PATIENCE = {**PATIENCE, "tcp_user_timeout": 120_000}
_PLACEHOLDER = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|(\?)""")
_SETTINGS = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "standard_conforming_strings": "on",
    **SERVERS_PATIENCE,
}
_REFUSED = "Nothing that was published has changed."
_AGAIN = "Nothing that was published has changed; run the task again."
_HINTS = {  # by how their code begins
    "42501": "Nothing was changed. Let the role own the schemas and their tables, or give it CREATE"
    " on the database.",
    "25006": "Nothing was changed. Connect to the primary server, with a role that may write.",
    "53": "Nothing that was published has changed; give the server room or connections, then run"
    " the task again.",
    "53100": "Nothing that was published has changed; make room on the server's disk, then run the"
    " task again.",
    "55P03": "Nothing was changed; see in pg_stat_activity who holds it, then run the task again.",
    "28": "Nothing was changed; correct login, password or the server's pg_hba.conf.",
    "3D": "Nothing was changed; create the database, or correct the connection's schema field.",
    **dict.fromkeys(("08", "25P03", "40", "57"), _AGAIN),
}
# Only a person ends these. A server that is read-only may be one that another takes over from.
_DENIED = ("42501", "28", "3D")
_CROWDED = "53300"
# Who is refused while connecting is told so in words alone: libpq keeps no code of it.
_SAID = {
    r"database .* does not exist": "3D000",
    r"permission denied for database": "42501",
    r"role .* (does not exist|is not permitted to log in)": "28000",
    r"authentication failed|no password supplied|pg_hba\.conf": "28000",
    r"(too many|no more) (clients|connections)|connection slots are reserved": _CROWDED,
    r"the database system is": "57P03",
}
_FATAL = re.compile(r".*?FATAL: +", re.DOTALL)


Begin: TypeAlias = "Callable[[], AbstractContextManager[PostgresSession]]"


@dataclass(frozen=True, slots=True)
class PostgresSession:
    """One open transaction on a connection."""

    connection: Link

    def execute(self, sql: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run one statement with ``?`` placeholders; all its rows."""
        with self._cursor() as cursor:
            cursor.execute(_numbered(sql).encode(), [_kept(value) for value in params] or None)
            return cursor.fetchall() if cursor.description else []

    def lock(self, *names: str, shared: bool = False) -> None:
        """Wait for a lock of that name, and hold it until the transaction ends."""
        function = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
        name = "|".join(("liftos", *names))
        self.execute(f"SELECT {function}(hashtextextended(?, 0))", (name,))

    def _cursor(self) -> RawCursor[tuple[Any, ...]]:
        from psycopg import RawCursor

        return RawCursor(self.connection)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresServer:
    """Where the warehouse is: parameters of libpq, which may hold a password and are not shown.

    ``wait`` (seconds) bounds how long others may hold what a statement needs.
    """

    parameters: Mapping[str, str]
    wait: float = 120.0

    def __repr__(self) -> str:
        return f"PostgresServer({self.label})"

    @property
    def label(self) -> str:
        """Database and host, and as whom."""
        given = self.parameters
        place = f"{given.get('dbname', 'postgres')} at {given.get('host') or 'this host'}"
        return f"{place} as {given['user']}" if given.get("user") else place

    @contextmanager
    def transaction(self, *, read_only: bool = False) -> Iterator[PostgresSession]:
        """One transaction on a connection of its own; on any error everything is as it was.

        Raises what ``transactions`` raises.
        """
        with self.transactions(read_only=read_only) as begin, begin() as session:
            yield session

    @contextmanager
    def transactions(self, *, read_only: bool = False) -> Iterator[Begin]:
        """As many transactions as are begun, on one connection.

        Raises:
            ConfigurationError: the driver is not installed.
            WarehouseError: the server is out of reach, or refused; WarehouseDenied when it will
                go on refusing, WarehouseCrowded when it takes no further connection.
        """
        _check_driver()
        from psycopg import Error

        @contextmanager
        def begin() -> Iterator[PostgresSession]:
            with connection.transaction():
                session = PostgresSession(connection)
                session.execute(_settings(self.wait))
                yield session

        try:
            with self._connect(read_only=read_only) as connection:
                yield begin
        except Error as error:
            raise self.refused(error) from error

    def _connect(self, *, read_only: bool) -> Link:
        import psycopg
        from psycopg.types.string import TextLoader

        parameters: dict[str, Any] = {
            "application_name": "liftos", "client_encoding": "utf8", **_PATIENCE, **self.parameters,
        }  # fmt: skip
        # Prepared statements would be lost behind a pooler that gives each transaction a server.
        connection = psycopg.connect(**parameters, prepare_threshold=None)
        connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        connection.read_only = read_only or None  # a server that only reads shall say so itself
        for name in ("json", "jsonb"):  # as texts, like everywhere else
            connection.adapters.register_loader(name, TextLoader)
        return connection

    def refused(self, error: Error) -> WarehouseError:
        """Our error for the driver's: its first line, without the detail that quotes rows."""
        said = error.diag.message_primary or (str(error).strip() or type(error).__name__)
        state = error.sqlstate or _state(said)
        if error.sqlstate is None and not state.startswith("08"):
            said = _FATAL.sub("", said, count=1)
        hints = sorted(_HINTS, key=len, reverse=True)
        hint = next((_HINTS[start] for start in hints if state.startswith(start)), _REFUSED)
        return _kind(state)(f"Postgres ({self.label}) refused: {_line(said)}.", hint=hint)


def known_parameters() -> set[str]:
    """Names that libpq takes. Raises ConfigurationError when psycopg is not installed."""
    _check_driver()
    from psycopg.pq import Conninfo

    return {option.keyword.decode() for option in Conninfo.get_defaults()}


def _check_driver() -> None:
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(
            "The Postgres driver is not installed.",
            hint="Install airflow-provider-liftos[postgres].",
        ) from error


def _state(said: str) -> str:
    """The code of a refusal that was told without one; that of a broken connection for others."""
    return next((state for words, state in _SAID.items() if re.search(words, said)), "08006")


def _kind(state: str) -> type[WarehouseError]:
    if state.startswith(_DENIED):
        return WarehouseDenied
    return WarehouseCrowded if state == _CROWDED else WarehouseError


def _line(said: str) -> str:
    return said.splitlines()[0].rstrip(".")


def _settings(wait: float) -> str:
    limits = {"lock_timeout": wait, "idle_in_transaction_session_timeout": IDLE_SECONDS}
    bounds = {name: f"{max(1, round(seconds * 1000))}ms" for name, seconds in limits.items()}
    settings = {**_SETTINGS, **bounds}
    return "SELECT " + ", ".join(f"set_config('{n}', '{v}', true)" for n, v in settings.items())


def _numbered(sql: str) -> str:
    """Placeholders as the server counts them; those inside of quotes are none."""
    number = 0

    def mark(found: re.Match[str]) -> str:
        nonlocal number
        if not found[1]:
            return found[0]
        number += 1
        return f"${number}"

    return _PLACEHOLDER.sub(mark, sql)


def _kept(value: object) -> object:
    if isinstance(value, str):
        return value.replace(NUL, SHOWN)
    return [_kept(part) for part in value] if isinstance(value, list) else value
