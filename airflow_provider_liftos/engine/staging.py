"""Staging: immutable files, one name per attempt, made visible by a manifest that is written last.

A folder of this host, or any store that fsspec speaks to. Raw rows are stored one per line,
compressed with zstd, exactly as received. Engines that read files (DuckDB) are handed local ones:
of what lies in a store they get copies, compared with the manifest, that are gone afterwards.
"""

from __future__ import annotations

import hashlib
import json
import re
import stat
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from airflow_provider_liftos.engine.manifest import File
from airflow_provider_liftos.engine.objects import (
    Found,
    Incoming,
    ObjectStore,
    Outgoing,
    StagingUnavailable,
)
from airflow_provider_liftos.engine.temporary import temporary_folder
from airflow_provider_liftos.model.errors import ConfigurationError, StagingError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

ROLL_BYTES = 64 * 1024 * 1024
"""Uncompressed bytes of a raw file before the next one begins; bounds memory of what reads it."""

_UNSAFE = re.compile(r"[^A-Za-z0-9._=-]+")


class Staging:
    """Files under one root: a path of this host, or a full name in the store ``fs``."""

    def __init__(self, root: str, fs: AbstractFileSystem | None = None) -> None:
        self._root = root.removeprefix("file://").rstrip("/")
        self._store = None if fs is None or _is_local(fs) else ObjectStore(fs)

    @property
    def is_local(self) -> bool:
        """Whether it is a folder of this host."""
        return self._store is None

    def folder(self, *parts: str) -> str:
        """A folder whose name is made of harmless characters, whatever the parts hold."""
        safe = [_UNSAFE.sub("_", part).lstrip(".") or "_" for part in parts]
        return "/".join((self._root, *safe))

    def unique(self, folder: str, suffix: str) -> str:
        """A path that nobody has written before."""
        return f"{folder}/{uuid.uuid4().hex}{suffix}"

    def make(self, folder: str) -> None:
        """Create a folder of this host; StagingError when the disk refuses. Stores need none."""
        if self._store:
            return
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(folder, error) from None

    def open(self, path: str) -> IO[bytes] | Incoming:
        """A file to read; OSError is about the file, StagingUnavailable about the store."""
        return self._store.open(path) if self._store else Path(_here(path)).open("rb")

    def create(self, path: str) -> IO[bytes] | Outgoing:
        """A new file to write; in a store it is there, whole, once it is closed."""
        if self._store:
            return self._store.create(path)
        self.make(path.rpartition("/")[0])
        return Path(path).open("wb")

    def remove(self, path: str) -> None:
        """Remove a file that nobody was told of; if that fails, it only takes room."""
        with suppress(OSError, StagingError):
            if self._store:
                self._store.remove(path)
            else:
                Path(path).unlink(missing_ok=True)

    def _refuse_outside(self, path: str) -> None:
        """A manifest that was tampered with may name any file; only our own are read."""
        plain = path if self._store else _here(path)
        if ".." in plain.split("/") or not plain.startswith(f"{self._root}/"):
            raise StagingError(
                f"the file {path} is not below the staging folder {self._root or '/'}",
                hint="Has [liftos] staging_url changed since it was written? Clear the extract"
                " task; nothing was published from it.",
            )

    def found(self, folder: str) -> Iterator[Found]:
        """Every file below a folder of the root. Raises StagingUnavailable."""
        place = self.folder(folder)
        if self._store:
            yield from self._store.found(place)
            return
        for name in sorted(Path(place).rglob("*")):
            with suppress(FileNotFoundError):  # somebody else has taken it away
                status = name.lstat()
                if stat.S_ISREG(status.st_mode):
                    yield Found(path=str(name), bytes=status.st_size, modified=status.st_mtime)

    def delete(self, path: str, *, up_to: str) -> None:
        """Delete a file and its empty folders, that of the name ``up_to`` included.

        Raises StagingUnavailable, or StagingError when this host refuses; a file that is not there
        (any more) is fine.
        """
        with suppress(FileNotFoundError):
            if self._store:
                self._store.remove(path)
                return
            try:
                Path(path).unlink()
            except PermissionError as error:
                raise unwritable(path, error) from None
        with suppress(OSError):
            for parent in Path(path).parents:
                if up_to not in parent.parts:
                    break
                parent.rmdir()

    def write_json(self, folder: str, value: Any) -> str:
        """Write a manifest under a new name; its path."""
        path = self.unique(folder, ".json")
        content = json.dumps(value, separators=(",", ":")).encode()
        if self._store:
            self._store.write(path, content)
            return path
        self.make(folder)
        try:
            Path(path).write_bytes(content)
        except OSError as error:
            raise unwritable(path, error) from None
        return path

    def read_json(self, path: str) -> Any:
        """Read a manifest; StagingError when it is missing or not JSON."""
        self._refuse_outside(path)
        try:
            with self.open(path) as file:
                return json.loads(file.read())
        except (OSError, ValueError, RecursionError) as error:
            raise StagingError(
                f"the manifest {path} cannot be read ({type(error).__name__})",
                hint="Clear the task that wrote it; nothing was published from it.",
            ) from None

    def describe(self, path: str, rows: int) -> File:
        """Size and checksum of a finished file."""
        digest, size = hashlib.sha256(), 0
        try:
            with self.open(path) as file:
                while block := file.read(1 << 20):
                    digest.update(block)
                    size += len(block)
        except OSError as error:
            raise unreadable(path, type(error).__name__) from None
        return File(path=path, rows=rows, bytes=size, sha256=digest.hexdigest())

    def verify(self, files: Sequence[File]) -> None:
        """StagingError unless every file is what its manifest says."""
        for file in files:
            self._refuse_outside(file.path)
            _compare(file, self.describe(file.path, file.rows))

    def intact(self, files: Sequence[File]) -> bool:
        """Whether every file is what its manifest says; StagingUnavailable when nobody can say."""
        try:
            self.verify(files)
        except StagingUnavailable:
            raise
        except StagingError:
            return False
        return True

    @contextmanager
    def local(self, files: Sequence[File]) -> Iterator[tuple[File, ...]]:
        """The same files by paths of this host, each found to be what its manifest says.

        Those of a store are copies that are gone afterwards: ask for few at a time.

        Raises:
            StagingError: a file is missing or damaged, or there is no room for its copy.
            StagingUnavailable: the store does not answer.
            ConfigurationError: a file lies in a store, but staging is a folder of this host.
        """
        if self._store is None:
            near = tuple(replace(file, path=_here(file.path)) for file in files)
            self.verify(near)
            yield near
            return
        for file in files:
            self._refuse_outside(file.path)
        with temporary_folder() as folder:
            yield tuple(_copy(self._store, file, folder) for file in files)

    @contextmanager
    def bench(self) -> Iterator[Staging]:
        """Where files are made before ``keep`` takes them.

        This staging itself where it is local, else a folder of this host that is gone afterwards.
        """
        if self._store is None:
            yield self
            return
        with temporary_folder() as folder:
            yield Staging(folder)

    def keep(self, bench: Staging, files: Sequence[File]) -> tuple[File, ...]:
        """Files of a bench, where they last. Raises StagingUnavailable."""
        if self._store is None:
            return tuple(files)
        kept = []
        for file in files:
            path = self._root + file.path.removeprefix(bench._root)
            self._store.upload(file.path, path, file.bytes)
            kept.append(replace(file, path=path))
        return tuple(kept)


