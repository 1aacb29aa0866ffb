"""Checkpoints: what a task has asked for, what came of it, and what is safely on disk.

A row per slice and task of a dag run. Before each submission an intent is written: a kill between
asking and hearing the answer wastes at most that one remote report, and the count shows it.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, func, select, update
from sqlalchemy.engine import Connection

from airflow_provider_liftos.engine.manifest import File
from airflow_provider_liftos.model.errors import LiftosError
from airflow_provider_liftos.model.platform import AsyncReport
from airflow_provider_liftos.model.report import Slice
from airflow_provider_liftos.state.store import StateStore, alone, insert_into
from airflow_provider_liftos.state.tables import slices as table

log = logging.getLogger(__name__)

PLANNED, INTENT, SUBMITTED, READY = "planned", "intent", "submitted", "ready"
FAILED, FETCHED, SPLIT, GIVEN_UP = "failed", "fetched", "split", "given_up"
DROPPED = "dropped"
"""A part of a split by fields whose only field the platform no longer gives."""


@dataclass(slots=True, kw_only=True)
class Checkpoint:
    """One slice of one task. ``error`` holds code, subcode and message of the last failure.

    ``attempts`` counts submissions, ``failures`` those that the platform itself gave up, and
    ``wasted`` remote reports that nobody will read; ``restarts``, reads that a limit broke off.
    """

    slice: Slice
    fingerprint: str
    parent: str | None = None
    position: int = 0
    state: str = PLANNED
    report_id: str | None = None
    attempts: int = 0
    wasted: int = 0
    as_of: float | None = None
    deadline: float | None = None
    files: tuple[File, ...] = ()
    error: dict[str, Any] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    split_by: str = ""
    failures: int = 0
    restarts: int = 0

    def give_up(self, error: LiftosError) -> None:
        """End it without rows; a new try of the task tries it again."""
        error.account = error.account or self.slice.account_id
        error.platform = error.platform or self.slice.platform
        self.state = GIVEN_UP
        self.error = {"kind": type(error).__name__, "message": str(error)}
        log.error("%s: given up: %s", self.slice.label, error)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Rows on staging, remote reports asked for, those never read, and the ids of the others."""

    rows: int
    submitted: int
    wasted: int
    report_ids: tuple[str, ...] = ()


class Checkpoints:
    """The checkpoints of one scope: a task of a dag run."""

    def __init__(self, store: StateStore, org_id: str, scope: str) -> None:
        self._store = store
        self._org_id = org_id
        self.scope = scope
        self.clock = store.clock

    def load(self) -> dict[str, Checkpoint]:
        """Everything known of this scope, in planned order."""
        query = (
            select(table)
            .where(table.c.org_id == self._org_id, table.c.scope == self.scope)
            .order_by(table.c.position, table.c.fingerprint)
        )
        with self._store.read() as connection:
            rows = connection.execute(query).mappings().all()
        return {row["fingerprint"]: _checkpoint(dict(row)) for row in rows}

    def add(self, cuts: Sequence[Slice], parent: Checkpoint | None = None) -> list[Checkpoint]:
        """Plan slices; those already known are left as they are."""
        found = self._new(cuts, parent)
        if found:
            with self._store.write() as connection:
                self._insert(connection, found)
        return found

    def _new(self, cuts: Sequence[Slice], parent: Checkpoint | None) -> list[Checkpoint]:
        start = parent.position if parent else 0
        return [
            Checkpoint(
                slice=cut,
                fingerprint=cut.fingerprint(),
                parent=parent.fingerprint if parent else None,
                position=start + (0 if parent else offset),
                dropped=parent.dropped if parent else (),
            )
            for offset, cut in enumerate(cuts)
        ]

    def save(self, *points: Checkpoint) -> None:
        """Write these checkpoints as they are now."""
        with self._store.write() as connection:
            for point in points:
                self._update(connection, point)

    def claim(self, point: Checkpoint, reports: AsyncReport, timeout: float | None = None) -> bool:
        """Write down that it is about to be submitted; False when as many run already as may.

        Reports of all tasks of the organization count, from the intent to submit until they are
        ready, and until their deadline at the most: this one's is in ``timeout`` seconds.
        """
        until = self.clock.now() + (timeout or reports.timeout)
        with self._store.write() as connection:
            alone(connection, f"{self._org_id}/reports/{point.slice.platform}")
            if not self._room(connection, point, reports):
                return False
            point.state, point.attempts, point.deadline = INTENT, point.attempts + 1, until
            self._update(connection, point)
        return True

    def _room(self, connection: Connection, point: Checkpoint, reports: AsyncReport) -> bool:
        running = and_(
            table.c.org_id == self._org_id,
            table.c.platform == point.slice.platform,
            table.c.state.in_([INTENT, SUBMITTED]),
            table.c.deadline > self._store.clock.now(),
        )
        counted = select(table.c.account_id, func.count()).where(running).group_by("account_id")
        found = {str(account): int(n) for account, n in connection.execute(counted)}
        per_app = reports.per_app or math.inf
        mine = found.get(point.slice.account_id, 0)
        return mine < reports.per_account and sum(found.values()) < per_app

    def note(self, *points: Checkpoint) -> None:
        """Write what was heard of running reports, unless the slice has moved on meanwhile."""
        with self._store.write() as connection:
            for point in points:
                same = and_(table.c.state == SUBMITTED, table.c.report_id == point.report_id)
                values = self._values(point)
                heard = {name: values[name] for name in ("state", "error", "updated_at")}
                connection.execute(update(table).where(self._is(point), same).values(**heard))

    def replace(self, point: Checkpoint, parts: Sequence[Slice], by: str) -> list[Checkpoint]:
        """Put parts in the place of a slice, in one transaction: no kill leaves half a split."""
        point.state, point.split_by = SPLIT, by
        children = self._new(parts, point)
        with self._store.write() as connection:
            self._insert(connection, children)
            self._update(connection, point)
        return children

    def forget(self, points: Sequence[Checkpoint]) -> None:
        """Delete these checkpoints: what they stand for is not asked for any more."""
        with self._store.write() as connection:
            for point in points:
                connection.execute(delete(table).where(self._is(point)))

    def _insert(self, connection: Connection, points: Sequence[Checkpoint]) -> None:
        insert = insert_into(connection, table).on_conflict_do_nothing()
        connection.execute(insert, [self._values(point) for point in points])

    def _update(self, connection: Connection, point: Checkpoint) -> None:
        connection.execute(update(table).where(self._is(point)).values(**self._values(point)))

    def _is(self, point: Checkpoint) -> ColumnElement[bool]:
        return and_(
            table.c.org_id == self._org_id,
            table.c.scope == self.scope,
            table.c.fingerprint == point.fingerprint,
        )

    def consume(self) -> int:
        """Forget the scope: the task has succeeded, whoever clears it wants everything afresh."""
        with self._store.write() as connection:
            gone = connection.execute(
                delete(table).where(table.c.org_id == self._org_id, table.c.scope == self.scope)
            )
        return int(gone.rowcount)

    def _values(self, point: Checkpoint) -> dict[str, Any]:
        cut = point.slice
        return {
            "org_id": self._org_id,
            "scope": self.scope,
            "fingerprint": point.fingerprint,
            "parent": point.parent,
            "position": point.position,
            "platform": cut.platform,
            "account_id": cut.account_id,
            "kind": "report" if cut.report else "stream",
            "spec": json.dumps(cut.to_json()),
            "since": str(cut.window.since),
            "until": str(cut.window.until),
            "state": point.state,
            "report_id": point.report_id,
            "attempts": point.attempts,
            "wasted": point.wasted,
            "as_of": point.as_of,
            "deadline": point.deadline,
            "manifest": json.dumps(
                {
                    "files": [asdict(f) for f in point.files],
                    "split_by": point.split_by,
                    "failures": point.failures,
                    "restarts": point.restarts,
                }
            ),
            "error": json.dumps(point.error),
            "dropped": json.dumps(point.dropped),
            "updated_at": self._store.clock.now(),
        }


