"""What each task leaves in the run ledger, compared with what the sandbox and the disk know."""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred

from airflow_provider_liftos.cli import runs as command
from airflow_provider_liftos.engine.checkpoint import Checkpoints
from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.operators.campaign_report import LiftosCampaignReportOperator
from airflow_provider_liftos.operators.cross_platform import LiftosCrossPlatformOperator
from airflow_provider_liftos.operators.fx_rates import LiftosFxRatesOperator
from airflow_provider_liftos.operators.load import LiftosLoadOperator
from airflow_provider_liftos.operators.normalize import LiftosNormalizeOperator
from airflow_provider_liftos.operators.plan import LiftosPlanOperator
from airflow_provider_liftos.operators.publish import LiftosPublishOperator
from airflow_provider_liftos.operators.quality_gate import LiftosQualityGateOperator
from airflow_provider_liftos.operators.task import read_manifest
from airflow_provider_liftos.platforms import get
from airflow_provider_liftos.resilience.backoff import Backoff
from airflow_provider_liftos.resilience.limiter import Limiter, Turn
from airflow_provider_liftos.state.ledger import Entry, Ledger, TaskRun, Work
from airflow_provider_liftos.transport import client
from airflow_provider_liftos.warehouses.duckdb import DuckDbWarehouse
from tests.operators.test_partial import Partial


def entries(liftos) -> dict[str, Entry]:
    """The newest entry of each phase."""
    found = Ledger(liftos.store, "default").rows()
    return {entry.run.phase: entry for entry in reversed(found)}


def requests(liftos) -> int:
    return len(liftos.sandbox.journal.entries("meta"))


@pytest.fixture
def received(monkeypatch) -> list[int]:
    """Sizes of all bodies that come in."""
    sizes: list[int] = []
    send = client.HttpSender.send

    def weighed(self, *arguments):
        response = send(self, *arguments)
        sizes.append(len(response.body))
        return response

    monkeypatch.setattr(client.HttpSender, "send", weighed)
    return sizes


def test_every_task_tells_what_it_did(liftos, received):
    run = Partial(liftos)
    [batch] = run.plan()
    plan = entries(liftos)["plan"]
    assert plan.work == Work(rows=3, requests=len(received), bytes=sum(received))
    received.clear()
    fetched = run.extract(batch, deferrable=False).execute(run.context("extract"))
    points = Checkpoints(liftos.store, "default", "dag/run/extract/-1").load().values()
    extract = entries(liftos)["extract"]
    raw = sum(file.rows for point in points for file in point.files)
    assert extract.work.throttled_seconds < 0.5  # history gives way to the plan just before
    assert replace(extract.work, throttled_seconds=0.0) == Work(
        rows=raw, bytes=sum(received), requests=len(received), reports_submitted=3
    )
    assert sorted(extract.detail["report_ids"]) == sorted(
        p.report_id for p in points if p.report_id
    )
    assert len(extract.detail["report_ids"]) == 3

    normalized = run.normalized(fetched)
    staging = config.staging()
    files = [f for cut in read_manifest(staging, normalized).slices for f in cut.staged]
    size = sum(len(open(file.path, "rb").read()) for file in files)  # noqa: PTH123, SIM115
    staged = Work(rows=sum(file.rows for file in files), bytes=size)
    assert (entries(liftos)["normalize"].work, entries(liftos)["normalize"].detail["read"]) == (
        staged,
        raw,
    )
    loaded = run.loaded(normalized)
    audited = run.audited(loaded, [batch])
    run.published(audited)
    warehouse = DuckDbWarehouse(liftos.folder / "warehouse.duckdb", None)
    [(rows,)] = warehouse.query("SELECT count(*) FROM liftos.performance")
    [(alive,)] = warehouse.query("SELECT count(*) FROM liftos.campaigns WHERE valid_to IS NULL")
    found = entries(liftos)
    assert [found[phase].work for phase in ("load", "audit", "publish")] == [
        staged, staged, replace(staged, rows=rows + alive),
    ]  # fmt: skip
    assert found["publish"].detail == {"slices": 6, "held": 0, "days_restated": 0}
    assert {e.run.api_version for e in found.values()} == {get("meta").newest()}
    days = {(e.run.window_since, e.run.window_until) for e in found.values()}
    assert days == {(run.params["since"], run.params["until"])}
    assert all(e.finished_at > e.started_at for e in found.values())