def _is_local(fs: AbstractFileSystem) -> bool:
    protocols = (fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol
    return "file" in protocols


def _here(path: str) -> str:
    path = path.removeprefix("file://")
    if "://" in path:
        raise ConfigurationError(
            f"the staged file {path} lies in a store, but staging is a folder of this host",
            hint="Has [liftos] staging_url changed since it was written? Clear the extract task.",
        )
    return path


def _copy(store: ObjectStore, file: File, folder: str) -> File:
    target = f"{folder}/{file.path.rpartition('/')[2]}"
    try:
        store.download(file.path, target)
    except OSError as error:
        raise unreadable(file.path, type(error).__name__) from None
    copy = Staging(folder).describe(target, file.rows)
    _compare(file, copy)
    return copy


def _compare(file: File, found: File) -> None:
    if found.bytes != file.bytes:
        raise unreadable(file.path, f"it has {found.bytes} bytes, its manifest says {file.bytes}")
    if found.sha256 != file.sha256:
        raise unreadable(file.path, "its checksum differs from the manifest's")


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
        with suppress(StagingError):
            self._roll()
        for file in self._files:
            self._staging.remove(file.path)
        self._files.clear()

    def _open(self) -> None:
        import pyarrow as pa

        self._path = self._staging.unique(self._folder, ".ndjson.zst")
        self._file = self._staging.create(self._path)
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

    def __init__(self, file: IO[bytes] | Outgoing) -> None:
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
