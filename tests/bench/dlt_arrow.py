"""What a good engineer writes without us: plain HTTP, columns by hand, Arrow, and dlt to DuckDB."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.bench.measure import contestant

TEXTS = ("account_id", "account_name", "account_currency", "campaign_id", "campaign_name",
         "adset_id", "adset_name", "ad_id", "ad_name", "attribution_setting")  # fmt: skip
INTS = ("impressions", "clicks", "inline_link_clicks", "reach", "unique_clicks")
DECIMALS = ("spend", "frequency", "cpc", "cpm", "ctr", "social_spend", "cpp")


def main(url: str, folder: Path) -> tuple[int, float]:
    """Rows in the table and their spend."""
    os.environ["DLT_DATA_DIR"] = str(folder / "dlt")
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    import dlt
    import httpx2

    client = httpx2.Client(base_url=url, timeout=60)

    def pages(run: str) -> Iterator[list[dict[str, Any]]]:
        after: str | None = None
        while True:
            query = {"limit": "1000"} | ({"after": after} if after else {})
            answer = client.get(f"/v26.0/{run}/insights", params=query).json()
            yield answer["data"]
            if "next" not in answer.get("paging", {}):
                return
            after = answer["paging"]["cursors"]["after"]

    @dlt.resource(
        name="performance",
        write_disposition="merge",
        primary_key=["account_id", "ad_id", "date_start"],
    )
    def performance() -> Iterator[Any]:
        accounts = client.get("/v26.0/me/adaccounts").json()["data"]
        for account in accounts:
            path = f"/v26.0/act_{account['account_id']}/insights"
            run = client.post(path, data={"level": "ad"}).json()["report_run_id"]
            batch: list[dict[str, Any]] = []
            for rows in pages(run):
                batch += rows
                if len(batch) >= 10_000:
                    yield table(batch)
                    batch = []
            if batch:
                yield table(batch)

    pipeline = dlt.pipeline(
        "bench",
        pipelines_dir=str(folder / "pipelines"),
        destination=dlt.destinations.duckdb(str(folder / "dlt.duckdb")),
        dataset_name="bench",
    )
    pipeline.run(performance(), loader_file_format="parquet")
    import duckdb

    with duckdb.connect(str(folder / "dlt.duckdb")) as connection:
        found = connection.execute("SELECT count(*), sum(spend) FROM bench.performance").fetchone()
    return found[0], float(found[1])


def table(rows: list[dict[str, Any]]) -> Any:
    """Typed columns; conversions are picked out of the actions."""
    import pyarrow as pa

    money = pa.decimal128(18, 6)
    columns: dict[str, Any] = {name: [row.get(name) for row in rows] for name in TEXTS}
    columns |= {n: pa.array([int(r.get(n) or 0) for r in rows], pa.int64()) for n in INTS}
    columns |= {n: pa.array([Decimal(r.get(n) or "0") for r in rows], money) for n in DECIMALS}
    for source, name in (("actions", "conversions"), ("action_values", "conversions_value")):
        columns[name] = pa.array([picked(row.get(source)) for row in rows], money)
    columns["date_start"] = pa.array([date.fromisoformat(r["date_start"]) for r in rows])
    return pa.table(columns)


def picked(actions: list[dict[str, str]] | None) -> Decimal:
    for action in actions or ():
        if action["action_type"] == "omni_purchase":
            return Decimal(action["value"])
    return Decimal(0)


if __name__ == "__main__":
    contestant(lambda: main(sys.argv[1], Path(sys.argv[2])))
