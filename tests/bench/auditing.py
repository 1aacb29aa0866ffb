"""The audit's two halves on a million rows, beside pandera and beside the rules as one SQL scan.

Imports are not counted: they happen before the clock starts, for everyone.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

ROWS, ADS, DAYS = 1_000_000, 100_000, 10
FIRST = date(2026, 11, 1)
RULES = """
required_fields values_readable value_ranges spend_not_negative derived_metrics_agree rows_in_slice
currency_matches_account mock_rows_marked clicks_within_impressions reach_within_impressions
rows_loaded key_unique data_fresh expected_days_present levels_add_up
""".split()
_COLUMNS = ("spend", "impressions", "clicks", "campaign_id", "ad_id", "currency", "date")


def contestants() -> dict[str, Callable[[Path], dict[str, Any]]]:
    return {"gx half": gx_half, "sql half": sql_half, "one scan": one_scan, "pandera": pandera}


def stage(folder: Path) -> None:
    """Rows as staged, and loaded under audit."""
    from airflow_provider_liftos.model.report import Level
    from airflow_provider_liftos.warehouses.duckdb import DuckDbWarehouse
    from tests.warehouses.staging import manifest, report_slice, result, stage_many

    house = DuckDbWarehouse(folder / "warehouse.duckdb", None)
    house.prepare()
    file = stage_many(folder / "rows.parquet", ads=ADS, first=FIRST, days=DAYS, load_id="load-1")
    part = report_slice(FIRST, FIRST + timedelta(days=DAYS - 1), level=Level.AD)
    made = manifest(result(part, file), load_id="load-1")
    house.load(made)
    (folder / "manifest.json").write_text(json.dumps(made.to_json()))


def timed(work: Callable[[], object]) -> dict[str, Any]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "rss": peak}


def _loaded(folder: Path) -> tuple[Any, Any]:
    from airflow_provider_liftos.engine.manifest import Manifest
    from airflow_provider_liftos.warehouses.duckdb import DuckDbWarehouse

    made = Manifest.from_json(json.loads((folder / "manifest.json").read_text()))
    return made, DuckDbWarehouse(folder / "warehouse.duckdb", None)


def gx_half(folder: Path) -> dict[str, Any]:
    """Every rule over rows, as Great Expectations judges them."""
    import duckdb  # noqa: F401

    from airflow_provider_liftos.model.unified import PERFORMANCE
    from airflow_provider_liftos.platforms import get
    from airflow_provider_liftos.quality import gx, rows, rules

    made, _ = _loaded(folder)
    gx._definition(0)
    found = dict(enumerate(made.slices))
    quality = get("meta").quality
    return timed(
        lambda: rows.judge_rows(made, PERFORMANCE, found, rules.catalogue(), quality=quality)
    )


def sql_half(folder: Path) -> dict[str, Any]:
    """Every question that the audit asks the warehouse."""
    from airflow_provider_liftos.quality import days, facts, history, peers

    made, house = _loaded(folder)
    today = datetime(2026, 11, 12, tzinfo=UTC)
    house.query("SELECT 1")

    def work() -> None:
        known, loaded = days.published_days(house, made), days.loaded_days(house, made)
        days.publications(house, made)
        same = {"manifest": made, "loaded": loaded, "published": known, "today": today}
        facts.Facts(**same).numbers(made.slices[0])
        history.History(**same).numbers(made.slices[0])
        peers.agreement(made, loaded, peers.others(house, made))

    return timed(work)


def one_scan(folder: Path) -> dict[str, Any]:
    """The same laws written by hand as one statement, and the keys as another."""
    import duckdb

    path = str(folder / "rows.parquet")
    laws = (
        "spend >= 0", "impressions >= 0", "clicks >= 0", "conversions >= 0",
        "clicks <= impressions", "currency = 'EUR'", "campaign_id IS NOT NULL", "ad_id IS NOT NULL",
        "account_timezone = 'Europe/Berlin'", "NOT is_mock", "date_end >= date", "level = 'ad'",
        "platform = 'meta'",
    )  # fmt: skip
    sums = ", ".join(f"sum((NOT ({law}))::INTEGER)" for law in laws)
    connection = duckdb.connect(config={"threads": 2})

    def work() -> None:
        connection.execute(f"SELECT {sums}, max(date), sum(spend) FROM '{path}'").fetchall()
        connection.execute(
            f"SELECT count(*) - count(DISTINCT (date, account_id, ad_id)) FROM '{path}'"
        ).fetchall()

    return timed(work)


def pandera(folder: Path) -> dict[str, Any]:
    """Thirteen checks of columns on a frame of those columns alone."""
    import duckdb
    import pandera.pandas as pa

    path = str(folder / "rows.parquet")
    check = pa.Check
    schema = pa.DataFrameSchema(
        {
            "spend": pa.Column(float, [check.ge(0)]),
            "impressions": pa.Column(int, [check.ge(0)]),
            "clicks": pa.Column(int, [check.ge(0), check.lt(10**9)]),
            "campaign_id": pa.Column(nullable=False),
            "ad_id": pa.Column(nullable=False),
            "currency": pa.Column(checks=[check.isin(["EUR"])]),
            "date": pa.Column(checks=[check.ge("2026-11-01")]),
        },
        checks=[check(lambda frame: frame["clicks"] <= frame["impressions"])],
    )
    columns = ", ".join(
        f"{name}::DOUBLE AS {name}" if name == "spend" else name for name in _COLUMNS
    )

    def work() -> None:
        frame = duckdb.sql(f"SELECT {columns} FROM '{path}'").df()
        try:
            schema.validate(frame, lazy=True)
        except pa.errors.SchemaErrors:
            return
        assert not frame.duplicated(["date", "ad_id"]).any()

    return timed(work)


def report() -> None:
    """One process each, on the same files."""
    with tempfile.TemporaryDirectory() as folder:
        # In a process of its own: a child's peak begins with what its parent has had.
        subprocess.run([sys.executable, "-m", "tests.bench.auditing", "stage", folder], check=True)
        print(f"audit of {ROWS:,} rows (imports excluded):")
        for name in contestants():
            command = [sys.executable, "-m", "tests.bench.auditing", name, folder]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
                print(f"  {name:>9}: not measured ({reason})")
                continue
            said = json.loads(done.stdout.strip().splitlines()[-1])
            print(f"  {name:>9}: {said['wall']:.2f} s, {said['cpu']:.2f} CPU s, {said['rss']} MB")


if __name__ == "__main__":
    if sys.argv[1:2] == ["stage"]:
        stage(Path(sys.argv[2]))
    elif len(sys.argv) > 1:
        print(json.dumps(contestants()[sys.argv[1]](Path(sys.argv[2]))))
    else:
        report()
