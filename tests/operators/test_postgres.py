"""A run into Postgres publishes what it publishes into DuckDB, to the last value."""

from __future__ import annotations

import pytest

from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.hooks.warehouse import open_warehouse
from airflow_provider_liftos.operators.load import LiftosLoadOperator
from airflow_provider_liftos.operators.publish import LiftosPublishOperator
from airflow_provider_liftos.operators.quality_gate import LiftosQualityGateOperator
from tests.operators.test_partial import Partial
from tests.warehouses.engines import digest, parameters

REPORTS = ["basic:account", "basic:ad", "demographics_age_and_gender:campaign"]
STREAMS = ("accounts", "campaigns", "ad_groups", "ads", "creatives")


class Into(Partial):
    """A dag run whose last tasks write to the warehouse of a connection."""

    def ended(self, normalized: list[dict], planned: list[dict], conn_id: str | None) -> dict:
        common = {"platform": "meta", "warehouse_conn_id": conn_id}
        loaded = LiftosLoadOperator(task_id="load", normalized=normalized, **common).execute(
            self.context("load")
        )
        return {"audited": self.judged(loaded, planned, common), "loaded": loaded}

    def judged(self, loaded: dict, planned: list[dict], common: dict) -> dict:
        audit = LiftosQualityGateOperator(task_id="audit", loaded=loaded, planned=planned, **common)
        return audit.execute(self.context("audit"))


@pytest.fixture
def postgres(liftos, new_postgres_database) -> str:
    given = parameters(new_postgres_database())
    liftos.connect(
        "my_postgres", conn_type="postgres", host=given["host"], schema=given["dbname"],
        login=given["user"],
    )  # fmt: skip
    return "my_postgres"


def test_a_run_into_postgres_equals_the_same_run_into_duckdb(liftos, postgres):
    run = Into(liftos, reports=REPORTS, streams=STREAMS)
    planned = run.plan(warehouse_conn_id=postgres)
    normalized = [run.normalized(run.fetched(batch)) for batch in planned]
    said = {}
    for conn_id in (None, postgres):
        ended = run.ended(normalized, planned, conn_id)
        publish = LiftosPublishOperator(
            task_id="publish", platform="meta", warehouse_conn_id=conn_id, audited=ended["audited"]
        )
        said[conn_id] = ended, publish.execute(run.context("publish"))
    (first, published), (second, again) = said.values()
    assert published == again
    assert first["audited"]["score"] == second["audited"]["score"]
    duck, pg = (open_warehouse(name, "default", liftos.store) for name in (None, postgres))
    for table in ("performance", *STREAMS):
        assert digest(pg, table) == digest(duck, table), table
    assert digest(pg, "loads", without=["published_at"]) == (
        digest(duck, "loads", without=["published_at"])
    )
    assert not digest(pg, "performance").startswith("0-")

    common = {"platform": "meta", "warehouse_conn_id": postgres}
    settled = run.judged(second["loaded"], planned, common)
    read = config.staging().read_json
    assert read(settled["decisions"]) == read(second["audited"]["decisions"])
