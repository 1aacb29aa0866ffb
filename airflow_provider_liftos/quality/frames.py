"""Narrow numpy-typed frames of staged Parquet, for row rules.

DuckDB reads only the columns the checks need, casts and codes them in SQL, and hands over small
integers: one byte per row and check, instead of the rows.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_liftos.engine.manifest import File, Manifest, SliceResult
from airflow_provider_liftos.engine.staging import Staging
from airflow_provider_liftos.model.errors import StagingError
from airflow_provider_liftos.model.quality import Quality
from airflow_provider_liftos.model.sql import literal
from airflow_provider_liftos.model.unified import PERFORMANCE, Kind, Table
from airflow_provider_liftos.quality.suites import PLAIN, RowCheck, given_paths, quoted
from airflow_provider_liftos.transforms.duckdb import connect

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

log = logging.getLogger(__name__)

MAX_ROWS = 1_000_000  # rows of one frame; bounds memory whatever the size of the run
SLICE = "slice"  # the frame's column that says which slice a row is of
SAMPLE = 3

_TYPES: Mapping[Kind, tuple[str, tuple[str, ...]]] = {
    Kind.TEXT: ("VARCHAR", ("VARCHAR",)),
    Kind.ID: ("VARCHAR", ("VARCHAR",)),
    Kind.JSON: ("VARCHAR", ("VARCHAR", "JSON")),
    Kind.DATE: ("DATE", ("DATE",)),
    Kind.TIMESTAMP: ("TIMESTAMPTZ", ("TIMESTAMP",)),
    Kind.INT: ("BIGINT", ("BIGINT", "INTEGER", "HUGEINT")),
    Kind.DECIMAL: ("DECIMAL(18,6)", ("DECIMAL", "BIGINT", "INTEGER", "DOUBLE")),
    Kind.MONEY: ("DECIMAL(18,6)", ("DECIMAL", "BIGINT", "INTEGER", "DOUBLE")),
    Kind.BOOL: ("BOOLEAN", ("BOOLEAN",)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Staged files of one slice, by the slice's number in the manifest."""

    number: int
    result: SliceResult
    files: tuple[File, ...]

    @property
    def paths(self) -> tuple[str, ...]:
        """Where its files are."""
        return tuple(file.path for file in self.files)


def parts(results: Mapping[int, SliceResult], limit: int = MAX_ROWS) -> Iterator[list[Part]]:
    """Batches of at most ``limit`` rows where files allow; a slice may be in several."""
    batch: list[Part] = []
    held = 0
    for number, result in results.items():
        for file in result.staged:
            if not file.rows:
                continue
            if batch and held + file.rows > limit:
                yield batch
                batch, held = [], 0
            batch.append(Part(number=number, result=result, files=(file,)))
            held += file.rows
    if batch:
        yield batch


@contextmanager
def local(staging: Staging | None, batch: Sequence[Part]) -> Iterator[list[Part]]:
    """The batch with paths of this host, maybe not for long; as it is without a ``staging``.

    Raises StagingError when a file is missing or is not what its manifest says, and
    StagingUnavailable when the store does not answer.
    """
    if staging is None:
        yield list(batch)
        return
    with staging.local([file for part in batch for file in part.files]) as files:
        rest = iter(files)
        yield [replace(part, files=tuple(islice(rest, len(part.files)))) for part in batch]


def rows_frame(
    manifest: Manifest,
    table: Table,
    checks: Sequence[RowCheck],
    batch: Sequence[Part],
    quality: Quality = PLAIN,
) -> pd.DataFrame:
    """One row per staged row: the slice's number, and a code for each check.

    A check whose columns are in no file, or that cannot be computed, has no column in the frame, so
    that its expectation raises. Raises StagingError when a file cannot be read.
    """
    import pandas as pd

    with _Staged(manifest, table, batch, quality) as staged:
        usable = [check for check in checks if staged.has(check)]
        try:
            found = staged.run(_codes(usable))
        except StagingError:
            # What one check stumbles over must not take the others with it.
            computed = [check for check in usable if staged.computes(check)]
            if not computed:
                raise
            found = staged.run(_codes(computed))
        return pd.DataFrame(found.fetchnumpy(), copy=False)


