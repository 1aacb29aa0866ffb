"""Two organizations on one deployment: the same accounts, days, store, staging and warehouse.

Neither can read, throttle or break the other.
"""

from __future__ import annotations

import time
from contextlib import suppress
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowRescheduleException
from sqlalchemy import select

from airflow_provider_liftos.engine.checkpoint import Checkpoints
from airflow_provider_liftos.operators.extract import LiftosExtractOperator
from airflow_provider_liftos.operators.letters import box
from airflow_provider_liftos.operators.load import LiftosLoadOperator
from airflow_provider_liftos.operators.normalize import LiftosNormalizeOperator
from airflow_provider_liftos.operators.plan import LiftosPlanOperator
from airflow_provider_liftos.operators.publish import LiftosPublishOperator
from airflow_provider_liftos.operators.quality_gate import LiftosQualityGateOperator
from airflow_provider_liftos.operators.replay import LiftosChooseLettersOperator
from airflow_provider_liftos.plugins.api import entries
from airflow_provider_liftos.resilience.breaker import Breaker
from airflow_provider_liftos.resilience.limiter import Limiter
from airflow_provider_liftos.state import tables
from airflow_provider_liftos.state.leases import Leases
from airflow_provider_liftos.state.ledger import Ledger
from airflow_provider_liftos.warehouses.duckdb import DuckDbWarehouse
from tests.operators.test_tasks import Chain

ORGS = ("one", "two")


class Tenant(Chain):
    """A run of an organization's own connection, with the same ids as that of the other."""

    def __init__(self, liftos, org: str) -> None:
        super().__init__(liftos, streams=("campaigns",))
        self.org = org
        self.parts = {"platform": "meta", "conn_id": f"meta_{org}"}
        self.params["accounts"] = self.params["accounts"][:2]

    def context(self, task_id: str, **parts) -> dict:
        return super().context(task_id, task=SimpleNamespace(**self.parts), **parts)

    def planned(self) -> list[dict]:
        task = LiftosPlanOperator(task_id="plan", **self.parts)
        return task.execute(self.context("plan"))

    def extract(self, batch: dict, **options) -> LiftosExtractOperator:
        given = {**self.options, **self.parts, **options}
        return LiftosExtractOperator(task_id="extract", batch=batch, **given)

    def go(self) -> dict:
        """All of a run; what publish says."""
        planned = self.planned()
        told = self.fetched(planned[0])
        for kind, name, part in (
            (LiftosNormalizeOperator, "normalize", "extracted"),
            (LiftosLoadOperator, "load", "normalized"),
            (LiftosQualityGateOperator, "audit", "loaded"),
            (LiftosPublishOperator, "publish", "audited"),
        ):
            more = {"planned": planned} if name == "audit" else {}
            task = kind(task_id=name, **{part: told}, **more, **self.parts)
            told = task.execute(self.context(name))
        return told

    def rows(self) -> tuple:
        """All that people see of the organization."""
        warehouse = DuckDbWarehouse(self.liftos.folder / "warehouse.duckdb", None)
        return tuple(
            warehouse.checksum(table, "org_id = ?", [self.org])
            for table in ("performance", "campaigns", "loads")
        )


@pytest.fixture
def tenants(liftos) -> list[Tenant]:
    for org in ORGS:
        liftos.connect(f"meta_{org}", extra={"org_id": org})
    return [Tenant(liftos, org) for org in ORGS]


def test_rows_ledgers_results_and_checkpoints_are_of_one_organization(liftos, tenants):
    one, two = tenants
    assert one.go()["held"] == 0
    before = one.rows()
    assert {checksum.partition("-")[0] for checksum in two.rows()} == {"0"}
    assert two.go()["held"] == 0
    assert one.rows() == before, "what the other publishes is beside it"
    assert [rows.split("-")[0] for rows in two.rows()] == [rows.split("-")[0] for rows in before]
    for org in ORGS:
        phases = {entry.run.phase for entry in Ledger(liftos.store, org).rows()}
        assert {"plan", "extract", "normalize", "load", "audit", "publish"} <= phases
        found = Checkpoints(liftos.store, org, "dag/run/extract/-1").load()
        assert found, "not yet consumed"
    Checkpoints(liftos.store, "one", "dag/run/extract/-1").consume()
    assert Checkpoints(liftos.store, "two", "dag/run/extract/-1").load()
    with liftos.store.read() as connection:
        for table in (tables.quality_results, tables.quality_scores, tables.slices):
            assert set(connection.scalars(select(table.c.org_id))) <= set(ORGS)
        scores = connection.scalars(select(tables.quality_scores.c.org_id)).all()
    assert scores.count("one") == scores.count("two") > 0
    assert Ledger(liftos.store, "default").rows() == []


def test_the_page_of_a_run_is_for_who_may_see_its_dag(liftos, tenants):
    """Within a DAG its tasks' organizations are one reader's: permission is the DAG's."""
    for tenant in tenants:
        tenant.planned()
    assert len(entries("dag", "run")) == 2
    assert entries("another_dag", "run") == []


def test_neither_throttles_the_other(liftos, tenants):
    one, two = tenants
    for state in _used(liftos, one):
        Limiter(liftos.store, "one").pause(state, time.time() + 3600)
    with pytest.raises(AirflowRescheduleException):
        one.planned()
    began = time.monotonic()
    assert two.planned()
    assert time.monotonic() - began < 600, "an hour was not waited for"


def _used(liftos, tenant: Tenant) -> list[str]:
    """The limits that a plan uses."""
    tenant.planned()
    keys = [state.key for state in Limiter(liftos.store, tenant.org).state()]
    assert keys
    return keys


def test_neither_opens_the_others_circuit(liftos, tenants):
    one, two = tenants
    for _ in range(5):
        Breaker(liftos.store, "one").fail("meta")
    with pytest.raises(AirflowRescheduleException):
        one.planned()
    assert two.planned()
    assert Breaker(liftos.store, "two").state() == []


def test_neither_holds_the_others_leases(liftos):
    assert Leases(liftos.store, "one").acquire("tokens/meta", "a", ttl=60)
    assert Leases(liftos.store, "two").acquire("tokens/meta", "b", ttl=60)
    assert Leases(liftos.store, "two").holder("tokens/meta") == "b"


def test_dead_letters_of_one_are_nothing_to_the_other(liftos, tenants):
    one, two = tenants
    liftos.sandbox.faults.add(kind="job_failed", platform="meta", date=one.params["since"])
    with suppress(AirflowFailException):
        one.go()
    liftos.sandbox.faults.clear()
    assert two.go()["held"] == 0, "which closes no letter of the other"
    found = box("one").find()
    assert {letter.state for letter in found} == {"open"}
    assert box("two").find() == []
    ours = LiftosChooseLettersOperator(task_id="choose", org_ids=["two"])
    assert ours.execute(liftos.context("choose")) == []
    asked = liftos.context("choose", params={"org_id": "one"})
    assert ours.execute(asked) == [], "a param opens no other organization"
    theirs = LiftosChooseLettersOperator(task_id="choose").execute(liftos.context("choose"))
    assert {batch["org_id"] for batch in theirs} == {"one"}
