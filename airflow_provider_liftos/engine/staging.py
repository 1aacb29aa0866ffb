"""Staging: immutable files, one name per attempt, made visible by a manifest that is written last.

Works on any fsspec file system; a local folder by default. Raw rows are stored one per line,
compressed with zstd, exactly as received.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import uuid
from collections.abc import Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any

from airflow_provider_liftos.engine.manifest import File
from airflow_provider_liftos.model.errors import StagingError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

ROLL_BYTES = 64 * 1024 * 1024
"""Uncompressed bytes of a raw file before the next one begins; bounds memory of what reads it."""

_UNSAFE = re.compile(r"[^A-Za-z0-9._=-]+")


class Staging:
    """Files under one root."""

    def __init__(self, root: str, fs: AbstractFileSystem | None = None) -> None:
        self._root = root.rstrip("/")
        self._fs = fs

    @property
    def fs(self) -> AbstractFileSystem:
        """The file system; local unless one was given."""
        if self._fs is None:
            from fsspec.implementations.local import LocalFileSystem

            self._fs = LocalFileSystem()
        return self._fs

    @property
    def is_local(self) -> bool:
        """Whether only this host can read it."""
        return "file" in self.fs.protocol

    def folder(self, *parts: str) -> str:
        """A folder whose name is made of harmless characters, whatever the parts hold."""
        safe = [_UNSAFE.sub("_", part).lstrip(".") or "_" for part in parts]
        return "/".join((self._root, *safe))

    def unique(self, folder: str, suffix: str) -> str:
        """A path that nobody has written before."""
        return f"{folder}/{uuid.uuid4().hex}{suffix}"

    def make(self, folder: str) -> None:
        """Create a folder; StagingError when the disk refuses."""
        try:
            self.fs.makedirs(folder, exist_ok=True)
        except OSError as error:
            raise unwritable(folder, error) from None

    @contextlib.contextmanager
    def writing(self, path: str) -> Iterator[IO[bytes]]:
        """Open a new file; errors of the disk become StagingError."""
        self.make(path.rsplit("/", 1)[0])
        try:
            with self.fs.open(path, "wb") as file:
                yield file
        except OSError as error:
            raise unwritable(path, error) from None

    def write_json(self, folder: str, value: Any) -> str:
        """Write a manifest under a new name; its path."""
        path = self.unique(folder, ".json")
        with self.writing(path) as file:
            file.write(json.dumps(value, separators=(",", ":")).encode())
        return path

    def read_json(self, path: str) -> Any:
        """Read a manifest; StagingError when it is missing or not JSON."""
        try:
            with self.fs.open(path, "rb") as file:
                return json.loads(file.read())
        except (OSError, ValueError) as error:
            raise StagingError(
                f"the manifest {path} cannot be read ({type(error).__name__})",
                hint="Clear the task that wrote it; nothing was published from it.",
            ) from None

    def describe(self, path: str, rows: int) -> File:
        """Size and checksum of a finished file."""
        digest, size = hashlib.sha256(), 0
        try:
            with self.fs.open(path, "rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
                    size += len(block)
        except OSError as error:
            raise unreadable(path, type(error).__name__) from None
        return File(path=path, rows=rows, bytes=size, sha256=digest.hexdigest())

    def verify(self, files: Sequence[File]) -> None:
        """StagingError unless every file is what its manifest says."""
        for file in files:
            found = self.describe(file.path, file.rows)
            if found.sha256 != file.sha256:
                raise unreadable(file.path, "its checksum differs from the manifest's")

    def intact(self, files: Sequence[File]) -> bool:
        """Whether every file is what its manifest says."""
        try:
            self.verify(files)
        except StagingError:
            return False
        return True


def unwritable(path: str, error: OSError) -> StagingError:
    """The error for a disk that refuses."""
    return StagingError(
        f"staging cannot be written: {error.strerror or type(error).__name__} ({path})",
        hint="Free space or fix [liftos] staging_url; the task starts again where it stopped.",
    )


def unreadable(path: str, why: str) -> StagingError:
    """The error for a staged file that is not what it should be."""
    return StagingError(
        f"the staged file {path} cannot be used: {why}",
        hint="Clear the extract task to fetch it again; nothing was published from it.",
    )


class RawWriter:
    """Writes rows as they come, one per line, rolling over to a new file when one is full."""

    def __init__(self, staging: Staging, folder: str) -> None:
        self._staging = staging
        self._folder = folder
        self._files: list[File] = []
        self._path = ""
        self._rows = self._size = 0
        self._closed = False
        self._stream: Any = None
        self._digest: Any = None

    def write(self, rows: Sequence[Any]) -> None:
        """Append the rows of one page."""
        if not rows:
            return
        block = b"\n".join(map(_line, rows)) + b"\n"
        try:
            if self._stream is None:
                self._open()
            self._stream.write(block)
        except OSError as error:
            raise unwritable(self._path, error) from None
        self._rows += len(rows)
        self._size += len(block)
        if self._size >= ROLL_BYTES:
            self._roll()

    def close(self) -> tuple[File, ...]:
        """Finish; the files written."""
        self._roll()
        self._closed = True
        return tuple(self._files)

    def discard(self) -> None:
        """Remove what was written, unless it was finished."""
        if self._closed:
            return
        with contextlib.suppress(StagingError):
            self._roll()
        for file in self._files:
            with contextlib.suppress(OSError):
                self._staging.fs.rm_file(file.path)
        self._files.clear()

    def _open(self) -> None:
        import pyarrow as pa

        self._path = self._staging.unique(self._folder, ".ndjson.zst")
        self._staging.make(self._folder)
        self._file = self._staging.fs.open(self._path, "wb")
        self._sink = _Digest(self._file)
        self._stream = pa.CompressedOutputStream(pa.PythonFile(self._sink, mode="w"), "zstd")
        self._rows = self._size = 0

    def _roll(self) -> None:
        if self._stream is None:
            return
        try:
            self._stream.close()
            self._file.close()
        except OSError as error:
            raise unwritable(self._path, error) from None
        finally:
            self._stream = None
        self._files.append(
            File(
                path=self._path,
                rows=self._rows,
                bytes=self._sink.size,
                sha256=self._sink.digest.hexdigest(),
            )
        )


class _Digest:
    """A file that knows the checksum of what went through it."""

    closed = False

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.size = 0

    def write(self, block: Any) -> int:
        view = memoryview(block)
        self.digest.update(view)
        self.size += view.nbytes
        self._file.write(view)
        return view.nbytes

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self.closed = True


def _line(row: Any) -> bytes:
    line = bytes(row)
    if b"\n" not in line:
        return line
    # Pretty-printed JSON: DuckDB would see several broken lines.
    import msgspec

    return msgspec.json.format(line, indent=-1)
