"""This host's temporary folder: room in it, and what killed tasks left there."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory, gettempdir
from typing import IO

from airflow_provider_liftos.model.errors import StagingError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the system says where a disk, a quota or a file system's longest file is full."""

_PREFIX = "liftos-staging-"


@contextmanager
def temporary_folder() -> Iterator[str]:
    """A folder of this host, gone afterwards; StagingError when there is no room for it."""
    _tidy_once()
    with room():
        folder = TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True)
    with folder as path:
        yield path


def temporary_file() -> IO[bytes]:
    """A file of this host, gone once it is closed; StagingError when there is no room for it.

    Unbuffered: what does not fit is told by the write and not by an end that comes too late.
    """
    with room():
        return NamedTemporaryFile(prefix=_PREFIX, buffering=0)


@contextmanager
def room(path: str = "", of: str = "staged files") -> Iterator[None]:
    """StagingError when the temporary folder is full or cannot be written.

    With ``path`` only when it is full; ``of`` is what is copied there.
    """
    try:
        yield
    except OSError as error:
        if path and error.errno not in FULL:
            raise
        raise no_room(error, path, of) from None


def no_room(error: Exception, path: str = "", of: str = "staged files") -> StagingError:
    """What is said when a copy does not fit into the temporary folder, or a path in it."""
    said = error.strerror if isinstance(error, OSError) else str(error).partition("\n")[0]
    return StagingError(
        f"no room for a copy of {of}: {said or type(error).__name__} ({path or gettempdir()})",
        hint="Nothing that was published has changed. Free space there, or let TMPDIR of the"
        " workers name a larger folder; the task starts again where it stopped.",
    )


_TIDIED: set[int] = set()
_LONG = 7 * 86_400.0


def _tidy_once() -> None:
    """Once in each process: maintenance runs on one host, tasks are killed on all of them."""
    if os.getpid() not in _TIDIED:
        _TIDIED.add(os.getpid())
        clear_temporary(time.time() - _LONG)


def clear_temporary(before: float) -> int:
    """Delete what killed tasks left in this host's temporary folder before a moment; how many.

    Only what is named as ours and belongs to this user, and has not changed since.
    """
    cleared = 0
    for left in Path(gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if left.lstat().st_uid != os.getuid() or _newest(left) >= before:
                continue
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
            else:
                left.unlink()
            cleared += 1
    return cleared


def _newest(path: Path) -> float:
    inside = [path, *path.rglob("*")] if path.is_dir() and not path.is_symlink() else [path]
    return max(one.lstat().st_mtime for one in inside)
