"""Builds staged Parquet and manifests as normalize would, small or large."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import duckdb

from airflow_provider_liftos.engine.manifest import File, Manifest, SliceResult
from airflow_provider_liftos.model.report import Account, Level, Report, Slice, Window
from airflow_provider_liftos.model.unified import TABLES, Table
from airflow_provider_liftos.warehouses.ddl import staged_columns
from airflow_provider_liftos.warehouses.duckdb import CAPABILITIES

ORG, PLATFORM, ACCOUNT = "acme", "meta", "1001"
DAY1, DAY2, DAY3 = date(2026, 11, 1), date(2026, 11, 2), date(2026, 11, 3)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()


def definitions(table: Table) -> list[str]:
    columns = [
        f"{CAPABILITIES.ident(c.name)} {CAPABILITIES.types[c.kind]}" for c in staged_columns(table)
    ]
    return columns + (["unreadable INTEGER"] if table.name == "performance" else [])


def fingerprint(path: Path, rows: int) -> File:
    content = path.read_bytes()
    return File(
        path=str(path), rows=rows, bytes=len(content), sha256=hashlib.sha256(content).hexdigest()
    )


@cache
def memory() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"threads": 1})


def stage(path: Path, table: str, rows: Iterable[Mapping[str, Any]]) -> File:
    path.parent.mkdir(parents=True, exist_ok=True)
    con = memory()
    con.execute(f"CREATE OR REPLACE TABLE t ({', '.join(definitions(TABLES[table]))})")
    rows = list(rows)
    for row in rows:
        names = ", ".join(map(CAPABILITIES.ident, row))
        marks = ", ".join("?" * len(row))
        con.execute(f"INSERT INTO t ({names}) SELECT {marks}", list(row.values()))
    con.execute(f"COPY t TO {CAPABILITIES.text(str(path))} (FORMAT parquet)")
    return fingerprint(path, len(rows))


def stage_many(path: Path, *, ads: int, first: date, days: int, load_id: str,
               account: str = ACCOUNT, as_of: float = NOON, seed: int = 0) -> File:  # fmt: skip
    """``ads`` x ``days`` rows of performance, made by one statement."""
    given = {
        "org_id": f"'{ORG}'", "platform": f"'{PLATFORM}'", "report": "'basic'", "level": "'ad'",
        "date": f"DATE '{first}' + CAST(i // {ads} AS INTEGER)",
        "account_id": f"'{account}'", "campaign_id": f"CAST(i % {ads} // 40 AS VARCHAR)",
        "ad_group_id": f"CAST(i % {ads} // 8 AS VARCHAR)",
        "ad_id": f"CAST(900000000000 + i % {ads} AS VARCHAR)",
        "breakdown_key": "''", "attribution_window": "'default'",
        "date_end": f"DATE '{first}' + CAST(i // {ads} AS INTEGER)",
        "ad_name": f"'Ad ' || (i % {ads})", "campaign_name": f"'Campaign ' || (i % {ads} // 40)",
        "currency": "'EUR'", "account_timezone": "'Europe/Berlin'",
        "impressions": f"hash(i + {seed}) % 100000", "clicks": "hash(i) % 1000",
        "spend": f"CAST(hash(i + {seed}) % 1000000000 AS DECIMAL(18,0)) / 1000000",
        "conversions": "hash(i) % 10", "is_estimated": "false", "is_mock": "false",
        "as_of": f"to_timestamp({as_of})", "load_id": f"'{load_id}'", "unreadable": "0",
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as con:
        con.execute(f"CREATE TABLE t ({', '.join(definitions(TABLES['performance']))})")
        select = ", ".join(f'{sql} AS "{name}"' for name, sql in given.items())
        con.execute(f"INSERT INTO t BY NAME SELECT {select} FROM range({ads * days}) r(i)")
        con.execute(f"COPY t TO '{path}' (FORMAT parquet, COMPRESSION zstd)")
    return fingerprint(path, ads * days)


def performance_row(day: date, **parts: Any) -> dict[str, Any]:
    return {
        "org_id": ORG, "platform": PLATFORM, "report": "basic", "level": "campaign", "date": day,
        "account_id": ACCOUNT, "campaign_id": "c1", "breakdown_key": "",
        "attribution_window": "default", "date_end": day, "currency": "EUR",
        "account_timezone": "Europe/Berlin", "impressions": 1000, "clicks": 10, "spend": "5.000000",
        "conversions": "1", "conversions_value": "20", "is_estimated": False,
        "as_of": datetime.fromtimestamp(NOON, UTC), "load_id": "load-1", "is_mock": False,
        "unreadable": 0, **parts,
    }  # fmt: skip


def entity_row(campaign: str, digest: str, **parts: Any) -> dict[str, Any]:
    return {
        "org_id": ORG, "platform": PLATFORM, "account_id": ACCOUNT, "campaign_id": campaign,
        "name": f"Campaign {campaign}", "row_hash": digest, "is_mock": False,
        "as_of": datetime.fromtimestamp(NOON, UTC), "load_id": "load-1", **parts,
    }  # fmt: skip


def report_slice(first: date = DAY1, last: date = DAY2, *, level: Level = Level.CAMPAIGN,
                 report: str = "basic", account: str = ACCOUNT, **parts: Any) -> Slice:  # fmt: skip
    return Slice(
        platform=PLATFORM,
        account_id=account,
        window=Window(since=first, until=last),
        report=Report(name=report, level=level, **parts),
    )


def stream_slice(stream: str = "campaigns", account: str = ACCOUNT) -> Slice:
    return Slice(
        platform=PLATFORM, account_id=account, window=Window(since=DAY1, until=DAY1), stream=stream
    )


def result(part: Slice, *files: File, as_of: float = NOON, **parts: Any) -> SliceResult:
    parts.setdefault("status", "complete")
    account = Account(account_id=part.account_id, currency="EUR", timezone="Europe/Berlin")
    return SliceResult(slice=part, as_of=as_of, account=account, staged=files, **parts)


def manifest(*results: SliceResult, load_id: str = "load-1", org_id: str = ORG) -> Manifest:
    return Manifest(org_id=org_id, platform=PLATFORM, load_id=load_id, slices=results)


class Lab:
    """A warehouse and a staging folder: stage, load and publish in one call."""

    def __init__(self, folder: Path, warehouse: Any) -> None:
        self.folder = folder
        self.warehouse = warehouse
        self._files = 0

    def path(self) -> Path:
        self._files += 1
        return self.folder / "staged" / "run=1" / f"part-{self._files:05}[x].parquet"

    def staged(self, part: Slice, rows: Iterable[Mapping[str, Any]], *, load_id: str = "load-1",
               as_of: float = NOON, table: str = "performance") -> SliceResult:  # fmt: skip
        moment = datetime.fromtimestamp(as_of, UTC)
        full = [{**row, "load_id": load_id, "as_of": moment} for row in rows]
        return result(part, stage(self.path(), table, full), as_of=as_of)

    def publish(self, part: Slice, rows: Iterable[Mapping[str, Any]], *, load_id: str = "load-1",
                as_of: float = NOON, table: str = "performance") -> Any:  # fmt: skip
        done = self.staged(part, rows, load_id=load_id, as_of=as_of, table=table)
        self.warehouse.load(manifest(done, load_id=load_id))
        return self.warehouse.publish(done, load_id, ORG, NOON)
