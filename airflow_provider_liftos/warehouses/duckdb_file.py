"""Opening a DuckDB file that many processes share.

One process at a time may have the file open for writing, and nobody reads meanwhile; DuckDB
enforces it with a file lock and answers at once, without waiting. Waiting is done here.

DuckDB's lock alone does not keep the data together (observed in 2.0: ``strace`` of an open shows
it, and four processes that queue for a file lose a commit once in about two thousand turns):

- The file's header, which says where everything is, is read before the lock is taken. A process
  that gets the lock just after another one's checkpoint works on the state before it, and undoes
  it. So the header is compared from before the open to after it, when nobody can change it any
  more, and the file is opened again if it is another.
- A file that is put in place of another (as compaction does) leaves who has just opened the other
  with one that nobody will ever read. So it is looked whether it still has its name.
- A file that does not exist yet is written over by the second of two processes that create it. So
  it is created beside its place, and put there only if there is none.

The lock belongs to the process and ends when *any* handle of the process on the file is closed:
never open the file by other means, as for copying it, while a connection is open here.
"""

from __future__ import annotations

import logging
import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from airflow_provider_liftos.model.errors import WarehouseDenied, WarehouseError
from airflow_provider_liftos.transforms.duckdb import connect

if TYPE_CHECKING:
    import duckdb

log = logging.getLogger(__name__)

PATIENCE = 1.0
"""Seconds for which is waited without a word."""

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.01, 0.25
_HEADER = 3 * 4096  # DuckDB's main header and its two alternating database headers
# What is said of files that no waiting makes better.
_HOPELESS = (
    "ermission denied", "Read-only file system", "Operation not permitted", "s a directory",
    "Not a directory", "File exists", "valid DuckDB database", "version number",
)  # fmt: skip
_EFFECTIVE = os.access in os.supports_effective_ids
_LOCKED = ("Could not set lock", "with a different configuration")

