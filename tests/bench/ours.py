"""Extract, normalize, load and publish through our engine, in process."""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from pathlib import Path

from airflow_provider_liftos.engine import plan
from airflow_provider_liftos.engine.checkpoint import Checkpoints
from airflow_provider_liftos.engine.extraction import Extraction, Finished
from airflow_provider_liftos.engine.normalize import Normalizer
from airflow_provider_liftos.engine.staging import Staging
from airflow_provider_liftos.hooks.liftos import discover, open_session
from airflow_provider_liftos.model.platform import Credentials
from airflow_provider_liftos.model.report import Level, Report, Window
from airflow_provider_liftos.model.secret import Secret
from airflow_provider_liftos.platforms import get
from airflow_provider_liftos.state.leases import Leases
from airflow_provider_liftos.state.store import StateStore
from airflow_provider_liftos.transport.client import HttpSender
from airflow_provider_liftos.warehouses.duckdb import DuckDbWarehouse
from tests.bench.measure import stage
from tests.bench.server import FIRST_DAY

METRICS = (
    "impressions", "clicks", "inline_link_clicks", "spend", "reach", "frequency", "cpc", "cpm",
    "ctr", "attribution_setting", "unique_clicks", "social_spend", "cpp", "actions",
    "action_values",
)  # fmt: skip


def main(url: str, folder: Path, days: int) -> tuple[int, float]:
    """Rows published and their spend."""
    platform = get("meta")
    store = StateStore(f"sqlite:///{folder / 'state.db'}")
    credentials = Credentials(
        org_id="default", conn_id="bench", base_url=url, version="v26.0",
        secrets={"access_token": Secret("bench-token")},
        options={"requests_per_hour": 1e9, "requests_per_minute": 1e8},
    )  # fmt: skip
    session = open_session(platform, credentials, store)
    sender = HttpSender()
    accounts = discover(session, sender)
    window = Window(since=FIRST_DAY, until=FIRST_DAY + timedelta(days=days - 1))
    report = Report(name="basic", level=Level.AD, metrics=METRICS)
    cuts = plan.slices(platform, [(a, window) for a in accounts], [report], [], days)
    extraction = Extraction(
        session=session, sender=sender, checkpoints=Checkpoints(store, "default", "bench"),
        staging=Staging(str(folder / "staging")), accounts={a.account_id: a for a in accounts},
        load_id="bench",
    )  # fmt: skip
    with stage("extract"):
        outcome = extraction.advance(cuts)
        if not isinstance(outcome, Finished):
            raise TypeError(outcome)
    with stage("normalize"):
        manifest = Normalizer(
            platform=platform, staging=extraction.staging, reject=lambda *_: None, options={}
        ).normalize(outcome.manifest)
    warehouse = DuckDbWarehouse(str(folder / "warehouse.duckdb"), Leases(store, "default"))
    with stage("load"):
        warehouse.load(manifest)
    with stage("publish"):
        for cut in manifest.slices:
            warehouse.publish(cut, manifest.load_id, "default", time.time())
    [(rows, spend)] = warehouse.query("SELECT count(*), sum(spend) FROM liftos.performance")
    return rows, float(spend)


if __name__ == "__main__":
    from tests.bench.measure import contestant

    contestant(lambda: main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
