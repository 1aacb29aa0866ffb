"""An open circuit: the task waits for its moment, and nothing is sent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from airflow.sdk.exceptions import AirflowRescheduleException, TaskDeferred

from airflow_provider_liftos.operators.extract import LiftosExtractOperator
from airflow_provider_liftos.operators.plan import LiftosPlanOperator
from airflow_provider_liftos.resilience.breaker import Breaker
from airflow_provider_liftos.state.ledger import Ledger


@pytest.fixture
def params(liftos):
    today = liftos.sandbox.clock.now().date()
    accounts = [a.id for a in liftos.sandbox.world.dataset("meta").accounts[:1]]
    day = str(today - timedelta(days=40))
    return {"since": day, "until": day, "accounts": accounts}


def opened(liftos, key):
    breaker = Breaker(liftos.store, "default")
    for _ in range(5):
        breaker.fail(key)
    return liftos.store.clock.now() + 60


def test_a_plan_is_made_when_the_circuit_has_closed(liftos, params):
    until = opened(liftos, "meta")
    with pytest.raises(AirflowRescheduleException) as caught:
        LiftosPlanOperator(task_id="plan", platform="meta").execute(
            liftos.context("plan", params=params)
        )
    moment = datetime.fromtimestamp(until, UTC)
    assert abs(caught.value.reschedule_date - moment) < timedelta(seconds=5)
    assert liftos.sandbox.journal.entries("meta") == []
    [entry] = Ledger(liftos.store, "default").rows(run_id="run")
    assert (entry.status, entry.work.requests) == ("waiting", 0)


def test_an_extraction_defers_until_it_has_closed(liftos, params):
    context = liftos.context("extract", params=params)
    [batch] = LiftosPlanOperator(task_id="plan", platform="meta").execute(
        liftos.context("plan", params=params)
    )
    until = opened(liftos, f"meta/{params['accounts'][0]}")
    liftos.sandbox.journal.clear()
    task = LiftosExtractOperator(
        task_id="extract", platform="meta", batch=batch, deferrable=True,
        reports=["basic:campaign"], streams=["campaigns"],
    )  # fmt: skip
    with pytest.raises(TaskDeferred) as caught:
        task.execute(context)
    assert caught.value.trigger.not_before == pytest.approx(until, abs=60)
    assert liftos.sandbox.journal.entries("meta") == []
