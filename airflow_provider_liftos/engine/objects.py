"""A store that is not this host's disk: whole files go in and come out.

S3, Google Cloud Storage, Azure and whatever else fsspec speaks. What is written is first written to
the temporary folder and sent when it is whole, so that memory stays bounded and nobody finds half a
file. Each store's client has errors of its own; here only FileNotFoundError keeps its meaning, all
others say that the store cannot be used for now.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, Self

from airflow_provider_liftos.engine.temporary import room, temporary_file
from airflow_provider_liftos.model.errors import ConfigurationError, LiftosError, StagingError
from airflow_provider_liftos.transport.redact import redact

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_BLOCK = 4 << 20
_WITHOUT_FOLDERS = frozenset("s3 s3a gs gcs abfs abfss az adl oss r2".split())
_SIGNATURE = re.compile(r"\?\S+")


class StagingUnavailable(StagingError):
    """The store does not answer or refuses; nothing is known about the file asked for."""


class StagingDenied(StagingUnavailable, ConfigurationError):
    """The store refuses these credentials what is asked; trying again cannot help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A file that lies there; ``modified`` in epoch seconds, None where nobody can say."""

    path: str
    bytes: int
    modified: float | None


class ObjectStore:
    """Files of an fsspec file system by their full names, such as ``s3://bucket/folder/file``."""

    def __init__(self, fs: AbstractFileSystem) -> None:
        self._fs = fs

    def write(self, path: str, content: bytes) -> None:
        """Put a small file. Raises StagingUnavailable."""
        with _asking("write", path, unknown=True):
            self._put(path, lambda: self._fs.pipe_file(path, content))

    def upload(self, source: str, path: str, size: int) -> None:
        """Put a file of this host. Raises StagingUnavailable, also when not all of it arrived."""
        with _asking("write", path, unknown=True):
            self._put(path, lambda: self._fs.put_file(source, path))
            kept = int(self._fs.info(path)["size"])
        if kept != size:
            raise _unavailable("write", path, f"it kept {kept} of {size} bytes")

    def download(self, path: str, target: str) -> None:
        """Copy a file to this host.

        Raises:
            FileNotFoundError: the store has no such file.
            StagingUnavailable: the store does not answer.
            StagingError: there is no room for the copy.
        """
        with _asking("read", path), room(target):
            self._fs.get_file(path, target)

    def remove(self, path: str) -> None:
        """Remove a file. Raises FileNotFoundError or StagingUnavailable."""
        with _asking("remove", path):
            self._fs.rm_file(path)

    def found(self, folder: str) -> Iterator[Found]:
        """Every file below a folder. Raises StagingUnavailable."""
        with _asking("list", folder):
            try:
                names: dict[str, Any] = self._fs.find(folder, detail=True)
            except FileNotFoundError:
                return
        for name, facts in names.items():
            yield Found(
                path=self._fs.unstrip_protocol(name),
                bytes=int(facts.get("size") or 0),
                modified=_modified(facts),
            )

    def open(self, path: str) -> Incoming:
        """A file to read from its beginning; errors as those of ``download``."""
        with _asking("read", path):
            return Incoming(self._fs.open(path, "rb", block_size=_BLOCK), path)

    def create(self, path: str) -> Outgoing:
        """A new file to write; it is there, whole, once it is closed."""
        return Outgoing(self, path)

    def _put(self, path: str, put: Callable[[], object]) -> None:
        try:
            put()
        except FileNotFoundError:
            # Where folders are real, one may be missing. In a store of objects it is the bucket,
            # which nobody asked us to make.
            if path.partition("://")[0] in _WITHOUT_FOLDERS:
                raise
            self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            put()


class Incoming:
    """A file of a store, read in order."""

    closed = False

    def __init__(self, file: IO[bytes], path: str) -> None:
        self._file = file
        self._path = path

    def read(self, size: int = -1) -> bytes:
        """The next bytes; errors as those of ``ObjectStore.download``."""
        with _asking("read", self._path):
            return self._file.read(size)

    def close(self) -> None:
        """Let go of it."""
        self.closed = True
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Outgoing:
    """A file in the temporary folder that is sent to the store when it is closed.

    Left open, it vanishes, and the store never hears of it.
    """

    def __init__(self, store: ObjectStore, path: str) -> None:
        self._store = store
        self._path = path
        self._file = temporary_file()

    def write(self, block: Any) -> int:
        """Append; StagingError when the disk is full."""
        view = memoryview(block).cast("B")
        with room(self._file.name):
            rest = view
            while rest:
                rest = rest[self._file.write(rest) :]
        return view.nbytes

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Send it. Raises StagingUnavailable."""
        with self._file:
            self._store.upload(self._file.name, self._path, self._file.tell())


# Stores of fsspec have no common name for it.
_MODIFIED = ("mtime", "LastModified", "last_modified", "updated", "timeCreated", "created")


def _modified(facts: Mapping[str, Any]) -> float | None:
    value = next((facts[name] for name in _MODIFIED if facts.get(name)), None)
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    return float(value) if isinstance(value, int | float) else None


@contextmanager
def _asking(verb: str, path: str, *, unknown: bool = False) -> Iterator[None]:
    """Errors of the store's client; ``unknown`` when a file not found is the store's fault."""
    try:
        yield
    except LiftosError:
        raise
    except FileNotFoundError as error:
        if not unknown:
            raise
        raise _unavailable(verb, path, _words(error)) from None
    except Exception as error:  # noqa: BLE001 - clients share no base but this
        if _is_denied(error):
            raise _denied(verb, path, _words(error)) from None
        raise _unavailable(verb, path, _words(error)) from None


def _unavailable(verb: str, path: str, why: str) -> StagingUnavailable:
    return StagingUnavailable(
        f"the staging store cannot {verb} {path}: {why}",
        hint="Nothing that was published has changed. Look at [liftos] staging_url and its"
        " connection; the task starts again where it stopped.",
    )


def _denied(verb: str, path: str, why: str) -> StagingDenied:
    return StagingDenied(
        f"the staging store does not let us {verb} {path}: {why}",
        hint="Nothing that was published has changed. Let the connection of [liftos] staging_url,"
        " or the host's own role, list, read, write and delete below that folder.",
    )


def _is_denied(error: Exception) -> bool:
    """Whether a client says so: S3's by the kind of its error, Google's and Azure's by a number.

    Credentials that have run out, and clocks that differ, are told alike and may be better soon.
    """
    if re.search(r"expired|time.{0,5}skewed|authentication failed", str(error), re.IGNORECASE):
        return False
    codes = (getattr(error, name, None) for name in ("code", "status_code", "status"))
    read_only = isinstance(error, OSError) and error.errno == errno.EROFS
    return isinstance(error, PermissionError) or read_only or any(str(c) == "403" for c in codes)


def _words(error: Exception) -> str:
    """Its kind and first line; addresses without their signatures."""
    lines = (str(error) or getattr(error, "strerror", None) or "").splitlines()
    said = redact(_SIGNATURE.sub("", lines[0])) if lines else ""
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