def test_retries_and_waiting_are_told(liftos, monkeypatch):
    run = Partial(liftos, streams=())
    monkeypatch.setattr(Backoff, "delay", lambda *_: 0.0)
    liftos.sandbox.faults.add(kind="http_500", platform="meta", match="adaccounts", times=2)
    run.plan()
    plan = entries(liftos)["plan"].work
    assert (plan.retries, plan.throttled_seconds) == (2, 0.0)
    monkeypatch.setattr(Limiter, "reserve", lambda *_args, **_parts: Turn(0.01))
    run.plan()
    waited = entries(liftos)["plan"].work
    assert waited.throttled_seconds == pytest.approx(0.01 * waited.requests)


def test_a_wasted_report_is_told(liftos):
    run = Partial(liftos, streams=())
    [batch] = run.plan()
    liftos.sandbox.faults.add(kind="job_failed", platform="meta", times=1)
    run.fetched(batch)
    [last] = Ledger(liftos.store, "default").rows(phase="extract", status="success")
    assert (last.work.reports_submitted, last.work.reports_wasted) == (4, 1)


def test_a_deferred_stint_tells_its_days_and_its_reports(liftos):
    liftos.sandbox.world.report_seconds = 60.0
    run = Partial(liftos, streams=())
    [batch] = run.plan()
    with pytest.raises(TaskDeferred):
        run.extract(batch, deferrable=True).execute(run.context("extract"))
    entry = entries(liftos)["extract"]
    assert (entry.status, entry.work.reports_submitted) == ("deferred", 3)
    assert len(entry.detail["report_ids"]) == 3
    assert entry.run.window_since == run.params["since"]


BROKEN = {"manifest": "/nowhere/manifest.json", "decisions": "/nowhere/decisions.json"}


@pytest.mark.parametrize(
    ("cls", "parts"),
    [
        (LiftosPlanOperator, {"platform": "meta", "conn_id": "nobody"}),
        (LiftosNormalizeOperator, {"platform": "meta", "extracted": BROKEN}),
        (LiftosLoadOperator, {"platform": "meta", "normalized": [BROKEN]}),
        (LiftosLoadOperator, {"platform": "meta", "normalized": []}),
        (LiftosQualityGateOperator, {"platform": "meta", "loaded": BROKEN}),
        (LiftosPublishOperator, {"platform": "meta", "audited": BROKEN}),
        (LiftosCampaignReportOperator, {"platform": "meta", "folder": "/nowhere"}),
        (LiftosFxRatesOperator, {"file": "weekly"}),
    ],
)
def test_a_task_that_fails_at_its_first_step_is_in_the_ledger(liftos, cls, parts):
    task = cls(task_id="x", **parts)
    with pytest.raises(AirflowException) as caught:
        task.execute(liftos.context("x"))
    [entry] = Ledger(liftos.store, "default").rows()
    assert (entry.run.phase, entry.status) == (cls.phase, "failed")
    assert entry.error.partition(": ")[2] in str(caught.value)
    assert entry.finished_at is not None


def test_a_failing_extract_keeps_what_it_had_spent(liftos, monkeypatch):
    monkeypatch.setattr(Backoff, "delay", lambda *_: 0.0)
    run = Partial(liftos, streams=())
    [batch] = run.plan()
    before = requests(liftos)
    liftos.sandbox.faults.add(kind="token_revoked", platform="meta", match="insights")
    with pytest.raises(AirflowFailException):
        run.extract(batch, deferrable=False).execute(run.context("extract"))
    entry = entries(liftos)["extract"]
    assert (entry.status, entry.work.requests) == ("failed", requests(liftos) - before)
    assert entry.work.requests > 0


def test_tasks_without_a_platform_tell_theirs(liftos):
    liftos.connect(
        "liftos_ecb_default", conn_type="http", host=f"{liftos.sandbox.url}/ecb",
        extra={"access_token": None, "app_id": None, "app_secret": None,
               "requests_per_hour": None, "requests_per_minute": None},
    )  # fmt: skip
    done = LiftosFxRatesOperator(task_id="fx", file="hist-90d").execute(liftos.context("fx"))
    entry = entries(liftos)["fx_rates"]
    assert (entry.work.rows, entry.work.requests, entry.run.api_version) == (done["rows"], 1, None)
    assert entry.work.bytes > 10_000
    assert entry.run.window_until == done["newest"]
    LiftosCrossPlatformOperator(task_id="all").execute(liftos.context("all"))
    entry = entries(liftos)["cross_platform"]
    days = [date.fromisoformat(d) for d in (entry.run.window_since, entry.run.window_until)]
    assert days[1] - days[0] == timedelta(days=30)


