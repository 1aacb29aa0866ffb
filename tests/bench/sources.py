"""A source of 1,000,000 rows to staging and through normalize: rows per second, peak memory.

``python -m tests.bench.sources [postgres|duckdb|sqlite|parquet|csv|jsonl] [rows]``; Postgres takes
the URL of a database from ``LIFTOS_BENCH_POSTGRES``.
"""

from __future__ import annotations

import os
import resource
import sqlite3
import sys
import tempfile
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from airflow_provider_liftos.engine import source_files
from airflow_provider_liftos.engine.manifest import Manifest
from airflow_provider_liftos.engine.normalize import Normalizer
from airflow_provider_liftos.engine.source import SourceReader
from airflow_provider_liftos.engine.source_door import Door
from airflow_provider_liftos.engine.source_query import DUCKDB, PYFORMAT, Dialect, Query
from airflow_provider_liftos.engine.staging import Staging
from airflow_provider_liftos.hooks.source import declaration
from airflow_provider_liftos.model.report import Level
from airflow_provider_liftos.model.source import Source
from airflow_provider_liftos.transforms.duckdb import connect

COLUMNS = {
    "date": "d", "account_id": "shop", "campaign_id": "id", "campaign_name": "name",
    "impressions": "seen", "clicks": "clicks", "spend": "cost", "conversions": "orders",
    "conversions_value": "revenue",
}  # fmt: skip
_NAMES = "d, shop, id, name, seen, clicks, cost, orders, revenue"
_MADE = """
SELECT DATE '2026-01-01' + (i % 300)::INTEGER AS d, 'shop-' || (i % 20) AS shop,
  (i // 300)::VARCHAR AS id, 'a campaign with a long name, number ' || (i // 300) AS name,
  i % 10000 AS seen, i % 100 AS clicks, (i * 0.37)::DECIMAL(18,6) AS cost,
  (i % 7)::DECIMAL(18,6) AS orders, (i * 1.93)::DECIMAL(18,6) AS revenue
FROM range({rows}) t(i)
"""


def main() -> None:
    kind = sys.argv[1] if len(sys.argv) > 1 else "duckdb"
    rows = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / kind
        if os.fork() == 0:  # what making the source takes is not of reading it
            _make(kind, made, rows)
            os._exit(0)
        os.wait()
        before, began = _peak(), time.monotonic()
        with _opened(kind, made) as (door, query):
            source = Source(columns=COLUMNS, level=Level.CAMPAIGN, currency="EUR")
            staging = Staging(f"{folder}/staging")
            read = SourceReader(
                source=source, door=door, query=query, staging=staging, platform="internal",
                load_id="bench", as_of=time.time(),
            ).everything()  # fmt: skip
        seconds, peak = time.monotonic() - began, _peak()
        manifest = Manifest(org_id="o", platform="internal", load_id="bench", slices=read.slices)
        Normalizer(
            platform=declaration("internal"), staging=staging, reject=lambda *_: None, options={}
        ).normalize(manifest)
        assert manifest.rows == rows
        print(
            f"{kind}: {rows:,} rows, {rows / seconds:,.0f} a second of wall clock, cpu"
            f" {time.process_time():.1f} s with normalize; peak {peak:.0f} MB to staging,"
            f" {_peak():.0f} MB with normalize ({before:.0f} MB before)"
        )


def _make(kind: str, path: Path, rows: int) -> None:
    import duckdb

    with duckdb.connect() as made:
        made.execute("SET preserve_insertion_order=false")
        query = _MADE.format(rows=rows)
        if kind == "duckdb":
            made.execute(f"ATTACH '{path}' AS own; CREATE TABLE own.t AS {query}")
        elif kind == "parquet":
            made.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet)")
        elif kind == "jsonl":
            made.execute(f"COPY ({query}) TO '{path}' (FORMAT json)")
        else:
            made.execute(f"COPY ({query}) TO '{path}' (FORMAT csv, HEADER {kind == 'csv'})")
    if kind == "sqlite":
        csv = path.rename(f"{path}.csv")
        with sqlite3.connect(path) as into, csv.open() as lines:
            into.execute(f"CREATE TABLE t ({_NAMES})")
            parts = (line.rstrip("\n").replace('"', "").split(",") for line in lines)
            fixed = ((*p[:3], ",".join(p[3:-5]), *p[-5:]) for p in parts)
            into.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", fixed)
    if kind == "postgres":
        import psycopg

        money = ", ".join(f"{name} DECIMAL(18,6)" for name in ("cost", "orders", "revenue"))
        with psycopg.connect(os.environ["LIFTOS_BENCH_POSTGRES"]) as into:
            into.execute(
                "DROP TABLE IF EXISTS t; CREATE TABLE t (d DATE, shop TEXT, id TEXT, name TEXT,"
                f" seen INT, clicks INT, {money})"
            )
            with into.cursor().copy("COPY t FROM STDIN (FORMAT csv)") as copy:
                copy.write(path.read_bytes())


@contextmanager
def _opened(kind: str, path: Path):
    if kind in {"parquet", "csv", "jsonl"}:
        file = source_files.SourceFile(name=f"t.{kind}", open=partial(path.open, "rb"))
        with source_files.opened([file], platform="internal", title="bench") as opened:
            yield opened
        return
    dialect = DUCKDB if kind == "duckdb" else Dialect()
    if kind == "duckdb":
        connection = connect(path, read_only=True)
    elif kind == "sqlite":
        connection = sqlite3.connect(path)
    else:
        import psycopg

        connection = psycopg.connect(os.environ["LIFTOS_BENCH_POSTGRES"])
        dialect = PYFORMAT
    door = Door(connection=connection, dialect=dialect, title=kind, platform="internal")
    yield door, Query(sql="SELECT * FROM t", dialect=dialect)
    door.close()


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
