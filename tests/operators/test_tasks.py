"""The six tasks of a pipeline, one after the other, with nothing of Airflow around them."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred

from airflow_provider_liftos.cli.proof import compare
from airflow_provider_liftos.engine.checkpoint import Checkpoints
from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.model.report import Level
from airflow_provider_liftos.operators.extract import LiftosExtractOperator, as_report, consume
from airflow_provider_liftos.operators.load import LiftosLoadOperator
from airflow_provider_liftos.operators.normalize import LiftosNormalizeOperator
from airflow_provider_liftos.operators.plan import LiftosPlanOperator
from airflow_provider_liftos.operators.publish import LiftosPublishOperator
from airflow_provider_liftos.operators.quality_gate import LiftosQualityGateOperator
from airflow_provider_liftos.platforms import get
from airflow_provider_liftos.resilience.backoff import Backoff
from airflow_provider_liftos.state.ledger import Ledger
from tests.airflow_doubles import Deployment, deployment

META = get("meta")


class Chain:
    """A dag run: its window, its context, and its tasks by name."""

    def __init__(self, liftos: Deployment, **options) -> None:
        today = liftos.sandbox.clock.now().date()
        self.liftos = liftos
        self.params = {
            "since": str(today - timedelta(days=41)),
            "until": str(today - timedelta(days=40)),
            "accounts": [a.id for a in liftos.sandbox.world.dataset("meta").accounts[:3]],
        }
        self.options = {"reports": ["basic:campaign"], "streams": ("campaigns",), **options}

    def context(self, task_id: str, **parts) -> dict:
        return self.liftos.context(task_id, **{"params": self.params, **parts})

    def plan(self, **options) -> list[dict]:
        return LiftosPlanOperator(task_id="plan", platform="meta", **options).execute(
            self.context("plan")
        )

    def extract(self, batch: dict, **options) -> LiftosExtractOperator:
        return LiftosExtractOperator(
            task_id="extract", platform="meta", batch=batch, **{**self.options, **options}
        )

    def fetched(self, batch: dict, *, try_number: int = 1, **options) -> dict:
        """Stint after stint until it is done, as a worker and a triggerer take turns."""
        event = None
        context = self.context("extract")
        context["ti"].try_number = try_number
        for _ in range(50):
            task = self.extract(batch, deferrable=True, **options)
            try:
                return task.execute(context, event)
            except TaskDeferred as pause:
                event = asyncio.run(_fire(pause.trigger))
        raise AssertionError("it never ends")

    def publish(self, extracted: list[dict], planned: list[dict]) -> dict:
        normalized = [
            LiftosNormalizeOperator(task_id="normalize", platform="meta", extracted=item).execute(
                self.context("normalize", map_index=index)
            )
            for index, item in enumerate(extracted)
        ]
        loaded = LiftosLoadOperator(task_id="load", platform="meta", normalized=normalized).execute(
            self.context("load")
        )
        audited = LiftosQualityGateOperator(
            task_id="audit", platform="meta", loaded=loaded, planned=planned
        ).execute(self.context("audit"))
        return LiftosPublishOperator(task_id="publish", platform="meta", audited=audited).execute(
            self.context("publish")
        )

    def proof(self):
        return compare(self.liftos.folder / "warehouse.duckdb", self.liftos.sandbox.url)


async def _fire(trigger) -> dict:
    cls, arguments = type(trigger), trigger.serialize()[1]
    [payload] = [event.payload async for event in cls(**arguments).run()]
    return payload


def test_a_day_goes_all_the_way_and_is_true(liftos):
    chain = Chain(liftos)
    planned = chain.plan(accounts_per_task=2)
    assert [len(batch["accounts"]) for batch in planned] == [2, 1]
    extracted = []
    for index, batch in enumerate(planned):
        context = chain.context("extract", map_index=index)
        task = chain.extract(batch, deferrable=False)
        extracted.append(task.execute(context))
        assert task.account_url.endswith(batch["accounts"][0]["account"]["account_id"])
        assert task.ledger_url == "/liftos/runs/dag/run"
    summary = chain.publish(extracted, planned)
    assert (summary["accounts"], summary["held"]) == (3, 0)
    proof = chain.proof()
    assert (proof.compared, proof.differences) == (3 * 2, [])
    phases = [e.run.phase for e in Ledger(liftos.store, "default").rows(run_id="run")]
    assert sorted(set(phases)) == ["audit", "extract", "load", "normalize", "plan", "publish"]


def test_waiting_takes_one_deferral_and_no_slot(liftos):
    liftos.sandbox.world.report_seconds = 600.0
    liftos.set("min_defer_seconds", "1000")
    chain = Chain(liftos)
    [batch] = chain.plan()
    with pytest.raises(TaskDeferred) as caught:
        chain.extract(batch, deferrable=True).execute(chain.context("extract"))
    assert caught.value.method_name == "execute"
    arguments = caught.value.trigger.serialize()[1]
    assert arguments["scope"] == "dag/run/extract/-1"
    assert arguments["not_before"] is None
    assert 700 < arguments["fire_after"] - time.time() <= 1000


def test_no_report_waits_when_all_are_ready_at_once(tmp_path):
    with deployment(tmp_path, report_seconds=0.0) as liftos:
        chain = Chain(liftos)
        [batch] = chain.plan()
        chain.extract(batch, deferrable=True).execute(chain.context("extract"))


def test_a_second_try_goes_on_and_success_forgets(liftos):
    liftos.sandbox.world.report_seconds = 60.0
    chain = Chain(liftos)
    [batch] = chain.plan()

    def submitted() -> int:
        posts = liftos.sandbox.journal.entries("meta", contains="POST")
        return sum(entry["path"].endswith("/insights") for entry in posts)

    with pytest.raises(TaskDeferred):
        chain.extract(batch, deferrable=True).execute(chain.context("extract"))
    assert submitted() == 3
    liftos.sandbox.clock.advance(60)
    liftos.sandbox.world.report_seconds = 0.1
    chain.fetched(batch, try_number=2)
    assert submitted() == 3, "the second try found the reports of the first"
    task = chain.extract(batch)
    assert consume in task.on_success_callback
    consume({**chain.context("extract"), "task": task})
    assert Checkpoints(liftos.store, "default", "dag/run/extract/-1").load() == {}
    chain.fetched(batch)
    assert submitted() == 6, "after success everything is asked for afresh"


def test_a_clear_starts_afresh_even_if_the_success_callback_never_ran(liftos):
    chain = Chain(liftos)
    [batch] = chain.plan()

    def submitted() -> int:
        posts = liftos.sandbox.journal.entries("meta", contains="POST")
        return sum(entry["path"].endswith("/insights") for entry in posts)

    chain.fetched(batch)
    once = submitted()
    retry = chain.context("extract")
    chain.extract(batch, deferrable=False).execute(retry)
    assert submitted() == once, "killed before the success was noted: a retry goes on"
    cleared = chain.context("extract")
    cleared["ti"].max_tries = 3  # what a Clear of a finished task does
    chain.extract(batch, deferrable=False).execute(cleared)
    assert submitted() == 2 * once, "cleared after it: everything is asked for afresh"


def test_no_reports_means_none(liftos):
    chain = Chain(liftos)
    [batch] = chain.plan()
    context = chain.context("extract")
    context["params"] = {**context["params"], "reports": [], "streams": ["campaigns"]}
    summary = chain.extract(batch, deferrable=False).execute(context)
    assert summary["slices"] == len(batch["accounts"])


def test_callbacks_of_a_user_run_beside_ours():
    def mine(_context) -> None: ...

    for given in (mine, [mine]):
        task = LiftosExtractOperator(
            task_id="x", platform="meta", batch={}, on_success_callback=given
        )
        assert task.on_success_callback == [consume, mine]


def test_a_trigger_without_hope_fails_the_task_for_good(liftos):
    chain = Chain(liftos)
    [batch] = chain.plan()
    event = {"status": "error", "message": "meta: the access token is not valid", "final": True}
    with pytest.raises(AirflowFailException, match="the access token is not valid"):
        chain.extract(batch).execute(chain.context("extract"), event)
    with pytest.raises(AirflowException, match="the trigger failed") as caught:
        chain.extract(batch).execute(
            chain.context("extract"), {"status": "error", "message": "the trigger failed"}
        )
    assert not isinstance(caught.value, AirflowFailException)


def test_a_killed_task_takes_its_reports_along_to_the_next_try(liftos):
    """SIGTERM also comes when a host is emptied: nothing may be given up for it."""
    liftos.sandbox.world.report_seconds = 600.0
    chain = Chain(liftos)
    [batch] = chain.plan()
    task = chain.extract(batch, deferrable=True)
    with pytest.raises(TaskDeferred):
        task.execute(chain.context("extract"))
    points = Checkpoints(liftos.store, "default", "dag/run/extract/-1")
    before = {key: point.state for key, point in points.load().items()}
    task.on_kill()
    assert {key: point.state for key, point in points.load().items()} == before


def test_an_account_out_of_reach_costs_the_others_nothing(liftos, monkeypatch):
    liftos.set("breaker_seconds", "0.3")
    monkeypatch.setattr(Backoff, "delay", lambda *_: 0.01)
    chain = Chain(liftos)
    bad = chain.params["accounts"][0]
    liftos.sandbox.faults.add(
        kind="http_500", platform="meta", account=bad, match="insights|campaigns"
    )
    planned = chain.plan()
    for try_number in (1, 2):
        with pytest.raises(AirflowException, match=bad):
            chain.fetched(planned[0], try_number=try_number)
    extracted = chain.fetched(planned[0], try_number=3)
    assert extracted["failed"] == 2
    with pytest.raises(AirflowFailException, match=f"held back: {bad}"):
        chain.publish([extracted], planned)
    proof = chain.proof()
    assert (proof.compared, proof.differences) == (2 * 2, [])
    [entry] = [
        e for e in Ledger(liftos.store, "default").rows(run_id="run") if e.run.phase == "publish"
    ]
    assert entry.status == "partial"


def test_nothing_to_load_is_final(liftos):
    for nothing in ([], [None, None], None):
        with pytest.raises(
            AirflowFailException, match="no extract task of this run has ended well"
        ):
            LiftosLoadOperator(task_id="load", platform="meta", normalized=nothing).execute(
                liftos.context("load")
            )


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"accounts": ["404"]}, "404: the account does not exist"),
        ({"since": "2026-01-02", "until": "2026-01-01"}, "before it begins"),
        ({"since": "2999-01-01", "until": "2999-01-01"}, "begins in the future"),
        ({"since": "2001-01-01", "until": "2001-01-01"}, "before the platform's memory"),
    ],
)
def test_a_plan_that_cannot_be_made_fails_at_once(liftos, params, says):
    task = LiftosPlanOperator(task_id="plan", platform="meta")
    with pytest.raises(AirflowFailException, match=says):
        task.execute(liftos.context("plan", params=params))


def test_a_refused_token_fails_the_plan_at_once(liftos):
    liftos.connect("refused", token="not-a-token-at-all")
    with pytest.raises(AirflowFailException, match="token is not valid") as caught:
        LiftosPlanOperator(task_id="plan", platform="meta", conn_id="refused").execute(
            liftos.context()
        )
    assert "not-a-token-at-all" not in str(caught.value)


def test_reports_are_objects_dictionaries_or_names():
    basic = META.preset("basic", Level.AD)
    assert as_report(META, basic) is basic
    assert as_report(META, "basic:ad") == basic
    assert as_report(META, "basic").level is Level.CAMPAIGN
    assert as_report(META, {"name": "mine", "level": "ad", "metrics": ["spend"]}).metrics == (
        "spend",
    )
    with pytest.raises(ConfigurationError, match="unknown level"):
        as_report(META, "basic:adset")
    with pytest.raises(ConfigurationError, match="has no report 'basics'"):
        as_report(META, "basics:ad")
