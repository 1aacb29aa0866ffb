"""Auditing what people see already: any days of a platform's published reports, of any loads.

The rows are written to files first, in pieces, so that the same rules judge them in the same way.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_liftos.engine.manifest import File, Manifest, SliceResult
from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.model.platform import Platform
from airflow_provider_liftos.model.report import Account, Level, Report, Slice, Window
from airflow_provider_liftos.model.unified import PERFORMANCE, Column, Kind
from airflow_provider_liftos.quality.days import LoadedDays, Reader, key_of, seen_days

if TYPE_CHECKING:
    import pyarrow as pa

AT_ONCE = 20_000
"""Rows held at once, some 50 MB; a day of one account and report is never divided."""

LOAD_ID = "published"
_ALWAYS_NULL = frozenset({"breakdowns"})  # no rule reads it


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Published days as a manifest whose files hold copies of the rows, and their sums."""

    manifest: Manifest
    days: LoadedDays
    accounts: Mapping[str, Account]


def copy(warehouse: Reader, platform: Platform, org_id: str, window: Window, folder: Path) -> Seen:
    """Copy the published rows of a window into ``folder``.

    Raises:
        WarehouseError: the warehouse cannot be asked.
    """
    accounts = _accounts(warehouse, platform.name, org_id)
    plain = Manifest(org_id=org_id, platform=platform.name, load_id=LOAD_ID)
    results = []
    for number, (key, rows) in enumerate(_published(warehouse, plain, window).items()):
        account = accounts.get(key[0]) or Account(account_id=key[0], timezone="")
        cut = Slice(
            platform=platform.name, account_id=key[0], report=_report(platform, key[1], key[2]),
            window=Window(since=min(rows), until=max(rows)),
        )  # fmt: skip
        files = _files(warehouse, plain, cut, rows, folder / str(number))
        results.append(
            SliceResult(slice=cut, status="complete", as_of=0.0, account=account,
                        staged=tuple(files), normalized=True)
        )  # fmt: skip
    manifest = replace(plain, slices=tuple(results))
    keys = {key_of(result) for result in results}
    seen = seen_days(warehouse, manifest, window.since, window.until)
    return Seen(
        manifest=manifest,
        days={key: of_key for key, of_key in seen.items() if key in keys},
        accounts=accounts,
    )


def _accounts(warehouse: Reader, platform: str, org_id: str) -> dict[str, Account]:
    """Accounts that are known and not deleted."""
    ident = warehouse.layout.capabilities.ident
    names = ("account_id", "name", "currency", "timezone", "status")
    found = warehouse.query(
        f"SELECT {', '.join(map(ident, names))} FROM {warehouse.layout.published('accounts')}"
        f" WHERE {ident('org_id')} = ? AND {ident('platform')} = ? AND {ident('valid_to')} IS NULL"
        f" AND NOT {ident('is_deleted')}",
        (org_id, platform),
    )
    return {
        row[0]: Account(account_id=row[0], name=row[1] or "", currency=row[2] or "",
                        timezone=row[3] or "", status=row[4] or "")
        for row in found
    }  # fmt: skip


def _published(
    warehouse: Reader, manifest: Manifest, window: Window
) -> dict[tuple[str, str, str], dict[date, int]]:
    """Rows of every published day, by account, report and level."""
    ident = warehouse.layout.capabilities.ident
    levels = ", ".join("?" * len(Level))
    columns = ", ".join(map(ident, ("account_id", "report", "level", "date", "rows")))
    found = warehouse.query(
        f"SELECT {columns} FROM {warehouse.layout.published('loads')} WHERE {ident('org_id')} = ?"
        f" AND {ident('platform')} = ? AND {ident('date')} BETWEEN ? AND ?"
        f" AND {ident('level')} IN ({levels}) ORDER BY {columns}",
        (manifest.org_id, manifest.platform, window.since, window.until, *map(str, Level)),
    )
    days: dict[tuple[str, str, str], dict[date, int]] = {}
    for account, report, level, day, rows in found:
        days.setdefault((account, report, level), {})[day] = int(rows)
    return days


def _report(platform: Platform, name: str, level: str) -> Report:
    """The preset of that name; of a report of the user's own no more is known than its name."""
    try:
        return platform.check(platform.preset(name, Level(level)))
    except ConfigurationError:
        return Report(name=name, level=Level(level), breakdowns=("its own",))


def _files(
    warehouse: Reader,
    manifest: Manifest,
    cut: Slice,
    rows: Mapping[date, int],
    base: Path,
) -> Iterator[File]:
    import pyarrow.parquet as pq

    for part, (since, until) in enumerate(_pieces(rows)):
        table = _table(warehouse, manifest, cut, since, until)
        if not table.num_rows:
            continue
        where = base.with_name(f"{base.name}-{part}.parquet")
        pq.write_table(table, where, compression="zstd")
        yield File(path=str(where), rows=table.num_rows, bytes=where.stat().st_size, sha256="")


def _pieces(rows: Mapping[date, int]) -> Iterator[tuple[date, date]]:
    """Spans of days with no more rows than go at once."""
    first = last = None
    held = 0
    for day in sorted(day for day in rows if rows[day]):
        if first and last and held + rows[day] > AT_ONCE:
            yield first, last
            first, held = None, 0
        first, last, held = first or day, day, held + rows[day]
    if first and last:
        yield first, last


def _table(warehouse: Reader, manifest: Manifest, cut: Slice, since: date, until: date) -> pa.Table:
    import pyarrow as pa

    columns = [c for c in PERFORMANCE.columns if c.name not in _ALWAYS_NULL]
    ident = warehouse.layout.capabilities.ident
    key = ("org_id", "platform", "account_id", "report", "level")
    found = warehouse.query(
        f"SELECT {', '.join(ident(c.name) for c in columns)}"
        f" FROM {warehouse.layout.published(PERFORMANCE.name)}"
        f" WHERE {' AND '.join(f'{ident(name)} = ?' for name in key)}"
        f" AND {ident('date')} BETWEEN ? AND ?",
        (manifest.org_id, manifest.platform, cut.account_id, cut.report and cut.report.name,
         cut.level, since, until),
    )  # fmt: skip
    values: Sequence[Collection[Any]] = list(zip(*found, strict=True)) or [()] * len(columns)
    arrays = [_array(column, part) for column, part in zip(columns, values, strict=True)]
    table = pa.Table.from_arrays(arrays, names=[c.name for c in columns])
    return table.append_column("unreadable", pa.array([0] * table.num_rows, pa.int32()))


def _array(column: Column, values: Collection[Any]) -> pa.Array:
    import json

    import pyarrow as pa

    if column.kind is Kind.JSON:  # some engines give objects
        values = [v if v is None or isinstance(v, str) else json.dumps(v) for v in values]
    kinds = {
        Kind.DATE: pa.date32(), Kind.TIMESTAMP: pa.timestamp("us", "UTC"), Kind.INT: pa.int64(),
        Kind.DECIMAL: pa.decimal128(18, 6), Kind.MONEY: pa.decimal128(18, 6), Kind.BOOL: pa.bool_(),
    }  # fmt: skip
    return pa.array(list(values), kinds.get(column.kind, pa.string()))
