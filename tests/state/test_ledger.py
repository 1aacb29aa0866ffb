from __future__ import annotations

import dataclasses
import uuid

import pytest

from airflow_provider_liftos.model.errors import Missing
from airflow_provider_liftos.state.clock import ManualClock
from airflow_provider_liftos.state.ledger import Ledger, TaskRun, Work
from airflow_provider_liftos.state.store import StateStore

RUN = TaskRun(
    dag_id="liftos_meta",
    run_id="scheduled__2026-11-20",
    task_id="extract",
    phase="extract",
    map_index=3,
    platform="meta",
    api_version="v25.0",
    window_since="2026-10-24",
    window_until="2026-11-20",
)


@pytest.fixture
def clock():
    return ManualClock(1_000.0)


@pytest.fixture
def ledger(store_url, clock):
    return Ledger(StateStore(store_url, clock), uuid.uuid4().hex)


def test_what_was_written_is_read_back(ledger, clock):
    work = Work(
        rows=3_000_000_000, bytes=2**40, requests=7, throttled_seconds=1.5, reports_wasted=1
    )
    entry_id = ledger.start(RUN)
    (entry,) = ledger.rows()
    assert (entry.status, entry.finished_at, entry.work) == ("running", None, Work())
    clock.advance(60)
    ledger.finish(entry_id, work=work, warnings=("naïve",), detail={"accounts": 2})
    (entry,) = ledger.rows()
    assert entry.id == entry_id
    assert entry.run == RUN
    assert (entry.status, entry.started_at, entry.finished_at) == ("success", 1_000.0, 1_060.0)
    assert entry.work == work
    assert (entry.warnings, entry.detail, entry.error) == (("naïve",), {"accounts": 2}, None)


def test_a_new_try_closes_what_a_dead_one_left_open(ledger):
    dead = ledger.start(RUN)
    other = ledger.start(dataclasses.replace(RUN, map_index=4))
    again = ledger.start(dataclasses.replace(RUN, try_number=2))
    status = {entry.id: entry.status for entry in ledger.rows()}
    assert status == {dead: "interrupted", other: "running", again: "running"}
    ledger.start(dataclasses.replace(RUN, try_number=2))  # its scheduler died with it
    assert {e.id: e.status for e in ledger.rows()}[again] == "interrupted"


def test_the_same_try_may_have_several_entries(ledger):
    ledger.finish(ledger.start(RUN), status="deferred")
    ledger.start(RUN)  # resumed
    assert {entry.status for entry in ledger.rows()} == {"deferred", "running"}


def test_rows_can_be_narrowed_and_come_newest_first(ledger, clock):
    first = ledger.start(RUN)
    clock.advance(1)
    second = ledger.start(dataclasses.replace(RUN, platform="tiktok", phase="load"))
    ledger.finish(second, status="failed", error="no")
    assert [entry.id for entry in ledger.rows()] == [second, first]
    assert [entry.id for entry in ledger.rows(limit=1)] == [second]
    assert [entry.id for entry in ledger.rows(since=1_001.0)] == [second]
    assert [entry.id for entry in ledger.rows(platform="meta")] == [first]
    assert [entry.id for entry in ledger.rows(phase="load", status="failed")] == [second]
    assert ledger.rows(dag_id="other") == ledger.rows(run_id="other") == []


def test_organizations_do_not_see_one_another(ledger, store_url, clock):
    entry_id = ledger.start(RUN)
    other = Ledger(StateStore(store_url, clock), uuid.uuid4().hex)
    assert other.rows() == []
    with pytest.raises(Missing, match=entry_id):
        other.finish(entry_id)
