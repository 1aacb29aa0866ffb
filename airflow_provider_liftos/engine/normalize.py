"""Raw files into Parquet in the unified schema, slice by slice, in bounded memory."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_liftos.engine import sift
from airflow_provider_liftos.engine.manifest import File, Manifest, SliceResult
from airflow_provider_liftos.engine.staging import Staging, unreadable
from airflow_provider_liftos.model.errors import StagingError
from airflow_provider_liftos.model.platform import Platform, RowMapping, Stream
from airflow_provider_liftos.model.report import Report
from airflow_provider_liftos.model.sql import identifier, literal
from airflow_provider_liftos.model.unified import TABLES
from airflow_provider_liftos.transforms import unify
from airflow_provider_liftos.transforms.duckdb import connect

if TYPE_CHECKING:
    import duckdb

log = logging.getLogger(__name__)

Reject = Callable[[SliceResult, Sequence[tuple[str, str]]], None]
"""Takes (reason, raw line) of rows that cannot be kept."""

_KEY = "date, campaign_id, ad_group_id, ad_id, breakdown_key, attribution_window"
_MOST_REJECTED = 1000


class _UnreadableRowsError(StagingError):
    """The engine cannot make rows of a whole file."""


@dataclass(slots=True, kw_only=True)
class Normalizer:
    """Turns the slices of a manifest into unified Parquet files.

    ``options`` are facts for the platform's mapping, such as ``conversion_actions``.
    ``restatement_days`` stands in for what is known of the platform.
    """

    platform: Platform
    staging: Staging
    reject: Reject
    options: Mapping[str, Any]
    memory_limit: str = "256MB"
    threads: int = 2
    restatement_days: int | None = None

    def normalize(self, manifest: Manifest) -> Manifest:
        """The manifest with staged files; slices that failed pass through as they are."""
        connection = connect(memory_limit=self.memory_limit, threads=self.threads)
        try:
            done = [self._slice(connection, manifest, cut) for cut in manifest.slices]
        finally:
            connection.close()
        return manifest.with_slices([replace(cut, normalized=True) for cut in done])

    def _slice(
        self, connection: duckdb.DuckDBPyConnection, manifest: Manifest, cut: SliceResult
    ) -> SliceResult:
        if cut.status == "failed":
            return cut
        with self.staging.local(cut.raw) as raw, self.staging.bench() as bench:
            near = replace(cut, raw=raw)
            try:
                done = replace(self, staging=bench).one_slice(connection, manifest, near)
            except _UnreadableRowsError as error:
                log.warning("%s Other slices go on.", error)
                return replace(cut, status="failed", error=str(error))
            return replace(done, raw=cut.raw, staged=self.staging.keep(bench, done.staged))

    def one_slice(
        self, connection: duckdb.DuckDBPyConnection, manifest: Manifest, cut: SliceResult
    ) -> SliceResult:
        """One complete slice, read and written on this host; StagingError when that fails."""
        if cut.slice.stream:
            return self._stream(connection, manifest, cut)
        return self._report(connection, manifest, cut)

    def _report(
        self, connection: duckdb.DuckDBPyConnection, manifest: Manifest, cut: SliceResult
    ) -> SliceResult:
        report = cut.slice.report
        if report is None:
            raise StagingError(f"slice {cut.slice.label} is not of a report")
        mapping = self.platform.mapping(report, self.options)
        return self._sifted(
            manifest, cut, mapping.raw,
            lambda part: self._unified(connection, manifest, part, report, mapping),
        )  # fmt: skip

    def _sifted(
        self,
        manifest: Manifest,
        cut: SliceResult,
        raw: Mapping[str, str],
        work: Callable[[SliceResult], SliceResult],
    ) -> SliceResult:
        """Work on the whole slice; if it cannot be read, on those of its rows that can."""
        try:
            return work(cut)
        except _UnreadableRowsError as error:
            log.warning("%s Its rows are looked at one by one.", error)
        folder = self._folder("sifted", cut, manifest.load_id)
        sifted = [sift.sift(self.staging, file, folder, raw) for file in cut.raw]
        clean = tuple(file for part in sifted for file in part.files)
        letters = [(reason, line) for part in sifted for reason, line in part.letters]
        done = work(replace(cut, raw=clean))
        if not letters:
            return replace(done, raw=cut.raw)
        self.reject(cut, letters[:_MOST_REJECTED])
        return replace(
            done,
            raw=cut.raw,
            rejected=done.rejected + len(letters),
            warnings=(*done.warnings, f"{len(letters)} rows are no rows; they are dead letters"),
        )

    def _unified(
        self,
        connection: duckdb.DuckDBPyConnection,
        manifest: Manifest,
        cut: SliceResult,
        report: Report,
        mapping: RowMapping,
    ) -> SliceResult:
        facts = self._facts(manifest, cut)
        # Parts are read one by one to bound memory, unless their fields belong together.
        groups = [cut.raw] if cut.merge else [(file,) for file in cut.raw]
        staged = []
        for group in filter(None, groups):
            paths = [file.path for file in group]
            query = unify.report_sql(mapping, report, facts, paths, merge=cut.merge)
            staged.append(self._copy(connection, query, cut, manifest.load_id))
        rejected = self._rejected(connection, cut, mapping, staged)
        staged, duplicates = self._distinct(connection, staged, cut, manifest.load_id)
        if (mapping.unnest or mapping.apart) and cut.raw:
            query = unify.copies_sql(mapping, [file.path for file in cut.raw])
            duplicates = int(self._run(connection, query, cut)[0][0])
        bad = self._scalar(connection, "sum(unreadable)", staged)
        return replace(
            cut,
            staged=tuple(f for f in staged if f.rows),
            rejected=rejected,
            duplicates=duplicates,
            unreadable=bad,
            warnings=(*cut.warnings, *_words(rejected, duplicates, bad)),
        )

    def _stream(
        self, connection: duckdb.DuckDBPyConnection, manifest: Manifest, cut: SliceResult
    ) -> SliceResult:
        stream = self.platform.stream(str(cut.slice.stream))
        return self._sifted(
            manifest, cut, unify.stream_raw(stream),
            lambda part: self._entities(connection, manifest, part, stream),
        )  # fmt: skip

    def _entities(
        self,
        connection: duckdb.DuckDBPyConnection,
        manifest: Manifest,
        cut: SliceResult,
        stream: Stream,
    ) -> SliceResult:
        if not cut.raw:
            return cut
        paths = [file.path for file in cut.raw]
        query = unify.stream_sql(stream, self._facts(manifest, cut), paths)
        with _in_order(connection):
            staged = self._copy(connection, query, cut, manifest.load_id)
        rejected = 0
        if staged.rows != sum(file.rows for file in cut.raw):
            rejected = self._hand_over(connection, cut, unify.nameless_sql(stream, paths))
        staged, copies = self._last_of_each(connection, staged, cut, manifest.load_id, stream)
        return replace(
            cut,
            staged=(staged,),
            rejected=rejected,
            duplicates=copies,
            warnings=(*cut.warnings, *_words(rejected, 0, 0, copies)),
        )

    def _last_of_each(
        self,
        connection: duckdb.DuckDBPyConnection,
        staged: File,
        cut: SliceResult,
        load_id: str,
        stream: Stream,
    ) -> tuple[File, int]:
        """One row per entity: lists move while they are read, and what comes last is newest."""
        key = identifier(TABLES[stream.table].key[-1])
        unique = self._scalar(connection, f"count(DISTINCT {key})", [staged])
        if staged.rows == unique:
            return staged, 0
        source = f"read_parquet({literal(staged.path)}, file_row_number=true)"
        query = (
            f"SELECT * EXCLUDE (file_row_number) FROM {source} QUALIFY"
            f" row_number() OVER (PARTITION BY {key} ORDER BY file_row_number DESC) = 1"
        )
        return self._copy(connection, query, cut, load_id), staged.rows - unique

    def _facts(self, manifest: Manifest, cut: SliceResult) -> unify.Facts:
        account = cut.account
        return unify.Facts(
            org_id=manifest.org_id,
            platform=manifest.platform,
            account_id=account.account_id,
            account_name=account.name.replace("\x00", ""),
            currency=account.currency,
            timezone=account.timezone or "UTC",
            as_of=cut.as_of,
            load_id=manifest.load_id,
            is_mock=manifest.is_mock,
            restatement_days=self._restatement_days(),
            minor_units=self.platform.minor_units(account.currency),
        )

    def _restatement_days(self) -> int:
        known = self.platform.availability.restatement_days
        return known if self.restatement_days is None else self.restatement_days

    def _copy(
        self, connection: duckdb.DuckDBPyConnection, query: str, cut: SliceResult, load_id: str
    ) -> File:
        folder = self._folder("staged", cut, load_id)
        path = self.staging.unique(folder, ".parquet")
        self.staging.make(folder)
        rows = self._run(
            connection,
            f"COPY ({query}) TO {literal(path)}"
            " (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, ROW_GROUP_SIZE 122880)",
            cut,
        )
        return self.staging.describe(path, int(rows[0][0]))

    def _folder(self, kind: str, cut: SliceResult, load_id: str) -> str:
        part = cut.slice
        return self.staging.folder(kind, part.platform, part.account_id, part.name, load_id)

    def _run(
        self, connection: duckdb.DuckDBPyConnection, query: str, cut: SliceResult
    ) -> list[tuple[Any, ...]]:
        import duckdb

        try:
            return connection.execute(query).fetchall()
        except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
            raise StagingError(
                f"{cut.slice.label} cannot be normalized for now: {str(error)[:300]}",
                platform=cut.slice.platform,
                account=cut.slice.account_id,
                hint="Look after the disk and memory of this worker; the next try starts again.",
            ) from None
        except duckdb.Error as error:
            raise _UnreadableRowsError(
                f"raw rows of {cut.slice.label} cannot be normalized: {str(error)[:300]}",
                platform=cut.slice.platform,
                account=cut.slice.account_id,
                hint="Its days stay as they were; clear the extract task to fetch them again.",
            ) from None

    def _rejected(
        self,
        connection: duckdb.DuckDBPyConnection,
        cut: SliceResult,
        mapping: RowMapping,
        staged: Sequence[File],
    ) -> int:
        """Count rows that could not be kept and hand them to ``reject``."""
        expected = sum(f.rows for f in cut.raw) * len(mapping.windows)
        countable = not (mapping.unnest or mapping.apart or cut.merge)
        if not cut.raw or (countable and sum(f.rows for f in staged) == expected):
            return 0
        query = unify.rejected_sql(mapping, [file.path for file in cut.raw])
        return self._hand_over(connection, cut, query)

    def _hand_over(
        self, connection: duckdb.DuckDBPyConnection, cut: SliceResult, query: str
    ) -> int:
        """Give ``reject`` the (reason, line) of rows that a query finds; how many there are."""
        total = int(self._run(connection, f"SELECT count(*) FROM ({query})", cut)[0][0])
        if total:
            rows = self._run(connection, f"{query} LIMIT {_MOST_REJECTED}", cut)
            self.reject(cut, [(f"no readable {reason}", line) for reason, line in rows])
        return total

    def _distinct(
        self,
        connection: duckdb.DuckDBPyConnection,
        staged: list[File],
        cut: SliceResult,
        load_id: str,
    ) -> tuple[list[File], int]:
        """Take out rows that came twice with equal content; unequal ones are left to the audit."""
        rows = sum(file.rows for file in staged)
        unique = self._scalar(connection, f"count(DISTINCT hash({_KEY}))", staged)
        if rows == unique:
            return staged, 0
        query = f"SELECT DISTINCT * FROM {_parquet(staged)}"
        merged = self._copy(connection, query, cut, load_id)
        return [merged], rows - merged.rows

    def _scalar(
        self, connection: duckdb.DuckDBPyConnection, expression: str, staged: Sequence[File]
    ) -> int:
        files = [file for file in staged if file.rows]
        if not files:
            return 0
        found = connection.execute(f"SELECT {expression} FROM {_parquet(files)}").fetchone()
        return int(found[0] or 0) if found else 0


def _parquet(files: Sequence[File]) -> str:
    paths = ", ".join(literal(file.path) for file in files)
    if not paths:
        raise unreadable("(none)", "there is no staged file")
    return f"read_parquet([{paths}])"


@contextmanager
def _in_order(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Rows keep the order in which they were received, which takes more memory."""
    connection.execute("SET preserve_insertion_order=true")
    try:
        yield
    finally:
        connection.execute("SET preserve_insertion_order=false")


def _words(rejected: int, duplicates: int, bad: int, copies: int = 0) -> list[str]:
    return [
        text
        for count, text in (
            (rejected, f"{rejected} rows lack their day or an id; they are dead letters"),
            (duplicates, f"{duplicates} rows came twice with equal content; one copy was kept"),
            (copies, f"{copies} entities came again on a later page; the last of each was kept"),
            (bad, f"{bad} values are not what their column holds; they are null"),
        )
        if count
    ]
