from __future__ import annotations

import asyncio
import json
import time

import pytest

from airflow_provider_liftos.engine import checkpoint as cp
from airflow_provider_liftos.engine.checkpoint import Checkpoints
from airflow_provider_liftos.hooks import registry
from airflow_provider_liftos.model.report import Level, Slice, Window
from airflow_provider_liftos.platforms import get
from airflow_provider_liftos.state.ledger import Ledger
from airflow_provider_liftos.transport.client import HttpSender
from airflow_provider_liftos.transport.flow import run
from airflow_provider_liftos.triggers.report import ReportTrigger
from tests.airflow_doubles import Deployment

SCOPE = "dag/run/extract/0"


def make(**changed) -> ReportTrigger:
    given = {
        "platform": "meta", "conn_id": "liftos_meta_default", "scope": SCOPE,
        "poll_seconds": 0.05, "fire_after": 0.0,
    }  # fmt: skip
    return ReportTrigger(**{**given, **changed})


async def fire(trigger: ReportTrigger) -> dict:
    events = [event async for event in trigger.run()]
    assert len(events) == 1
    return events[0].payload


def submit(liftos: Deployment, count: int = 1) -> Checkpoints:
    """Reports of as many accounts, submitted as an extract task would."""
    hook = registry.hook("meta")
    session = hook.session(hook.credentials(), liftos.store)
    points = Checkpoints(liftos.store, "default", SCOPE)
    report = get("meta").preset("basic", Level.CAMPAIGN)
    accounts = liftos.sandbox.world.dataset("meta").accounts[:count]
    today = liftos.sandbox.clock.now().date()
    cuts = [
        Slice(
            platform="meta", account_id=a.id, window=Window(since=today, until=today), report=report
        )
        for a in accounts
    ]
    reports = session.platform.asynchronous()
    for point in points.add(cuts):
        point.report_id = run(
            session.call(reports.submit(point.slice), reports.report_id), HttpSender()
        )
        point.state, point.as_of, point.attempts = cp.SUBMITTED, time.time(), 1
        point.deadline = time.time() + 600
        points.save(point)
    return points


def states(points: Checkpoints) -> list[str]:
    return [point.state for point in points.load().values()]


def test_it_is_rebuilt_from_plain_json_that_names_and_carries_nothing():
    trigger = make(not_before=12.5)
    path, arguments = trigger.serialize()
    assert path == "airflow_provider_liftos.triggers.report.ReportTrigger"
    again = ReportTrigger(**json.loads(json.dumps(arguments)))
    assert again.serialize() == (path, arguments)
    assert set(arguments) == {
        "platform",
        "conn_id",
        "scope",
        "poll_seconds",
        "fire_after",
        "not_before",
    }


async def test_it_fires_when_no_report_runs_any_more(liftos):
    points = submit(liftos, 3)
    assert await fire(make()) == {"status": "done", "ready": 3, "failed": 0}
    assert states(points) == [cp.READY] * 3
    polls = liftos.sandbox.journal.entries("meta", contains="POST /")
    assert len([p for p in polls if not p["batch"] and not p["path"].endswith("insights")]) < 20


async def test_a_failed_report_is_no_error_of_the_trigger(liftos):
    liftos.sandbox.faults.add(kind="job_failed", platform="meta", times=1)
    points = submit(liftos, 2)
    assert await fire(make()) == {"status": "done", "ready": 1, "failed": 1}
    assert sorted(states(points)) == [cp.FAILED, cp.READY]


async def test_no_event_comes_before_the_shortest_deferral_is_over(liftos):
    submit(liftos)
    moment = time.time() + 1.0
    await fire(make(fire_after=moment))
    assert time.time() >= moment


async def test_a_known_moment_is_waited_for_without_a_single_request(liftos):
    moment = time.time() + 0.3
    assert await fire(make(not_before=moment)) == {"status": "time"}
    assert time.time() >= moment
    assert liftos.sandbox.journal.entries("meta") == []


@pytest.mark.parametrize("kind", ["http_500", "http_502_html", "reset", "truncated_body"])
async def test_a_platform_that_is_unwell_is_asked_again(liftos, kind):
    submit(liftos)
    liftos.sandbox.faults.add(kind=kind, platform="meta", times=2)
    assert (await fire(make()))["ready"] == 1


async def test_a_limit_is_waited_for(liftos):
    submit(liftos)
    liftos.sandbox.faults.add(kind="rate_limit", platform="meta", times=1)
    began = time.time()
    task = asyncio.ensure_future(fire(make()))
    done, _ = await asyncio.wait([task], timeout=3.0)
    assert not done, "it waits for what the platform asked for, a minute at least"
    assert time.time() - began >= 3.0
    task.cancel()


async def test_a_revoked_token_ends_the_task_for_good(liftos):
    points = submit(liftos)
    liftos.sandbox.faults.add(kind="token_revoked", platform="meta")
    payload = await fire(make())
    assert (payload["status"], payload["final"]) == ("error", True)
    assert "the access token is not valid" in payload["message"]
    assert "sandbox-token" not in payload["message"]
    assert states(points) == [cp.SUBMITTED], "the report is still there for a new token"


async def test_a_missing_connection_is_told_in_words(liftos):
    payload = await fire(make(conn_id="nobody"))
    assert payload["status"] == "error"
    assert "nobody" in payload["message"]


async def test_a_defect_still_brings_an_event(liftos, monkeypatch):
    monkeypatch.setattr(ReportTrigger, "_watch", lambda *_: 1 / 0)
    payload = await fire(make())
    assert payload == {"status": "error", "message": "the trigger failed: ZeroDivisionError"}


async def test_payloads_are_plain_json(liftos):
    submit(liftos)
    json.dumps(await fire(make()))


async def test_ending_the_task_leaves_what_a_cleared_task_may_go_on_with(liftos):
    points = submit(liftos, 2)
    before = {key: (p.state, p.report_id) for key, p in points.load().items()}
    await make().on_kill()
    assert {key: (p.state, p.report_id) for key, p in points.load().items()} == before


async def test_what_polling_costs_is_in_the_ledger(liftos):
    liftos.sandbox.world.report_seconds = 0.3
    submit(liftos, 2)
    await fire(make())
    [entry] = Ledger(liftos.store, "default").rows()
    run = entry.run
    assert (run.dag_id, run.run_id, run.task_id, run.map_index) == ("dag", "run", "extract", 0)
    assert (run.phase, entry.status, run.api_version) == ("wait", "success", get("meta").newest())
    assert entry.work.requests >= 1
    assert entry.work.bytes > 100
