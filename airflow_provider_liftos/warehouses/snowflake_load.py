"""Staged Parquet into Snowflake: a file of many slices to the stage, COPY into a table of its own.

Files are small and many, and each PUT and each COPY takes its time: slices of a table travel in one
file, with their key beside each row. The table it is copied into is transient and the load's alone,
so the long part of a load is in nobody's way; what the audit reads is filled from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_liftos.model.errors import WarehouseError
from airflow_provider_liftos.model.unified import Kind, Table
from airflow_provider_liftos.warehouses import duckdb_parquet
from airflow_provider_liftos.warehouses.contract import Layout
from airflow_provider_liftos.warehouses.ddl import SLICE_KEY, staged_columns
from airflow_provider_liftos.warehouses.snowflake_ddl import stage_path
from airflow_provider_liftos.warehouses.snowflake_session import SnowflakeSession
from airflow_provider_liftos.warehouses.staged import LocalSlice, by_table

if TYPE_CHECKING:
    import duckdb

_LOADED = 3
_FORMAT = "FILE_FORMAT = (TYPE = PARQUET USE_LOGICAL_TYPE = TRUE)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cargo:
    """Slices of one table in one file; ``name`` is of the table they are copied into."""

    table: Table
    name: str
    path: Path
    rows: int
    columns: tuple[str, ...]


def pack(
    memory: duckdb.DuckDBPyConnection, near: Sequence[LocalSlice], folder: Path, name: str
) -> Iterator[Cargo]:
    """Write the slices' files anew, one for each table, typed as the audit tables are.

    Raises:
        StagingError: a value is not what its column holds.
    """
    for number, (table, slices) in enumerate(by_table(near)):
        path = folder / f"{number}.parquet"
        found = duckdb_parquet.columns_of(slices)
        columns = tuple(column.name for column in staged_columns(table) if column.name in found)
        duckdb_parquet.gather(memory, slices, columns, path)
        rows = sum(one.part.rows for one in slices)
        own = f"{name}{number:x}"
        yield Cargo(table=table, name=own, path=path, rows=rows, columns=columns)


def send(session: SnowflakeSession, layout: Layout, cargo: Cargo) -> None:
    """Bring the file to the stage and its rows into a table of their own.

    Raises:
        WarehouseError: not every row has arrived.
    """
    capabilities, loading = layout.capabilities, layout.audit(cargo.name)
    kinds = {column.name: column.kind for column in cargo.table.columns}
    types = ", ".join(
        f"{capabilities.ident(name)} {capabilities.types[_plain(kinds[name])]}"
        for name in cargo.columns
    )
    key = f"{capabilities.ident(SLICE_KEY.name)} {capabilities.types[SLICE_KEY.kind]}"
    session.execute(f"CREATE TRANSIENT TABLE {loading} ({types}, {key})")
    path = stage_path(layout, cargo.name)
    source = capabilities.text(f"file://{cargo.path.absolute()}")
    session.execute(f"PUT {source} {path} AUTO_COMPRESS = FALSE OVERWRITE = TRUE")
    loaded = session.execute(
        f"COPY INTO {loading} FROM {path} {_FORMAT} MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE"
        " ON_ERROR = ABORT_STATEMENT PURGE = TRUE"
    )
    # Of each file: its name, what became of it, rows parsed, rows loaded.
    arrived = sum(int(row[_LOADED]) for row in loaded if len(row) > _LOADED)
    if arrived != cargo.rows:
        raise WarehouseError(
            f"Snowflake loaded {arrived} of {cargo.rows} rows of {cargo.table.name}.",
            hint="Nothing that was published has changed; run the task again.",
        )


def insert(layout: Layout, table: Table, columns: Sequence[str], loading: str) -> str:
    """The statement that fills the audit table; objects, sent as texts, become objects.

    Of a key that an object has twice, the last value counts: so ``'d'`` has it, by the reference of
    PARSE_JSON, which would refuse all slices of the statement without it.
    """
    ident = layout.capabilities.ident
    kinds = {column.name: column.kind for column in table.columns}
    named = (*columns, SLICE_KEY.name)
    values = ", ".join(
        f"PARSE_JSON({ident(name)}, 'd')" if kinds.get(name) is Kind.JSON else ident(name)
        for name in named
    )
    return (
        f"INSERT INTO {layout.audit(table.name)} ({', '.join(map(ident, named))})"
        f" SELECT {values} FROM {layout.audit(loading)}"
    )


def _plain(kind: Kind) -> Kind:
    return Kind.TEXT if kind is Kind.JSON else kind
