"""Waiting until something is published, as sensors wait, and without a worker's slot."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSensorTimeout, AirflowSkipException

from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.operators.outcome import told

if TYPE_CHECKING:
    from airflow_provider_liftos.quality.awaited import Awaited

_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """What is waited for, of whom, and for how long; times are seconds."""

    awaited: Awaited
    org_ids: tuple[str, ...]
    open_warehouse: Callable[[str], Any]
    timeout: float
    poke_interval: float
    soft_fail: bool
    deferrable: bool

    def lacking(self, now: float) -> list[str]:
        """What is not published yet, of all organizations."""
        moment = datetime.fromtimestamp(now, UTC)
        return [
            line
            for org_id in self.org_ids
            for line in self.awaited.lacking(self.open_warehouse(org_id), org_id, moment)
        ]


def await_published(
    task: BaseOperator,
    patience: Patience,
    event: Mapping[str, Any] | None,
    deadline: float | None,
) -> None:
    """Return when everything is there; until then defer the task, or sleep if it may not defer.

    ``event`` and ``deadline`` (epoch seconds) are those that the task resumed with.

    Raises:
        TaskDeferred: something is lacking; the task resumes in ``execute``.
        AirflowSensorTimeout: it still is after the timeout; Airflow retries no such task.
        AirflowSkipException: the same, if the wait may end softly.
    """
    if event and event.get("status") == "error":
        raise told(event)
    clock = config.state_store().clock
    while True:
        # Before looking: what is published while somebody looks is to wake the trigger.
        now = clock.now()
        deadline = deadline or now + patience.timeout
        if not (lines := patience.lacking(now)):
            return
        said = _said(lines)
        if now >= deadline:
            kind = AirflowSkipException if patience.soft_fail else AirflowSensorTimeout
            raise kind(f"{said}; it was waited for, and is not published. Nothing was graded.")
        again = min(deadline, now + patience.poke_interval)
        if patience.deferrable:
            task.log.info("deferring: %s", said)
            _defer(task, patience, now, again, deadline)
        task.log.info("waiting: %s", said)
        time.sleep(max(0.0, again - clock.now()))


def _defer(
    task: BaseOperator, patience: Patience, now: float, again: float, deadline: float
) -> None:
    from airflow_provider_liftos.triggers.publication import PublicationTrigger

    task.defer(
        trigger=PublicationTrigger(
            platform=patience.awaited.platform,
            org_ids=patience.org_ids,
            since=now,
            look_again=again,
            poll_seconds=config.number("poll_seconds"),
            fire_after=now + config.number("min_defer_seconds"),
        ),
        method_name="execute",
        kwargs={"deadline": deadline},
    )


def _said(lines: list[str]) -> str:
    more = f"; and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
    return "; ".join(lines[:_SHOWN]) + more