def _codes(checks: Sequence[RowCheck]) -> str:
    columns = "".join(f", {check.sql} AS {quoted(check.id)}" for check in checks)
    return f"SELECT slice_number::INTEGER AS {quoted(SLICE)}{columns} FROM staged"


def plain_frame(
    manifest: Manifest,
    table: Table,
    columns: Sequence[RowCheck],
    batch: Sequence[Part],
    staging: Staging | None,
) -> pd.DataFrame:
    """Rows with these columns, by id, as far as the files have them; times without a zone.

    Raises StagingError when a file cannot be read.
    """
    import pandas as pd

    with local(staging, batch) as near, _Staged(manifest, table, near) as staged:
        usable = [one for one in columns if _reads(one.sql, staged.columns, table)]
        told = ", ".join(f"{one.sql} AS {quoted(one.id)}" for one in usable)
        found = staged.run(f"SELECT {told or 'NULL AS nothing'} FROM staged")
        return pd.DataFrame(found.fetchnumpy(), copy=False)


def _reads(sql: str, there: Collection[str], table: Table) -> bool:
    """Whether the files have all columns that the SQL names."""
    words = set(re.findall(r"\w+", sql))
    return all(name in there for name in table.names() if name in words)


def samples(
    manifest: Manifest,
    table: Table,
    check: RowCheck,
    batch: Sequence[Part],
    broken: Collection[int],
    quality: Quality = PLAIN,
) -> dict[int, list[dict[str, str]]]:
    """A few rows that break the check, for each of the slices ``broken``: ids and operands."""
    chosen = [part for part in batch if part.number in broken]
    with _Staged(manifest, table, chosen, quality) as staged:
        if not staged.has(check):
            return {}
        shown = list(dict.fromkeys((*table.key, *check.needs)))
        shown = [name for name in shown if name in staged.columns and name not in _TOLD]
        told = ", ".join(f"{quoted(name)}::VARCHAR" for name in shown)
        fails = f"isnan({check.sql})" if check.presence else f"({check.sql}) = 0"
        # A few of each slice, however many rows of another are broken; no more are ever held.
        found = staged.run(
            f"SELECT slice_number, unnest(arg_min([{told}], slice_number, {SAMPLE}))"
            f" FROM staged WHERE {fails} GROUP BY slice_number"
        ).fetchall()
    kept: dict[int, list[dict[str, str]]] = {}
    for number, values in found:
        row = {n: v for n, v in zip(shown, values, strict=True) if v not in (None, "")}
        kept.setdefault(number, []).append(row)
    return kept


def numbers_frame(columns: Mapping[str, Sequence[float]]) -> pd.DataFrame:
    """A small frame of numbers, a column for each rule."""
    import pandas as pd

    return pd.DataFrame(dict(columns), dtype="float64")


_TOLD = frozenset({"org_id", "platform", "account_id", "report", "level"})  # the finding says these


