"""What is too old goes, in one task; what one place refuses does not stop the others."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import duckdb
import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from airflow_provider_liftos.engine.checkpoint import Checkpoints
from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.model.errors import StagingError
from airflow_provider_liftos.operators import maintenance
from airflow_provider_liftos.operators.maintenance import (
    LiftosMaintenanceOperator,
    LiftosMirrorOperator,
)
from airflow_provider_liftos.state.audit_log import AuditLog
from airflow_provider_liftos.state.clock import ManualClock
from airflow_provider_liftos.state.ledger import Ledger
from airflow_provider_liftos.state.retention import DAYS
from airflow_provider_liftos.state.store import StateStore
from tests.operators.test_tasks import Chain

DAY = 86_400.0


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def cleaned(liftos) -> dict:
    return LiftosMaintenanceOperator(task_id="clean").execute(liftos.context("clean"))


def long_ago(liftos, days: float) -> StateStore:
    """The same store, as it was written then."""
    return StateStore(str(liftos.store._url), ManualClock(time.time() - days * DAY))


def test_all_that_is_old_goes_and_the_ledger_says_how_much(liftos, temporary):
    AuditLog(long_ago(liftos, 900), "default").note("anna", "connected", "x")
    AuditLog(long_ago(liftos, 900), "another").note("ben", "connected", "y")
    AuditLog(long_ago(liftos, 10), "default").note("carl", "connected", "z")
    staging = config.staging()
    old = staging.write_json(staging.folder("manifests", "meta", "old", "extract"), {"a": 1})
    left = temporary / "liftos-staging-killed"
    left.write_text("x")
    for path in (old, left):
        os.utime(path, (1, 1))
    found = cleaned(liftos)
    assert found["state_store"] == {"audit_log": 2}
    assert (found["staging"]["files"], found["temporary"], found["audit_schema"]) == (1, 1, 0)
    assert not Path(old).exists()
    assert not left.exists()
    [entry] = Ledger(liftos.store, "default").rows(phase="maintenance")
    assert (entry.status, entry.work.rows, entry.work.bytes > 0) == ("success", 2, True)
    assert entry.detail == found
    assert cleaned(liftos)["state_store"] == {}


def test_a_run_that_is_under_way_finds_all_it_needs_afterwards(liftos):
    chain = Chain(liftos)
    planned = chain.plan()
    extracted = [chain.fetched(planned[0])]
    everywhere = [path for path in (liftos.folder / "staging").rglob("*") if path.is_file()]
    for path in everywhere[1:]:
        os.utime(path, (1, 1))  # all but one file of the run are old
    cleaned(liftos)
    assert chain.publish(extracted, planned)["held"] == 0


def test_an_unfinished_extract_goes_on_with_what_it_had(liftos):
    chain = Chain(liftos)
    [batch] = chain.plan()
    chain.fetched(batch)
    before = len(liftos.sandbox.journal.entries("meta"))
    for path in (liftos.folder / "staging").rglob("*"):
        os.utime(path, (1, 1))
    cleaned(liftos)  # its checkpoints are young, and name the files
    assert Checkpoints(liftos.store, "default", "dag/run/extract/-1").load()
    chain.fetched(batch)
    posts = liftos.sandbox.journal.entries("meta")[before:]
    assert not [entry for entry in posts if entry["path"].endswith("/insights")]


def test_slices_that_were_held_wait_for_their_days(liftos):
    chain = Chain(liftos)
    planned = chain.plan()
    chain.publish([chain.fetched(planned[0])], planned)
    with duckdb.connect(str(liftos.folder / "warehouse.duckdb")) as con:
        con.execute(
            "INSERT INTO liftos_audit.performance (org_id, load_id, as_of, slice_key)"
            " VALUES ('o', 'old', now() - INTERVAL 20 DAY, 'x')"
        )
    assert cleaned(liftos)["audit_schema"] == 0
    liftos.set("retention_days", "audit_schema=10")
    assert cleaned(liftos)["audit_schema"] == 1


def test_what_one_place_refuses_does_not_stop_the_others(liftos, monkeypatch):
    AuditLog(long_ago(liftos, 900), "default").note("anna", "connected", "x")

    def refuse(_days):
        raise StagingError("the store is away")

    monkeypatch.setattr(maintenance, "_sweep", refuse)
    with pytest.raises(AirflowException, match="the store is away"):
        cleaned(liftos)
    [entry] = Ledger(liftos.store, "default").rows(phase="maintenance")
    assert entry.detail["state_store"] == {"audit_log": 1}
    assert entry.warnings == ("the store is away",)
    assert "staging" not in entry.detail


@pytest.mark.parametrize(
    "wrong", ["run_ledgr=3", "staging=0", "staging", "staging=-1", "staging=x"]
)
def test_a_wrong_setting_deletes_nothing(liftos, wrong):
    liftos.set("retention_days", wrong)
    AuditLog(long_ago(liftos, 900), "default").note("anna", "connected", "x")
    with pytest.raises(AirflowFailException, match=r"write it as run_ledger=200"):
        cleaned(liftos)
    assert len(AuditLog(liftos.store, "default").entries()) == 1


def test_days_are_set_by_name(liftos):
    liftos.set("retention_days", "staging=3, run_ledger=10")
    assert config.retention_days() == {**DAYS, "staging": 3, "run_ledger": 10}


def test_ledgers_can_be_queried_in_the_warehouse(liftos):
    AuditLog(liftos.store, "default").note("anna", "connected", "x")
    AuditLog(liftos.store, "another").note("ben", "connected", "y")
    task = LiftosMirrorOperator(task_id="mirror")
    found = task.execute(liftos.context("mirror"))
    assert found["default"]["audit_log"] == 1
    with duckdb.connect(str(liftos.folder / "warehouse.duckdb")) as con:
        assert con.execute("SELECT actor FROM liftos.audit_log").fetchall() == [("anna",)]
    [entry] = Ledger(liftos.store, "default").rows(phase="mirror")
    assert (entry.status, entry.detail) == ("success", found)
