"""The state store: short transactions on a database that all processes share."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakSet

from sqlalchemy import Engine, Table, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from airflow_provider_liftos.state import engines, migrations
from airflow_provider_liftos.state.clock import Clock, ServerClock, SystemClock
from airflow_provider_liftos.state.engines import describe
from airflow_provider_liftos.state.failures import DATABASE_ERRORS, meaning, withhold_values

__all__ = ["StateStore", "alone", "describe", "insert_into", "open_store"]


class StateStore:
    """One store; may be used by many threads, and on both sides of a fork.

    Nothing is connected before the first use, which also migrates. Without a ``clock`` the time is
    that of the machine or, where hosts may share the store, of the database server.

    Raises:
        ConfigurationError: the URL is neither SQLite in a file nor Postgres.
    """

    def __init__(self, url: str, clock: Clock | None = None) -> None:
        self._url = engines.parse(url)
        self.where = describe(url)
        own = SystemClock() if self.on_one_host else ServerClock(self._read_clock)
        self.clock: Clock = clock or own
        # Keyed by process: connections and locks that came over a fork are never touched, nor
        # dropped, for closing them here would end the parent's sessions.
        self._engines: dict[int, Engine] = {}
        self._locks: dict[int, threading.Lock] = {}
        if self.on_one_host:
            _IN_FILES.add(self)

    @property
    def on_one_host(self) -> bool:
        """Whether only processes of this machine can share the store."""
        return self._url.drivername == "sqlite"

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction that may write, committed at the end; keep it short, never nest it.

        On SQLite it is the only one of its kind in the meantime.

        Raises:
            ConfigurationError: the store cannot be used as configured.
            StagingError: the disk is full or broken.
            Unavailable: the store is out of reach or busy; asking again may help.
        """
        with self._connect() as connection:
            writing = connection.execution_options(liftos_write=True)
            with writing.begin():
                yield writing

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One transaction that only reads. Raises the same as ``write``."""
        with self._connect() as connection, connection.begin():
            yield connection

    def close(self) -> None:
        """Close this process's connections; the next use opens new ones."""
        engine = self._engines.pop(os.getpid(), None)
        if engine is not None:
            engine.dispose()

    def before_fork(self) -> None:
        """Leave no idle connection to a file open over a fork.

        SQLite notes in memory which files a process has open and locked. A child would believe the
        note, take no locks of its own, and go on writing into a log that its parent has deleted.
        """
        engine = self._engines.get(os.getpid())
        if engine is not None:
            engine.dispose()

    @contextmanager
    def _connect(self) -> Iterator[Connection]:
        try:
            with self._engine().connect() as connection:
                self._set_clock(connection)
                yield connection
        except DATABASE_ERRORS as error:
            translated = meaning(error, self.where)
            if translated is None:
                withhold_values(error)
                raise
            raise translated from error

    def _read_clock(self) -> None:
        with self._connect():
            pass  # which sets it

    def _set_clock(self, connection: Connection) -> None:
        """Read the server's clock if it is time to."""
        if not isinstance(self.clock, ServerClock) or not self.clock.is_old:
            return
        began = time.monotonic()
        server = connection.scalar(select(func.extract("epoch", func.clock_timestamp())))
        self.clock.set(float(server or 0.0), began, time.monotonic())
        connection.rollback()  # the caller begins a transaction of its own

    def _engine(self) -> Engine:
        pid = os.getpid()
        engine = self._engines.get(pid)
        if engine is not None:
            return engine
        with self._locks.setdefault(pid, threading.Lock()):
            if pid not in self._engines:
                self._engines[pid] = self._open()
            return self._engines[pid]

    def _open(self) -> Engine:
        engine = engines.build(self._url)
        try:
            if self.on_one_host:
                engines.use_write_ahead_log(engine)
            else:
                with engine.connect() as connection:
                    self._set_clock(connection)
            migrations.migrate(engine, now=self.clock.now())
        except BaseException:
            engine.dispose()
            raise
        return engine


_IN_FILES: WeakSet[StateStore] = WeakSet()


def _before_fork() -> None:
    for store in list(_IN_FILES):
        store.before_fork()


os.register_at_fork(before=_before_fork)

_STORES: dict[tuple[int, str], StateStore] = {}


def open_store(url: str, clock: Clock | None = None) -> StateStore:
    """The store at ``url``: one per process, unless a clock is given, which makes a new one.

    Raises:
        ConfigurationError: the URL is neither SQLite in a file nor Postgres.
    """
    if clock is not None:
        return StateStore(url, clock)
    key = (os.getpid(), url)
    store = _STORES.get(key)
    return store if store is not None else _STORES.setdefault(key, StateStore(url))


def alone(connection: Connection, name: str) -> None:
    """Keep out all others who give this name, until the transaction ends.

    On SQLite a transaction that may write is the only one anyway.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))


def insert_into(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that knows ``on_conflict_do_update`` and ``on_conflict_do_nothing``."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)
