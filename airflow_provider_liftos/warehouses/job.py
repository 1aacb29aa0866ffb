"""One slice to publish: what it needs, and whether it may be published at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from airflow_provider_liftos.engine.manifest import SliceResult
from airflow_provider_liftos.model.errors import StagingError, WarehouseError
from airflow_provider_liftos.warehouses.contract import Layout, Note, Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicate:
    """A condition and the values of its placeholders."""

    sql: str
    params: tuple[object, ...]

    def __and__(self, other: Predicate) -> Predicate:
        return Predicate(
            sql=f"({self.sql}) AND ({other.sql})", params=(*self.params, *other.params)
        )


def either(predicates: Sequence[Predicate]) -> Predicate:
    """Any of them; of none, nothing."""
    if len(predicates) == 1:
        return predicates[0]
    return Predicate(
        sql=" OR ".join(f"({one.sql})" for one in predicates) or "1 = 0",
        params=tuple(value for one in predicates for value in one.params),
    )


def statements(layout: Layout, parts: Sequence[Predicate]) -> Sequence[Predicate]:
    """Small parts of a table: each is found by itself, unless statements travel far."""
    return [either(parts)] if layout.capabilities.joined else parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One slice to publish into a table, inside a transaction; ``note`` hears what it restates."""

    session: Session
    layout: Layout
    result: SliceResult
    table: str
    load_id: str
    org_id: str
    now: float
    note: Note | None = None

    @property
    def as_of(self) -> datetime:
        """When the platform was asked."""
        return instant(self.result.as_of)

    @property
    def key(self) -> dict[str, object]:
        """What all rows of a report's slice have in common, as the engine gives it back.

        Raises:
            WarehouseError: it is no slice of a report.
        """
        part = self.result.slice
        if part.report is None:
            raise self.error("it is no slice of a report")
        held = self.layout.capabilities.held
        return {
            "org_id": held(self.org_id),
            "platform": held(part.platform),
            "account_id": held(part.account_id),
            "report": held(part.report.name),
            "level": str(part.report.level),
        }

    @property
    def declared(self) -> tuple[date, ...]:
        """The days that are replaced, whether or not they have rows."""
        return tuple(self.result.slice.window.dates())

    @property
    def mine(self) -> Predicate:
        """The slice's rows in the audit schema."""
        return self.where(load_id=self.load_id, slice_key=self.slice_key)

    @property
    def slice_key(self) -> str:
        """What its rows in the audit schema are found by, among those of the load."""
        return self.result.slice.fingerprint()

    def where(self, **values: object) -> Predicate:
        """Equality of columns and values."""
        ident = self.layout.capabilities.ident
        return Predicate(
            sql=" AND ".join(f"{ident(name)} = ?" for name in values),
            params=tuple(values.values()),
        )

    def among(self, name: str, values: Sequence[object]) -> Predicate:
        """A column's value is one of these."""
        marks = ", ".join("?" for _ in values)
        return Predicate(
            sql=f"{self.layout.capabilities.ident(name)} IN ({marks})", params=tuple(values)
        )

    def run(
        self, sql: str, where: Predicate, before: Sequence[object] = (), tail: str = ""
    ) -> list[tuple[Any, ...]]:
        """Run a statement that ends in a condition; ``before`` are its earlier parameters."""
        return self.session.execute(f"{sql} WHERE {where.sql}{tail}", (*before, *where.params))

    def error(self, message: str, hint: str = "") -> WarehouseError:
        """An error about this slice; nothing was published."""
        part = self.result.slice
        return WarehouseError(
            f"{part.label} was not published: {message}",
            platform=part.platform,
            account=part.account_id,
            hint=hint or None,
        )


def instant(epoch: float) -> datetime:
    """Epoch seconds as the warehouse keeps them, to the microsecond."""
    return datetime.fromtimestamp(epoch, UTC)


def check_publishable(job: Job) -> int:
    """How many rows the audit schema must hold for the slice.

    Raises:
        WarehouseError: extract failed, or the report's slice holds only some ids of its days.
        StagingError: the slice was never normalized.
    """
    result = job.result
    if result.status != "complete":
        raise job.error(f"extract ended as {result.status}: {result.error or 'no reason given'}")
    if result.slice.ids is not None and result.slice.report:
        raise job.error("it is restricted to some ids, and would take the others' rows away")
    raw = result.raw_rows
    # In a report broken by action, rows without any action lawfully become nothing.
    report = result.slice.report
    by_action = result.normalized and report is not None and report.action_breakdowns
    lost = raw > result.rejected + result.duplicates
    if lost and not result.staged and not by_action:
        raise StagingError(
            f"{result.slice.label} has {raw} raw rows and no staged file.",
            platform=result.slice.platform,
            account=result.slice.account_id,
            hint="Normalize the manifest before it is loaded and published.",
        )
    return result.staged_rows