# -- airflow liftos runs --------------------------------------------------------------------------

OPTIONS = {"limit": 40, "org": "default", "dag_id": None, "run_id": None, "status": None}


def ended(monkeypatch, *run_ids: str) -> None:
    monkeypatch.setattr(command, "_goes_on", lambda _dag, run_id: run_id not in run_ids)


def put(liftos, run_id: str, *, finish: bool = True, **parts) -> str:
    ledger = Ledger(liftos.store, "default")
    run = TaskRun(dag_id="dag", run_id=run_id, task_id="extract", phase="extract", map_index=7,
                  try_number=2, platform="meta", api_version="v26.0")  # fmt: skip
    entry_id = ledger.start(run)
    if finish:
        ledger.finish(entry_id, **parts)
    return entry_id


def test_the_command_prints_every_number_and_what_went_wrong(liftos, capsys, monkeypatch):
    ended(monkeypatch)
    work = Work(rows=1_234_567, bytes=89_000_000, requests=321, retries=45, throttled_seconds=67.4,
                reports_submitted=89, reports_wasted=3)  # fmt: skip
    put(liftos, "scheduled__2026-11-20", work=work, warnings=("the window was cut",), error="no",
        status="failed", window=("2026-10-23", "2026-11-20"))  # fmt: skip
    command.runs(Namespace(json=False, **OPTIONS))
    head, line, *words = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["started", "(UTC)", "run"]
    assert line.split()[2:] == [
        "scheduled__2026-11-20", "extract[7]", "2", "failed", "1,234,567", "89.0", "MB", "321",
        "45", "67", "s", "89", "-3", line.split()[-3], "v26.0", "2026-10-23..2026-11-20",
    ]  # fmt: skip
    assert words == ["    no", "    the window was cut"]


def test_a_task_that_was_killed_shows_as_interrupted_when_its_run_is_over(
    liftos, capsys, monkeypatch
):
    ended(monkeypatch, "over")
    killed, works = put(liftos, "over", finish=False), put(liftos, "goes on", finish=False)
    command.runs(Namespace(json=True, **OPTIONS))
    shown = {entry["id"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert shown[killed]["status"] == "interrupted"
    assert shown[killed]["seconds"] is None
    assert shown[works]["status"] == "running"
    command.runs(Namespace(json=True, **{**OPTIONS, "status": "interrupted"}))
    assert [entry["id"] for entry in json.loads(capsys.readouterr().out)] == [killed]


def test_json_has_all_that_the_ledger_knows(liftos, capsys, monkeypatch):
    ended(monkeypatch)
    entry_id = put(liftos, "run", work=Work(requests=1), detail={"report_ids": ["6"]})
    command.runs(Namespace(json=True, **{**OPTIONS, "run_id": "run"}))
    [entry] = json.loads(capsys.readouterr().out)
    assert entry["id"] == entry_id
    assert entry.keys() >= {*TaskRun.__dataclass_fields__, *Work.__dataclass_fields__}
    assert (entry["requests"], entry["detail"]) == (1, {"report_ids": ["6"]})
    assert entry["seconds"] == pytest.approx(entry["finished_at"] - entry["started_at"], abs=0.001)


def test_whether_a_run_is_over_is_asked_of_airflow(tmp_path, monkeypatch):
    from contextlib import contextmanager

    from airflow.utils import session as airflow_session

    states = {"a": "running", "b": "queued", "c": "failed"}

    @contextmanager
    def create_session():
        def scalar(query):
            return states.get(query.compile().params["run_id_1"])

        yield SimpleNamespace(scalar=scalar)

    monkeypatch.setattr(airflow_session, "create_session", create_session)
    now = datetime.now(UTC).timestamp()
    open_entries = [
        Entry(id=name, run=TaskRun(dag_id="d", run_id=name, task_id="t", phase="p"),
              status="running", started_at=now, finished_at=None, work=Work())
        for name in ("a", "b", "c", "forgotten")
    ]  # fmt: skip
    assert command.over(open_entries) == {
        ("d", "a"): False, ("d", "b"): False, ("d", "c"): True, ("d", "forgotten"): True,
    }  # fmt: skip
