"""Scheduled runs of a platform that tells what changed: a listing first, then changes alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.operators.extract import LiftosExtractOperator
from airflow_provider_liftos.operators.load import LiftosLoadOperator
from airflow_provider_liftos.operators.normalize import LiftosNormalizeOperator
from airflow_provider_liftos.operators.plan import LiftosPlanOperator
from airflow_provider_liftos.operators.publish import LiftosPublishOperator
from airflow_provider_liftos.operators.quality_gate import LiftosQualityGateOperator
from airflow_provider_liftos.operators.task import read_manifest
from airflow_provider_liftos.platforms import get
from airflow_provider_liftos.warehouses.duckdb import DuckDbWarehouse
from tests.airflow_doubles import Deployment
from tests.engine.harness import served

pytest.importorskip("google.ads.googleads")

STREAMS = ["campaigns", "ad_groups", "ads"]
GOOGLE: dict[str, Any] = {"platform": "google_ads"}


class Runs:
    """Runs of a DAG over one account's streams."""

    def __init__(self, liftos: Deployment) -> None:
        self.liftos = liftos
        extra = {"access_token": None, "app_id": None, "app_secret": None}
        extra |= served(liftos.sandbox, get("google_ads"))
        liftos.connect(
            "liftos_google_ads_default", conn_type="liftosgoogleads", extra=extra,
            host=f"{liftos.sandbox.url}/google_ads",
        )  # fmt: skip
        self.account = liftos.sandbox.world.dataset("google_ads").accounts[0].id
        self.number = 0

    def plan(self, run_type: str = "scheduled") -> dict[str, Any]:
        """What the plan of the next run says of the account."""
        self.number += 1
        end = datetime.now(UTC)
        self.when = {
            "dag_run": SimpleNamespace(run_type=run_type),
            "data_interval_start": end - timedelta(days=1),
            "data_interval_end": end,
        }
        [self.batch] = LiftosPlanOperator(
            task_id="plan", accounts=[self.account], reports=[], **GOOGLE
        ).execute(self.context("plan"))
        [item] = self.batch["accounts"]
        return item

    def context(self, task_id: str) -> dict[str, Any]:
        context = self.liftos.context(task_id, **self.when)
        context["ti"].run_id = f"run{self.number}"
        return context

    def bring(self) -> list[tuple[str, str, int]]:
        """The rest of that run; its slices, with the rows of each."""
        fetched = LiftosExtractOperator(
            task_id="extract", batch=self.batch, streams=STREAMS, deferrable=False, **GOOGLE
        ).execute(self.context("extract"))
        normalized = LiftosNormalizeOperator(
            task_id="normalize", extracted=fetched, **GOOGLE
        ).execute(self.context("normalize"))
        loaded = LiftosLoadOperator(task_id="load", normalized=[normalized], **GOOGLE).execute(
            self.context("load")
        )
        audited = LiftosQualityGateOperator(
            task_id="audit", loaded=loaded, planned=[self.batch], **GOOGLE
        ).execute(self.context("audit"))
        LiftosPublishOperator(task_id="publish", audited=audited, **GOOGLE).execute(
            self.context("publish")
        )
        manifest = read_manifest(config.staging(), normalized)
        return [(cut.slice.name, cut.slice.level, cut.rows) for cut in manifest.slices]

    def current(self) -> dict[str, int]:
        warehouse = DuckDbWarehouse(self.liftos.folder / "warehouse.duckdb", None)
        count = "SELECT count(*) FROM liftos.{} WHERE valid_to IS NULL AND NOT is_deleted"
        return {name: warehouse.query(count.format(name))[0][0] for name in STREAMS}


def test_after_a_listing_scheduled_runs_ask_for_changes(liftos):
    runs = Runs(liftos)
    assert "listed" not in runs.plan(), "nothing is known yet"
    first = runs.bring()
    assert [level for _, level, _ in first] == ["snapshot"] * 3
    there = runs.current()
    assert there == {name: rows for name, _, rows in first}

    assert set(runs.plan()["listed"]) == {"ad_groups", "ads"}
    second = runs.bring()
    assert [(name, level) for name, level, _ in second] == [
        ("campaigns", "snapshot"), ("ad_groups", "changes"), ("ads", "changes")
    ]  # fmt: skip
    assert runs.current() == there
    since = runs.plan()["listed"]
    assert set(since) == {"ad_groups", "ads"}, "still counted from the listing"
    assert "listed" not in runs.plan("manual"), "a person gets everything"
    liftos.set("full_listing_days", "0")
    assert "listed" not in runs.plan()
