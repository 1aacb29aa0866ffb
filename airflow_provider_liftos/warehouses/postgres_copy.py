"""Staged Parquet into Postgres: DuckDB reads it, Arrow writes CSV, COPY takes it, part by part."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_liftos.model.unified import Kind
from airflow_provider_liftos.warehouses import duckdb_parquet
from airflow_provider_liftos.warehouses.contract import Layout
from airflow_provider_liftos.warehouses.ddl import SLICE_KEY
from airflow_provider_liftos.warehouses.postgres_session import NUL, SHOWN, PostgresSession
from airflow_provider_liftos.warehouses.staged import StagedSlice

if TYPE_CHECKING:
    import duckdb

_ROWS = 16_384  # of one part: some tens of megabytes at worst

# What jsonb does not take: the escape of NUL, and halves of surrogate pairs.
_SUSPECT = r"\\u(0000|[dD][89a-fA-F])"
_ESCAPE = re.compile(
    r"\\(?:\\|(u0000)|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(u[dD][89a-fA-F][0-9a-fA-F]{2}))"
)


def copy(
    session: PostgresSession,
    memory: duckdb.DuckDBPyConnection,
    layout: Layout,
    part: StagedSlice,
    columns: Sequence[str],
    paths: Sequence[str],
) -> None:
    """Add a slice's rows to its audit table. ``columns`` are those that its files hold.

    Raises:
        StagingError: a value is not what its column holds.
    """
    import duckdb
    import pyarrow as pa

    table = part.table
    names = ", ".join(map(layout.capabilities.ident, (*columns, SLICE_KEY.name)))
    statement = f"COPY {layout.audit(table.name)} ({names}) FROM STDIN (FORMAT csv, NULL '')"
    objects = {column.name for column in table.columns if column.kind is Kind.JSON}
    try:
        rows = duckdb_parquet.rows(memory, table, columns, paths, part.key, _ROWS)
        with session.connection.cursor() as cursor, cursor.copy(statement.encode()) as sink:
            for lines in _lines(rows, objects):
                sink.write(lines)
    except (duckdb.Error, pa.ArrowException) as error:
        raise part.error(f"its staged files cannot be read ({error})") from error


def _lines(rows: Any, objects: set[str]) -> Iterator[memoryview]:
    """The rows as CSV: nulls bare, texts quoted."""
    import pyarrow as pa
    from pyarrow import csv

    options = csv.WriteOptions(include_header=False, quoting_style="needed")
    for batch in rows:
        columns = [
            _clean(column, as_json=name in objects)
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
        ]
        sink = pa.BufferOutputStream()
        csv.write_csv(pa.RecordBatch.from_arrays(columns, batch.schema.names), sink, options)
        yield memoryview(sink.getvalue())


def _clean(column: Any, *, as_json: bool) -> Any:
    import pyarrow as pa
    from pyarrow import compute

    if not pa.types.is_string(column.type):
        return column
    if not as_json:
        return compute.replace_substring(column, NUL, SHOWN)
    suspect = compute.match_substring_regex(column, _SUSPECT)
    if not compute.any(suspect).as_py():
        return column
    return pa.array([v and _ESCAPE.sub(_shown, v) for v in column.to_pylist()], column.type)


def _shown(found: re.Match[str]) -> str:
    if found[1]:
        return SHOWN
    return "\ufffd" if found[2] else found[0]
