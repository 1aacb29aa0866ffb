"""Snowflake: files to a stage, COPY into a table of the load, one transaction to replace."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import dropwhile
from typing import Any, Unpack

from airflow_provider_liftos.model.errors import WarehouseError
from airflow_provider_liftos.warehouses import snowflake_ddl, snowflake_load
from airflow_provider_liftos.warehouses.full_disk import folder_for_files
from airflow_provider_liftos.warehouses.publications import Sizes
from airflow_provider_liftos.warehouses.snowflake_load import Cargo
from airflow_provider_liftos.warehouses.snowflake_session import SnowflakeAccount, SnowflakeSession
from airflow_provider_liftos.warehouses.snowflake_sql import CAPABILITIES
from airflow_provider_liftos.warehouses.sql import Settings, SqlWarehouse, Turn
from airflow_provider_liftos.warehouses.staged import LocalSlice

log = logging.getLogger(__name__)

_SIZES = Sizes(rows=4_000_000, slices=400, together=200_000)
_DEFINING = ("CREATE ", "ALTER ", "DROP ")
_READING = ("SELECT", "WITH", "SHOW", "DESCRIBE", "LIST")


@dataclass(frozen=True, slots=True)
class _Reader(SnowflakeSession):
    """Snowflake has no sessions that only read."""

    def execute(self, sql: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        if not sql.lstrip(" \n(").upper().startswith(_READING):
            raise WarehouseError(f"A query is read-only, and this one is none: {sql[:40]!r}.")
        return SnowflakeSession.execute(self, sql, params)


class SnowflakeWarehouse(SqlWarehouse[SnowflakeSession]):
    """A database of Snowflake as the warehouse; may be shared by threads, and used after a fork.

    ``parameters`` gives what the connector connects with, such as ``account``, ``user``,
    ``private_key``, ``database``, ``warehouse``, ``role``; it is asked for every connection.
    ``wait`` (seconds) bounds how long others may be in the way. ``clock`` tells epoch seconds.
    """

    def __init__(
        self,
        parameters: Callable[[], Mapping[str, Any]],
        *,
        wait: float = 420.0,
        clock: Callable[[], float] = time.time,
        **settings: Unpack[Settings],
    ) -> None:
        super().__init__(CAPABILITIES, _SIZES, **settings)
        self._account = SnowflakeAccount(parameters=parameters, wait=wait)
        self._clock = clock

    def prepare(self) -> None:
        """Create schemas, tables and missing columns, and bring the views up to date."""
        with self._account.session() as session:
            snowflake_ddl.migrate(session, self.layout, self._views, self._clock())
        self._prepared = True

    def apply(self, statements: Sequence[tuple[str, Sequence[object]]]) -> None:
        """Carry out writing statements; those that define something come before the transaction.

        They would end the one that they stand in.
        """
        rest = list(dropwhile(lambda one: one[0].startswith(_DEFINING), statements))
        with self._account.session() as session:
            for sql, params in statements[: len(statements) - len(rest)]:
                session.execute(sql, params)
        if rest:
            super().apply(rest)

    @contextmanager
    def _write(self, *turns: Turn) -> Iterator[SnowflakeSession]:
        """One transaction; on any error everything is as it was.

        All turns are one: whatever changes the same tables waits for each other in Snowflake.
        """
        self._prepare_once()
        with self._account.transaction(partial(self._take, turns)) as session:
            yield session

    def _take(self, turns: Sequence[Turn], session: SnowflakeSession) -> None:
        if turns:
            snowflake_ddl.take_turn(session, self.layout, "|".join(turns[-1].names))

    @contextmanager
    def _read(self) -> Iterator[SnowflakeSession]:
        with self._account.session() as session:
            yield _Reader(session.connection)

    @contextmanager
    def _carry(self, near: Sequence[LocalSlice]) -> Iterator[Sequence[LocalSlice]]:
        """Into tables of this attempt alone, which are gone when the block ends."""
        name = f"{snowflake_ddl.LOADING}{int(self._clock())}_{secrets.token_hex(4)}"
        with folder_for_files() as folder, self._memory() as memory:
            cargoes = list(snowflake_load.pack(memory, near, folder, name))
            self._prepare_once()
            try:
                with self._account.session() as session:
                    for cargo in cargoes:
                        snowflake_load.send(session, self.layout, cargo)
                of = {cargo.table.name: cargo for cargo in cargoes}
                yield [_carried(one, of[one.part.table.name]) if one.paths else one for one in near]
            except BaseException:
                self._drop(cargoes, files=True)  # COPY purges only what it has loaded
                raise
            self._drop(cargoes)

    def _bring(self, session: SnowflakeSession, arrived: Sequence[LocalSlice]) -> None:
        tables = {one.paths[0]: (one.part.table, one.columns) for one in arrived}
        for loading, (table, columns) in tables.items():
            session.execute(snowflake_load.insert(self.layout, table, columns, loading))

    def _drop(self, cargoes: Sequence[Cargo], *, files: bool = False) -> None:
        """Best effort: what stays is dropped a day later, when tables are looked at again."""
        try:
            with self._account.session() as session:
                for cargo in cargoes:
                    if files:
                        path = snowflake_ddl.stage_path(self.layout, cargo.name)
                        session.execute(f"REMOVE {path}")
                    session.execute(f"DROP TABLE IF EXISTS {self.layout.audit(cargo.name)}")
        except WarehouseError as error:
            log.warning("Tables of a load stay in the audit schema for a day: %s", error.message)


def _carried(one: LocalSlice, cargo: Cargo) -> LocalSlice:
    return replace(one, columns=cargo.columns, paths=(cargo.name,))