class _Staged:
    """The relation ``staged``: files of a batch beside the facts of their slices."""

    def __init__(
        self, manifest: Manifest, table: Table, batch: Sequence[Part], quality: Quality = PLAIN
    ) -> None:
        self._manifest = manifest
        self._given = given_paths(quality)
        self._table = table
        self._batch = batch
        self._paths = [path for part in batch for path in part.paths]

    def __enter__(self) -> Self:
        import duckdb

        self._connection = connect(memory_limit="300MB")
        try:
            described = self._connection.execute(
                "SELECT column_name, column_type FROM"
                " (DESCRIBE SELECT * FROM read_parquet(?, union_by_name = true))",
                [self._paths],
            ).fetchall()
        except duckdb.Error as error:
            self._connection.close()
            raise _unreadable(error) from error
        self.columns: dict[str, str] = dict(described)
        self._register()
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def has(self, check: RowCheck) -> bool:
        """True when the files hold what the check reads."""
        return all(name in self.columns or name == "unreadable" for name in check.needs)

    def computes(self, check: RowCheck) -> bool:
        """True when the check's SQL comes to an end on every row."""
        try:
            self.run(f"SELECT max(code) FROM (SELECT {check.sql} AS code FROM staged)").fetchall()
        except StagingError as error:
            log.warning("%s cannot be computed: %s", check.id, error.message)
            return False
        return True

    def run(self, sql: str) -> duckdb.DuckDBPyConnection:
        """Run ``sql`` over ``staged``."""
        import duckdb

        try:
            return self._connection.execute(f"WITH {self._relation()} {sql}", [self._paths])
        except duckdb.Error as error:
            raise _unreadable(error) from error

    def _register(self) -> None:
        import pyarrow as pa

        facts: list[dict[str, Any]] = [
            _facts(self._manifest, part) | {"file": position}
            for position, part in enumerate(
                part for part in self._batch for _ in part.paths
            )
        ]  # fmt: skip
        table = pa.Table.from_pylist(facts)
        asked = pa.array([fact["slice_asked"] for fact in facts], pa.list_(pa.string()))
        place = table.schema.get_field_index("slice_asked")  # typed, also where all are empty
        self._connection.register("slices", table.set_column(place, "slice_asked", asked))

    def _relation(self) -> str:
        columns, mistyped = [], ["0"]
        for column in self._table.columns:
            if column.name not in self.columns:
                continue
            name, (wanted, lawful) = quoted(column.name), _TYPES[column.kind]
            if self.columns[column.name].startswith(lawful):
                columns.append(name)
            else:
                columns.append(f"try_cast({name} AS {wanted}) AS {name}")
                mistyped.append(
                    f"({name} IS NOT NULL AND try_cast({name} AS {wanted}) IS NULL)::INTEGER"
                )
        if "unreadable" in self.columns:
            mistyped.append("coalesce(try_cast(unreadable AS INTEGER), 1)")
        columns.append(f"{' + '.join(mistyped)} AS unreadable")
        if self._given and "extra_metrics" in self.columns and self._table is PERFORMANCE:
            paths = ", ".join(literal(path) for path in self._given)
            # One parse for all of them; text that is no JSON has nothing to compare.
            columns.append(
                f"TRY(json_extract_string(extra_metrics::VARCHAR, [{paths}])) AS slice_given"
            )
        return (
            f"staged AS (SELECT {', '.join(columns)}, slices.* FROM"
            " (SELECT *, file_index FROM read_parquet(?, union_by_name = true)) AS files"
            " JOIN slices ON slices.file = files.file_index)"
        )


def _facts(manifest: Manifest, part: Part) -> dict[str, Any]:
    asked = part.result.slice
    return {
        "slice_number": part.number,
        "slice_org_id": manifest.org_id,
        "slice_platform": manifest.platform,
        "slice_account_id": asked.account_id,
        "slice_report": asked.report.name if asked.report else "",
        "slice_level": str(asked.report.level) if asked.report else "",
        "slice_since": asked.window.since,
        "slice_until": asked.window.until,
        "slice_currency": part.result.account.currency,
        "slice_account_timezone": part.result.account.timezone,
        "slice_is_mock": manifest.is_mock,
        "slice_step": asked.report.time_increment - 1 if asked.report else 0,
        "slice_asked": [*asked.report.metrics, *part.result.dropped] if asked.report else [],
        "slice_usual_conversions": not manifest.facts.get("conversion_actions"),
    }


def _unreadable(error: Exception) -> StagingError:
    return StagingError(
        f"staged files cannot be audited: {str(error).splitlines()[0]}",
        hint="Nothing was published. Clear the normalize task to stage the rows again.",
    )
