"""Alerts: troubles that last, told once, told again when they grow, and closed when they are over.

Who watches something reports all that is wrong with it each time. What was reported before is the
same alert; what is reported no more has resolved itself. An alert counts as told only when somebody
says so after sending it, so that a message that did not leave is sent again. Where people are told
by several ways, and one is closed, the others do not tell the same again.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.engine import Connection

from airflow_provider_liftos.state.store import StateStore, insert_into
from airflow_provider_liftos.state.tables import alerts as table

OPEN, RESOLVED = "open", "resolved"
SEVERITIES = ("low", "medium", "high", "critical")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What is wrong now. ``key`` is the same for as long as it is the same trouble."""

    key: str
    platform: str
    account_id: str
    severity: str
    text: str
    advice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A trouble with its history; moments in epoch seconds."""

    key: str
    kind: str
    platform: str
    account_id: str
    severity: str
    text: str
    advice: str
    state: str
    episodes: int
    opened_at: float
    seen_at: float
    resolved_at: float | None
    told_at: float | None
    told_severity: str
    told_to: frozenset[str] = frozenset()
    """Ways by which the news has been told already, while others have not."""

    @property
    def is_open(self) -> bool:
        """Whether the trouble lasts."""
        return self.state == OPEN


class Alerts:
    """The alerts of one organization."""

    def __init__(self, store: StateStore, org_id: str) -> None:
        self._store = store
        self._org_id = org_id

    def report(self, kind: str, platforms: Collection[str], troubles: Iterable[Trouble]) -> None:
        """All that is wrong with these platforms; other alerts of the kind are over.

        Raises as the store does.
        """
        found = {trouble.key: trouble for trouble in troubles}
        now = self._store.clock.now()
        with self._store.write() as connection:
            known = {row.key: row for row in connection.execute(self._of(kind, platforms))}
            for key, trouble in found.items():
                self._keep(connection, kind, trouble, known.get(key), now)
            over = [key for key, row in known.items() if row.state == OPEN and key not in found]
            self._set(connection, over, state=RESOLVED, resolved_at=now, resolution_told=0)

    def due(self, kind: str, *, remind_after: float) -> list[Alert]:
        """What people should be told now, the gravest first, resolved ones last.

        Open alerts that were never told, have grown, or were told ``remind_after`` seconds ago; and
        resolved ones of which people were told only that they are open.
        """
        now = self._store.clock.now()
        with self._store.read() as connection:
            query = select(table).where(table.c.org_id == self._org_id, table.c.kind == kind)
            rows = connection.execute(query).all()
        found = [_alert(row) for row in rows if _is_due(row, now, remind_after)]
        return sorted(found, key=_gravest_first)

    def told(self, alerts: Sequence[Alert]) -> None:
        """People have been told of these, as they were when they were ``due``."""
        now = self._store.clock.now()
        with self._store.write() as connection:
            for alert in alerts:
                values: dict[str, Any] = {"told_at": now, "told_severity": alert.severity}
                if not alert.is_open:
                    values = {"resolution_told": 1}
                self._set(connection, [alert.key], told_to=None, **values)

    def told_by(self, way: str, alerts: Sequence[Alert]) -> None:
        """People have been told of these by one of several ways; all are when they are ``told``."""
        with self._store.write() as connection:
            mine = (table.c.org_id == self._org_id, table.c.key.in_([one.key for one in alerts]))
            for row in connection.execute(select(table).where(*mine)).all():
                kept = {"news": _news(row), "ways": sorted(_told_to(row) | {way})}
                self._set(connection, [row.key], told_to=json.dumps(kept))

    def open(self, kind: str | None = None) -> list[Alert]:
        """What is wrong, as last reported, the gravest first."""
        query = select(table).where(table.c.org_id == self._org_id, table.c.state == OPEN)
        if kind is not None:
            query = query.where(table.c.kind == kind)
        with self._store.read() as connection:
            return sorted(map(_alert, connection.execute(query)), key=_gravest_first)

    def _of(self, kind: str, platforms: Collection[str]) -> Any:
        return select(table).where(
            table.c.org_id == self._org_id,
            table.c.kind == kind,
            table.c.platform.in_(list(platforms)),
        )

    def _keep(
        self, connection: Connection, kind: str, trouble: Trouble, known: Any, now: float
    ) -> None:
        values: dict[str, Any] = {
            "kind": kind, "platform": trouble.platform, "account_id": trouble.account_id,
            "severity": trouble.severity, "text": trouble.text, "advice": trouble.advice,
            "state": OPEN, "seen_at": now,
        }  # fmt: skip
        if known is None or known.state != OPEN:
            values |= {
                "opened_at": now, "resolved_at": None, "told_at": None, "told_severity": None,
                "resolution_told": 0, "told_to": None,
                "episodes": (known.episodes if known else 0) + 1,
            }  # fmt: skip
        whole = {"org_id": self._org_id, "key": trouble.key, **values}
        insert = insert_into(connection, table).values(
            {"opened_at": now, "episodes": 1, "resolution_told": 0, **whole}
        )
        connection.execute(
            insert.on_conflict_do_update(index_elements=["org_id", "key"], set_=values)
        )

    def _set(self, connection: Connection, keys: Sequence[str], **values: Any) -> None:
        for key in keys:
            mine = (table.c.org_id == self._org_id, table.c.key == key)
            connection.execute(update(table).where(*mine).values(**values))


def _is_due(row: Any, now: float, remind_after: float) -> bool:
    if row.state != OPEN:
        return bool(row.told_at is not None or row.told_to) and not row.resolution_told
    if row.told_at is None or now - row.told_at >= remind_after:
        return True
    return _rank(row.severity) > _rank(row.told_severity)


def _rank(severity: str | None) -> int:
    return SEVERITIES.index(severity) if severity in SEVERITIES else -1


def _gravest_first(alert: Alert) -> tuple[bool, int, str]:
    return not alert.is_open, -_rank(alert.severity), alert.key


def _news(alert: Any) -> str:
    """What there is to tell of an alert now; a reminder is news, too."""
    return f"{alert.episodes} {alert.state} {alert.severity} {alert.told_at or 0:.3f}"


def _told_to(row: Any) -> frozenset[str]:
    kept = json.loads(row.told_to or "{}")
    return frozenset(kept["ways"]) if kept.get("news") == _news(row) else frozenset()


def _alert(row: Any) -> Alert:
    return Alert(
        key=row.key, kind=row.kind, platform=row.platform or "", account_id=row.account_id or "",
        severity=row.severity, text=row.text, advice=row.advice or "", state=row.state,
        episodes=row.episodes, opened_at=row.opened_at, seen_at=row.seen_at,
        resolved_at=row.resolved_at, told_at=row.told_at, told_severity=row.told_severity or "",
        told_to=_told_to(row),
    )  # fmt: skip
