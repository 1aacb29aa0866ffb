"""When a task is tried again, where Airflow asks."""

from __future__ import annotations

import time

import pytest
from airflow.sdk import ExceptionRetryPolicy, RetryAction

from airflow_provider_liftos.model import errors
from airflow_provider_liftos.operators import retries
from airflow_provider_liftos.operators.extract import LiftosExtractOperator
from airflow_provider_liftos.operators.outcome import TaskFailed

POLICY = retries.LiftosRetryPolicy()


def decision(error, try_number=1):
    return POLICY.evaluate(error, try_number, 3)


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize(
    ("error", "action"),
    [
        (errors.Unavailable("no answer"), RetryAction.RETRY),
        (errors.StagingError("the disk is full"), RetryAction.RETRY),
        (errors.WarehouseError("locked"), RetryAction.RETRY),
        (errors.ReportFailed("gave up"), RetryAction.RETRY),
        (errors.Rejected("a parameter is wrong"), RetryAction.FAIL),
        (errors.NotAuthorized("the token is not valid"), RetryAction.FAIL),
        (errors.QualityError("held back", score=12.0, failed=["x"]), RetryAction.FAIL),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_kind_of_error_decides(error, action, wrapped):
    found = decision(TaskFailed("as a line", error) if wrapped else error)
    assert found.action is action
    assert found.reason == str(error)


def test_what_is_not_ours_is_left_to_the_task():
    assert decision(KeyError("a defect")).action is RetryAction.DEFAULT


def test_pauses_grow_to_a_quarter_of_an_hour():
    def longest(number):
        delays = [decision(errors.Unavailable("x"), number).retry_delay for _ in range(200)]
        assert min(delays).total_seconds() >= 30
        return max(delays).total_seconds()

    assert 70 < longest(1) <= 90
    assert 400 < longest(4) <= 510
    assert 800 < longest(9) <= 930


def test_a_known_moment_is_waited_for(liftos):
    for error in (
        errors.Throttled("wait", retry_at=time.time() + 600),
        errors.CircuitOpen("wait", until=time.time() + 600),
    ):
        assert decision(error).retry_delay.total_seconds() == pytest.approx(600, abs=60)


def test_our_operators_have_it_and_a_dag_may_choose_another():
    batch = {"org_id": "default", "accounts": []}
    own = LiftosExtractOperator(task_id="x", platform="meta", batch=batch)
    assert isinstance(own.retry_policy, retries.LiftosRetryPolicy)
    never = ExceptionRetryPolicy(rules=[], default=RetryAction.FAIL)
    other = LiftosExtractOperator(task_id="x", platform="meta", batch=batch, retry_policy=never)
    assert other.retry_policy is never


def test_mapped_tasks_have_it_where_they_run():
    partial = LiftosExtractOperator.partial(task_id="x", platform="meta")
    mapped = partial.expand(batch=[{"org_id": "default", "accounts": []}])
    found = mapped.unmap({"batch": {"org_id": "default", "accounts": []}})
    assert isinstance(found.retry_policy, retries.LiftosRetryPolicy)


def test_it_survives_the_way_to_the_scheduler():
    assert isinstance(
        retries.LiftosRetryPolicy.deserialize(POLICY.serialize()), retries.LiftosRetryPolicy
    )


def test_an_airflow_without_policies_gets_ordinary_retries(monkeypatch):
    monkeypatch.setattr(retries, "RetryPolicy", None)
    assert retries.usual({"retries": 1}) == {"retries": 1}
