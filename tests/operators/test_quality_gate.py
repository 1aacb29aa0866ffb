"""The gate: what it refuses, what it finds in published days, and what it says of causes."""

from __future__ import annotations

import json
from datetime import date, timedelta

import duckdb
import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from sqlalchemy import select

from airflow_provider_liftos.operators.quality_gate import LiftosQualityGateOperator
from airflow_provider_liftos.state.ledger import Ledger
from airflow_provider_liftos.state.tables import quality_results, quality_scores
from tests.operators.test_partial import Partial


class Gate(Partial):
    """A run up to its audit, and what is kept of it."""

    def loaded_run(self):
        [batch] = self.plan()
        return self.loaded(self.normalized(self.fetched(batch))), [batch]

    def gate(self, loaded=None, planned=(), **options):
        task = LiftosQualityGateOperator(
            task_id="audit", platform="meta", loaded=loaded, planned=planned, **options
        )
        return task.execute(self.context("audit"))

    def results(self, **where) -> list[dict]:
        asked = select(quality_results)
        for name, value in where.items():
            asked = asked.where(quality_results.c[name] == value)
        with self.liftos.store.read() as connection:
            return [dict(row) for row in connection.execute(asked).mappings()]

    def warehouse(self, sql: str) -> list[tuple]:
        with duckdb.connect(str(self.liftos.folder / "warehouse.duckdb")) as connection:
            return connection.execute(sql).fetchall()


def revoke(liftos, account: str) -> None:
    liftos.sandbox.faults.add(
        kind="token_revoked", platform="meta", account=account, match="insights", code=200,
        message="(#200) The user has no permission to read this ad account",
    )  # fmt: skip


def drop_spend(liftos, _account: str) -> None:
    liftos.sandbox.faults.add(kind="field_gone", platform="meta", field="spend", match="insights")


@pytest.mark.parametrize(("fault", "rule", "says"), [
    (revoke, "slice_complete", "system user lost ads_read"),
    (drop_spend, "required_fields", "gives a field no longer"),
])  # fmt: skip
def test_a_fault_of_the_platform_is_explained_by_its_cause_there(liftos, fault, rule, says):
    run = Gate(liftos)
    bad = run.params["accounts"][0]
    [batch] = run.plan()
    fault(liftos, bad)
    fetched = None
    for try_number in (1, 2, 3):
        try:
            fetched = run.fetched(batch, try_number=try_number)
            break
        except AirflowException:  # what failed is tried again until it is given up
            continue
    assert fetched, "the last try goes on without what failed"
    audited = run.gate(run.loaded(run.normalized(fetched)), [batch])
    assert audited["quarantined"] > 0
    [found] = run.results(rule=rule, status="failed", account_id=bad, report="basic")
    assert says in found["advice"]
    assert found["advice"].startswith("Likely cause: ")
    assert " Next: " in found["advice"]


def test_a_gate_that_fails_publishes_nothing_and_keeps_what_it_found(liftos):
    run = Gate(liftos)
    loaded, planned = run.loaded_run()
    run.warehouse("UPDATE liftos_audit.performance SET currency = NULL WHERE currency IS NOT NULL")
    run.warehouse(
        "INSERT INTO liftos_audit.performance SELECT * FROM liftos_audit.performance LIMIT 1"
    )
    with pytest.raises(
        AirflowFailException, match=r"nothing of this run is published: .*key_unique"
    ):
        run.gate(loaded, planned, on_block="fail")
    assert run.results(rule="key_unique", status="failed")
    assert run.warehouse("SELECT count(*) FROM liftos.performance") == [(0,)]
    assert run.gate(loaded, planned)["quarantined"] == 1


def test_a_gate_runs_alone_over_what_is_published(liftos):
    run = Gate(liftos)
    loaded, planned = run.loaded_run()
    run.published(run.gate(loaded, planned))
    since, until = run.params["since"], run.params["until"]
    told = run.gate()
    assert told["rows"] == run.warehouse("SELECT count(*) FROM liftos.performance")[0][0] > 0
    assert (told["since"], told["until"], told["level"]) == (since, until, "excellent")
    with liftos.store.read() as connection:
        scores = connection.execute(select(quality_scores.c.id)).scalars().all()
    assert sum(score.startswith("published-") for score in scores) == 1 + len(
        run.params["accounts"]
    )
    run.warehouse("INSERT INTO liftos.performance SELECT * FROM liftos.performance LIMIT 1")
    assert run.gate()["failed"] > told["failed"]
    with pytest.raises(AirflowFailException, match="published data does not pass the audit"):
        run.gate(on_block="fail")


def test_alone_it_misses_days_that_stopped_coming(liftos):
    run = Gate(liftos)
    loaded, planned = run.loaded_run()
    run.published(run.gate(loaded, planned))
    run.gate()
    fresh = {row["status"] for row in run.results(rule="data_fresh", report="basic")}
    assert "failed" not in fresh
    for table in ("performance", "loads"):
        run.warehouse(f"UPDATE liftos.{table} SET date = date - 10")
    run.params["since"] = str(date.fromisoformat(run.params["since"]) - timedelta(days=10))
    run.gate()
    late = run.results(rule="data_fresh", report="basic", status="failed")
    assert {row["account_id"] for row in late} == set(run.params["accounts"])
    assert all("later days were never published" in row["observed"] for row in late)


