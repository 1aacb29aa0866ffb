"""How long the store keeps what: one rule for each table, enforced in small batches.

Each batch is a transaction of its own, so that nobody waits long, and a kill in between leaves
nothing half done. What an unfinished run still needs is younger than any sensible rule: a task's
checkpoints go together, once none of them has changed for that long.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sqlalchemy import ColumnElement, Table, and_, delete, exists, select, tuple_

from airflow_provider_liftos.state import tables
from airflow_provider_liftos.state.store import StateStore

_BATCH = 500
_PAUSE = 0.02
_DAY = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Rows of ``table`` go ``days`` days after they are ``over``, which is told a moment.

    ``name`` is what the setting calls it.
    """

    name: str
    days: int
    table: Table
    over: Callable[[float], ColumnElement[bool]]


def _idle_scope(before: float) -> ColumnElement[bool]:
    """All checkpoints of a task, once none of them has changed since."""
    slices, same = tables.slices, tables.slices.alias("same")
    alive = exists().where(
        same.c.org_id == slices.c.org_id,
        same.c.scope == slices.c.scope,
        same.c.updated_at >= before,
    )
    return and_(slices.c.updated_at < before, ~alive)


def _idle_limit(before: float) -> ColumnElement[bool]:
    moments = ("tat", "paused_until", "interactive_until", "fresh_until", "fresh_turn", "bulk_turn")
    return and_(*(tables.limiter.c[name] < before for name in moments))


def _idle_lease(before: float) -> ColumnElement[bool]:
    """Given back, or run out, that long ago: no former holder can come back with an old token."""
    expires_at = tables.leases.c.expires_at  # negative where it was given back
    return and_(expires_at < before, expires_at > -before)


def _closed_letter(before: float) -> ColumnElement[bool]:
    return tables.dead_letters.c.closed_at < before


def _open_letter(before: float) -> ColumnElement[bool]:
    column = tables.dead_letters.c
    return and_(column.closed_at.is_(None), column.updated_at < before)


RULES = (
    Rule(name="run_ledger", days=400, table=tables.run_ledger,
         over=lambda before: tables.run_ledger.c.started_at < before),
    Rule(name="quality_results", days=400, table=tables.quality_results,
         over=lambda before: tables.quality_results.c.created_at < before),
    Rule(name="quality_scores", days=400, table=tables.quality_scores,
         over=lambda before: tables.quality_scores.c.created_at < before),
    Rule(name="restatements", days=800, table=tables.restatements,
         over=lambda before: tables.restatements.c.created_at < before),
    Rule(name="audit_log", days=800, table=tables.audit_log,
         over=lambda before: tables.audit_log.c.created_at < before),
    Rule(name="dead_letters", days=90, table=tables.dead_letters, over=_closed_letter),
    Rule(name="open_dead_letters", days=400, table=tables.dead_letters, over=_open_letter),
    Rule(name="alerts", days=400, table=tables.alerts,
         over=lambda before: tables.alerts.c.resolved_at < before),
    Rule(name="checkpoints", days=14, table=tables.slices, over=_idle_scope),
    Rule(name="statements", days=7, table=tables.statements,
         over=lambda before: tables.statements.c.as_of < before),
    Rule(name="limits", days=7, table=tables.limiter, over=_idle_limit),
    Rule(name="breakers", days=7, table=tables.breakers,
         over=lambda before: and_(tables.breakers.c.updated_at < before,
                                  tables.breakers.c.opened_until < before)),
    Rule(name="leases", days=7, table=tables.leases, over=_idle_lease),
    Rule(name="flights", days=1, table=tables.flights,
         over=lambda before: tables.flights.c.expires_at < before),
    Rule(name="oauth_states", days=1, table=tables.oauth_states,
         over=lambda before: tables.oauth_states.c.expires_at < before),
)  # fmt: skip

KEPT = MappingProxyType(
    {
        "tokens": "a token goes with its connection; by age, somebody would have to consent again",
        "schema_version": "says how the store was made",
    }
)
"""Tables without a rule, and why."""

STAGING, AUDIT_SCHEMA = "staging", "audit_schema"

DAYS: Mapping[str, int] = MappingProxyType(
    {rule.name: rule.days for rule in RULES} | {STAGING: 7, AUDIT_SCHEMA: 30}
)
"""Every rule with its default: those of the tables, of staged files, and of the rows that wait for
the audit's verdict."""


def enforce(
    store: StateStore,
    days: Mapping[str, int],
    *,
    batch: int = _BATCH,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, int]:
    """Delete what is over by more than ``days`` say; how many rows of each rule."""
    now = store.clock.now()
    return {
        rule.name: sum(
            _delete(store, rule, org_id, now - days[rule.name] * _DAY, batch, sleep)
            for org_id in _organizations(store, rule.table)
        )
        for rule in RULES
    }


def _organizations(store: StateStore, table: Table) -> list[str]:
    with store.read() as connection:
        return list(connection.scalars(select(table.c.org_id).distinct()))


def _delete(
    store: StateStore,
    rule: Rule,
    org_id: str,
    before: float,
    batch: int,
    sleep: Callable[[float], None],
) -> int:
    key = list(rule.table.primary_key.columns)
    over = and_(rule.table.c.org_id == org_id, rule.over(before))
    # Rows that somebody is writing are left for the next time.
    some = select(*key).where(over).limit(batch).with_for_update(skip_locked=True)
    deleted = 0
    while True:
        with store.write() as connection:
            # Two statements: as a subquery, Postgres may look for the few anew for every row.
            found = [tuple(row) for row in connection.execute(some)]
            gone = delete(rule.table).where(tuple_(*key).in_(found), over)
            deleted += connection.execute(gone).rowcount if found else 0
        if len(found) < batch:
            return deleted
        sleep(_PAUSE)  # others may be waiting to write
