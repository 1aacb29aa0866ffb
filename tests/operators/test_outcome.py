from __future__ import annotations

from datetime import UTC, datetime

import pytest
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowRescheduleException,
)

from airflow_provider_liftos.model import errors
from airflow_provider_liftos.operators.outcome import TaskFailed, told, translated

FINAL = [
    errors.ConfigurationError("no such report"),
    errors.NotAuthorized("the token is not valid", platform="meta"),
    errors.Rejected("a parameter is wrong", account="1"),
    errors.QualityError("held back", score=12.0, failed=["x"]),
]
PASSING = [
    errors.LiftosError("something"),
    errors.Unavailable("no answer"),
    errors.StagingError("the disk is full"),
    errors.WarehouseError("locked"),
    errors.ReportFailed("gave up"),
]


def outcome(error: BaseException) -> BaseException:
    with pytest.raises(BaseException) as caught, translated():
        raise error
    return caught.value


@pytest.mark.parametrize("error", FINAL, ids=lambda e: type(e).__name__)
def test_what_a_person_must_change_is_not_retried(error):
    found = outcome(error)
    assert type(found) is AirflowFailException
    assert str(found) == f"{error}. Nothing is retried."


@pytest.mark.parametrize("error", PASSING, ids=lambda e: type(e).__name__)
def test_what_may_pass_is_retried(error):
    found = outcome(error)
    assert type(found) is TaskFailed
    assert isinstance(found, AirflowException)
    assert found.error is error
    assert str(found).startswith(str(error))


@pytest.mark.parametrize(
    "error",
    [
        errors.Throttled("wait", retry_at=1_790_000_000.0),
        errors.CircuitOpen("closed", until=1_790_000_000.0),
    ],
    ids=lambda e: type(e).__name__,
)
def test_a_known_moment_is_waited_for_without_a_slot_or_a_try(error):
    found = outcome(error)
    assert type(found) is AirflowRescheduleException
    assert found.reschedule_date == datetime.fromtimestamp(1_790_000_000, UTC)


@pytest.mark.parametrize("error", [*FINAL, *PASSING], ids=lambda e: type(e).__name__)
def test_the_log_shows_one_error_and_not_the_chain_that_led_to_it(error):
    assert outcome(error).__suppress_context__
    assert outcome(error).__cause__ is None


def test_words_of_several_lines_become_one():
    found = outcome(errors.Rejected("Meta says:\n  no", hint="Ask again?"))
    assert str(found) == "Meta says: no. Ask again? Nothing is retried."


def test_what_is_not_ours_passes_as_it_is():
    error = KeyError("a defect")
    assert outcome(error) is error


def test_words_of_a_trigger_end_the_task_or_let_it_try_again():
    assert type(told({"message": "the token is not valid", "final": True})) is AirflowFailException
    assert type(told({"message": "the trigger failed"})) is AirflowException
