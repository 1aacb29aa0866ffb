"""From a URL to a database engine: SQLite on one host, Postgres on many, no third kind."""

from __future__ import annotations

import errno
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError

from airflow_provider_liftos.model.errors import ConfigurationError, StagingError
from airflow_provider_liftos.model.postgres import PATIENCE

SQLITE = frozenset({"sqlite", "sqlite+pysqlite"})
POSTGRES = frozenset({"postgres", "postgresql", "postgresql+psycopg"})
BUSY_SECONDS = 30.0
"""How long one waits for others' transactions, on both kinds of store."""

IDLE_SECONDS = 60.0
"""How long a transaction may stand still on Postgres, which then ends it: a host that is frozen or
lost amid one would keep its rows locked for hours otherwise."""

_POOLED = "liftos_pooled"
"""Of a connection: the server behind it is not the one it was made to, by what both call it."""

_SECRET_PARAMETERS = frozenset({"password", "sslpassword"})
_HINT = (
    "Set [liftos] state_url to sqlite:////folder/state.db or postgresql://user@host/database, "
    "or name a connection in [liftos] state_conn_id."
)


def parse(url: str) -> URL:
    """Read a state URL.

    Raises:
        ConfigurationError: neither SQLite in a file nor Postgres.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # The cause quotes the URL, which may hold a password.
        raise ConfigurationError("The state store's URL cannot be read.", hint=_HINT) from None
    if parsed.drivername in POSTGRES:
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in SQLITE:
        raise ConfigurationError(
            f"The state store cannot live in {parsed.drivername!r}: only in SQLite or Postgres.",
            hint=_HINT,
        )
    if parsed.database in (None, "", ":memory:"):
        raise ConfigurationError(
            "The state store's SQLite URL names no file, so processes could not share it.",
            hint=_HINT,
        )
    return parsed.set(drivername="sqlite", database=str(Path(parsed.database).expanduser()))


def describe(url: str) -> str:
    """The URL without its secrets, for messages and logs."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return "(unreadable URL)"
    hidden = {name: "***" for name in parsed.query if name in _SECRET_PARAMETERS}
    return parsed.update_query_dict(hidden).render_as_string(hide_password=True)


def build(url: URL) -> Engine:
    """An engine for this process; nothing is connected yet, but SQLite's folder is made.

    Raises:
        ConfigurationError: the folder cannot be made, or the Postgres driver is not installed.
        StagingError: the disk is full.
    """
    if url.drivername == "sqlite":
        return _sqlite(url)
    try:
        return _postgres(url)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "The Postgres driver is not installed.",
            hint="Install airflow-provider-liftos[postgres].",
        ) from error


def _postgres(url: URL) -> Engine:
    patience = {name: value for name, value in PATIENCE.items() if name not in url.query}
    # Few idle connections per process: a cluster has many processes.
    engine = _engine(
        url,
        pool_size=1,
        max_overflow=15,
        pool_pre_ping=True,
        pool_recycle=1800,
        # Prepared statements would be lost behind a pooler that gives each transaction a server.
        connect_args={**patience, "prepare_threshold": None},
    )

    # Said here and not as startup parameters, which poolers refuse. Behind one that gives each
    # transaction another server, a session's settings would miss ours and bind somebody else's.
    bounds = {
        "lock_timeout": int(BUSY_SECONDS * 1000),
        "idle_in_transaction_session_timeout": int(IDLE_SECONDS * 1000),
    }

    def setting(*, local: bool) -> str:
        given = (f"set_config('{name}', '{ms}', {local})" for name, ms in bounds.items())
        return f"SELECT {', '.join(given)}"

    @event.listens_for(engine, "connect")
    def _bind_session(connection: Any, record: Any) -> None:
        whose = f" WHERE pg_backend_pid() = {connection.info.backend_pid}"
        found = connection.execute(setting(local=False) + whose).fetchone()
        connection.commit()
        record.info[_POOLED] = found is None

    @event.listens_for(engine, "begin")
    def _bind_transaction(connection: Connection) -> None:
        if connection.info[_POOLED]:
            connection.exec_driver_sql(setting(local=True))

    return engine


def _engine(url: URL, **options: Any) -> Engine:
    # Parameters stay out of error texts: payloads and tokens pass through here.
    engine = create_engine(url, hide_parameters=True, **options)

    @event.listens_for(engine, "before_cursor_execute", retval=True)
    def _storable(*call: Any) -> tuple[str, Any]:
        _connection, _cursor, statement, parameters, *_ = call
        return statement, storable(parameters)

    return engine


def storable(value: Any) -> Any:
    """The same, with texts that every database takes, however deep they lie.

    Platforms' words may hold the character NUL, which Postgres refuses, and halves of characters
    that were cut in two, which nobody can encode.
    """
    if isinstance(value, str):
        if "\x00" not in value and (value.isascii() or _is_whole(value)):
            return value
        return value.replace("\x00", "␀").encode(errors="replace").decode()
    if isinstance(value, Mapping):
        return {name: storable(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(storable(part) for part in value)
    return value


def _is_whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _sqlite(url: URL) -> Engine:
    _make_folder(Path(str(url.database)).parent)
    engine = _engine(
        url,
        pool_size=4,
        max_overflow=60,
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def _tune(connection: Any, _record: object) -> None:
        # BEGIN is ours: the driver's own would be deferred, and an upgrade from reading to
        # writing fails at once instead of waiting.
        connection.isolation_level = None
        connection.execute("PRAGMA synchronous=NORMAL")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("liftos_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise StagingError(
                f"No space left to create the state store's folder {folder}.",
                hint="Free some space; nothing was lost.",
            ) from error
        raise ConfigurationError(
            f"The state store's folder {folder} cannot be created: {error.strerror}.",
            hint="Let Airflow's user write there, or set [liftos] state_url to another place.",
        ) from error


def use_write_ahead_log(engine: Engine) -> None:
    """Switch a SQLite file to WAL; the file remembers it.

    Raises:
        ConfigurationError: the file system cannot do it, which is typical of network shares.
    """
    raw = engine.raw_connection()
    try:
        mode = _journal_mode(raw.cursor())
    finally:
        raw.close()
    if mode != "wal":
        raise ConfigurationError(
            f"The state store's file system does not support SQLite's WAL mode (it says {mode!r}).",
            hint="Put the file on a local disk, or use Postgres.",
        )


def _journal_mode(cursor: Any) -> str:
    """Ask for WAL until nobody else is switching: SQLite does not wait here by itself."""
    import sqlite3

    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return str(cursor.execute("PRAGMA journal_mode=WAL").fetchone()[0])
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
