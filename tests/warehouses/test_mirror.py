"""The state store's control tables in the warehouse: complete, current, of one organization."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import delete

from airflow_provider_liftos.state import tables
from airflow_provider_liftos.state.audit_log import AuditLog
from airflow_provider_liftos.state.clock import ManualClock
from airflow_provider_liftos.state.dead_letters import DeadLetters
from airflow_provider_liftos.state.ledger import Ledger, TaskRun, Work
from airflow_provider_liftos.state.letter import DISCARDED, Draft
from airflow_provider_liftos.state.store import StateStore
from airflow_provider_liftos.warehouses import mirror as module
from airflow_provider_liftos.warehouses.mirror import MIRRORED, mirror
from tests.warehouses.engines import administer

NOW = datetime(2026, 11, 20, tzinfo=UTC).timestamp()
DAY = 86_400.0
ROW = Draft(kind="row", platform="meta", account_id="1", name="basic:ad", reason="no day",
            payload="private words")  # fmt: skip
RUN = TaskRun(dag_id="d", run_id="r", task_id="t", phase="extract")


@pytest.fixture
def clock():
    return ManualClock(NOW)


@pytest.fixture
def store(tmp_path, clock):
    return StateStore(f"sqlite:///{tmp_path}/mirrored.db", clock)


@pytest.fixture(autouse=True)
def unmirrored(warehouse):
    for one in MIRRORED:
        administer(warehouse, f"DROP TABLE IF EXISTS liftos.{one.table.name}")


def read(warehouse, table, columns="*"):
    return warehouse.query(f"SELECT {columns} FROM liftos.{table} ORDER BY 1, 2")


def test_entries_are_copied_with_their_types(warehouse, store):
    ledger = Ledger(store, "o")
    ledger.finish(ledger.start(RUN), work=Work(rows=7, throttled_seconds=1.5), warnings=("x\x00",))
    AuditLog(store, "o").note("anna", "connected", "conn")
    counts = mirror(store, warehouse, "o")
    assert (counts["run_ledger"], counts["audit_log"], counts["dead_letters"]) == (1, 1, 0)
    columns = 'started_at, status, "rows", throttled_seconds, finished_at'
    [(started, status, rows, waited, finished)] = read(warehouse, "run_ledger", columns)
    assert (started.timestamp(), status, rows, waited) == (NOW, "success", 7, 1.5)
    assert finished.timestamp() == NOW
    assert read(warehouse, "audit_log", "actor, action") == [("anna", "connected")]


def test_repeating_doubles_nothing_and_brings_what_changed(warehouse, store, clock):
    ledger = Ledger(store, "o")
    open_entry = ledger.start(RUN)
    mirror(store, warehouse, "o")
    assert read(warehouse, "run_ledger", "status, finished_at") == [("running", None)]
    clock.advance(DAY)
    ledger.finish(open_entry)
    ledger.start(TaskRun(dag_id="d", run_id="later", task_id="t", phase="extract"))
    for _ in range(2):
        mirror(store, warehouse, "o")
        found = read(warehouse, "run_ledger", "run_id, status")
        assert sorted(found) == [("later", "running"), ("r", "success")]


def test_only_what_is_new_is_copied_again(warehouse, store, clock):
    log = AuditLog(store, "o")
    log.note("anna", "old", "x")
    mirror(store, warehouse, "o")
    clock.advance(30 * DAY)
    log.note("anna", "new", "x")
    assert mirror(store, warehouse, "o")["audit_log"] == 2
    assert mirror(store, warehouse, "o")["audit_log"] == 1
    assert len(read(warehouse, "audit_log")) == 2


def test_what_retention_took_away_goes_here_too(warehouse, store, clock):
    log = AuditLog(store, "o")
    log.note("anna", "old", "x")
    clock.advance(30 * DAY)
    log.note("anna", "new", "x")
    mirror(store, warehouse, "o")
    with store.write() as connection:
        connection.execute(delete(tables.audit_log).where(tables.audit_log.c.action == "old"))
    mirror(store, warehouse, "o")
    assert read(warehouse, "audit_log", "action, actor") == [("new", "anna")]
    with store.write() as connection:
        connection.execute(delete(tables.audit_log))
    mirror(store, warehouse, "o")
    assert read(warehouse, "audit_log") == []


def test_letters_come_without_payloads_and_as_they_are_now(warehouse, store, clock):
    letters = DeadLetters(store, "o")
    letters.keep([ROW])
    mirror(store, warehouse, "o")
    clock.advance(40 * DAY)
    letters.close([ROW.id], state=DISCARDED, by="ben")
    mirror(store, warehouse, "o")
    assert read(warehouse, "dead_letters", "state, closed_by") == [("discarded", "ben")]
    assert "private" not in str(read(warehouse, "dead_letters"))


def test_a_kill_between_two_pages_is_made_good(warehouse, store, clock, monkeypatch):
    log = AuditLog(store, "o")
    for number in range(7):
        log.note("anna", str(number), "x")
        clock.advance(5 * DAY)
    monkeypatch.setattr(module, "_PAGE", 3)
    insert, done = module._insert, []

    class KilledError(BaseException):
        pass

    def killing(place, one, page):
        if one.table.name == "audit_log":
            done.append(page)
            if len(done) == 2:
                raise KilledError
        return insert(place, one, page)

    with monkeypatch.context() as patched:
        patched.setattr(module, "_insert", killing)
        with pytest.raises(KilledError):
            mirror(store, warehouse, "o")
    assert len(read(warehouse, "audit_log")) == 3
    mirror(store, warehouse, "o")
    assert [row[0] for row in read(warehouse, "audit_log", "action, actor")] == list("0123456")


def test_organizations_are_copied_apart(warehouse, store):
    for org in ("o", "p"):
        AuditLog(store, org).note(org, "connected", "x")
    mirror(store, warehouse, "o")
    assert read(warehouse, "audit_log", "org_id, actor") == [("o", "o")]
    mirror(store, warehouse, "p")
    mirror(store, warehouse, "o")
    assert read(warehouse, "audit_log", "org_id, actor") == [("o", "o"), ("p", "p")]


def test_a_column_that_is_new_is_added(warehouse, store):
    AuditLog(store, "o").note("anna", "connected", "x")
    mirror(store, warehouse, "o")
    administer(warehouse, "ALTER TABLE liftos.audit_log DROP COLUMN subject")
    AuditLog(store, "o").note("anna", "tested", "y")
    mirror(store, warehouse, "o")
    assert sorted(read(warehouse, "audit_log", "subject, action")) == [
        ("x", "connected"), ("y", "tested"),
    ]  # fmt: skip
