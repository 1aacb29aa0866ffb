"""How many requests may be in flight at once, over all processes: seats, and a queue before them.

To come and to go is one short transaction each. Who goes hands the seat to who is next, so that
whoever waits only reads. Lanes queue together, but a lower one as if it had come later: the higher
goes first, and the lower one's turn comes nevertheless.

A seat is a lease: it ends by itself, and as long as its process lives, that renews it. So a request
may take as long as it does, and a process that dies frees its seats soon.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, delete, insert, select, update
from sqlalchemy.engine import Connection

from airflow_provider_liftos.model.errors import LiftosError
from airflow_provider_liftos.model.wire import Lane
from airflow_provider_liftos.resilience.keeper import KEEPER, Lender
from airflow_provider_liftos.state.store import StateStore, alone
from airflow_provider_liftos.state.tables import flights

log = logging.getLogger(__name__)

SEAT_SECONDS = 60.0
"""How long a seat lasts that nobody renews."""

LANE_SECONDS = 10.0
"""How much later a lane is taken to have come than the next higher one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlightState:
    """Requests under one cap: how many are in flight, of how many at most, and how many wait."""

    key: str
    most: int
    in_flight: int
    waiting: int


class _Row(NamedTuple):
    """One that came; ``since`` is when, by its lane."""

    id: str
    most: int
    aboard: int
    since: float
    expires_at: float


class Flights:
    """The requests in flight of one organization. A seat lasts so many ``seconds``."""

    def __init__(self, store: StateStore, org_id: str, seconds: float = SEAT_SECONDS) -> None:
        self.seconds = seconds
        self._store = store
        self._org_id = org_id

    def seat(self, key: str, most: int, lane: Lane) -> Seat:
        """One of ``most`` seats of ``key``; nothing is taken before ``come``."""
        return Seat(self, key, most, lane)

    def state(self) -> list[FlightState]:
        """All keys under which something is in flight or waits, by name."""
        c = flights.c
        alive = and_(c.org_id == self._org_id, c.expires_at > self._store.clock.now())
        with self._store.read() as connection:
            rows = connection.execute(
                select(c.key, c.most, c.aboard).where(alive).order_by(c.key)
            ).all()
        return [_state(key, list(those)) for key, those in groupby(rows, lambda row: str(row[0]))]

    def enter(self, seat: Seat) -> int:
        """Take a seat, or else queue; how many have to leave before it is this one's turn."""
        with self._alone(seat) as connection:
            now = self._store.clock.now()
            alive = self._settled(connection, seat, now)
            aboard = all(row.aboard for row in alive) and len(alive) < seat.most
            since = now + seat.lane * LANE_SECONDS
            connection.execute(
                insert(flights).values(
                    org_id=self._org_id, key=seat.key, id=seat.id, most=seat.most,
                    aboard=int(aboard), since=since, expires_at=now + self.seconds,
                )
            )  # fmt: skip
        return 0 if aboard else 1 + sum(not row.aboard and row.since <= since for row in alive)

    def ahead(self, seat: Seat) -> int | None:
        """How many have to leave by now, None when it was lost. Writes only after deaths."""
        with self._store.read() as connection:
            alive = self._alive(connection, seat, self._store.clock.now())
        ahead = _ahead(alive, seat)
        if seat.id not in _called(alive):
            return ahead
        # There is room, and nobody has handed it over.
        with self._alone(seat) as connection:
            return _ahead(self._settled(connection, seat, self._store.clock.now()), seat)

    def leave(self, seat: Seat) -> None:
        """Free it, for who is next."""
        with self._alone(seat) as connection:
            connection.execute(delete(flights).where(self._of(seat), flights.c.id == seat.id))
            self._settled(connection, seat, self._store.clock.now())

    def renew(self, ids: Collection[str]) -> None:
        """Let these last anew; what is over stays so."""
        now = self._store.clock.now()
        mine = and_(flights.c.org_id == self._org_id, flights.c.id.in_(ids))
        with self._store.write() as connection:
            connection.execute(
                update(flights)
                .where(mine, flights.c.expires_at > now)
                .values(expires_at=now + self.seconds)
            )

    @contextmanager
    def _alone(self, seat: Seat) -> Iterator[Connection]:
        """A transaction in which nobody else comes or goes under the same cap."""
        with self._store.write() as connection:
            alone(connection, f"{self._org_id}/flights/{seat.key}")
            yield connection

    def _settled(self, connection: Connection, seat: Seat, now: float) -> list[_Row]:
        """Who is there once what is over has gone and free seats are given to who is next."""
        expired = and_(self._of(seat), flights.c.expires_at <= now)
        found = self._all(connection, seat)
        if any(row.expires_at <= now for row in found):
            connection.execute(delete(flights).where(expired))
        alive = [row for row in found if row.expires_at > now]
        called = _called(alive)
        if called:
            connection.execute(
                update(flights).where(self._of(seat), flights.c.id.in_(called)).values(aboard=1)
            )
        return [row._replace(aboard=1) if row.id in called else row for row in alive]

    def _alive(self, connection: Connection, seat: Seat, now: float) -> list[_Row]:
        return [row for row in self._all(connection, seat) if row.expires_at > now]

    def _all(self, connection: Connection, seat: Seat) -> list[_Row]:
        """All under the same cap, those who wait in their order."""
        c = flights.c
        columns = select(c.id, c.most, c.aboard, c.since, c.expires_at)
        ordered = columns.where(self._of(seat)).order_by(c.since, c.id)
        return [_Row(*row) for row in connection.execute(ordered)]

    def _of(self, seat: Seat) -> ColumnElement[bool]:
        return and_(flights.c.org_id == self._org_id, flights.c.key == seat.key)


