"""What the warehouse says about a load: sums per day in the audit schema, days already published.

One statement counts and sums the audited rows and finds repeated keys. Apart, in two scans: adding
up beside every key costs twice as much as looking for keys and adding up by day.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol

from airflow_provider_liftos.engine.manifest import Manifest, SliceResult
from airflow_provider_liftos.model.report import CHANGES
from airflow_provider_liftos.model.unified import PERFORMANCE, Table

METRICS = ("impressions", "clicks", "spend")  # additive, and given by every platform


class Quoting(Protocol):
    """How the engine writes names."""

    def ident(self, *parts: str) -> str:
        """A quoted, dotted name."""


class Names(Protocol):
    """Where the tables are."""

    @property
    def capabilities(self) -> Quoting:
        """The engine's ways."""

    def published(self, table: str) -> str:
        """The table people read."""

    def audit(self, table: str) -> str:
        """Its copy that waits for the verdict."""


class Reader(Protocol):
    """The part of a warehouse that an audit needs."""

    @property
    def layout(self) -> Names:
        """Where the tables are."""

    def query(self, sql: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Rows of a reading statement with ``?`` placeholders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedDay:
    """Rows under audit of one day and attribution window; ``sums`` are of ``METRICS``."""

    rows: int
    duplicates: int
    sums: tuple[float | None, ...]
    conversions: float | None = None

    @property
    def has_spend(self) -> bool:
        """Whether money was spent; reports without spend count by their rows."""
        spend = self.sums[METRICS.index("spend")]
        return self.rows > 0 if spend is None else spend > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedDay:
    """A day as the ledger of publications has it; ``as_of`` is when it was asked for."""

    account_id: str
    report: str
    level: str
    date: date
    rows: int
    spend: float | None = None
    conversions: float | None = None
    as_of: datetime | None = None

    @property
    def has_spend(self) -> bool:
        """Whether money was spent; reports without spend count by their rows."""
        return self.rows > 0 if self.spend is None else self.spend > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """When the rows of a published day were asked for, and whether by the load at hand."""

    as_of: datetime
    mine: bool

    def settles(self, asked: datetime) -> bool:
        """Whether rows asked for at that moment would change nothing."""
        return self.as_of >= asked if self.mine else self.as_of > asked


Key = tuple[str, str, str]  # account, report, level
LoadedDays = dict[Key, dict[date, dict[str, LoadedDay]]]  # by day, then attribution window
Publications = dict[Key, dict[date, Publication]]


def key_of(result: SliceResult) -> Key:
    """Under which ``loads`` and days have a slice."""
    cut = result.slice
    return cut.account_id, cut.report.name if cut.report else str(cut.stream), cut.level


def loaded_days(warehouse: Reader, manifest: Manifest) -> LoadedDays:
    """Every day of the load that has rows. Raises WarehouseError as the warehouse does."""
    condition = f"{warehouse.layout.capabilities.ident('load_id')} = ?"
    table = warehouse.layout.audit(PERFORMANCE.name)
    return _sums(warehouse, manifest, table, condition, (manifest.load_id,))


def seen_days(warehouse: Reader, manifest: Manifest, since: date, until: date) -> LoadedDays:
    """Every published day, of all accounts and reports, that has rows; whatever load it is of."""
    condition = f"{warehouse.layout.capabilities.ident('date')} BETWEEN ? AND ?"
    table = warehouse.layout.published(PERFORMANCE.name)
    return _sums(warehouse, manifest, table, condition, (since, until))


def _sums(
    warehouse: Reader, manifest: Manifest, table: str, condition: str, params: Sequence[object]
) -> LoadedDays:
    ident = warehouse.layout.capabilities.ident
    key = ", ".join(ident(name) for name in PERFORMANCE.key if name not in {"org_id", "platform"})
    outer = ", ".join(
        ident(n) for n in ("account_id", "report", "level", "date", "attribution_window")
    )
    summed = ("conversions", *METRICS)
    sums = ", ".join(f"SUM({ident(m)})" for m in summed)
    scan = f"FROM {table} WHERE {_scope(ident)} AND {condition}"
    found = warehouse.query(
        f"SELECT {outer}, COUNT(*), 0, {sums} {scan} GROUP BY {outer}"
        f" UNION ALL SELECT {outer}, 0, SUM(n) - COUNT(*), {', '.join('NULL' for _ in summed)}"
        f" FROM (SELECT {key}, COUNT(*) AS n {scan} GROUP BY {key} HAVING COUNT(*) > 1) AS repeated"
        f" GROUP BY {outer}",
        (manifest.org_id, manifest.platform, *params) * 2,
    )
    repeated = {tuple(row[:5]): int(row[6]) for row in found if not row[5]}
    days: LoadedDays = {}
    for account, report, level, day, window, rows, _, conversions, *totals in found:
        if not rows:
            continue
        of_day = days.setdefault((account, report, level), {}).setdefault(day, {})
        of_day[window] = LoadedDay(
            rows=int(rows),
            duplicates=repeated.get((account, report, level, day, window), 0),
            sums=tuple(map(_number, totals)),
            conversions=_number(conversions),
        )
    return days


def publications(warehouse: Reader, manifest: Manifest) -> Publications:
    """What ``loads`` has of this load, and of newer ones."""
    ident = warehouse.layout.capabilities.ident
    columns = ", ".join(ident(n) for n in ("account_id", "report", "level", "date", "as_of"))
    oldest = min((result.as_of for result in manifest.slices), default=0.0)
    found = warehouse.query(
        f"SELECT {columns}, {ident('load_id')} = ? FROM {warehouse.layout.published('loads')}"
        f" WHERE {_scope(ident)} AND ({ident('load_id')} = ? OR {ident('as_of')} > ?)",
        (
            *(manifest.load_id, manifest.org_id, manifest.platform, manifest.load_id),
            datetime.fromtimestamp(oldest, UTC),
        ),
    )
    known: Publications = {}
    for account, report, level, day, as_of, mine in found:
        of_key = known.setdefault((account, report, level), {})
        of_key[day] = Publication(as_of=as_of, mine=bool(mine))
    return known


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


LOOKED_BACK = timedelta(days=43)  # six weeks, and the day before them


def published_days(warehouse: Reader, manifest: Manifest) -> list[PublishedDay]:
    """Published days of the manifest's window, of six weeks before it and one day after it."""
    windows = [r.slice.window for r in manifest.slices if r.slice.report]
    if not windows:
        return []
    ident = warehouse.layout.capabilities.ident
    columns = ", ".join(
        ident(n) for n in ("account_id", "report", "level", "date", "rows", "spend", "conversions",
                           "as_of")
    )  # fmt: skip
    found = warehouse.query(
        f"SELECT {columns} FROM {warehouse.layout.published('loads')}"
        f" WHERE {_scope(ident)} AND {ident('date')} BETWEEN ? AND ?",
        (
            manifest.org_id,
            manifest.platform,
            min(w.since for w in windows) - LOOKED_BACK,
            max(w.until for w in windows) + timedelta(days=1),
        ),
    )
    return [
        PublishedDay(
            account_id=account, report=report, level=level, date=day, rows=int(rows),
            spend=_number(spend), conversions=_number(conversions), as_of=as_of,
        )
        for account, report, level, day, rows, spend, conversions, as_of in found
    ]  # fmt: skip


def loaded_entities(
    warehouse: Reader, manifest: Manifest, table: Table
) -> dict[str, tuple[int, int]]:
    """Rows, and rows too many of a key, of each account's snapshot under audit."""
    ident = warehouse.layout.capabilities.ident
    key = ", ".join(ident(name) for name in table.key if name not in {"org_id", "platform"})
    found = warehouse.query(
        f"SELECT {ident('account_id')}, SUM(n), SUM(n) - COUNT(*) FROM (SELECT {key}, COUNT(*) AS n"
        f" FROM {warehouse.layout.audit(table.name)} WHERE {_scope(ident)}"
        f" AND {ident('load_id')} = ? GROUP BY {key}) AS keyed GROUP BY {ident('account_id')}",
        (manifest.org_id, manifest.platform, manifest.load_id),
    )
    return {account: (int(rows), int(duplicates)) for account, rows, duplicates in found}


def seen_entities(
    warehouse: Reader, manifest: Manifest, table: Table
) -> dict[str, tuple[int, int]]:
    """Living entities as they are published, and versions that another of theirs overlaps."""
    ident = warehouse.layout.capabilities.ident
    account, since, until = (ident(name) for name in ("account_id", "valid_from", "valid_to"))
    open_last = f"CASE WHEN {until} IS NULL THEN 1 ELSE 0 END, {until}"
    key = ", ".join(ident(name) for name in table.key)
    found = warehouse.query(
        f"SELECT {account}, SUM(CASE WHEN {until} IS NULL AND NOT {ident('is_deleted')}"
        f" THEN 1 ELSE 0 END), SUM(CASE WHEN {until} IS NULL AND then_from IS NOT NULL"
        f" OR {until} > then_from THEN 1 ELSE 0 END) FROM (SELECT {account}, {until},"
        f" {ident('is_deleted')}, LEAD({since}) OVER (PARTITION BY {key} ORDER BY {since},"
        f" {open_last}) AS then_from FROM {warehouse.layout.published(table.name)}"
        f" WHERE {_scope(ident)}) AS versions GROUP BY {account}",
        (manifest.org_id, manifest.platform),
    )
    return {one: (int(rows), int(overlaps)) for one, rows, overlaps in found if rows}


def current_entities(warehouse: Reader, manifest: Manifest, table: Table) -> dict[str, int]:
    """How many entities of each account are published as living."""
    ident = warehouse.layout.capabilities.ident
    found = warehouse.query(
        f"SELECT {ident('account_id')}, COUNT(*) FROM {warehouse.layout.published(table.name)}"
        f" WHERE {_scope(ident)} AND {ident('valid_to')} IS NULL AND NOT {ident('is_deleted')}"
        f" GROUP BY {ident('account_id')}",
        (manifest.org_id, manifest.platform),
    )
    return {account: int(rows) for account, rows in found}


_ACTIVE = "('active', 'enabled')"  # an entity that may deliver, in platforms' own words


def able_accounts(warehouse: Reader, manifest: Manifest) -> set[str]:
    """Accounts with an active ad in an active ad group whose time is not over, as last seen."""
    ident = warehouse.layout.capabilities.ident
    account, group, end = (ident(name) for name in ("account_id", "ad_group_id", "end_at"))
    mine = (manifest.org_id, manifest.platform, manifest.load_id)
    told: dict[str, list[str]] = {"ads": [], "ad_groups": []}
    for result in manifest.slices:
        if result.slice.level == CHANGES and result.table in told:
            told[result.table].append(result.slice.account_id)
    ads = _active(warehouse, "ads", told=len(told["ads"]))
    groups = _active(warehouse, "ad_groups", end, told=len(told["ad_groups"]))
    found = warehouse.query(
        f"SELECT DISTINCT a.{account} FROM ({ads}) AS a"
        f" JOIN ({groups}) AS g"
        f" ON g.{account} = a.{account} AND g.{group} = a.{group}"
        f" WHERE g.{end} IS NULL OR g.{end} > ?",
        (
            *(*mine, *mine[:2], *mine, *told["ads"]),
            *(*mine, *mine[:2], *mine, *told["ad_groups"]),
            datetime.fromtimestamp(max(r.as_of for r in manifest.slices), UTC),
        ),
    )
    return {account_id for (account_id,) in found}


def _active(warehouse: Reader, table: str, *more: str, told: int = 0) -> str:
    """Active entities of a table: an account's snapshot under audit, or else what is published.

    The last parameters are so many accounts of which only campaigns with changes are under audit.
    """
    ident = warehouse.layout.capabilities.ident
    account, staged = ident("account_id"), warehouse.layout.audit(table)
    columns = ", ".join((account, ident("ad_group_id"), ident("effective_status"), *more))
    mine = f"{_scope(ident)} AND {ident('load_id')} = ?"
    marks, campaign = ", ".join("?" * told), ident("campaign_id")
    same = f"(s.{campaign} = p.{campaign} OR p.{account} NOT IN ({marks}))"
    seen = f"s.{account} = p.{account}" + (f" AND {same}" if told else "")
    return (
        f"SELECT * FROM (SELECT {columns} FROM {staged} WHERE {mine}"
        f" UNION ALL SELECT {columns} FROM {warehouse.layout.published(table)} AS p"
        f" WHERE {_scope(ident)} AND {ident('valid_to')} IS NULL AND NOT {ident('is_deleted')}"
        f" AND NOT EXISTS (SELECT 1 FROM {staged} AS s WHERE {mine}"
        f" AND {seen})) AS seen"
        f" WHERE lower({ident('effective_status')}) IN {_ACTIVE}"
    )


def _scope(ident: Any) -> str:
    return f"{ident('org_id')} = ? AND {ident('platform')} = ?"
