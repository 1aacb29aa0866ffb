"""A disk without room: what tells it, and the one line that is said of it."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from airflow_provider_liftos.model.errors import WarehouseError

_CODES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# DuckDB says what it could not do, and mostly the system's reason behind it.
_SIGNS = (
    "could not write", "no space left", "file too large", "out of disk space", "quota exceeded",
    "failed to offload",
)  # fmt: skip


def is_full(error: BaseException) -> bool:
    """Whether an error of the system or of DuckDB says that a disk has no room."""
    if isinstance(error, OSError):
        return error.errno in _CODES
    return any(sign in str(error).lower() for sign in _SIGNS)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for files on their way to the warehouse, which is gone behind the block.

    Raises:
        WarehouseError: there is none, or no room in it.
    """
    import duckdb

    try:
        made = tempfile.TemporaryDirectory(prefix="liftos-", ignore_cleanup_errors=True)
    except OSError as error:
        raise _no_room(tempfile.tempdir, error) from error
    with made as folder:
        try:
            yield Path(folder)
        except (OSError, duckdb.Error) as error:
            if not is_full(error):
                raise
            raise _no_room(tempfile.tempdir, error) from error


def _no_room(place: str | None, error: Exception) -> WarehouseError:
    why = error.strerror if isinstance(error, OSError) else str(error).partition("\n")[0]
    return WarehouseError(
        f"There is no room in the temporary folder {place}: {why or error}.",
        hint="Nothing that was published has changed. Make room there, or let TMPDIR of the workers"
        " name a larger folder, then run the task again.",
    )
