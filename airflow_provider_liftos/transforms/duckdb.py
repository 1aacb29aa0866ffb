"""The one way into DuckDB: bounded in memory, moments in UTC, and nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb


def connect(
    path: str | Path = ":memory:",
    *,
    read_only: bool = False,
    memory_limit: str = "128MB",
    threads: int = 2,
) -> duckdb.DuckDBPyConnection:
    """A connection to a file, or to a database in memory.

    ``memory_limit`` is in DuckDB's words, as ``300MB``. Extensions are neither downloaded nor
    looked for. Raises duckdb.Error where the file is none, or is locked.
    """
    import duckdb

    connection = duckdb.connect(
        path,
        read_only=read_only,
        config={
            "threads": threads,
            "memory_limit": memory_limit,
            "preserve_insertion_order": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        },
    )
    connection.execute("SET TimeZone = 'UTC'")
    return connection