def _checkpoint(row: dict[str, Any]) -> Checkpoint:
    manifest = json.loads(row["manifest"] or "{}")
    same = ("fingerprint", "parent", "position", "state", "report_id", "attempts", "wasted",
            "as_of", "deadline")  # fmt: skip
    return Checkpoint(
        slice=Slice.from_json(json.loads(row["spec"])),
        files=tuple(File(**f) for f in manifest.get("files", ())),
        split_by=manifest.get("split_by", ""),
        failures=manifest.get("failures", 0),
        restarts=manifest.get("restarts", 0),
        error=json.loads(row["error"] or "{}"),
        dropped=tuple(json.loads(row["dropped"] or "[]")),
        **{name: row[name] for name in same},
    )


def counts(points: Collection[Checkpoint]) -> Counts:
    """What these have come to so far; rows of searches for ids or changes do not count."""
    found = [p for p in points if not p.slice.find_ids and not p.slice.changed_since]
    return Counts(
        rows=sum(f.rows for p in found for f in p.files),
        submitted=sum(p.attempts for p in points),
        wasted=sum(p.wasted for p in points),
        report_ids=tuple(p.report_id for p in points if p.report_id),
    )


def root(points: Mapping[str, Checkpoint], point: Checkpoint) -> str:
    """Fingerprint of the planned slice that this one is, or is a part of."""
    while point.parent and point.parent in points:
        point = points[point.parent]
    return point.fingerprint


def is_some_fields(points: Mapping[str, Checkpoint], point: Checkpoint) -> bool:
    """Whether other parts of a split by fields bring the rows of this one."""
    parent = points.get(point.parent or "")
    return parent is not None and parent.split_by == "fields"


def outside(points: Mapping[str, Checkpoint], roots: Collection[str]) -> list[Checkpoint]:
    """Those that are neither among ``roots`` (fingerprints) nor descend from one of them."""
    return [point for point in points.values() if root(points, point) not in roots]


def unheard(points: Iterable[Checkpoint]) -> list[Checkpoint]:
    """Those whose submission's answer was never heard, planned again: its report is lost."""
    found = [point for point in points if point.state == INTENT]
    for point in found:
        point.state, point.wasted = PLANNED, point.wasted + 1
    return found


def given_up(points: Iterable[Checkpoint]) -> list[Checkpoint]:
    """Those given up or dropped, planned again: what stood in their way may be mended by now."""
    found = [point for point in points if point.state in {GIVEN_UP, DROPPED}]
    for point in found:
        metrics = point.slice.report.metrics if point.slice.report else ()
        point.dropped = tuple(name for name in point.dropped if name not in metrics)
        point.wasted += point.report_id is not None
        point.state, point.report_id, point.deadline = PLANNED, None, None
        point.failures, point.restarts, point.files, point.error = 0, 0, (), {}
    return found


def damaged(
    points: Iterable[Checkpoint], intact: Callable[[Sequence[File]], bool]
) -> list[Checkpoint]:
    """Those whose files are not what they were, to be fetched again."""
    found = [point for point in points if point.state == FETCHED and not intact(point.files)]
    for point in found:
        log.warning("staged files of %s are damaged; fetching them again", point.slice.label)
        point.state, point.files = READY if point.report_id else PLANNED, ()
    return found
