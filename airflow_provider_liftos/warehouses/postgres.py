"""Postgres: tasks write side by side; publishers of one account's table take turns.

Locks are advisory and end with their transaction, so a killed process holds nothing up. They are
taken in this order: the load, the platform, the account.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_liftos.engine.manifest import Manifest, SliceResult
from airflow_provider_liftos.engine.staging import Staging
from airflow_provider_liftos.model.unified import PERFORMANCE, TABLES
from airflow_provider_liftos.transforms.rates import Rate
from airflow_provider_liftos.warehouses import ddl, duckdb_parquet, postgres_copy, postgres_ddl
from airflow_provider_liftos.warehouses.contract import Layout, Note, Published, TableOf
from airflow_provider_liftos.warehouses.duckdb_file import DuckDbFile
from airflow_provider_liftos.warehouses.job import Job
from airflow_provider_liftos.warehouses.postgres_session import PostgresServer, PostgresSession
from airflow_provider_liftos.warehouses.postgres_sql import CAPABILITIES
from airflow_provider_liftos.warehouses.publish import publish
from airflow_provider_liftos.warehouses.rates import replace_rates
from airflow_provider_liftos.warehouses.settle import settling
from airflow_provider_liftos.warehouses.staged import StagedSlice, batches, complete
from airflow_provider_liftos.warehouses.views import ViewSettings

if TYPE_CHECKING:
    import duckdb

_ROWS_PER_TRANSACTION = 1_000_000
_SLICES_PER_TRANSACTION = 200


class PostgresWarehouse:
    """A Postgres database as the warehouse; may be shared by threads, and used after a fork.

    ``parameters`` are libpq's, such as ``host``, ``dbname``, ``user``, ``password``. Each method
    connects for itself. ``wait`` (seconds) bounds how long others may be in the way;
    ``memory_limit`` is of reading staged files, in DuckDB's words.
    """

    def __init__(
        self,
        parameters: Mapping[str, str],
        *,
        schema: str = "liftos",
        audit_schema: str = "liftos_audit",
        memory_limit: str = "128MB",
        threads: int = 2,
        wait: float = 120.0,
        views: ViewSettings | None = None,
    ) -> None:
        self._server = PostgresServer(parameters=dict(parameters), wait=wait)
        self._reader = DuckDbFile(
            path=Path("unused"), memory_limit=memory_limit, threads=threads, wait=wait
        )
        self._views = views or ViewSettings()
        self._migrated = False
        self.layout = Layout(capabilities=CAPABILITIES, schema=schema, audit_schema=audit_schema)

    def prepare(self) -> None:
        """Create schemas, tables and missing columns, and bring the views up to date."""
        with self._server.transaction() as session:
            postgres_ddl.migrate(session, self.layout, self._views)
        self._migrated = True

    def load(
        self,
        manifest: Manifest,
        table_of: TableOf = lambda result: result.table,
        *,
        staging: Staging | None = None,
    ) -> int:
        """Put the staged rows of all complete slices into the audit schema; how many rows.

        What an earlier attempt of the load left of other slices is removed. Every file is verified
        before a row is sent. A slice is never divided between transactions, many slices may be.
        """
        staging = staging or Staging("")
        slices = complete(manifest, table_of)
        with self._reader.memory() as memory:
            columns = {}
            for part in slices:
                with part.local(staging) as paths:
                    columns[part.key] = duckdb_parquet.columns_found(
                        memory, part, paths, manifest.load_id
                    )
            self.discard(manifest.load_id, keep=[part.key for part in slices])
            for batch in batches(slices, _ROWS_PER_TRANSACTION, _SLICES_PER_TRANSACTION):
                with ExitStack() as opened:
                    near = [(part, opened.enter_context(part.local(staging))) for part in batch]
                    session = opened.enter_context(self._load(manifest.load_id))
                    for part, paths in near:
                        self._replace(
                            session, memory, part, columns[part.key], paths, manifest.load_id
                        )
        return sum(part.rows for part in slices)

    def _replace(
        self,
        session: PostgresSession,
        memory: duckdb.DuckDBPyConnection,
        part: StagedSlice,
        columns: Sequence[str],
        paths: Sequence[str],
        load_id: str,
    ) -> None:
        part.forget(session, self.layout, load_id)
        if paths:
            postgres_copy.copy(session, memory, self.layout, part, columns, paths)

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
        part = result.slice
        target = PERFORMANCE.name if part.report else table or result.table  # what is locked
        with self._write() as session:
            # The load must stay as it is, while others publish their slices of it.
            self._lock_load(session, load_id, shared=True)
            scope = (self.layout.schema, target, org_id, part.platform)
            session.lock(*scope, shared=True)
            session.lock(*scope, part.account_id)
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
        """Put exchange rates in place of those of the same days and source."""
        with self._write() as session:
            session.lock(self.layout.schema, "fx_rates", org_id)
            return replace_rates(session, self.layout, rates, org_id, now)

    def settle(self, org_id: str, platform: str, restatement_days: int, now: float) -> None:
        """Rows of days that the platform restates no more are no estimates, read again or not."""
        with self._write() as session:
            session.lock(self.layout.schema, PERFORMANCE.name, org_id, platform)
            session.execute(*settling(self.layout, org_id, platform, restatement_days, now))

    def discard(self, load_id: str, keep: Collection[str] = ()) -> None:
        """Forget the load's rows in the audit schema, but for slices of the fingerprints given."""
        ident = CAPABILITIES.ident
        with self._load(load_id) as session:
            for table in ddl.audit_tables():
                session.execute(
                    f"DELETE FROM {self.layout.audit(table.name)} WHERE {ident('load_id')} = ?"
                    f" AND NOT {ident('slice_key')} = ANY(CAST(? AS text[]))",
                    (load_id, list(keep)),
                )

    def apply(self, statements: Sequence[tuple[str, Sequence[object]]]) -> None:
        """Carry out writing statements with ``?`` placeholders, in one transaction."""
        with self._write() as session:
            for sql, params in statements:
                session.execute(sql, params)

    def query(self, sql: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Rows of a reading statement."""
        with self._server.transaction(read_only=True) as session:
            return session.execute(sql, params)

    def checksum(self, table: str, where: str = "", params: Sequence[object] = ()) -> str:
        """A digest of a published table's rows, whatever their order."""
        columns = ddl.names(CAPABILITIES, TABLES[table].columns)
        # Sums, not xor: a row that is there twice must not vanish.
        [(rows, total)] = self.query(
            f"SELECT count(*), coalesce(sum(hashtextextended(CAST(ROW({columns}) AS text), 0)), 0)"
            f" FROM {self.layout.published(table)}" + (f" WHERE {where}" if where else ""),
            params,
        )
        return f"{rows}-{int(total):x}"

    @contextmanager
    def _write(self) -> Iterator[PostgresSession]:
        """One transaction; on any error everything is as it was."""
        if not self._migrated:
            self.prepare()
        with self._server.transaction() as session:
            yield session

    @contextmanager
    def _load(self, load_id: str) -> Iterator[PostgresSession]:
        """A transaction that nobody publishes the load in, or loads it a second time."""
        with self._write() as session:
            self._lock_load(session, load_id)
            yield session

    def _lock_load(self, session: PostgresSession, load_id: str, *, shared: bool = False) -> None:
        session.lock(self.layout.audit_schema, load_id, shared=shared)
