"""DuckDB: one file, one writer at a time, each for a second or two at the most.

That long takes a unit of a million rows on a quiet machine of two cores; on a busy one it is more.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from airflow_provider_liftos.model.errors import Unavailable, WarehouseError
from airflow_provider_liftos.model.unified import Kind
from airflow_provider_liftos.warehouses import (
    duckdb_ddl,
    duckdb_file,
    duckdb_parquet,
    duckdb_upkeep,
)
from airflow_provider_liftos.warehouses.contract import Capabilities
from airflow_provider_liftos.warehouses.duckdb_file import DuckDbFile, DuckDbSession
from airflow_provider_liftos.warehouses.full_disk import is_full
from airflow_provider_liftos.warehouses.publications import Sizes
from airflow_provider_liftos.warehouses.sql import Settings, SqlWarehouse, Turn, Unit
from airflow_provider_liftos.warehouses.staged import LocalSlice, by_table

if TYPE_CHECKING:
    import duckdb

    from airflow_provider_liftos.state.leases import Leases

log = logging.getLogger(__name__)

# A holder that dies is only in the others' way for so long. It is not renewed, also where a busy
# machine or a large file takes longer: the file's own lock, which ends with its process, is what
# excludes the others, and whoever gets the lease meanwhile waits for it as long.
_LEASE_SECONDS = 20.0
# Nobody must hold the file for too long. A unit costs a little beside its rows (DuckDB writes row
# groups that are not full twice), and ends only with a statement: its rows bound what is held, and
# the seconds whether another one follows.
_SIZES = Sizes(rows=1_000_000, slices=100, years=1, together=1_000_000, seconds=1.0)

# DuckDB divides decimals as floating point, so amounts are counted in millionths, as integers:
# at most 2 x 10^18 x 10^18, for which 128 bits are enough.
_MILLIONTHS = "CAST(CAST({} AS DECIMAL(25,6)) * CAST(1000000 AS DECIMAL(7,0)) AS HUGEINT)"
_AMOUNT, _TIMES, _BY = (_MILLIONTHS.format(f"{{{part}}}") for part in ("amount", "times", "by"))
_CONVERT = (
    "TRY_CAST(TRY_CAST(CAST(sign({amount}) AS INTEGER)"
    f" * ((2 * abs({_AMOUNT}) * {_TIMES} + {_BY}) // (2 * {_BY}))"
    " AS DECIMAL(24,0)) * CAST('0.000001' AS DECIMAL(6,6)) AS DECIMAL(18,6))"
)

CAPABILITIES = Capabilities(
    name="duckdb",
    types={
        Kind.TEXT: "VARCHAR",
        Kind.ID: "VARCHAR",
        Kind.DATE: "DATE",
        Kind.TIMESTAMP: "TIMESTAMP WITH TIME ZONE",
        Kind.INT: "BIGINT",
        Kind.DECIMAL: "DECIMAL(18,6)",
        Kind.MONEY: "DECIMAL(18,6)",
        Kind.BOOL: "BOOLEAN",
        Kind.JSON: "JSON",
    },
    ratio="DOUBLE",
    json_text="{column} ->> {key}",
    convert=_CONVERT,
    unnest="unnest(CAST(? AS {type}[]))",
    plus_hours="CAST({day} AS TIMESTAMP) + to_hours(CAST({hours} AS INTEGER))",
    zoned="timezone({there}, timezone({here}, {clock}))",
    digest="sum(CAST(hash({columns}) AS HUGEINT))",
)


class DuckDbWarehouse(SqlWarehouse[DuckDbSession]):
    """A DuckDB file as the warehouse; may be shared by threads, and used after a fork.

    ``leases`` lets writers of many processes queue up in the state store instead of at the file;
    without them (a person's own script) only the file's lock is left. ``wait`` is in seconds.
    ``read_copy`` is where a copy for readers is put when a run has published.
    """

    def __init__(
        self,
        path: str | Path,
        leases: Leases | None,
        *,
        wait: float = 120.0,
        read_copy: str | Path | None = None,
        **settings: Unpack[Settings],
    ) -> None:
        super().__init__(CAPABILITIES, _SIZES, **settings)
        self._file = DuckDbFile(
            path=Path(path).absolute(),
            memory_limit=self._memory_limit,
            threads=self._threads,
            wait=wait,
        )
        self._leases = leases
        self._read_copy = Path(read_copy).absolute() if read_copy else None
        self._migrated: tuple[int, int] | None = None

    def prepare(self) -> None:
        """Create schemas, tables and missing columns, and bring the views up to date."""
        self._migrated = None
        with self._write():
            pass

    def after_run(self) -> None:
        """Put a new copy of the file in the place of the one for readers, if there is to be one."""
        if self._read_copy is None:
            return
        try:
            with _errors(), self._lease():
                size = duckdb_upkeep.refresh_copy(self._file, self._read_copy)
        except WarehouseError as error:
            why = error.__cause__ if isinstance(error.__cause__, OSError) else error.message
            raise WarehouseError(
                f"The read copy {self._read_copy} is as it was: {why}",
                hint="The warehouse itself is up to date; its readers are after the next run.",
            ) from error
        log.info("read copy %s: %s bytes", self._read_copy, f"{size:,}")

    def compact(self) -> dict[str, int]:
        """Rewrite the file when more than half of it is free; its bytes before and after."""
        with _errors(), self._lease():
            found = duckdb_upkeep.compact(self._file)
        return dict(zip(("before", "after"), found, strict=True)) if found else {}

    @contextmanager
    def _read(self) -> Iterator[DuckDbSession]:
        """The file, open for reading only."""
        with _errors(), self._file.open(read_only=True) as connection:
            yield DuckDbSession(connection)

    def _bring(self, session: DuckDbSession, arrived: Sequence[LocalSlice]) -> None:
        for table, slices in by_table(arrived):
            session.execute(duckdb_parquet.insert(self.layout, table, slices))

    @contextmanager
    def _write(self, *turns: Turn) -> Iterator[DuckDbSession]:
        """One transaction; on any error everything is as it was."""
        with self._many() as unit, unit(*turns) as session:
            yield session

    @contextmanager
    def _many(self) -> Iterator[Unit[DuckDbSession]]:
        """Transactions while the file is open, which opening and closing cost more than they do."""
        with _errors(), self._lease(), self._file.open(read_only=False) as connection:
            self._migrate_once(connection)
            yield partial(_transaction, connection)

    def _migrate_once(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Look at the tables when a file is first written to: reading the catalogue takes 20 ms."""
        status = self._file.path.stat()
        if self._migrated != (identity := (status.st_dev, status.st_ino)):
            duckdb_ddl.migrate(connection, self.layout, self._views)
            self._migrated = identity
        self._prepared = True

    @contextmanager
    def _lease(self) -> Iterator[None]:
        if self._leases is None:
            yield
            return
        name, holder = f"duckdb:{self._file.path}", f"{socket.gethostname()}:{os.getpid()}"
        held = partial(self._leases.held, name, ttl=_LEASE_SECONDS, holder=holder)
        with ExitStack() as stack:
            try:
                stack.enter_context(held(wait=min(duckdb_file.PATIENCE, self._file.wait)))
            except Unavailable:
                other, left = self._leases.holder(name), self._file.wait - duckdb_file.PATIENCE
                if left <= 0:
                    raise
                duckdb_file.waiting_for_turn(self._file.path, other or "many in turn", left)
                stack.enter_context(held(wait=left))
            yield


@contextmanager
def _transaction(
    connection: duckdb.DuckDBPyConnection,
    *turns: Turn,  # noqa: ARG001 - the file is everybody's turn
) -> Iterator[DuckDbSession]:
    connection.begin()
    try:
        yield DuckDbSession(connection)
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


@contextmanager
def _errors() -> Iterator[None]:
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        full = "; make room on its disk, then run the task again" if is_full(error) else ""
        raise WarehouseError(
            f"DuckDB refused: {error}", hint=f"Nothing that was published has changed{full}."
        ) from error
    except (OSError, Unavailable) as error:
        full = "Make room on its disk, then run" if is_full(error) else "Run"
        raise WarehouseError(
            f"The DuckDB file cannot be written now: {error}", hint=f"{full} the task again."
        ) from error