def test_nothing_published_has_no_score(liftos):
    run = Gate(liftos)
    run.loaded_run()
    told = run.gate()
    assert (told["rows"], told["score"], told["level"]) == (0, None, "unknown")


def test_a_connection_changes_rules_for_all_and_a_dag_over_it(liftos):
    quality = {"severities": {"key_unique": "low", "data_fresh": "low"}}
    liftos.connect("liftos_meta_default", extra={"quality": quality})
    run = Gate(liftos)
    loaded, planned = run.loaded_run()
    run.gate(loaded, planned, severities={"data_fresh": "medium"})
    graded = {row["rule"]: row["severity"] for row in run.results()}
    assert (graded["key_unique"], graded["data_fresh"]) == ("low", "medium")
    for wrong, says in (
        (json.dumps({"scores": 1}), "has no part 'scores'"),
        ("{", "no JSON object"),
    ):
        liftos.connect("liftos_meta_default", extra={"quality": wrong})
        with pytest.raises(AirflowFailException, match=says):
            run.gate(loaded, planned)


def test_own_suites_beside_the_dags_are_picked_up(liftos, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", str(liftos.folder / "dags"))
    folder = liftos.folder / "include" / "gx"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(
        "{expectations: [{type: expect_column_values_to_be_between, meta: {rule: cheap},"
        " kwargs: {column: spend, max_value: 0}}]}"
    )
    run = Gate(liftos)
    run.gate(*run.loaded_run())
    assert run.results(rule="cheap", status="failed")
    with pytest.raises(AirflowFailException, match="no folder '/nowhere' of suites"):
        run.gate(*run.loaded_run(), suites_folder="/nowhere")


def test_alone_it_grades_entities_and_every_organization(liftos):
    run = Gate(liftos)
    loaded, planned = run.loaded_run()
    run.published(run.gate(loaded, planned))
    known = run.gate()
    entities = run.warehouse("SELECT count(*) FROM liftos.campaigns WHERE valid_to IS NULL")[0][0]
    assert known["entities"] >= entities > 0
    assert list(known["organizations"]) == ["default"]
    run.warehouse(
        "INSERT INTO liftos.campaigns BY NAME (SELECT * REPLACE ('other' AS org_id)"
        " FROM liftos.campaigns)"
    )
    run.warehouse(
        "INSERT INTO liftos.loads BY NAME (SELECT * REPLACE ('other' AS org_id) FROM liftos.loads)"
    )
    run.warehouse(
        "INSERT INTO liftos.campaigns BY NAME (SELECT * REPLACE (valid_from - INTERVAL 1 DAY AS"
        " valid_from) FROM liftos.campaigns WHERE org_id = 'other' LIMIT 1)"
    )
    assert run.gate()["failed"] == known["failed"], "another organization is no business of ours"
    both = run.gate(organizations="all")
    assert list(both["organizations"]) == ["default", "other"]
    assert both["organizations"]["default"]["failed"] == known["failed"]
    assert both["score"] == both["organizations"]["other"]["score"] < known["score"]
    [found] = run.results(rule="key_unique", status="failed")
    assert (found["org_id"], found["report"]) == ("other", "campaigns")
    with pytest.raises(AirflowFailException, match="published data does not pass the audit"):
        run.gate(organizations=["other", "default"], on_block="fail")
    entries = Ledger(liftos.store, "default").rows(phase="audit", limit=1)
    assert entries[0].status == "success", "a bad organization holds up no other"


def test_a_connection_changes_rules_for_its_own_organization_only(liftos):
    liftos.connect("liftos_meta_default", extra={"quality": {"severities": {"key_unique": "low"}}})
    run = Gate(liftos)
    loaded, planned = run.loaded_run()
    run.published(run.gate(loaded, planned))
    run.warehouse(
        "INSERT INTO liftos.loads BY NAME (SELECT * REPLACE ('other' AS org_id) FROM liftos.loads)"
    )
    run.gate(organizations="all")
    graded = {
        row["org_id"]: row["severity"]
        for row in run.results(rule="key_unique", report="basic")
        if row["id"].startswith("published")
    }
    assert graded == {"default": "low", "other": "critical"}


def test_a_baseline_that_does_not_exist_is_refused(liftos):
    run = Gate(liftos)
    loaded, planned = run.loaded_run()
    with pytest.raises(AirflowFailException, match="no baseline 'mean'; baselines are median, stl"):
        run.gate(loaded, planned, baseline="mean")
    liftos.connect("liftos_meta_default", extra={"quality": {"baseline": "mode"}})
    with pytest.raises(AirflowFailException, match="no baseline 'mode'"):
        run.gate(loaded, planned)
    assert run.gate(loaded, planned, baseline="median")["quarantined"] == 0
