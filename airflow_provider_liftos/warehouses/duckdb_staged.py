"""What staged Parquet files hold, found out before the warehouse is opened.

Files of many slices are looked at together, by two statements: most slices are small, and of these
each statement would cost more than the reading (2 to 4 ms).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, TypeAlias

from airflow_provider_liftos.model.sql import literal
from airflow_provider_liftos.model.unified import Kind
from airflow_provider_liftos.warehouses.ddl import staged_columns
from airflow_provider_liftos.warehouses.duckdb_parquet import no_glob, read_parquet
from airflow_provider_liftos.warehouses.full_disk import is_full
from airflow_provider_liftos.warehouses.staged import StagedSlice

if TYPE_CHECKING:
    import duckdb

UNREADABLE = "unreadable"
"""Count of values per row that were not what their column holds; judged by the audit, not kept."""

Near: TypeAlias = tuple[StagedSlice, Sequence[str]]
"""A slice and the paths of its files on this host."""

_EXACT = (Kind.DECIMAL, Kind.MONEY)
_INEXACT = ("FLOAT", "DOUBLE")


def columns_found(
    memory: duckdb.DuckDBPyConnection, near: Sequence[Near], load_id: str
) -> dict[str, tuple[str, ...]]:
    """Names of the columns that each slice's files hold, by its key; none where it has no files.

    Raises:
        StagingError: a file is no Parquet, or its rows or columns are not as they should be.
    """
    import duckdb

    filled = [one for one in near if one[1]]
    found: dict[str, tuple[str, ...]] = {part.key: () for part, _ in near}
    try:
        return found | _look(memory, filled, load_id)
    except duckdb.Error as error:
        if is_full(error):
            raise
    for part, paths in filled:  # one of them is at fault, or they do not go together
        try:
            found |= _look(memory, [(part, paths)], load_id)
        except duckdb.Error as error:
            raise part.error(f"its staged files cannot be read ({error})") from error
    return found


def _look(
    memory: duckdb.DuckDBPyConnection, filled: Sequence[Near], load_id: str
) -> dict[str, tuple[str, ...]]:
    if not filled:
        return {}
    every = [path for _, paths in filled for path in paths]
    columns, found = _columns(memory, every), dict[str, tuple[str, ...]]()
    for part, paths in filled:
        its = [column for path in paths for column in columns.get(path, ())]
        _check_columns(part, its)
        found[part.key] = tuple(dict.fromkeys(name for name, _ in its if name != UNREADABLE))
    counted = _counted(memory, every, load_id)
    for part, paths in filled:
        _check_rows(part, [counted.get(path, (0, 0)) for path in paths], load_id)
    return found


def _columns(
    memory: duckdb.DuckDBPyConnection, paths: Iterable[str]
) -> dict[str, list[tuple[str, str]]]:
    """Name and type of the columns of each file, as its footer has them."""
    listed = ", ".join(literal(no_glob(path)) for path in paths)
    elements = memory.execute(
        "SELECT file_name, name, duckdb_type, coalesce(num_children, 0)"
        f" FROM parquet_schema([{listed}]) ORDER BY file_name, column_id"
    ).fetchall()
    return {path: list(_outermost(its)) for path, its in groupby(elements, key=itemgetter(0))}


def _outermost(elements: Iterator[tuple[str, str, str, int]]) -> Iterator[tuple[str, str]]:
    """Of a schema's elements, each followed by its parts, those that are part of none but it."""
    next(elements)
    inside = 0
    for _, name, kind, parts in elements:
        if not inside:
            yield name, kind
            inside = parts
        else:
            inside += parts - 1


def _counted(
    memory: duckdb.DuckDBPyConnection, paths: Sequence[str], load_id: str
) -> dict[str, tuple[int, int]]:
    """Rows of each file that has some, and how many of them are of another load."""
    found = memory.execute(
        "SELECT filename, count(*), count(*) FILTER (load_id IS DISTINCT FROM ?)"
        f" FROM {read_parquet(paths, 'filename')} GROUP BY filename",
        [load_id],
    )
    return {path: (rows, strangers) for path, rows, strangers in found.fetchall()}


def _check_rows(part: StagedSlice, counted: Sequence[tuple[int, int]], load_id: str) -> None:
    rows, strangers = sum(one[0] for one in counted), sum(one[1] for one in counted)
    if rows != part.rows:
        raise part.error(f"its staged files hold {rows} rows, its manifest says {part.rows}")
    if strangers:
        raise part.error(f"{strangers} staged rows belong to another load than {load_id}")


def _check_columns(part: StagedSlice, found: Sequence[tuple[str, str]]) -> None:
    wanted = {column.name: column for column in staged_columns(part.table)}
    names = {name for name, _ in found}
    if unknown := sorted(names - set(wanted) - {UNREADABLE}):
        raise part.error(f"{part.table.name} has no column {unknown[0]!r}")
    for name, column in wanted.items():
        # Files staged before an upgrade lack what the upgrade added; that is never required.
        if name not in names and column.required:
            raise part.error(f"its staged files lack the column {name!r}")
    for name, kind in found:
        if kind in _INEXACT and name in wanted and wanted[name].kind in _EXACT:
            raise part.error(f"its staged column {name!r} is {kind}, which is not exact")
