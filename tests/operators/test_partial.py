"""What audit and publish say when a run brought less than was planned."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.operators.load import LiftosLoadOperator
from airflow_provider_liftos.operators.normalize import LiftosNormalizeOperator
from airflow_provider_liftos.operators.publish import LiftosPublishOperator
from airflow_provider_liftos.operators.quality_gate import LiftosQualityGateOperator
from airflow_provider_liftos.operators.task import load_id
from airflow_provider_liftos.state.ledger import Ledger
from airflow_provider_liftos.warehouses.duckdb import DuckDbWarehouse
from tests.operators.test_tasks import Chain

MINE = {"name": "mine", "level": "campaign", "metrics": ["impressions", "spend"]}


class Partial(Chain):
    """A dag run whose tasks after extract are asked for one by one."""

    def normalized(self, extracted: dict) -> dict:
        return LiftosNormalizeOperator(
            task_id="normalize", platform="meta", extracted=extracted
        ).execute(self.context("normalize"))

    def loaded(self, *normalized: dict) -> dict:
        return LiftosLoadOperator(
            task_id="load", platform="meta", normalized=list(normalized)
        ).execute(self.context("load"))

    def audited(self, loaded: dict, planned: list[dict]) -> dict:
        return LiftosQualityGateOperator(
            task_id="audit", platform="meta", loaded=loaded, planned=planned
        ).execute(self.context("audit"))

    def published(self, audited: dict, **options) -> dict:
        return LiftosPublishOperator(
            task_id="publish", platform="meta", audited=audited, **options
        ).execute(self.context("publish"))


@pytest.mark.parametrize("report", ["basic:campaign", MINE])
def test_a_batch_that_never_came_fails_publish_after_publishing_the_rest(liftos, report):
    run = Partial(liftos, reports=[report])
    first, second = run.plan(accounts_per_task=2)
    [absent] = [item["account"]["account_id"] for item in second["accounts"]]
    loaded = run.loaded(run.normalized(run.fetched(first)))
    audited = run.audited(loaded, [first, second])
    assert audited["missing"] == [absent]
    with pytest.raises(
        AirflowFailException, match=f"1 of the accounts did not come: {absent} was not"
    ):
        run.published(audited)
    [entry] = [e for e in Ledger(liftos.store, "default").rows() if e.run.phase == "publish"]
    assert (entry.status, entry.work.rows > 0) == ("partial", True)
    liftos.set("on_partial", "warn")
    summary = run.published(audited)
    assert (summary["held"], summary["accounts"]) == (1, 2)
    assert (summary["status"], summary["missing"]) == ("partial", [absent])
    assert summary["warnings"][0].startswith(f"{absent} was not extracted")
    entry = Ledger(liftos.store, "default").rows(phase="publish")[0]
    assert entry.status == "partial", "green for Airflow, and still not whole"
    with pytest.raises(AirflowFailException, match="1 of the accounts did not come"):
        run.published(audited, on_partial="fail")


def test_a_run_that_is_whole_says_so_with_what_its_tasks_had_to_say(liftos):
    run = Partial(liftos)
    liftos.connect("liftos_meta_default", extra={"api_version": "v20.0"})
    [batch] = run.plan()
    audited = run.audited(run.loaded(run.normalized(run.fetched(batch))), [batch])
    summary = run.published(audited)
    assert (summary["status"], summary["missing"]) == ("complete", [])
    [warning] = summary["warnings"]
    assert "v26.0 is used instead" in warning
    statuses = {e.run.phase: e.status for e in Ledger(liftos.store, "default").rows()}
    assert set(statuses.values()) <= {"success", "deferred"}


def test_an_account_that_fails_is_partial_from_the_task_that_lost_it(liftos):
    run = Partial(liftos)
    bad = run.params["accounts"][0]
    fault = {"kind": "http_500", "code": 200, "status": 403, "match": "insights"}
    liftos.sandbox.faults.add(**fault, platform="meta", account=bad)
    [batch] = run.plan()
    extracted = run.fetched(batch)
    assert extracted["failed"] == 1
    audited = run.audited(run.loaded(run.normalized(extracted)), [batch])
    summary = run.published(audited, on_partial="warn")
    assert (summary["status"], summary["held"], summary["published"]) == ("partial", 1, 5)
    entries = Ledger(liftos.store, "default").rows()
    statuses = {e.run.phase: e.status for e in reversed(entries) if e.status != "deferred"}
    assert (statuses["plan"], statuses["extract"], statuses["publish"]) == (
        "success", "partial", "partial",
    )  # fmt: skip


def test_a_policy_that_is_none_is_named(liftos):
    with pytest.raises(ConfigurationError, match="on_partial is 'ignore'; it is fail or warn"):
        LiftosPublishOperator(task_id="p", platform="meta", audited={}, on_partial="ignore")
    liftos.set("on_partial", "perhaps")
    with pytest.raises(AirflowFailException, match=r"\[liftos\] on_partial is 'perhaps'"):
        LiftosPublishOperator(task_id="p", platform="meta", audited={}).execute(liftos.context())


def test_an_account_that_could_not_be_planned_is_missing_for_that_reason(liftos):
    run = Partial(liftos)
    [batch] = run.plan()
    batch["failed"] = [
        {"account_id": "77", "error": "unknown time zone"},
        {"account": {"account_id": "78"}, "error": "too old"},
    ]
    audited = run.audited(run.loaded(run.normalized(run.fetched(batch))), [batch])
    assert audited["missing"] == ["77", "78"]
    with pytest.raises(AirflowFailException, match="77 was not extracted: unknown time zone"):
        run.published(audited)


def test_pipelines_of_one_dag_have_loads_of_their_own(liftos):
    def of(task_id: str, conn_id: str = "one", platform: str = "meta", **parts) -> str:
        task = SimpleNamespace(conn_id=conn_id, platform=platform)
        return load_id(liftos.context(task_id, task=task, **parts))

    assert of("a.extract") == of("a.load") == of("a.extract", map_index=7)
    different = {
        of("a.extract"), of("b.extract"), of("extract"), of("b.a.extract"),
        of("a.extract", "two"), of("a.extract", platform="tiktok"),
    }  # fmt: skip
    assert len(different) == 6


def test_publishing_one_group_leaves_the_rows_of_another_to_audit(liftos):
    runs = [InGroup(liftos, group) for group in "ab"]
    audited = []
    for run in runs:
        [batch] = run.plan()
        audited.append(run.audited(run.loaded(run.normalized(run.fetched(batch))), [batch]))
    for run, verdict in zip(runs, audited, strict=True):
        assert run.published(verdict)["held"] == 0
    assert len({verdict["load_id"] for verdict in audited}) == 2


class InGroup(Partial):
    """The tasks of one group of a DAG."""

    def __init__(self, liftos, group: str) -> None:
        super().__init__(liftos)
        self.group = group

    def context(self, task_id: str, **parts) -> dict:
        return super().context(f"{self.group}.{task_id}", **parts)


def test_rows_of_slices_that_were_held_stay_for_the_audit(liftos):
    run = Partial(liftos)
    [batch] = run.plan()
    loaded = run.loaded(run.normalized(run.fetched(batch)))
    audited = run.audited(loaded, [batch])
    staging = config.staging()
    verdicts = staging.read_json(audited["decisions"])
    held = verdicts["decisions"][0]
    held["verdict"] = "quarantine"
    audited["decisions"] = staging.write_json(staging.folder("manifests"), verdicts)
    assert run.published(audited, on_partial="warn")["held"] == 1
    warehouse = DuckDbWarehouse(liftos.folder / "warehouse.duckdb", None)
    keys = warehouse.query("SELECT DISTINCT slice_key FROM liftos_audit.performance")
    assert keys == [(held["fingerprint"],)]
