"""Airflow's own Facebook provider and pandas, as its documentation suggests, to DuckDB."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from tests.bench.measure import contestant

FIELDS = (
    "account_id", "account_name", "account_currency", "campaign_id", "campaign_name", "adset_id",
    "adset_name", "ad_id", "ad_name", "impressions", "clicks", "inline_link_clicks", "spend",
    "reach", "frequency", "cpc", "cpm", "ctr", "attribution_setting", "unique_clicks",
    "social_spend", "cpp", "actions", "action_values", "date_start", "date_stop",
)  # fmt: skip


def main(url: str, folder: Path, accounts: int) -> tuple[int, float]:
    """Rows in the table and their spend."""
    ids = [f"act_900000000000{number:03d}" for number in range(1, accounts + 1)]
    extra = {
        "app_id": "1", "app_secret": "bench-secret", "access_token": "bench-token",
        "account_id": ids, "api_version": "v26.0",
    }  # fmt: skip
    os.environ["AIRFLOW_CONN_FACEBOOK_DEFAULT"] = json.dumps(
        {"conn_type": "facebook_social", "extra": extra}
    )
    import duckdb
    import pandas as pd
    from airflow.providers.facebook.ads.hooks.ads import FacebookAdsReportingHook
    from facebook_business.api import FacebookSession

    FacebookSession.GRAPH = url
    hook = FacebookAdsReportingHook(facebook_conn_id="facebook_default", api_version="v26.0")
    found = hook.bulk_facebook_report({"level": "ad"}, list(FIELDS), sleep_time=0)
    groups = found.values() if isinstance(found, dict) else [found]
    frame = pd.DataFrame([dict(row) for rows in groups for row in rows])
    frame["conversions"] = frame["actions"].map(picked)
    frame["conversions_value"] = frame["action_values"].map(picked)
    frame = frame.drop(columns=["actions", "action_values"])
    frame["date_start"] = pd.to_datetime(frame["date_start"])
    for name in ("impressions", "clicks", "inline_link_clicks", "spend", "reach"):
        frame[name] = pd.to_numeric(frame[name])
    with duckdb.connect(str(folder / "hook.duckdb")) as connection:
        connection.register("frame", frame)
        connection.execute("CREATE TABLE performance AS SELECT * FROM frame")
        row = connection.execute("SELECT count(*), sum(spend) FROM performance").fetchone()
    return row[0], float(row[1])


def picked(actions: object) -> float:
    for action in actions if isinstance(actions, list) else ():
        if action["action_type"] == "omni_purchase":
            return float(action["value"])
    return 0.0


if __name__ == "__main__":
    contestant(lambda: main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