def _called(rows: Sequence[_Row]) -> list[str]:
    """Those that wait and for whom there is a seat; where caps differ, each keeps its own."""
    aboard = sum(row.aboard for row in rows)
    called: list[str] = []
    for row in rows:
        if not row.aboard:
            if aboard + len(called) >= row.most:
                break
            called.append(row.id)
    return called


def _ahead(rows: Sequence[_Row], seat: Seat) -> int | None:
    """0 for one that is aboard; None for one that is not there."""
    if any(row.id == seat.id and row.aboard for row in rows):
        return 0
    waiting = [row.id for row in rows if not row.aboard]
    return waiting.index(seat.id) + 1 if seat.id in waiting else None


def _state(key: str, rows: Sequence[Sequence[Any]]) -> FlightState:
    most, aboard = max(row[1] for row in rows), sum(row[2] for row in rows)
    return FlightState(key=key, most=most, in_flight=aboard, waiting=len(rows) - aboard)


class Seat:
    """One request's seat under one cap, from queueing to leaving."""

    def __init__(self, lender: Flights, key: str, most: int, lane: Lane) -> None:
        self.lender: Lender = lender
        self._flights = lender
        self.key = key
        self.most = most
        self.lane = lane
        self.id = uuid.uuid4().hex
        self._given_up = False

    def come(self) -> int:
        """Take it, or else queue; how many have to leave before it is this one's turn."""
        KEEPER.keep(self)
        ahead = self._flights.enter(self)
        if self._given_up:
            self.leave()
        return ahead

    def look(self) -> int:
        """How many have to leave by now; only reads, unless somebody has died.

        Queues anew when its place was lost, because this process stood still for long.
        """
        ahead = self._flights.ahead(self)
        return self._flights.enter(self) if ahead is None else ahead

    def leave(self) -> None:
        """Free it. Where the store is out of reach, it ends by itself."""
        KEEPER.forget(self)
        try:
            self._flights.leave(self)
        except LiftosError as error:
            log.info("A seat of %s is not given back, and ends by itself: %s", self.key, error)

    def give_up(self) -> None:
        """Have it left by another thread: blocks nobody, and may be said while it comes."""
        self._given_up = True
        KEEPER.drop(self)
