"""DuckDB: one file, one writer at a time, each for well under a second."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_liftos.engine.manifest import Manifest, SliceResult
from airflow_provider_liftos.engine.staging import Staging
from airflow_provider_liftos.model.errors import Unavailable, WarehouseError
from airflow_provider_liftos.model.unified import TABLES, Kind
from airflow_provider_liftos.transforms.rates import Rate
from airflow_provider_liftos.warehouses import ddl, duckdb_parquet
from airflow_provider_liftos.warehouses.contract import (
    Capabilities,
    Layout,
    Note,
    Published,
    TableOf,
)
from airflow_provider_liftos.warehouses.duckdb_file import DuckDbFile, DuckDbSession
from airflow_provider_liftos.warehouses.job import Job
from airflow_provider_liftos.warehouses.publish import publish
from airflow_provider_liftos.warehouses.rates import replace_rates
from airflow_provider_liftos.warehouses.settle import settling
from airflow_provider_liftos.warehouses.staged import StagedSlice, batches, complete
from airflow_provider_liftos.warehouses.views import VIEWS, ViewSettings, create_views

if TYPE_CHECKING:
    import duckdb

    from airflow_provider_liftos.state.leases import Leases

# A holder that dies is only in the others' way for so long; the file's own lock, which ends with
# its process, is what excludes them.
_LEASE_SECONDS = 20.0
# A transaction must not hold the file for too long.
_ROWS_PER_TRANSACTION = 200_000
_SLICES_PER_TRANSACTION = 100

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
    days='SELECT CAST(day AS DATE) AS "date"'
    " FROM generate_series(CAST(? AS DATE), CAST(? AS DATE), INTERVAL 1 DAY) AS days(day)",
    convert=_CONVERT,
    unnest="unnest(CAST(? AS {type}[]))",
    plus_hours="CAST({day} AS TIMESTAMP) + to_hours(CAST({hours} AS INTEGER))",
    zoned="timezone({there}, timezone({here}, {clock}))",
)


class DuckDbWarehouse:
    """A DuckDB file as the warehouse; may be shared by threads, and used after a fork.

    ``leases`` lets writers of many processes queue up in the state store instead of at the file;
    without them (a person's own script) only the file's lock is left. ``wait`` is in seconds.
    """

    def __init__(
        self,
        path: str | Path,
        leases: Leases | None,
        *,
        schema: str = "liftos",
        audit_schema: str = "liftos_audit",
        memory_limit: str = "128MB",
        threads: int = 2,
        wait: float = 120.0,
        views: ViewSettings | None = None,
    ) -> None:
        self._file = DuckDbFile(
            path=Path(path).absolute(), memory_limit=memory_limit, threads=threads, wait=wait
        )
        self._leases = leases
        self._views = views or ViewSettings()
        self._migrated: tuple[int, int] | None = None
        self.layout = Layout(capabilities=CAPABILITIES, schema=schema, audit_schema=audit_schema)

    def prepare(self) -> None:
        """Create schemas, tables and missing columns, and bring the views up to date."""
        self._migrated = None
        with self._write() as session:
            _execute_all(session, _views(self.layout, self._views))

    def load(
        self,
        manifest: Manifest,
        table_of: TableOf = lambda result: result.table,
        *,
        staging: Staging | None = None,
    ) -> int:
        """Put the staged rows of all complete slices into the audit schema; how many rows.

        What an earlier attempt of the load left of other slices is removed. Every file is verified
        before the warehouse is opened; of those in a store, copies are fetched for this and again
        for loading, a transaction's at a time, so that the disk need not hold a whole run. A slice
        is never divided between transactions, many slices may be.
        """
        staging = staging or Staging("")
        slices = complete(manifest, table_of)
        columns = self._columns(slices, manifest.load_id, staging)
        with self._write() as session:
            self._remove(session, manifest.load_id, keep=[part.key for part in slices])
        for batch in batches(slices, _ROWS_PER_TRANSACTION, _SLICES_PER_TRANSACTION):
            with ExitStack() as opened:
                near = [(part, opened.enter_context(part.local(staging))) for part in batch]
                with self._write() as session:
                    for part, paths in near:
                        self._replace(session, part, columns[part.key], paths, manifest.load_id)
        return sum(part.rows for part in slices)

    def _columns(
        self, slices: Sequence[StagedSlice], load_id: str, staging: Staging
    ) -> dict[str, tuple[str, ...]]:
        """The columns of each slice's files, by its key, once all of them are found sound."""
        found = {}
        with self._file.memory() as memory:
            for part in slices:
                with part.local(staging) as paths:
                    found[part.key] = duckdb_parquet.columns_found(memory, part, paths, load_id)
        return found

    def _replace(
        self,
        session: DuckDbSession,
        part: StagedSlice,
        columns: Sequence[str],
        paths: Sequence[str],
        load_id: str,
    ) -> None:
        part.forget(session, self.layout, load_id)
        if paths:
            statement = duckdb_parquet.insert(self.layout, part.table, columns, paths)
            session.execute(statement, (part.key,))

    def publish(
        self,
        result: SliceResult,
        load_id: str,
        org_id: str,
        now: float,
        *,
        table: str | None = None,
        note: Note | None = None,
    ) -> Published:
        """Replace the slice's published days, or the account's entities, in one transaction."""
        with self._write() as session:
            job = Job(
                session=session,
                layout=self.layout,
                result=result,
                load_id=load_id,
                org_id=org_id,
                now=now,
            )
            return publish(job, table, note)

    def replace_rates(self, rates: Sequence[Rate], org_id: str, now: float) -> int:
        """Put exchange rates in place of those of the same days and source.

        One transaction for each year, oldest first: the whole history would hold the file too long.
        """
        written = 0
        by_day = sorted(rates, key=lambda rate: rate.day)
        for _, part in groupby(by_day, key=lambda rate: rate.day.year):
            with self._write() as session:
                written += replace_rates(session, self.layout, list(part), org_id, now)
        return written

    def settle(self, org_id: str, platform: str, restatement_days: int, now: float) -> None:
        """Rows of days that the platform restates no more are no estimates, read again or not."""
        with self._write() as session:
            session.execute(*settling(self.layout, org_id, platform, restatement_days, now))

    def discard(self, load_id: str, keep: Collection[str] = ()) -> None:
        """Forget the load's rows in the audit schema, but for slices of the fingerprints given."""
        with self._write() as session:
            self._remove(session, load_id, keep)

    def _remove(self, session: DuckDbSession, load_id: str, keep: Collection[str]) -> None:
        ident = CAPABILITIES.ident
        for table in ddl.audit_tables():
            session.execute(
                f"DELETE FROM {self.layout.audit(table.name)} WHERE {ident('load_id')} = ?"
                f" AND NOT list_contains(CAST(? AS VARCHAR[]), {ident('slice_key')})",
                (load_id, list(keep)),
            )

    def apply(self, statements: Sequence[tuple[str, Sequence[object]]]) -> None:
        """Carry out writing statements with ``?`` placeholders, in one transaction."""
        with self._write() as session:
            for sql, params in statements:
                session.execute(sql, params)

    def query(self, sql: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Rows of a reading statement; the file is open for reading meanwhile."""
        with _errors(), self._file.open(read_only=True) as connection:
            return DuckDbSession(connection).execute(sql, params)

    def checksum(self, table: str, where: str = "", params: Sequence[object] = ()) -> str:
        """A digest of a published table's rows, whatever their order."""
        columns = ddl.names(CAPABILITIES, TABLES[table].columns)
        # Sums, not xor: a row that is there twice must not vanish.
        [(rows, total)] = self.query(
            f"SELECT count(*), coalesce(sum(CAST(hash({columns}) AS HUGEINT)), 0)"
            f" FROM {self.layout.published(table)}" + (f" WHERE {where}" if where else ""),
            params,
        )
        return f"{rows}-{total:x}"

    @contextmanager
    def _write(self) -> Iterator[DuckDbSession]:
        """One transaction; on any error everything is as it was."""
        with _errors(), self._lease(), self._file.open(read_only=False) as connection:
            self._migrate_once(connection)
            connection.begin()
            try:
                yield DuckDbSession(connection)
            except BaseException:
                connection.rollback()
                raise
            connection.commit()

    def _migrate_once(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Look at the tables when a file is first written to: reading the catalogue takes 20 ms."""
        status = self._file.path.stat()
        if self._migrated != (identity := (status.st_dev, status.st_ino)):
            _migrate(connection, self.layout, self._views)
            self._migrated = identity

    @contextmanager
    def _lease(self) -> Iterator[None]:
        self._file.path.parent.mkdir(parents=True, exist_ok=True)
        if self._leases is None:
            yield
            return
        name, holder = f"duckdb:{self._file.path}", f"{socket.gethostname()}:{os.getpid()}"
        with self._leases.held(name, ttl=_LEASE_SECONDS, wait=self._file.wait, holder=holder):
            yield


def _is_full(error: Exception) -> bool:
    signs = ("could not write", "no space left", "file too large", "out of disk space")
    return any(sign in str(error).lower() for sign in signs)


@contextmanager
def _errors() -> Iterator[None]:
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        full = "; make room on its disk, then run the task again" if _is_full(error) else ""
        raise WarehouseError(
            f"DuckDB refused: {error}", hint=f"Nothing that was published has changed{full}."
        ) from error
    except (OSError, Unavailable) as error:
        raise WarehouseError(
            f"The DuckDB file cannot be written now: {error}", hint="Run the task again."
        ) from error


def _migrate(connection: duckdb.DuckDBPyConnection, layout: Layout, settings: ViewSettings) -> None:
    session = DuckDbSession(connection)
    tables, views = ddl.evolve(layout, _catalogue(session, layout)), _views(layout, settings)
    if not tables and _is_marked(session, layout, views[-1]):
        return
    connection.begin()
    try:
        _execute_all(session, [*tables, *views])
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def _views(layout: Layout, settings: ViewSettings) -> list[str]:
    """Statements of all views; the last of them notes which these are, as a view's comment."""
    statements = create_views(layout, settings)
    digest = hashlib.sha256("\n".join(statements).encode()).hexdigest()[:32]
    marked = layout.published(VIEWS[0].name)
    return [*statements, f"COMMENT ON VIEW {marked} IS {CAPABILITIES.text(digest)}"]


def _is_marked(session: DuckDbSession, layout: Layout, mark: str) -> bool:
    """Whether the file has the views of this version and these settings."""
    rows = session.execute(
        "SELECT comment FROM duckdb_views() WHERE database_name = current_database()"
        " AND schema_name = ? AND view_name = ? AND comment IS NOT NULL",
        (layout.schema, VIEWS[0].name),
    )
    return any(mark.endswith(CAPABILITIES.text(comment)) for (comment,) in rows)


def _catalogue(session: DuckDbSession, layout: Layout) -> ddl.Catalogue:
    found: dict[tuple[str, str], dict[str, str]] = {}
    for schema, table, column, kind in session.execute(
        "SELECT schema_name, table_name, column_name, data_type FROM duckdb_columns()"
        " WHERE database_name = current_database() AND schema_name IN (?, ?)",
        (layout.schema, layout.audit_schema),
    ):
        found.setdefault((schema, table), {})[column] = kind
    return found


def _execute_all(session: DuckDbSession, statements: Iterable[str]) -> None:
    for statement in statements:
        session.execute(statement)
