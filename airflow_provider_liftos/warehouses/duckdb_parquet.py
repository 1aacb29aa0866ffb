"""Reading staged Parquet with DuckDB: what the files hold, their rows, and how to load them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_liftos.model.sql import identifier, literal
from airflow_provider_liftos.model.unified import Kind, Table
from airflow_provider_liftos.warehouses.contract import Layout
from airflow_provider_liftos.warehouses.ddl import SLICE_KEY, staged_columns
from airflow_provider_liftos.warehouses.staged import LocalSlice, StagedSlice

if TYPE_CHECKING:
    import duckdb

UNREADABLE = "unreadable"
"""Count of values per row that were not what their column holds; judged by the audit, not kept."""

_PATH = "liftos_path"
_EXACT = (Kind.DECIMAL, Kind.MONEY)
_INEXACT = ("FLOAT", "DOUBLE")

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


def columns_found(
    memory: duckdb.DuckDBPyConnection, part: StagedSlice, paths: Sequence[str], load_id: str
) -> tuple[str, ...]:
    """Names of the columns that the slice's files hold; none when there is nothing to load.

    They are looked at in a database in memory, so that a broken file is found without opening the
    warehouse.

    Raises:
        StagingError: a file is no Parquet, or its rows or columns are not as they should be.
    """
    import duckdb

    if not paths:
        return ()
    source = _read_parquet(paths)
    try:
        found = memory.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
        _check_columns(part, {row[0]: row[1] for row in found})
        counted = memory.execute(
            f"SELECT count(*), count(*) FILTER (load_id IS DISTINCT FROM ?) FROM {source}",
            [load_id],
        ).fetchone()
    except duckdb.Error as error:
        raise part.error(f"its staged files cannot be read ({error})") from error
    rows, strangers = counted or (0, 0)
    if rows != part.rows:
        raise part.error(f"its staged files hold {rows} rows, its manifest says {part.rows}")
    if strangers:
        raise part.error(f"{strangers} staged rows belong to another load than {load_id}")
    return tuple(row[0] for row in found if row[0] != UNREADABLE)


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
        f"{_read_parquet(_paths(slices), _PATH)} AS r"
        f" JOIN (VALUES {keys}) AS k ({_PATH}, {identifier(SLICE_KEY.name)}) USING ({_PATH})"
    )


def _paths(slices: Iterable[LocalSlice]) -> list[str]:
    return [path for one in slices for path in one.paths]


def empty_columns(memory: duckdb.DuckDBPyConnection, slices: Iterable[LocalSlice]) -> set[str]:
    """Columns of which all files themselves say that they hold nothing but nulls."""
    listed = ", ".join(literal(_no_glob(path)) for path in _paths(slices))
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
    """
    import duckdb

    target = f"TO {literal(str(path))} (FORMAT parquet, COMPRESSION snappy)"
    try:
        memory.execute(f"COPY ({plain(slices, columns)}) {target}")
    except duckdb.Error:
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
            raise one.part.error(f"its staged files cannot be read ({error})") from error


def _check_columns(part: StagedSlice, found: dict[str, str]) -> None:
    wanted = {column.name: column for column in staged_columns(part.table)}
    if unknown := sorted(set(found) - set(wanted) - {UNREADABLE}):
        raise part.error(f"{part.table.name} has no column {unknown[0]!r}")
    for name, column in wanted.items():
        # Files staged before an upgrade lack what the upgrade added; that is never required.
        if name not in found and column.required:
            raise part.error(f"its staged files lack the column {name!r}")
        if column.kind in _EXACT and found.get(name) in _INEXACT:
            raise part.error(f"its staged column {name!r} is {found[name]}, which is not exact")


def _read_parquet(paths: Sequence[str], path: str = "") -> str:
    """Rows of the files; ``path`` is a column that says which file a row is from."""
    listed = ", ".join(literal(_no_glob(one)) for one in paths)
    told = f", filename = {literal(path)}" if path else ""
    # Folder names such as run=1 are not columns.
    return f"read_parquet([{listed}], union_by_name = true, hive_partitioning = false{told})"


def _no_glob(path: str) -> str:
    return "".join(f"[{char}]" if char in "*?[" else char for char in path)
