"""Staged files before they are loaded: each must be what its manifest says."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from airflow_provider_liftos.engine.manifest import File, Manifest, SliceResult
from airflow_provider_liftos.model.errors import ConfigurationError, StagingError
from airflow_provider_liftos.model.unified import ENTITIES, PERFORMANCE, Table
from airflow_provider_liftos.warehouses.contract import TableOf

_BLOCK = 1 << 20
_TABLES = {table.name: table for table in (PERFORMANCE, *ENTITIES)}


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedSlice:
    """A slice whose files were found to be as declared, and the table they belong to."""

    result: SliceResult
    table: Table
    paths: tuple[str, ...]
    rows: int

    @property
    def key(self) -> str:
        """Under which its rows are kept in the audit schema."""
        return self.result.slice.fingerprint()

    def error(self, message: str) -> StagingError:
        """An error about this slice's files."""
        return _error(self.result, message)


def verified(manifest: Manifest, table_of: TableOf) -> Iterator[StagedSlice]:
    """The complete slices, each after all its files were compared with the manifest.

    Raises:
        StagingError: a file is missing, or has another size or digest.
        ConfigurationError: a slice belongs to a table nobody knows, or files are out of reach.
    """
    for result in manifest.slices:
        if result.status != "complete":
            continue
        table = _TABLES.get(name := table_of(result))
        if table is None:
            raise ConfigurationError(
                f"{result.slice.label} belongs to table {name!r}, which the unified schema has not"
            )
        yield StagedSlice(
            result=result,
            table=table,
            paths=tuple(str(_verify(result, file)) for file in result.staged),
            rows=sum(file.rows for file in result.staged),
        )


def _verify(result: SliceResult, file: File) -> Path:
    path = _local(file.path)
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
                size += len(block)
    except OSError as error:
        raise _error(result, f"{path} cannot be read: {error.strerror}") from error
    if size != file.bytes:
        raise _error(result, f"{path} has {size} bytes, its manifest says {file.bytes}")
    if digest.hexdigest() != file.sha256:
        raise _error(result, f"{path} has other bytes than when its manifest was written")
    return path


def _local(path: str) -> Path:
    path = path.removeprefix("file://")
    if "://" in path:
        raise ConfigurationError(
            f"Staging at {path.partition('://')[0]}:// cannot be read by this warehouse.",
            hint="Use a staging folder that the loading task can read as files.",
        )
    return Path(path)


def _error(result: SliceResult, message: str) -> StagingError:
    return StagingError(
        f"{result.slice.label}: {message}.",
        platform=result.slice.platform,
        account=result.slice.account_id,
        hint="Nothing was loaded for it; clear the extract task to stage it again.",
    )
