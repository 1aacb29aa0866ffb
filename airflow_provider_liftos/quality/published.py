"""Auditing what people see already: days of a platform's reports, of any loads, and its entities.

The rows are written to files first, in pieces, so that the same rules judge them in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow_provider_liftos.engine.manifest import File, Manifest, SliceResult
from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.model.platform import Platform
from airflow_provider_liftos.model.report import Account, Level, Report, Slice, Window
from airflow_provider_liftos.model.unified import PERFORMANCE
from airflow_provider_liftos.quality import freshness, published_entities
from airflow_provider_liftos.quality.days import Key, LoadedDays, Reader, key_of, seen_days
from airflow_provider_liftos.quality.rowfiles import AT_ONCE, write

LOAD_ID = "published"
_COLUMNS = [c for c in PERFORMANCE.columns if c.name != "breakdowns"]  # which no rule reads


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is published as a manifest whose files hold copies of the rows, and days' sums."""

    manifest: Manifest
    days: LoadedDays
    accounts: Mapping[str, Account]


def copy(
    warehouse: Reader,
    platform: Platform,
    org_id: str,
    window: Window,
    folder: Path,
    *,
    is_mock: bool = False,
) -> Seen:
    """Copy the published rows of a window, and entities as they are now, into ``folder``.

    Raises:
        WarehouseError: the warehouse cannot be asked.
    """
    accounts = living_accounts(warehouse, platform.name, org_id)
    plain = Manifest(org_id=org_id, platform=platform.name, load_id=LOAD_ID, is_mock=is_mock)
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
    entities = published_entities.copy(warehouse, plain, accounts, window, folder)
    manifest = replace(plain, slices=(*results, *entities))
    keys = {key_of(result) for result in results}
    seen = seen_days(warehouse, manifest, window.since, window.until)
    return Seen(
        manifest=manifest,
        days={key: of_key for key, of_key in seen.items() if key in keys},
        accounts=accounts,
    )


def expected_days(
    warehouse: Reader, platform: Platform, org_id: str, window: Window, now: datetime
) -> dict[Key, date]:
    """The newest day of a window that each report should have by now, though it may lack it.

    Of reports that are loaded regularly, by the deadlines of the freshness watch. Raises
    WarehouseError as the warehouse does.
    """
    found = freshness.ages(
        warehouse, org_id, platform.name, now=now, delay_days=platform.availability.delay_days
    )
    expected: dict[Key, date] = {}
    for age in found:
        if isinstance(age.newest, datetime):
            continue  # a listing of entities
        report, _, level = age.name.rpartition(":")
        late = age.late(now)
        days = late.days + 1 if late > timedelta() else 0
        newest = min(window.until, age.newest + timedelta(days=days))
        expected[age.account_id, report, level] = newest
    return expected


def organizations(warehouse: Reader, platform: str) -> list[str]:
    """Organizations of which anything of a platform is published, in order."""
    ident = warehouse.layout.capabilities.ident
    found = warehouse.query(
        f"SELECT DISTINCT {ident('org_id')} FROM {warehouse.layout.published('loads')}"
        f" WHERE {ident('platform')} = ?",
        (platform,),
    )
    return sorted(org_id for (org_id,) in found)


def living_accounts(warehouse: Reader, platform: str, org_id: str) -> dict[str, Account]:
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
    for part, (since, until) in enumerate(_pieces(rows)):
        found = _rows(warehouse, manifest, cut, since, until)
        if found:
            yield write(_COLUMNS, found, base.with_name(f"{base.name}-{part}.parquet"))


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


def _rows(
    warehouse: Reader, manifest: Manifest, cut: Slice, since: date, until: date
) -> list[tuple[Any, ...]]:
    ident = warehouse.layout.capabilities.ident
    key = ("org_id", "platform", "account_id", "report", "level")
    return warehouse.query(
        f"SELECT {', '.join(ident(c.name) for c in _COLUMNS)}"
        f" FROM {warehouse.layout.published(PERFORMANCE.name)}"
        f" WHERE {' AND '.join(f'{ident(name)} = ?' for name in key)}"
        f" AND {ident('date')} BETWEEN ? AND ?",
        (manifest.org_id, manifest.platform, cut.account_id, cut.report and cut.report.name,
         cut.level, since, until),
    )  # fmt: skip
