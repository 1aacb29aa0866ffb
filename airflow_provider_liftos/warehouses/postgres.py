"""Postgres: tasks write side by side; publishers of one account's table take turns.

Locks are advisory and end with their transaction, so a killed process holds nothing up. They are
taken in this order: the load, the platform, the account.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Unpack

from airflow_provider_liftos.warehouses import postgres_copy, postgres_ddl
from airflow_provider_liftos.warehouses.postgres_session import (
    Begin,
    PostgresServer,
    PostgresSession,
)
from airflow_provider_liftos.warehouses.postgres_sql import CAPABILITIES
from airflow_provider_liftos.warehouses.publications import Sizes
from airflow_provider_liftos.warehouses.sql import Settings, SqlWarehouse, Turn, Unit
from airflow_provider_liftos.warehouses.staged import LocalSlice, by_table

_SIZES = Sizes(rows=1_000_000, slices=200, together=200_000, at_once=200, lanes=2)


class PostgresWarehouse(SqlWarehouse[PostgresSession]):
    """A Postgres database as the warehouse; may be shared by threads, and used after a fork.

    ``parameters`` are libpq's, such as ``host``, ``dbname``, ``user``, ``password``. Each method
    connects for itself. ``wait`` (seconds) bounds how long others may be in the way.
    """

    def __init__(
        self,
        parameters: Mapping[str, str],
        *,
        wait: float = 120.0,
        **settings: Unpack[Settings],
    ) -> None:
        super().__init__(CAPABILITIES, _SIZES, **settings)
        self._server = PostgresServer(parameters=dict(parameters), wait=wait)

    def prepare(self) -> None:
        """Create schemas, tables and missing columns, and bring the views up to date."""
        with self._server.transaction() as session:
            postgres_ddl.migrate(session, self.layout, self._views)
        self._prepared = True

    @contextmanager
    def _write(self, *turns: Turn) -> Iterator[PostgresSession]:
        """One transaction, which holds advisory locks; on any error everything is as it was."""
        with self._many() as unit, unit(*turns) as session:
            yield session

    @contextmanager
    def _many(self) -> Iterator[Unit[PostgresSession]]:
        """Transactions on one connection."""
        self._prepare_once()
        with self._server.transactions() as begin:
            yield partial(_taking_turns, begin)

    @contextmanager
    def _read(self) -> Iterator[PostgresSession]:
        with self._server.transaction(read_only=True) as session:
            yield session

    def _bring(self, session: PostgresSession, arrived: Sequence[LocalSlice]) -> None:
        with self._memory() as memory:
            for _, slices in by_table(arrived):
                postgres_copy.copy(session, memory, self.layout, slices)


@contextmanager
def _taking_turns(begin: Begin, *turns: Turn) -> Iterator[PostgresSession]:
    with begin() as session:
        for turn in turns:
            session.lock(*turn.names, shared=turn.shared)
        yield session
