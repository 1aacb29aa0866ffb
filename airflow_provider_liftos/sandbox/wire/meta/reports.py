"""Asynchronous report runs: how they begin, ripen, fail and expire."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from airflow_provider_liftos.sandbox.faults import Fault
from airflow_provider_liftos.sandbox.world import World

from .query import Query
from .results import Result

KEPT = timedelta(days=30)
_MOST = 50_000
_OUTCOMES = {"job_failed": "failed", "job_skipped": "skipped", "job_stuck": "stuck"}
JOB_FAULTS = tuple(_OUTCOMES)


@dataclass(slots=True, kw_only=True)
class Run:
    """One report run. ``outcome`` is empty for a run that will succeed."""

    id: str
    query: Query
    submitted_at: datetime
    seconds: float
    result: Result
    outcome: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    def doom(self, fault: Fault) -> None:
        """Let the run end as a fault wants it."""
        self.outcome = _OUTCOMES.get(fault.kind, "failed")
        self.options = fault.options

    def progress(self, now: datetime) -> tuple[str, int]:
        """Return status and percent; a hundred comes a little before the end."""
        elapsed = (now - self.submitted_at).total_seconds()
        share = 1.0 if elapsed >= self.seconds else elapsed / self.seconds
        if self.outcome == "stuck" and share > 0.1:
            return "Job Running", int(self.options.get("percent", min(40, int(share * 100))))
        if share >= 1.0:
            return {
                "failed": ("Job Failed", 0),
                "skipped": ("Job Skipped", 0),
            }.get(self.outcome, ("Job Completed", 100))
        if share < 0.05:
            return "Job Not Started", 0
        if share < 0.1:
            return "Job Started", 0
        return "Job Running", min(100, int(share * 100 / 0.9))

    def status(self, now: datetime) -> dict[str, Any]:
        """Return every field that the run has at a moment."""
        status, percent = self.progress(now)
        done = status in ("Job Completed", "Job Failed", "Job Skipped")
        shown: dict[str, Any] = {
            "id": self.id,
            "account_id": self.query.account_id,
            "async_status": status,
            "async_percent_completion": percent,
            "is_running": not done,
            "date_start": self.query.since.isoformat(),
            "date_stop": self.query.until.isoformat(),
            "time_ref": int(self.submitted_at.timestamp()),
        }
        if done:
            ended = self.submitted_at + timedelta(seconds=self.seconds)
            shown["time_completed"] = int(ended.timestamp())
        if status == "Job Failed" and not self.options.get("bare"):
            shown.update(self._error())
        return shown

    def _error(self) -> dict[str, Any]:
        code = int(self.options.get("code", -2))
        subcode = self.options.get("subcode", 2490547 if code == -2 else None)
        error = {
            "error_code": code,
            "error_message": str(self.options.get("message", "Report failed")),
            "error_user_title": "Report Failed",
            "error_user_msg": "Generating the report failed. Try again later.",
        }
        return error if subcode is None else {**error, "error_subcode": int(subcode)}


DEFAULT_FIELDS = (
    *("id", "account_id", "time_ref", "time_completed", "async_status"),
    *("async_percent_completion", "date_start", "date_stop", "is_running"),
    *("error_code", "error_message", "error_subcode", "error_user_title", "error_user_msg"),
)


class Reports:
    """All runs that have not expired."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._runs: dict[str, Run] = {}
        # Ids of two sandboxes differ, lest a stale id find somebody else's report.
        self._prefix = int(world.clock.started_at.timestamp()) % 10**10

    def submit(self, query: Query, result: Result, now: datetime) -> Run:
        """Begin a run."""
        with self._lock:
            run = Run(
                id=f"77{self._prefix:010d}{next(self._numbers):06d}",
                query=query,
                submitted_at=now,
                seconds=self._world.report_seconds,
                result=result,
            )
            self._runs[run.id] = run
            while len(self._runs) > _MOST:
                self._runs.pop(next(iter(self._runs)))
        return run

    def find(self, identity: str, now: datetime) -> Run | None:
        """Return a run by its id; an expired one is gone."""
        run = self._runs.get(identity)
        if run is None or run.submitted_at + KEPT <= now:
            return None
        return run

    def account_of(self, identity: str) -> str | None:
        """Return the account that a run is about."""
        run = self._runs.get(identity)
        return run.query.account_id if run else None


def hits(fault: Fault, query: Query, ad_ids: frozenset[str], named: int) -> bool:
    """Say whether a fault with conditions means this query: every condition must hold.

    ``max_days``, ``max_ids`` (``named`` is how many entities the query is about), ``ad_ids``
    (any of them is covered), ``field``, ``date`` (it is covered).
    """
    options = fault.options
    since, until = query.since.isoformat(), query.until.isoformat()
    checks: dict[str, Callable[[Any], bool]] = {
        "max_days": lambda most: query.days > int(most),
        "max_ids": lambda most: named > int(most),
        "ad_ids": lambda ids: bool(ad_ids & {str(one) for one in ids}),
        "field": lambda name: name in query.fields,
        "date": lambda day: since <= str(day) <= until,
    }
    return all(check(options[name]) for name, check in checks.items() if name in options)
