"""What Airflow makes of our errors: fail at once, come back at a known time, or retry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowRescheduleException,
)

from airflow_provider_liftos.model.errors import (
    CircuitOpen,
    ConfigurationError,
    LiftosError,
    QualityError,
    Rejected,
    Throttled,
)

FINAL = (ConfigurationError, Rejected, QualityError)

_FINAL = "Nothing is retried."
_RETRIED = "The task is retried while it has tries left."


class TaskFailed(AirflowException):
    """May pass; ``error`` is what went wrong, for the retry policy."""

    def __init__(self, message: str, error: LiftosError) -> None:
        super().__init__(message)
        self.error = error


@contextmanager
def translated() -> Iterator[None]:
    """Turn an error of ours into the outcome it means, as one line without a chain of causes."""
    try:
        yield
    except FINAL as error:
        raise AirflowFailException(_line(str(error), _FINAL)) from None
    except (Throttled, CircuitOpen) as error:
        moment = error.retry_at if isinstance(error, Throttled) else error.until
        # Frees the worker slot and uses up no try.
        raise AirflowRescheduleException(  # type: ignore[no-untyped-call]
            datetime.fromtimestamp(moment, UTC)
        ) from None
    except LiftosError as error:
        raise TaskFailed(_line(str(error), _RETRIED), error) from None


def told(event: Mapping[str, Any]) -> AirflowException:
    """The outcome of a trigger's error event: it can only carry words, not the exception."""
    if event.get("final"):
        return AirflowFailException(_line(str(event["message"]), _FINAL))
    return AirflowException(_line(str(event["message"]), _RETRIED))


def _line(said: str, what_next: str) -> str:
    """Both as sentences of one line, also where a platform's words are several."""
    said = " ".join(said.split())
    return f"{said if said.endswith(('.', '?', '!')) else said + '.'} {what_next}"
