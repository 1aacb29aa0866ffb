"""A small run to audit: staged Parquet, a manifest, and a warehouse in memory that has loaded it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from airflow_provider_liftos.engine.manifest import File, Manifest, SliceResult
from airflow_provider_liftos.model.report import Account, Level, Report, Slice, Window
from airflow_provider_liftos.model.unified import ENTITIES, PERFORMANCE, TABLES, Kind, Table
from airflow_provider_liftos.platforms import get
from airflow_provider_liftos.quality.audit import AuditOutcome, audit
from airflow_provider_liftos.quality.days import key_of
from airflow_provider_liftos.quality.findings import Finding, Status

ORG, PLATFORM, ACCOUNT = "acme", "meta", "1001"
DAY1, DAY2, DAY3 = date(2026, 11, 17), date(2026, 11, 18), date(2026, 11, 19)
TODAY = date(2026, 11, 20)
ASKED = datetime(2026, 11, 20, 6, tzinfo=UTC)

_TYPES = {
    Kind.DATE: "DATE", Kind.TIMESTAMP: "TIMESTAMPTZ", Kind.INT: "BIGINT", Kind.BOOL: "BOOLEAN",
    Kind.DECIMAL: "DECIMAL(18,6)", Kind.MONEY: "DECIMAL(18,6)",
}  # fmt: skip
_HISTORY = {"valid_from", "valid_to", "is_deleted"}


def row(day: date = DAY1, campaign: str = "c1", **parts: Any) -> dict[str, Any]:
    return {
        "org_id": ORG, "platform": PLATFORM, "report": "basic", "level": "campaign", "date": day,
        "account_id": ACCOUNT, "campaign_id": campaign, "breakdown_key": "",
        "attribution_window": "default", "date_end": day, "currency": "EUR",
        "account_timezone": "Europe/Berlin", "impressions": 1000, "clicks": 10, "link_clicks": 5,
        "spend": "5.00",
        "reach": 800, "frequency": "1.25", "conversions": "1", "conversions_value": "-3",
        "extra_metrics": '{"ctr": "1.000000", "cpm": "5", "cpc": "0.5", "unique_ctr": "1",'
        ' "estimated_ad_recallers": "50.0", "purchase_roas": [{"value": "-0.6"}]}',
        "is_estimated": False,
        "as_of": ASKED, "load_id": "load-1", "is_mock": False, "unreadable": 0, **parts,
    }  # fmt: skip


def days(
    *dates: date, campaigns: Sequence[str] = ("c1", "c2"), **parts: Any
) -> list[dict[str, Any]]:
    return [row(day, campaign, **parts) for day in dates for campaign in campaigns]


CLEAN = days(DAY1, DAY2, DAY3)


def totals(
    rows: Iterable[Mapping[str, Any]], level: str = "account", **parts: Any
) -> list[dict[str, Any]]:
    """The same rows summed up per day, as the account level has them."""
    by_day: dict[date, list[Mapping[str, Any]]] = {}
    for one in rows:
        by_day.setdefault(one["date"], []).append(one)
    return [
        row(
            day, None, level=level, impressions=sum(r["impressions"] for r in found),
            clicks=sum(r["clicks"] for r in found), spend=sum(float(r["spend"]) for r in found),
            extra_metrics=None, **{"reach": None, "frequency": None, **parts},
        )
        for day, found in by_day.items()
    ]  # fmt: skip


def campaign(name: str = "c1", **parts: Any) -> dict[str, Any]:
    return {
        "org_id": ORG, "platform": PLATFORM, "account_id": ACCOUNT, "campaign_id": name,
        "name": f"Campaign {name}", "daily_budget": "20", "row_hash": "h", "as_of": ASKED,
        "load_id": "load-1", "is_mock": False, **parts,
    }  # fmt: skip


def entity(table: str, **parts: Any) -> dict[str, Any]:
    return {
        "org_id": ORG, "platform": PLATFORM, "account_id": ACCOUNT, "name": f"One of {table}",
        "effective_status": "ACTIVE", "row_hash": "h", "as_of": ASKED, "load_id": "load-1",
        "is_mock": False, **parts,
    }  # fmt: skip


def part(
    level: Level = Level.CAMPAIGN, *, since: date = DAY1, until: date = DAY3, report: str = "basic",
    account: str = ACCOUNT, **report_parts: Any,
) -> Slice:  # fmt: skip
    return Slice(
        platform=PLATFORM, account_id=account, window=Window(since=since, until=until),
        report=Report(name=report, level=level, **report_parts),
    )  # fmt: skip


def stream(name: str = "campaigns", account: str = ACCOUNT) -> Slice:
    window = Window(since=DAY3, until=DAY3)
    return Slice(platform=PLATFORM, account_id=account, window=window, stream=name)


class Layout:
    """Names in the warehouse in memory."""

    @property
    def capabilities(self) -> Layout:
        return self

    def ident(self, *parts: str) -> str:
        return ".".join(f'"{part}"' for part in parts)

    def published(self, table: str) -> str:
        return self.ident("liftos", table)

    def audit(self, table: str) -> str:
        return self.ident("liftos_audit", table)


class Scene:
    """Stage slices, then audit them."""

    layout = Layout()

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = 0
        self.con = duckdb.connect()
        self.con.execute("CREATE SCHEMA liftos; CREATE SCHEMA liftos_audit")
        for table in TABLES.values():
            self.con.execute(
                f"CREATE TABLE {self.layout.published(table.name)} ({_columns(table)})"
            )
            self.con.execute(
                f"CREATE TABLE {self.layout.audit(table.name)} ({_columns(table, _HISTORY)})"
            )

    def query(self, sql: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return self.con.execute(sql, list(params)).fetchall()

    def stage(
        self, asked: Slice, rows: Sequence[Mapping[str, Any]], *, load: bool = True,
        types: Mapping[str, str] | None = None, without: Sequence[str] = (), **facts: Any,
    ) -> SliceResult:  # fmt: skip
        """A complete slice whose rows are staged and, unless told otherwise, loaded."""
        table = TABLES["performance" if asked.report else str(asked.stream)]
        self._files += 1
        path = self._folder / f"part-{self._files}[1].parquet"
        extra = ", unreadable INTEGER" if asked.report else ""
        self.con.execute("DROP TABLE IF EXISTS staging")
        self.con.execute(
            f"CREATE TABLE staging ({_columns(table, {*_HISTORY, *without}, types or {})}{extra})"
        )
        self._insert("staging", [{k: v for k, v in r.items() if k not in without} for r in rows])
        self.con.execute(f"COPY staging TO '{path}' (FORMAT parquet)")
        if load:
            keep = [c.name for c in table.columns if c.name not in {*_HISTORY, *without}]
            names = ", ".join(map(self.layout.ident, keep))
            self.con.execute(
                f"INSERT INTO {self.layout.audit(table.name)} ({names}) SELECT {names} FROM staging"
            )
        file = File(path=str(path), rows=len(rows), bytes=path.stat().st_size, sha256="")
        facts.setdefault(
            "account",
            Account(account_id=asked.account_id, currency="EUR", timezone="Europe/Berlin"),
        )
        return SliceResult(
            slice=asked, status="complete", as_of=ASKED.timestamp(), staged=(file,), **facts
        )

    def failed(self, asked: Slice, error: str = "the platform gave up") -> SliceResult:
        account = Account(account_id=asked.account_id, currency="EUR", timezone="Europe/Berlin")
        return SliceResult(
            slice=asked, status="failed", as_of=ASKED.timestamp(), account=account, error=error
        )

    def published(
        self,
        *dates: date,
        spend: float | None = 10.0,
        rows: int = 2,
        level: str = "campaign",
        account: str = ACCOUNT,
        report: str = "basic",
        load: str = "load-0",
        hours: float = -24,
        conversions: float | None = None,
    ) -> None:
        """Days that an earlier run has published, asked for so many hours after ``ASKED``."""
        asked = ASKED + timedelta(hours=hours)
        self._insert(self.layout.published("loads"), [
            {"org_id": ORG, "platform": PLATFORM, "report": report, "level": level, "account_id": account,
             "date": day, "rows": rows, "spend": spend, "as_of": asked, "load_id": load,
             "published_at": asked, "conversions": conversions}
            for day in dates
        ])  # fmt: skip

    def publish(self, *results: SliceResult, load: str = "load-1", hours: float = 0) -> None:
        """Move the rows under audit to where people see them, as publishing them does."""
        for table in (PERFORMANCE, *ENTITIES):
            published, waiting = self.layout.published(table.name), self.layout.audit(table.name)
            now = ", is_deleted = FALSE" if "is_deleted" in table.names() else ""
            self.con.execute(f"INSERT INTO {published} BY NAME SELECT * FROM {waiting}")
            self.con.execute(f"UPDATE {published} SET load_id = '{load}'{now}")
            self.con.execute(f"DELETE FROM {waiting}")
        for result in results:
            account, report, level = key_of(result)
            dates = result.slice.window.dates()
            self.published(
                *dates, account=account, report=report, level=level, load=load, hours=hours
            )

    def seen(self, *rows: Mapping[str, Any]) -> None:
        """Rows of ``performance`` that people see."""
        kept = [{k: v for k, v in one.items() if k != "unreadable"} for one in rows]
        self._insert(self.layout.published("performance"), kept)

    def living(self, *names: str) -> None:
        """Campaigns that are published as they are now."""
        self._insert(self.layout.published("campaigns"), [
            {**campaign(name), "valid_from": ASKED, "is_deleted": False} for name in names
        ])  # fmt: skip

    def able(self, ad: Mapping[str, Any], group: Mapping[str, Any]) -> None:
        """An active ad in an active ad group, but for the parts given, is published."""
        for table, parts in (("ads", {"ad_id": "a1", **ad}), ("ad_groups", group)):
            known = entity(table, **{"ad_group_id": "g1", "load_id": "load-0", **parts})
            now = {"valid_from": ASKED, "is_deleted": False}
            self._insert(self.layout.published(table), [{**known, **now}])

    def manifest(self, *results: SliceResult, is_mock: bool = False) -> Manifest:
        return Manifest(
            org_id=ORG, platform=PLATFORM, load_id="load-1", slices=results, is_mock=is_mock
        )

    def audit(self, *results: SliceResult, is_mock: bool = False, **options: Any) -> AuditOutcome:
        usual = {"today": TODAY, "expected_accounts": [ACCOUNT], "quality": get(PLATFORM).quality}
        options = {**usual, **options}
        return audit(self.manifest(*results, is_mock=is_mock), warehouse=self, **options)

    def _insert(self, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
        for one in rows:
            names = ", ".join(map(self.layout.ident, one))
            marks = ", ".join("?" * len(one))
            self.con.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(one.values()))


def _columns(
    table: Table, without: Iterable[str] = (), types: Mapping[str, str] | None = None
) -> str:
    kept = [c for c in table.columns if c.name not in set(without)]
    return ", ".join(
        f'"{c.name}" {(types or {}).get(c.name) or _TYPES.get(c.kind, "VARCHAR")}' for c in kept
    )


def failing(outcome: AuditOutcome) -> set[str]:
    """Names of rules that failed somewhere."""
    return {f.rule for f in outcome.findings if f.status is Status.FAILED}


def finding(outcome: AuditOutcome, rule: str, result: SliceResult | None = None) -> Finding:
    """The one finding of a rule, of a slice if there are several."""
    [found] = [
        f for f in outcome.findings
        if f.rule == rule and (result is None or f.fingerprint == result.slice.fingerprint())
    ]  # fmt: skip
    return found
