"""The gate waits for what it is to grade, as a sensor does, without a worker's slot."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import pytest
from airflow.sdk.exceptions import AirflowSensorTimeout, AirflowSkipException, TaskDeferred

from airflow_provider_liftos.operators.quality_gate import LiftosQualityGateOperator
from airflow_provider_liftos.state.ledger import Ledger
from airflow_provider_liftos.triggers.publication import PublicationTrigger
from tests.operators.test_quality_gate import Gate


class Waiting(Gate):
    """A gate alone that waits for the campaigns' report of the run's days."""

    def task(self, **options) -> LiftosQualityGateOperator:
        usual = {"wait_for": "basic:campaign", "timeout": 36_000, "poke_interval": 3600,
                 "deferrable": True}  # fmt: skip
        return LiftosQualityGateOperator(task_id="gate", platform="meta", **{**usual, **options})

    def deferred(self, **options) -> TaskDeferred:
        with pytest.raises(TaskDeferred) as caught:
            self.task(**options).execute(self.context("gate"))
        return caught.value

    def resumed(self, pause: TaskDeferred, event: dict, **options) -> dict:
        """As Airflow resumes a task, after the pause went through its database as JSON."""
        kwargs = json.loads(json.dumps(pause.kwargs))
        method = getattr(self.task(**options), pause.method_name)
        return method(self.context("gate"), event=event, **kwargs)

    def ready(self) -> dict:
        """A run that has only to be published."""
        return self.audited(*self.loaded_run())


async def fire(trigger: PublicationTrigger) -> dict:
    path, arguments = trigger.serialize()
    assert path == "airflow_provider_liftos.triggers.publication.PublicationTrigger"
    again = PublicationTrigger(**json.loads(json.dumps(arguments)))
    [event] = [event async for event in again.run()]
    return event.payload


@pytest.fixture
def waiting(liftos) -> Waiting:
    return Waiting(liftos)


def test_it_defers_until_the_days_are_published_and_grades_them_then(waiting):
    ready = waiting.ready()
    pause = waiting.deferred()
    arguments = pause.trigger.serialize()[1]
    assert set(arguments) == {
        "platform", "org_ids", "since", "look_again", "poll_seconds", "fire_after",
    }  # fmt: skip
    assert arguments["look_again"] == pytest.approx(arguments["since"] + 3600)
    assert pause.kwargs["deadline"] == pytest.approx(arguments["since"] + 36_000)
    assert Ledger(waiting.liftos.store, "default").rows(phase="audit")[0].status == "deferred"

    async def meanwhile() -> dict:
        wait = asyncio.create_task(fire(pause.trigger))
        await asyncio.sleep(0.2)
        assert not wait.done(), "nothing was published yet"
        await asyncio.to_thread(waiting.published, ready)
        return await asyncio.wait_for(wait, 60)

    event = asyncio.run(meanwhile())
    assert event == {"status": "published"}
    told = waiting.resumed(pause, event)
    assert (told["rows"] > 0, told["level"]) == (True, "excellent")
    assert told["since"] == waiting.params["since"]


def test_days_that_are_there_are_not_waited_for(waiting):
    waiting.published(waiting.ready())
    assert waiting.task().execute(waiting.context("gate"))["rows"] > 0
    assert waiting.task(wait_for=["basic:campaign", "campaigns"]).execute(waiting.context("gate"))


def test_a_publication_of_something_else_defers_once_more_with_the_same_deadline(waiting):
    waiting.published(waiting.ready())
    pause = waiting.deferred(wait_for="basic:ad")
    with pytest.raises(TaskDeferred) as again:
        waiting.resumed(pause, {"status": "time"}, wait_for="basic:ad")
    assert again.value.kwargs == pause.kwargs


@pytest.mark.parametrize(("soft_fail", "end"), [
    (False, AirflowSensorTimeout), (True, AirflowSkipException),
])  # fmt: skip
def test_the_deadline_ends_the_wait_as_it_does_a_sensors(waiting, soft_fail, end):
    options = {"timeout": timedelta(0), "soft_fail": soft_fail}
    with pytest.raises(end, match=r"nothing of meta is published; .* Nothing was graded\."):
        waiting.task(**options).execute(waiting.context("gate"))
    assert waiting.results() == []
    [entry] = Ledger(waiting.liftos.store, "default").rows(phase="audit")
    words = (entry.error, *entry.warnings)
    assert [bool(word) for word in words] == ([False, True] if soft_fail else [True])
    assert "Nothing was graded." in str(words[-1])
    assert entry.status == ("skipped" if soft_fail else "failed")


def test_a_task_that_may_not_defer_waits_in_its_slot(waiting, monkeypatch):
    ready = waiting.ready()
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        waiting.published(ready)

    monkeypatch.setattr("airflow_provider_liftos.operators.awaiting.time.sleep", sleep)
    assert waiting.task(deferrable=False).execute(waiting.context("gate"))["rows"] > 0
    assert len(slept) == 1
    assert 3000 < slept[0] <= 3600


def test_what_the_trigger_could_not_do_fails_the_try(waiting):
    pause = waiting.deferred()
    with pytest.raises(Exception, match="the store is away"):
        waiting.resumed(pause, {"status": "error", "message": "the store is away"})


async def test_the_trigger_fires_at_its_time_if_nothing_was_published(liftos):
    now = liftos.store.clock.now()
    given = {"platform": "meta", "org_ids": ["default"], "since": now, "poll_seconds": 0.05}
    assert await fire(
        PublicationTrigger(**given, look_again=now + 0.3, fire_after=now)
    ) == {"status": "time"}  # fmt: skip
    assert liftos.store.clock.now() >= now + 0.3


async def test_the_trigger_takes_no_others_publication_and_no_older_one(liftos):
    from airflow_provider_liftos.state.ledger import TaskRun

    async def published(org_id: str, platform: str, since: float) -> dict:
        ledger = Ledger(liftos.store, org_id)
        run = TaskRun(dag_id="d", run_id="r", task_id="t", phase="publish", platform=platform)
        ledger.finish(ledger.start(run))
        now = liftos.store.clock.now()
        return await fire(
            PublicationTrigger(
                platform="meta", org_ids=["default"], since=since, look_again=now + 0.1,
                poll_seconds=0.05, fire_after=now,
            )
        )  # fmt: skip

    before = liftos.store.clock.now() - 1
    assert await published("other", "meta", before) == {"status": "time"}
    assert await published("default", "tiktok", before) == {"status": "time"}
    assert await published("default", "meta", before) == {"status": "published"}
    assert await published("default", "meta", before + 60) == {"status": "time"}


async def test_no_event_comes_before_the_shortest_deferral_is_over(liftos, monkeypatch):
    moment = liftos.store.clock.now() + 0.5
    given = {"platform": "meta", "org_ids": ["default"], "since": 0.0, "look_again": 0.0,
             "poll_seconds": 0.05, "fire_after": moment}  # fmt: skip
    assert await fire(PublicationTrigger(**given)) == {"status": "time"}
    assert liftos.store.clock.now() >= moment
    liftos.set("state_url", "redis://nowhere")
    payload = await fire(PublicationTrigger(**given))
    assert (payload["status"], payload["final"]) == ("error", True)
