"""The audit log: who connected, tested, refreshed, rotated or replayed what, when, from where.

Entries are only ever added; retention takes the oldest away.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import insert, select

from airflow_provider_liftos.state.store import StateStore
from airflow_provider_liftos.state.tables import audit_log


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One entry: ``actor`` did ``action`` to ``subject`` at ``created_at`` (epoch seconds)."""

    id: str
    actor: str
    action: str
    subject: str
    detail: Mapping[str, Any] = field(default_factory=dict)
    created_at: float


class AuditLog:
    """The audit log of one organization."""

    def __init__(self, store: StateStore, org_id: str) -> None:
        self._store = store
        self._org_id = org_id

    def note(
        self, actor: str, action: str, subject: str, detail: Mapping[str, Any] | None = None
    ) -> None:
        """Add an entry; ``detail`` is plain JSON and never holds a secret.

        ``actor`` is a user, or the task and host that acted by itself; ``action`` a verb in the
        past such as ``connected``; ``subject`` usually a connection.
        """
        entry = insert(audit_log).values(
            org_id=self._org_id,
            id=str(uuid.uuid4()),
            actor=actor,
            action=action,
            subject=subject,
            detail=json.dumps(detail or {}),
            created_at=self._store.clock.now(),
        )
        with self._store.write() as connection:
            connection.execute(entry)

    def entries(
        self, *, action: str | None = None, subject: str | None = None, limit: int = 1000
    ) -> list[AuditEntry]:
        """Entries that match all of what is given, newest first."""
        query = select(audit_log).where(audit_log.c.org_id == self._org_id)
        for name, value in (("action", action), ("subject", subject)):
            if value is not None:
                query = query.where(audit_log.c[name] == value)
        newest_first = query.order_by(audit_log.c.created_at.desc(), audit_log.c.id).limit(limit)
        with self._store.read() as connection:
            return [
                AuditEntry(
                    id=row.id,
                    actor=row.actor,
                    action=row.action,
                    subject=row.subject or "",
                    detail=json.loads(row.detail or "{}"),
                    created_at=row.created_at,
                )
                for row in connection.execute(newest_first)
            ]
