"""Reading staged Parquet with DuckDB: what is in the files, and the statement that loads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_liftos.model.unified import Kind
from airflow_provider_liftos.warehouses.contract import Layout
from airflow_provider_liftos.warehouses.ddl import SLICE_KEY, staged_columns
from airflow_provider_liftos.warehouses.staged import StagedSlice

if TYPE_CHECKING:
    import duckdb

UNREADABLE = "unreadable"
"""Count of values per row that were not what their column holds; judged by the audit, not kept."""

_EXACT = (Kind.DECIMAL, Kind.MONEY)
_INEXACT = ("FLOAT", "DOUBLE")


def insert_staged(
    memory: duckdb.DuckDBPyConnection, layout: Layout, part: StagedSlice, load_id: str
) -> str | None:
    """The statement that loads the slice; its only placeholder is the slice's key.

    The files are looked at first, in a database in memory, so that a broken one is found without
    opening the warehouse. None when there is nothing to load.

    Raises:
        StagingError: a file is no Parquet, or its rows or columns are not as they should be.
    """
    import duckdb

    if not part.paths:
        return None
    source = _read_parquet(layout, part.paths)
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
    ident = layout.capabilities.ident
    columns = ", ".join(ident(row[0]) for row in found if row[0] != UNREADABLE)
    return (
        f"INSERT INTO {layout.audit(part.table.name)} BY NAME"
        f" SELECT {columns}, ? AS {ident(SLICE_KEY.name)} FROM {source}"
    )


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


def _read_parquet(layout: Layout, paths: tuple[str, ...]) -> str:
    listed = ", ".join(layout.capabilities.text(_no_glob(path)) for path in paths)
    # Folder names such as run=1 are not columns.
    return f"read_parquet([{listed}], union_by_name = true, hive_partitioning = false)"


def _no_glob(path: str) -> str:
    return "".join(f"[{char}]" if char in "*?[" else char for char in path)
