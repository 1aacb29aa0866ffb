"""Staged Parquet into Postgres: DuckDB writes it as CSV into a pipe, COPY takes it from there.

Both work at the same time, with some tens of kilobytes between them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING

from airflow_provider_liftos.model.sql import literal
from airflow_provider_liftos.model.unified import Kind
from airflow_provider_liftos.warehouses import duckdb_parquet
from airflow_provider_liftos.warehouses.contract import Layout
from airflow_provider_liftos.warehouses.ddl import SLICE_KEY, staged_columns
from airflow_provider_liftos.warehouses.postgres_session import PostgresSession
from airflow_provider_liftos.warehouses.postgres_sql import NUL, SHOWN
from airflow_provider_liftos.warehouses.staged import LocalSlice

if TYPE_CHECKING:
    import duckdb

_BYTES = 1 << 16  # what a pipe holds
_NUL, _SHOWN = NUL.encode(), SHOWN.encode()
_BACKSLASH, _UNKNOWN = "\\", "\ufffd"

# What jsonb does not take: the escape of NUL, and halves of surrogate pairs. Escaped backslashes
# and whole pairs step aside meanwhile, as characters that no JSON has.
_SUSPECT = r"\\u(0000|[dD][89a-fA-F])"
_PAIR = r"\\(u[dD][89abAB][0-9a-fA-F]{2})\\(u[dD][c-fC-F][0-9a-fA-F]{2})"
_HALF = r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}"


def copy(
    session: PostgresSession,
    memory: duckdb.DuckDBPyConnection,
    layout: Layout,
    slices: Sequence[LocalSlice],
) -> None:
    """Add the rows of slices of one table to its audit table.

    Raises:
        StagingError: a value is not what its column holds.
    """
    import duckdb

    # One thread, which keeps rows in their order and waits while the pipe is full; asynchronous
    # writing would spin on a core meanwhile.
    memory.execute("SET threads = 1; SET async_threads = 0")
    table, found = slices[0].part.table, duckdb_parquet.columns_of(slices)
    try:
        found -= duckdb_parquet.empty_columns(memory, slices)
        columns = [column.name for column in staged_columns(table) if column.name in found]
        names = ", ".join(map(layout.capabilities.ident, (*columns, SLICE_KEY.name)))
        statement = f"COPY {layout.audit(table.name)} ({names}) FROM STDIN (FORMAT csv)"
        with (
            session.connection.cursor() as cursor,
            cursor.copy(statement.encode()) as sink,
            _written(memory, _query(slices, columns)) as pipe,
        ):
            for lines in _lines(pipe):
                sink.write(lines)
    except duckdb.Error:
        duckdb_parquet.blame(memory, slices, sorted(found))
        raise


def _query(slices: Sequence[LocalSlice], columns: Sequence[str]) -> str:
    objects = [column.name for column in slices[0].part.table.columns if column.kind is Kind.JSON]
    return duckdb_parquet.plain(slices, columns, dict.fromkeys(objects, _cleaned))


@contextmanager
def _written(memory: duckdb.DuckDBPyConnection, query: str) -> Iterator[int]:
    """A pipe to read, into which a thread writes the rows as CSV: nulls bare, empty texts quoted.

    What the thread could not do is raised behind the block.
    """
    source, sink = os.pipe()
    failed: list[Exception] = []
    thread = Thread(target=partial(_write, memory, query, sink, failed), daemon=True)
    thread.start()
    try:
        yield source
    except BaseException:
        memory.interrupt()
        raise
    finally:
        while os.read(source, _BYTES):  # nobody wants it any more, but the thread must end
            pass
        thread.join()
        os.close(source)
    if failed:
        raise failed[0]


def _write(
    memory: duckdb.DuckDBPyConnection, query: str, sink: int, failed: list[Exception]
) -> None:
    try:
        memory.execute(
            f"COPY ({query}) TO '/dev/fd/{sink}'"
            " (FORMAT csv, HEADER false, USE_TMP_FILE false, PER_THREAD_OUTPUT false)"
        )
    except Exception as error:  # noqa: BLE001 - whoever reads raises it
        failed.append(error)
    finally:
        os.close(sink)


def _lines(pipe: int) -> Iterator[bytes]:
    """Pieces of any length, without the character NUL."""
    while some := os.read(pipe, _BYTES):
        yield some.replace(_NUL, _SHOWN)


def _cleaned(column: str) -> str:
    """An expression of a column of objects as jsonb takes them."""
    text = f"replace({column}, {literal(_BACKSLASH * 2)}, chr(1))"
    text = f"regexp_replace({text}, {literal(_PAIR)}, chr(2) || '\\1' || chr(2) || '\\2', 'g')"
    text = f"replace({text}, {literal(_BACKSLASH + 'u0000')}, {literal(SHOWN)})"
    text = f"regexp_replace({text}, {literal(_HALF)}, {literal(_UNKNOWN)}, 'g')"
    text = f"replace({text}, chr(2), {literal(_BACKSLASH)})"
    text = f"replace({text}, chr(1), {literal(_BACKSLASH * 2)})"
    suspect = f"regexp_matches({column}, {literal(_SUSPECT)})"
    return f"CASE WHEN {suspect} THEN {text} ELSE {column} END"
