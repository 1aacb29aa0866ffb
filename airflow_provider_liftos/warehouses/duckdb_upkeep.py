"""A DuckDB file's copy for readers, and making it smaller; each replaces a file, all at once.

Who has the former file open goes on reading that one. What a killed process leaves beside the file
is taken away the next time.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_liftos.model.sql import identifier, literal
from airflow_provider_liftos.warehouses.duckdb_file import DuckDbFile

if TYPE_CHECKING:
    import duckdb

_PIECE = 8 << 20
_WORTH = 64 << 20
_WRITABLE = 0o222


def refresh_copy(file: DuckDbFile, target: Path) -> int:
    """Put a copy of the file in the place of ``target``; its bytes.

    It is for reading only: what a tool wrote into it would be gone the next time.

    Raises:
        OSError: it cannot be written; the former copy is still there.
        WarehouseError: the file was locked by others all the time.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with file.held() as (_, handle), _replacing(target) as new:
        size = os.fstat(handle).st_size
        with new.open("wb") as sink:
            _copy(handle, sink.fileno(), size)
            os.fsync(sink.fileno())
        like = target if target.exists() else new
        new.chmod(like.stat().st_mode & ~_WRITABLE)
    return size


def compact(file: DuckDbFile, *, worth: int = _WORTH) -> tuple[int, int] | None:
    """Rewrite a file of which more than half is free; its bytes before and after.

    None where there is nothing to do: DuckDB fills free space again, and files smaller than
    ``worth`` (bytes) are left alone. Others wait for their turn meanwhile.

    Raises:
        OSError, duckdb.Error: there is no room for a second file; the first is as it was.
        WarehouseError: the file was locked by others all the time.
    """
    with file.held() as (connection, handle):
        before = os.fstat(handle).st_size
        _clear(_beside(file.path))
        if before < worth or not _is_half_free(connection):
            return None
        with _replacing(file.path) as new:
            _rewrite(connection, new)
            shutil.copymode(file.path, new)
            return before, new.stat().st_size


def _is_half_free(connection: duckdb.DuckDBPyConnection) -> bool:
    found = connection.execute("PRAGMA database_size").fetchone()
    if found is None:
        return False
    total, _used, free = found[3:6]
    return bool(free * 2 > total)


def _rewrite(connection: duckdb.DuckDBPyConnection, new: Path) -> None:
    """Tables, views and comments."""
    [[name]] = connection.execute("SELECT current_database()").fetchall()
    connection.execute(f"ATTACH {literal(str(new))} AS compacted")
    connection.execute(f"COPY FROM DATABASE {identifier(name)} TO compacted")
    connection.execute("CHECKPOINT compacted")  # or else rows stay in a log beside it
    connection.execute("DETACH compacted")
    if _log_of(new).exists():
        raise OSError(f"{new} is not complete")


@contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """Where to write what comes in the target's place when the block ends well.

    There is one such place: who is here holds the warehouse's file.
    """
    target = target.resolve()
    new = _beside(target)
    _clear(new)
    try:
        yield new
        # Of a tool that wrote into a copy: it would be taken for a part of the next one.
        _log_of(target).unlink(missing_ok=True)
        new.replace(target)
    except BaseException:
        _clear(new)
        raise


def _beside(target: Path) -> Path:
    target = target.resolve()
    return target.with_name(f"{target.name}.replacement")


def _clear(path: Path) -> None:
    path.unlink(missing_ok=True)
    _log_of(path).unlink(missing_ok=True)


def _log_of(path: Path) -> Path:
    """DuckDB's write-ahead log of a file."""
    return path.with_name(f"{path.name}.wal")


def _copy(source: int, sink: int, size: int) -> None:
    """By the kernel, which on some file systems shares the blocks instead; or else by ourselves."""
    done = 0
    try:
        while done < size and (some := os.copy_file_range(source, sink, size - done, done)):
            done += some
    except OSError:  # not of this file system, or not between these two
        pass
    os.lseek(sink, done, os.SEEK_SET)
    while done < size:
        piece = os.pread(source, min(_PIECE, size - done), done)
        done += os.write(sink, piece)
