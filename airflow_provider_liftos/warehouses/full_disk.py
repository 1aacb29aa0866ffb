"""A disk without room: what tells it, also where DuckDB is the one who writes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from airflow_provider_liftos.engine.temporary import FULL, no_room, temporary_folder

# DuckDB says what it could not do, and mostly the system's reason behind it.
_SIGNS = (
    "could not write", "no space left", "file too large", "out of disk space", "quota exceeded",
    "failed to offload",
)  # fmt: skip


def is_full(error: BaseException) -> bool:
    """Whether an error of the system or of DuckDB says that a disk has no room."""
    if isinstance(error, OSError):
        return error.errno in FULL
    return any(sign in str(error).lower() for sign in _SIGNS)


@contextmanager
def folder_for_files() -> Iterator[Path]:
    """A folder for files on their way to the warehouse, which is gone behind the block.

    Raises:
        StagingError: there is none, or no room in it.
    """
    import duckdb

    with temporary_folder() as folder:
        try:
            yield Path(folder)
        except (OSError, duckdb.Error) as error:
            if not is_full(error):
                raise
            raise no_room(error, of="files on their way to the warehouse") from error
