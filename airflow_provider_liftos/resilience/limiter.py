"""Request limits that all processes share.

Reserving a place is one short transaction; nobody polls, and who came first goes first. What the
platform says about its limits is laid over that: ``pause`` and ``correct``.

A request under several limits takes a place in all of them at the moment the slowest allows, so
each one sees requests only when they are really sent. A request that waits for one key therefore
also keeps later requests behind it on the keys they have in common: pass ``max_wait`` and come
back later rather than hold a place for long. One that waits for its lane's turn holds no place.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from sqlalchemy import ColumnElement, and_, func, select, update
from sqlalchemy.engine import Connection

from airflow_provider_liftos.model.errors import ConfigurationError, Throttled
from airflow_provider_liftos.model.wire import Lane
from airflow_provider_liftos.resilience.places import Place, Standing
from airflow_provider_liftos.state.store import StateStore, insert_into
from airflow_provider_liftos.state.tables import limiter

__all__ = ["KeyState", "Limiter", "Place", "Turn"]

_COLUMNS = [column for column in limiter.c if column.name != "org_id"]


@dataclass(frozen=True, slots=True)
class Turn:
    """Seconds to wait, and whether there is a place afterwards; else it is to be asked for then."""

    wait: float
    placed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyState:
    """Where one key stands; moments are epoch seconds, ``told_rate`` requests per second."""

    key: str
    busy_until: float
    paused_until: float
    told_rate: float = 0.0


class Limiter:
    """The limits of one organization."""

    def __init__(self, store: StateStore, org_id: str) -> None:
        self._store = store
        self._org_id = org_id

    def reserve(
        self,
        places: Sequence[Place],
        max_wait: float | None = None,
        lane: Lane = Lane.FRESH,
        *,
        had_turn: bool = False,
    ) -> Turn:
        """Take a place under every limit, or the lane's next turn to do so.

        Raises:
            Throttled: the wait would exceed ``max_wait`` seconds; nothing was reserved.
            ConfigurationError: two of the places have the same key.
        """
        if not places:
            return Turn(0.0)
        # In one order for everybody: rows are locked one after the other.
        ordered = sorted(places, key=lambda place: place.key)
        _refuse_doubles(ordered)
        with self._store.write() as connection:
            found = self._locked(connection, [place.key for place in ordered])
            now = self._store.clock.now()  # only here: getting the lock may have taken a while
            asked = [
                (place.told(found[place.key].told_rate), found[place.key]) for place in ordered
            ]
            answer = _answer(asked, now, lane, had_turn=had_turn)
            late = max_wait is not None and answer.at - now > max_wait
            for place, before in asked:
                after = _after(place, before, answer, lane, now, late=late, had_turn=had_turn)
                self._keep(connection, place.key, before, after)
        if late:
            raise Throttled(
                f"The limit {answer.slowest} is used up for {answer.at - now:.0f} s.",
                retry_at=answer.at,
                hint="It goes on by itself.",
            )
        return Turn(answer.at - now, placed=answer.placed)

    def paused(self, keys: Collection[str]) -> bool:
        """Whether the platform has asked to send nothing now on one of these."""
        latest = select(func.max(limiter.c.paused_until)).where(
            limiter.c.org_id == self._org_id, limiter.c.key.in_(keys)
        )
        with self._store.read() as connection:
            return (connection.scalar(latest) or 0.0) > self._store.clock.now()

    def pause(self, key: str, until: float) -> None:
        """Send nothing on ``key`` before ``until``, as the platform asked; never shortens."""
        with self._store.write() as connection:
            self._locked(connection, [key])
            connection.execute(
                update(limiter)
                .where(self._is(key), limiter.c.paused_until < until)
                .values(paused_until=until)
            )

    def correct(
        self,
        place: Place,
        *,
        rate: float | None = None,
        left: float | None = None,
        cost: float | None = None,
    ) -> None:
        """Believe the platform where it knows better.

        ``rate`` (requests per second) holds until it names another, unless ours is lower anyway;
        ``left`` is how many more it takes now, ``cost`` what the request of that place came to.
        """
        with self._store.write() as connection:
            before = self._locked(connection, [place.key])[place.key]
            now = self._store.clock.now()
            after = before
            if cost is not None:
                after = place.settled(cost, after)
            if left is not None:
                after = place.told(rate or before.told_rate).left(left, now, after)
            self._keep(connection, place.key, before, after)
            if rate is not None and rate > 0:
                connection.execute(
                    update(limiter).where(self._is(place.key)).values(told_rate=rate)
                )

    def state(self) -> list[KeyState]:
        """All keys of the organization, by name."""
        columns = (limiter.c.key, limiter.c.tat, limiter.c.paused_until, limiter.c.told_rate)
        with self._store.read() as connection:
            rows = connection.execute(
                select(*columns).where(limiter.c.org_id == self._org_id).order_by(limiter.c.key)
            ).all()
        return [
            KeyState(key=key, busy_until=tat, paused_until=until, told_rate=rate)
            for key, tat, until, rate in rows
        ]

    def _locked(self, connection: Connection, keys: Sequence[str]) -> dict[str, Standing]:
        """Where these keys stand, kept from others until the transaction ends."""
        rows = insert_into(connection, limiter).values(
            [{"org_id": self._org_id, "key": key} for key in keys]
        )
        # Writing a value over itself creates, locks and reads a row in one statement.
        locked = rows.on_conflict_do_update(
            index_elements=["org_id", "key"], set_={"tat": limiter.c.tat}
        ).returning(*_COLUMNS)
        return {row["key"]: _standing(row) for row in connection.execute(locked).mappings()}

    def _keep(self, connection: Connection, key: str, before: Standing, after: Standing) -> None:
        was, now = asdict(before), asdict(after)
        changed: dict[str, Any] = {name: now[name] for name in now if now[name] != was[name]}
        if "counts" in changed:
            changed["counts"] = json.dumps(sorted(changed["counts"].items()))
        if changed:
            connection.execute(update(limiter).where(self._is(key)).values(**changed))

    def _is(self, key: str) -> ColumnElement[bool]:
        return and_(limiter.c.org_id == self._org_id, limiter.c.key == key)


def _standing(row: Mapping[str, Any] | Any) -> Standing:
    parts = {name: value for name, value in row.items() if name != "key"}
    return Standing(**{**parts, "counts": dict(json.loads(row["counts"] or "[]"))})


@dataclass(frozen=True, slots=True)
class _Answer:
    """A moment, the key that allows it last, and whether it is for sending or for asking again."""

    at: float
    slowest: str
    placed: bool


_Asked = Sequence[tuple[Place, Standing]]


def _answer(asked: _Asked, now: float, lane: Lane, *, had_turn: bool) -> _Answer:
    turn, slowest = max((place.turn(now, standing, lane), place.key) for place, standing in asked)
    if turn > now and not had_turn:
        return _Answer(turn, slowest, placed=False)
    moment = now
    while True:
        found = max((p.earliest(now, moment, standing, lane), p.key) for p, standing in asked)
        if found[0] <= moment:
            return _Answer(moment, slowest, placed=True)
        moment, slowest = found


def _after(
    place: Place,
    before: Standing,
    answer: _Answer,
    lane: Lane,
    now: float,
    *,
    late: bool,
    had_turn: bool,
) -> Standing:
    """What is kept of one limit after an answer."""
    if late:
        # Only where it will wait: on the other keys there is room meanwhile.
        return place.seen(answer.at, before, lane) if place.key == answer.slowest else before
    after = place.seen(answer.at, before, lane)
    if place.by_turns(now, before, lane) and not had_turn:
        after = place.turn_taken(answer.at if not answer.placed else now, after, lane)
    return place.taken(answer.at, after) if answer.placed else after


def _refuse_doubles(ordered: Sequence[Place]) -> None:
    for one, following in pairwise(ordered):
        if one.key == following.key:
            raise ConfigurationError(
                f"Two limits share the key {one.key!r}.",
                hint="Give each its own, such as meta/act_1/hour and meta/act_1/minute.",
            )
