"""A circuit breaker that all processes share.

Closed: everything passes. After ``failures`` failures in a row it opens: nothing passes for
``cooldown`` seconds. Then it is half-open: up to ``probes`` requests pass; the first success
closes it, the first failure opens it again. Only ``Unavailable`` should be counted as a failure:
a platform that throttles or refuses is alive. Such an answer gives its probe back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, select, update
from sqlalchemy.engine import Connection

from airflow_provider_liftos.model.errors import CircuitOpen
from airflow_provider_liftos.state.store import StateStore, insert_into
from airflow_provider_liftos.state.tables import breakers


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """Where one circuit stands: closed, open or half-open; ``until`` is in epoch seconds."""

    key: str
    state: str
    failures: int
    until: float


class Breaker:
    """The circuits of one organization; ``key`` is what fails together (platform/account)."""

    def __init__(
        self,
        store: StateStore,
        org_id: str,
        failures: int = 5,
        cooldown: float = 60.0,
        probes: int = 3,
    ) -> None:
        self._store = store
        self._org_id = org_id
        self._failures = failures
        self._cooldown = cooldown
        self._probes = probes

    def admit(self, key: str) -> None:
        """Let a request pass; a half-open circuit gives it one of the probes.

        Raises:
            CircuitOpen: nothing may be sent before ``until``.
        """
        with self._store.read() as connection:
            row = self._row(connection, key)
        if row is None or not row.opened_until:
            return
        self._refuse_while_open(key, row.opened_until)
        with self._store.write() as connection:
            self._take_probe(connection, key)

    def succeed(self, key: str) -> None:
        """A request was answered. Writes only when there is something to reset."""
        with self._store.read() as connection:
            row = self._row(connection, key)
        if row is None or not (row.failures or row.opened_until):
            return
        with self._store.write() as connection:
            now = self._store.clock.now()
            # While open, this is an answer to a request from before: it proves nothing.
            half_open_or_closed = breakers.c.opened_until <= now
            connection.execute(
                update(breakers)
                .where(self._is(key), half_open_or_closed)
                .values(failures=0, opened_until=0.0, probes=0, updated_at=now)
            )

    def fail(self, key: str) -> None:
        """A request failed as an unavailable platform does."""
        with self._store.write() as connection:
            row = self._locked(connection, key)
            now = self._store.clock.now()  # only here: getting the lock may have taken a while
            if row.opened_until > now:
                return  # a request from before the circuit opened
            count = row.failures + 1
            opens = bool(row.opened_until) or count >= self._failures
            connection.execute(
                update(breakers)
                .where(self._is(key))
                .values(
                    failures=count,
                    opened_until=now + self._cooldown if opens else 0.0,
                    probes=0,
                    updated_at=now,
                )
            )

    def abstain(self, key: str) -> None:
        """A request was answered in a way that counts neither way: its probe is free again."""
        with self._store.read() as connection:
            row = self._row(connection, key)
        if row is None or not (row.opened_until and row.probes):
            return
        taken = and_(self._is(key), breakers.c.opened_until > 0, breakers.c.probes > 0)
        with self._store.write() as connection:
            connection.execute(update(breakers).where(taken).values(probes=breakers.c.probes - 1))

    def state(self) -> list[Circuit]:
        """All circuits of the organization that have ever failed, by name."""
        now = self._store.clock.now()
        query = select(breakers).where(breakers.c.org_id == self._org_id).order_by(breakers.c.key)
        with self._store.read() as connection:
            rows = connection.execute(query).all()
        return [
            Circuit(
                key=row.key,
                state=_word(row.opened_until, now),
                failures=row.failures,
                until=row.opened_until,
            )
            for row in rows
        ]

    def _refuse_while_open(self, key: str, until: float) -> None:
        if until > self._store.clock.now():
            raise CircuitOpen(
                f"Nothing is sent to {key} for now: it failed {self._failures} times in a row.",
                until=until,
                hint="It is tried again by itself.",
            )

    def _take_probe(self, connection: Connection, key: str) -> None:
        row = self._locked(connection, key)
        now = self._store.clock.now()
        if not row.opened_until:
            return  # closed in the meantime
        self._refuse_while_open(key, row.opened_until)
        # Probes whose processes died are forgotten after one cooldown.
        stale = row.updated_at + self._cooldown <= now
        taken = 0 if stale else row.probes
        if taken >= self._probes:
            raise CircuitOpen(
                f"Nothing is sent to {key} for now: {taken} probes are on their way.",
                until=row.updated_at + self._cooldown,
                hint="It is tried again by itself.",
            )
        connection.execute(
            update(breakers).where(self._is(key)).values(probes=taken + 1, updated_at=now)
        )

    def _locked(self, connection: Connection, key: str) -> Row[Any]:
        """The row, made when missing, and kept from others until the transaction ends."""
        now = self._store.clock.now()
        connection.execute(
            insert_into(connection, breakers)
            .values(org_id=self._org_id, key=key, updated_at=now)
            .on_conflict_do_nothing()
        )
        return connection.execute(select(breakers).where(self._is(key)).with_for_update()).one()

    def _row(self, connection: Connection, key: str) -> Row[Any] | None:
        return connection.execute(select(breakers).where(self._is(key))).one_or_none()

    def _is(self, key: str) -> ColumnElement[bool]:
        return and_(breakers.c.org_id == self._org_id, breakers.c.key == key)


def _word(opened_until: float, now: float) -> str:
    if not opened_until:
        return "closed"
    return "open" if opened_until > now else "half-open"
