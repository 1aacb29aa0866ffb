"""When Airflow runs a failed task again: by what went wrong, where Airflow asks (from 3.3 on).

Before that its ordinary retries do it, after ``retry_delay`` whatever it was.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_liftos.model.errors import (
    CircuitOpen,
    LiftosError,
    StagingError,
    Throttled,
    Unavailable,
    WarehouseError,
)
from airflow_provider_liftos.operators.outcome import FINAL, TaskFailed
from airflow_provider_liftos.resilience.backoff import Backoff

if TYPE_CHECKING:
    from airflow.sdk import RetryPolicy
else:
    try:
        from airflow.sdk import RetryPolicy
    except ImportError:  # Airflow 3.2
        RetryPolicy = None

TASKS = Backoff(base=60.0, cap=900.0)
"""Between tries of a task: what calls could not sit out takes minutes."""

_JITTER = random.Random()  # noqa: S311  spreads tasks that failed together, guards nothing
_PASSING = (Unavailable, StagingError, WarehouseError)


def advice(error: LiftosError, try_number: int) -> tuple[bool, float | None]:
    """Whether to try again, and after how many seconds; None: as the task says.

    What a person must change is not tried again; what is for a known moment waits for it.
    """
    if isinstance(error, FINAL):
        return False, None
    if isinstance(error, Throttled | CircuitOpen):
        return True, _until(error)
    if isinstance(error, _PASSING):
        return True, TASKS.base / 2 + TASKS.delay(try_number, _JITTER)
    return True, None


def _until(error: Throttled | CircuitOpen) -> float:
    from airflow_provider_liftos.hooks import config

    moment = error.retry_at if isinstance(error, Throttled) else error.until
    return max(moment - config.state_store().clock.now(), 0.0)


if RetryPolicy is not None:

    class LiftosRetryPolicy(RetryPolicy):
        """Reads from an error of ours whether and when the task is worth another try.

        Our operators have it; tasks that use our hooks may be given it as ``retry_policy``.
        """

        def evaluate(
            self,
            exception: BaseException,
            try_number: int,
            max_tries: int,  # noqa: ARG002
            context: Any = None,  # noqa: ARG002
        ) -> Any:
            """Fail at once, try again at the right time, or leave it to the task."""
            from airflow.sdk import RetryDecision

            ours = exception.error if isinstance(exception, TaskFailed) else exception
            if not isinstance(ours, LiftosError):
                return RetryDecision.default()
            again, seconds = advice(ours, try_number)
            if not again:
                return RetryDecision.fail(str(ours))
            delay = None if seconds is None else timedelta(seconds=seconds)
            return RetryDecision.retry(delay, str(ours))

        def serialize(self) -> dict[str, Any]:
            """Nothing but its name."""
            return {"__type": f"{type(self).__module__}.{type(self).__qualname__}"}

        @classmethod
        def deserialize(cls, data: dict[str, Any]) -> LiftosRetryPolicy:  # noqa: ARG003
            """It has no parts."""
            return cls()


def usual(given: Mapping[str, Any]) -> dict[str, Any]:
    """An operator's arguments with our policy among them, unless it has another, or none can be.

    None is what mapped operators are given for what nobody chose.
    """
    if RetryPolicy is None or given.get("retry_policy") is not None:
        return dict(given)
    return {**given, "retry_policy": LiftosRetryPolicy()}