# Within one process, connections of different kinds to one file exclude each other too. Keyed by
# process: a lock that was held during a fork stays locked in the child for ever.
_turns: dict[tuple[int, str], threading.Lock] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class DuckDbFile:
    """A database file; nothing is opened before ``open`` is called.

    ``wait`` (seconds) bounds how long the file may be locked by others. ``memory_limit`` is in
    DuckDB's words, as ``300MB``.
    """

    path: Path
    memory_limit: str = "300MB"
    threads: int = 2
    wait: float = 120.0
    sleep: Callable[[float], None] = time.sleep

    @contextmanager
    def open(self, *, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        """The file, opened for the length of the block; everything is closed behind it.

        Raises:
            WarehouseError: somebody else had it open all the time, or it cannot be opened.
        """
        with self._opened(read_only=read_only) as (connection, _):
            yield connection

    @contextmanager
    def held(self) -> Iterator[tuple[duckdb.DuckDBPyConnection, int]]:
        """The file for ourselves, and a handle on its bytes, which are all there.

        Raises what ``open`` raises.
        """
        with self._opened(read_only=False) as (connection, handle):
            connection.execute("CHECKPOINT")
            # Nothing is left to be done behind the block, when the file may have been replaced.
            connection.execute("PRAGMA disable_checkpoint_on_shutdown")
            yield connection, handle

    @contextmanager
    def _opened(self, *, read_only: bool) -> Iterator[tuple[duckdb.DuckDBPyConnection, int]]:
        deadline = time.monotonic() + self.wait
        turn = _turns.setdefault((os.getpid(), str(self.path)), threading.Lock())
        if not turn.acquire(timeout=self.wait):
            raise self._locked("another thread of this process")
        try:
            if not read_only:
                self._check_writable()
                if not self.path.exists():
                    self._create()
            with self._connected(deadline, read_only=read_only) as found:
                yield found
        finally:
            turn.release()

    def _check_writable(self) -> None:
        """Ask before DuckDB does: it would only find out when it commits, beside the file.

        Raises:
            WarehouseDenied: the file, or the folder for what belongs to it, may not be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unreadable(error, read_only=False) from error
        for place, rights, what in (
            (self.path.parent, os.W_OK | os.X_OK, "folder"),
            (self.path, os.W_OK, "file"),
        ):
            if place.exists() and not os.access(place, rights, effective_ids=_EFFECTIVE):
                raise self._denied(f"its {what} may not be written")

    def _create(self) -> None:
        new = self.path.with_name(f"{self.path.name}.{uuid4().hex}.new")
        try:
            self._connect(new).close()
            with suppress(FileExistsError):
                self.path.hardlink_to(new)
        finally:
            new.unlink(missing_ok=True)

    @contextmanager
    def _connected(
        self, deadline: float, *, read_only: bool
    ) -> Iterator[tuple[duckdb.DuckDBPyConnection, int]]:
        pause, said = _SHORTEST_PAUSE, False
        while True:
            with self._handle(read_only=read_only) as handle:
                found = self._attempt(handle, read_only=read_only)
                if not isinstance(found, Exception):
                    with found:
                        yield found, handle
                    return
            left = deadline - time.monotonic()
            if left <= 0:
                raise self._locked(_holder(str(found))) from found
            if not said and self.wait - left >= PATIENCE:
                said = True
                waiting_for_turn(self.path, _holder(str(found)), left)
            # Full jitter, so that waiters do not knock together.
            self.sleep(min(left, random.uniform(_SHORTEST_PAUSE, pause)))  # noqa: S311
            pause = min(_LONGEST_PAUSE, pause * 2)

    def _attempt(self, handle: int, *, read_only: bool) -> duckdb.DuckDBPyConnection | Exception:
        """A connection to the present state of the file, or why there is none at the moment."""
        import duckdb

        before = os.pread(handle, _HEADER, 0)
        try:
            connection = self._connect(self.path, read_only=read_only)
        except duckdb.Error as error:
            locked = any(sign in str(error) for sign in _LOCKED)
            if locked or os.pread(handle, _HEADER, 0) != before:
                return error
            raise self._unreadable(error, read_only=read_only) from error
        if os.pread(handle, _HEADER, 0) == before and self._has_name(handle):
            return connection
        connection.close()
        return WarehouseError("the file changed while it was opened")

    def _has_name(self, handle: int) -> bool:
        """Whether the handle's file is the one that others find."""
        try:
            return os.path.samestat(os.fstat(handle), self.path.stat())
        except FileNotFoundError:
            return False

    @contextmanager
    def _handle(self, *, read_only: bool) -> Iterator[int]:
        """A handle of our own on the file, which outlives the connection (see above)."""
        try:
            if self.path.is_dir():
                raise self._denied("it is a folder")
            handle = os.open(self.path, os.O_RDONLY)
        except OSError as error:
            raise self._unreadable(error, read_only=read_only) from error
        try:
            yield handle
        finally:
            os.close(handle)

    def _connect(self, path: Path, *, read_only: bool = False) -> duckdb.DuckDBPyConnection:
        return connect(
            path, read_only=read_only, memory_limit=self.memory_limit, threads=self.threads
        )

    def _locked(self, holder: str) -> WarehouseError:
        return WarehouseError(
            f"{self.path} was locked by {holder} for {self.wait:g} s.",
            hint="Nothing was changed. Close what has the file open (a SQL shell, a notebook, a BI"
            " tool: give those a copy of the file), then run the task again.",
        )

    def _unreadable(self, error: Exception, *, read_only: bool) -> WarehouseError:
        if read_only and not self.path.exists():
            return WarehouseError(
                f"{self.path} does not exist yet.", hint="Load something first, or prepare it."
            )
        said = _first_line(str(error))
        if any(sign in said for sign in _HOPELESS):
            return self._denied(said)
        return WarehouseError(
            f"{self.path} cannot be opened: {said}",
            hint="Check the path and the disk; nothing was changed.",
        )

    def _denied(self, why: str) -> WarehouseDenied:
        """Only a person ends this. Users are told by number, as ``ls -ln`` shows them."""
        return WarehouseDenied(
            f"The DuckDB file {self.path} cannot be opened by user {os.geteuid()}: {why}",
            hint="Nothing was changed. See what lies there and whether that user may write it and"
            " its folder, or correct the path ([liftos] duckdb_path, or the connection's host).",
        )


def waiting_for_turn(path: Path, holder: str, left: float) -> None:
    """Say that somebody else has the file, and how long (seconds) that will be waited for."""
    log.info("%s: waiting for our turn, at most %.0f s; held by %s", path, left, holder)


def _first_line(said: str) -> str:
    return said.strip().partition("\n")[0]


def _holder(message: str) -> str:
    found = re.search(r"held in (\S+).*?\(PID (\d+)\)", message)
    return f"process {found[2]} ({found[1]})" if found else "this process, or by many in turn,"


@dataclass(frozen=True, slots=True)
class DuckDbSession:
    """One open transaction on a connection."""

    connection: duckdb.DuckDBPyConnection

    def execute(self, sql: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run one statement; all its rows."""
        return self.connection.execute(sql, list(params)).fetchall()
