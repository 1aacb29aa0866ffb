"""Reading staged Parquet with DuckDB: their rows, and how to load them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_liftos.model.sql import identifier, literal
from airflow_provider_liftos.model.unified import Kind, Table
from airflow_provider_liftos.warehouses.contract import Layout
from airflow_provider_liftos.warehouses.ddl import SLICE_KEY, staged_columns
from airflow_provider_liftos.warehouses.full_disk import is_full
from airflow_provider_liftos.warehouses.staged import LocalSlice

if TYPE_CHECKING:
    import duckdb

_PATH = "liftos_path"
_AS_THEY_ARE: Mapping[str, Callable[[str], str]] = {}
_NOWHERE = "TO '/dev/null' (FORMAT csv, USE_TMP_FILE false)"

# What a warehouse gets that reads no Parquet itself; objects as their text.
_PLAIN = {
    Kind.TEXT: "VARCHAR",
    Kind.ID: "VARCHAR",
    Kind.JSON: "VARCHAR",
    Kind.DATE: "DATE",
    Kind.TIMESTAMP: "TIMESTAMP WITH TIME ZONE",
    Kind.INT: "BIGINT",
    Kind.DECIMAL: "DECIMAL(18,6)",
    Kind.MONEY: "DECIMAL(18,6)",
    Kind.BOOL: "BOOLEAN",
}


def insert(layout: Layout, table: Table, slices: Sequence[LocalSlice]) -> str:
    """The statement that loads slices of one table, whose files may have different columns."""
    ident = layout.capabilities.ident
    found = columns_of(slices)
    columns = [ident(column.name) for column in staged_columns(table) if column.name in found]
    return (
        f"INSERT INTO {layout.audit(table.name)} BY NAME"
        f" SELECT {', '.join(columns)}, k.{ident(SLICE_KEY.name)} FROM {_keyed(slices)}"
    )


def columns_of(slices: Iterable[LocalSlice]) -> set[str]:
    """What any of the slices' files hold."""
    return set().union(*(one.columns for one in slices))


def _keyed(slices: Sequence[LocalSlice]) -> str:
    """Rows of all their files, beside the slice's key that each is of."""
    keys = ", ".join(
        f"({literal(path)}, {literal(one.part.key)})" for one in slices for path in one.paths
    )
    return (
        f"{read_parquet(_paths(slices), _PATH)} AS r"
        f" JOIN (VALUES {keys}) AS k ({_PATH}, {identifier(SLICE_KEY.name)}) USING ({_PATH})"
    )


def _paths(slices: Iterable[LocalSlice]) -> list[str]:
    return [path for one in slices for path in one.paths]


def empty_columns(memory: duckdb.DuckDBPyConnection, slices: Iterable[LocalSlice]) -> set[str]:
    """Columns of which all files themselves say that they hold nothing but nulls."""
    listed = ", ".join(literal(no_glob(path)) for path in _paths(slices))
    found = memory.execute(
        f"SELECT path_in_schema FROM parquet_metadata([{listed}]) GROUP BY ALL"
        " HAVING bool_and(coalesce(stats_null_count = num_values, false))"
    )
    return {name for (name,) in found.fetchall()}


def plain(
    slices: Sequence[LocalSlice],
    columns: Iterable[str],
    shown: Mapping[str, Callable[[str], str]] = _AS_THEY_ARE,
) -> str:
    """A query of the rows of slices of one table, each one's key behind its columns.

    Objects are texts; a column that a slice's files lack is null. ``shown`` makes other expressions
    of some columns.
    """
    types = {column.name: _PLAIN[column.kind] for column in staged_columns(slices[0].part.table)}
    found = columns_of(slices)
    casts = {
        name: f"CAST({identifier(name) if name in found else 'NULL'} AS {types[name]})"
        for name in columns
    }
    values = "".join(
        f"{shown[name](cast) if name in shown else cast} AS {identifier(name)}, "
        for name, cast in casts.items()
    )
    return f"SELECT {values}k.{identifier(SLICE_KEY.name)} FROM {_keyed(slices)}"


def gather(
    memory: duckdb.DuckDBPyConnection,
    slices: Sequence[LocalSlice],
    columns: Sequence[str],
    path: Path,
) -> None:
    """Write slices of one table into one Parquet file, as ``plain`` shows them.

    Raises:
        StagingError: a value is not what its column holds.
        duckdb.Error: the file cannot be written, as on a full disk.
    """
    import duckdb

    target = f"TO {literal(str(path))} (FORMAT parquet, COMPRESSION snappy)"
    try:
        memory.execute(f"COPY ({plain(slices, columns)}) {target}")
    except duckdb.Error as error:
        if not is_full(error):
            blame(memory, slices, columns)
        raise


def blame(
    memory: duckdb.DuckDBPyConnection, slices: Iterable[LocalSlice], columns: Sequence[str]
) -> None:
    """Raise a StagingError of the slice that cannot be shown plainly, if there is one."""
    import duckdb

    for one in slices:
        try:
            memory.execute(f"COPY ({plain([one], columns)}) {_NOWHERE}")
        except duckdb.Error as error:
            if is_full(error):  # what DuckDB keeps on a disk meanwhile
                raise
            raise one.part.error(f"its staged files cannot be read ({error})") from error


def read_parquet(paths: Sequence[str], path: str = "") -> str:
    """Rows of the files; ``path`` is a column that says which file a row is from."""
    listed = ", ".join(literal(no_glob(one)) for one in paths)
    told = f", filename = {literal(path)}" if path else ""
    # Folder names such as run=1 are not columns.
    return f"read_parquet([{listed}], union_by_name = true, hive_partitioning = false{told})"


def no_glob(path: str) -> str:
    """A path as DuckDB takes it for itself and not for a pattern."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in path)
