"""The run ledger: what each task did, for how long, at what price."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, insert, select, update

from airflow_provider_liftos.model.errors import Missing
from airflow_provider_liftos.state.store import StateStore
from airflow_provider_liftos.state.tables import run_ledger

RUNNING, SUCCESS, FAILED, INTERRUPTED = "running", "success", "failed", "interrupted"
PARTIAL = "partial"
"""It ended with what it has: some accounts or slices are missing, and its warnings say which."""
SKIPPED = "skipped"
"""It did nothing, as it was told to; its warnings say why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRun:
    """Which try of which task works in which phase (plan, extract, normalize, load, ...)."""

    dag_id: str
    run_id: str
    task_id: str
    phase: str
    map_index: int = -1
    try_number: int = 1
    platform: str | None = None
    api_version: str | None = None
    window_since: str | None = None
    window_until: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What was done: counts, bytes, and seconds spent waiting for limits."""

    rows: int = 0
    bytes: int = 0
    requests: int = 0
    retries: int = 0
    throttled_seconds: float = 0.0
    reports_submitted: int = 0
    reports_wasted: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row of the ledger; moments are epoch seconds."""

    id: str
    run: TaskRun
    status: str
    started_at: float
    finished_at: float | None
    work: Work
    warnings: tuple[str, ...] = ()
    error: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


class Ledger:
    """The run ledger of one organization."""

    def __init__(self, store: StateStore, org_id: str) -> None:
        self._store = store
        self._org_id = org_id

    def start(self, run: TaskRun) -> str:
        """Open an entry; returns its id.

        Entries that the same task left open are closed as interrupted: their process died, or lost
        its slot, before it could do so. The try may be the same one, because a task whose scheduler
        died is started again without being counted.
        """
        entry_id = str(uuid.uuid4())
        now = self._store.clock.now()
        entry = insert(run_ledger).values(
            org_id=self._org_id, id=entry_id, status=RUNNING, started_at=now, **asdict(run)
        )
        with self._store.write() as connection:
            connection.execute(
                update(run_ledger)
                .where(self._left_open(run))
                .values(status=INTERRUPTED, finished_at=now)
            )
            connection.execute(entry)
        return entry_id

    def finish(
        self,
        entry_id: str,
        *,
        status: str = SUCCESS,
        work: Work | None = None,
        window: tuple[str, str] | None = None,
        warnings: tuple[str, ...] = (),
        error: str | None = None,
        detail: Mapping[str, Any] | None = None,
        api_version: str | None = None,
    ) -> None:
        """Close an entry. ``window`` is known by then, where ``start`` did not know it.

        ``api_version`` is the one that was spoken in the end, where that is not the first.

        Raises:
            Missing: there is no such entry (any more).
        """
        change = update(run_ledger).where(
            run_ledger.c.org_id == self._org_id, run_ledger.c.id == entry_id
        )
        facts = dict(zip(("window_since", "window_until"), window or (), strict=False))
        if api_version:
            facts["api_version"] = api_version
        with self._store.write() as connection:
            closed = connection.execute(
                change.values(
                    **facts,
                    status=status,
                    finished_at=self._store.clock.now(),
                    warnings=json.dumps(warnings),
                    error=error,
                    detail=json.dumps(detail or {}),
                    **asdict(work or Work()),
                )
            )
            if closed.rowcount != 1:
                raise Missing(f"The run ledger has no entry {entry_id} to finish.")

    def rows(
        self,
        *,
        dag_id: str | None = None,
        run_id: str | None = None,
        platform: str | None = None,
        phase: str | None = None,
        status: str | None = None,
        since: float | None = None,
        limit: int = 1000,
    ) -> list[Entry]:
        """Entries that match all of what is given, newest first; ``since`` is a moment."""
        wanted = {
            "dag_id": dag_id,
            "run_id": run_id,
            "platform": platform,
            "phase": phase,
            "status": status,
        }
        query = select(run_ledger).where(run_ledger.c.org_id == self._org_id)
        for name, value in wanted.items():
            if value is not None:
                query = query.where(run_ledger.c[name] == value)
        if since is not None:
            query = query.where(run_ledger.c.started_at >= since)
        newest_first = query.order_by(run_ledger.c.started_at.desc(), run_ledger.c.id)
        with self._store.read() as connection:
            return [_entry(row) for row in connection.execute(newest_first.limit(limit))]

    def _left_open(self, run: TaskRun) -> ColumnElement[bool]:
        column = run_ledger.c
        return and_(
            column.org_id == self._org_id,
            column.dag_id == run.dag_id,
            column.run_id == run.run_id,
            column.task_id == run.task_id,
            column.map_index == run.map_index,
            column.status == RUNNING,
            column.try_number <= run.try_number,
        )


def _entry(row: Row[Any]) -> Entry:
    values = row._mapping  # noqa: SLF001 - the documented way to read a row by column name
    return Entry(
        id=row.id,
        run=TaskRun(**{name: values[name] for name in TaskRun.__dataclass_fields__}),
        status=row.status,
        started_at=row.started_at,
        finished_at=row.finished_at,
        work=Work(**{name: values[name] for name in Work.__dataclass_fields__}),
        warnings=tuple(json.loads(row.warnings or "[]")),
        error=row.error,
        detail=json.loads(row.detail or "{}"),
    )
