"""Staged files before they are loaded: each must be what its manifest says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import groupby

from airflow_provider_liftos.engine.manifest import Manifest, SliceResult
from airflow_provider_liftos.engine.objects import StagingUnavailable
from airflow_provider_liftos.engine.staging import Staging
from airflow_provider_liftos.model.errors import ConfigurationError, StagingError
from airflow_provider_liftos.model.unified import ENTITIES, PERFORMANCE, Table
from airflow_provider_liftos.warehouses.contract import TableOf

_TABLES = {table.name: table for table in (PERFORMANCE, *ENTITIES)}
_HINT = "Nothing was loaded for it; clear the extract task to stage it again."


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedSlice:
    """A complete slice, and the table its files belong to."""

    result: SliceResult
    table: Table

    @property
    def key(self) -> str:
        """Under which its rows are kept in the audit schema."""
        return self.result.slice.fingerprint()

    @property
    def rows(self) -> int:
        """As its manifest says."""
        return self.result.staged_rows

    @contextmanager
    def local(self, staging: Staging) -> Iterator[tuple[str, ...]]:
        """Paths of its files on this host, each compared with the manifest; maybe not for long.

        Raises:
            StagingError: a file is missing, or has another size or checksum.
            StagingUnavailable: the store of the files does not answer.
            ConfigurationError: files are out of reach.
        """
        with ExitStack() as opened:
            try:
                files = opened.enter_context(staging.local(self.result.staged))
            except StagingUnavailable:
                raise
            except StagingError as error:
                raise self.error(error.message, error.hint) from error
            yield tuple(file.path for file in files)

    def error(self, message: str, hint: str | None = _HINT) -> StagingError:
        """An error about this slice's files."""
        return StagingError(
            f"{self.result.slice.label}: {message}.",
            platform=self.result.slice.platform,
            account=self.result.slice.account_id,
            hint=hint,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSlice:
    """A slice whose files are on this host, for a while, and are what its manifest says.

    ``columns`` are those that the files hold; there are none without files.
    """

    part: StagedSlice
    columns: tuple[str, ...]
    paths: tuple[str, ...]


def by_table(slices: Iterable[LocalSlice]) -> Iterator[tuple[Table, list[LocalSlice]]]:
    """Those that have files, by the table they belong to."""
    filled = sorted((one for one in slices if one.paths), key=_table_name)
    for _, some in groupby(filled, key=_table_name):
        found = list(some)
        yield found[0].part.table, found


def _table_name(one: LocalSlice) -> str:
    return one.part.table.name


def complete(manifest: Manifest, table_of: TableOf) -> list[StagedSlice]:
    """The slices that can be loaded.

    Raises:
        ConfigurationError: a slice belongs to a table nobody knows.
    """
    found = []
    for result in manifest.slices:
        if result.status != "complete":
            continue
        table = _TABLES.get(name := table_of(result))
        if table is None:
            raise ConfigurationError(
                f"{result.slice.label} belongs to table {name!r}, which the unified schema has not"
            )
        found.append(StagedSlice(result=result, table=table))
    return found


def batches(
    slices: Iterable[StagedSlice], most_rows: int, most_slices: int
) -> Iterator[list[StagedSlice]]:
    """Slices together, up to so many; one alone may have more rows."""
    batch: list[StagedSlice] = []
    rows = 0
    for part in slices:
        full = rows + part.rows > most_rows or len(batch) >= most_slices
        if batch and full:
            yield batch
            batch, rows = [], 0
        batch.append(part)
        rows += part.rows
    if batch:
        yield batch
