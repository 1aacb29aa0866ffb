"""Request limits that all processes share.

Each limit is a key with its *theoretical arrival time* (the generic cell rate algorithm, GCRA): a
request is not counted but given a moment to be sent at. Reserving it is one short transaction;
nobody polls, and who came first goes first. What the platform says about its limits is laid over
that: ``pause`` and ``slow``.

A request under several limits takes a place in all of them at the moment the slowest allows, so
each one sees requests only when they are really sent. A request that waits for one key therefore
also keeps later requests behind it on the keys they have in common: pass ``max_wait`` and come
back later rather than hold a place for long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from sqlalchemy import ColumnElement, and_, select, update
from sqlalchemy.engine import Connection

from airflow_provider_liftos.model.errors import ConfigurationError, Throttled
from airflow_provider_liftos.state.store import StateStore, insert_into
from airflow_provider_liftos.state.tables import limiter

# From this share of the allowance on, a key is held back, up to a minute when all is used.
_SLOW_FROM = 0.75
_SLOW_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Place:
    """One request's place under one limit: ``calls`` per ``per`` seconds for ``key``.

    ``burst`` requests may go at once after a quiet time; no window of ``per`` seconds ever holds
    more than ``calls + burst - 1``. So by default (1) requests are spaced evenly and the limit is
    never exceeded; ``Place.capped`` allows bursts within the limit instead of on top of it.
    ``cost`` is what the request weighs where a platform counts points.
    """

    key: str
    calls: float
    per: float
    burst: float | None = None
    cost: float = 1.0

    def __post_init__(self) -> None:
        """Raise ``ConfigurationError`` for a limit that lets nothing pass."""
        if self.calls <= 0 or self.per <= 0 or self.cost < 0 or self._at_once < 1:
            raise ConfigurationError(
                f"The limit {self.key!r} of {self.calls} calls per {self.per} s (burst "
                f"{self.burst}, cost {self.cost}) makes no sense.",
                hint="Calls, seconds and cost are positive, a burst is at least 1.",
            )

    @classmethod
    def capped(cls, key: str, calls: float, per: float, burst: float, cost: float = 1.0) -> Place:
        """Bursts, yet never more than ``calls`` in any window of ``per`` seconds.

        The price is the sustained rate: ``calls - burst + 1`` per window.
        """
        return cls(key, calls - burst + 1, per, burst, cost)

    @property
    def interval(self) -> float:
        """Seconds between two requests of cost 1."""
        return self.per / self.calls

    @property
    def increment(self) -> float:
        """Seconds this request occupies."""
        return self.cost * self.interval

    @property
    def tolerance(self) -> float:
        """How far ahead of the even rhythm a request may be, in seconds."""
        return self._at_once * self.interval

    @property
    def _at_once(self) -> float:
        return 1.0 if self.burst is None else self.burst

    def earliest(self, now: float, tat: float, paused_until: float) -> float:
        """The first moment this limit alone allows, given what is stored for its key."""
        return max(now, paused_until, max(now, tat) + self.increment - self.tolerance)

    def tat_after(self, send_at: float, tat: float) -> float:
        """The key's theoretical arrival time once a request was given ``send_at``.

        One that costs more than a burst has been saved for since before it is sent.
        """
        saving_since = send_at - max(0.0, self.increment - self.tolerance)
        return max(tat, saving_since) + self.increment


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyState:
    """Where one key stands; moments are epoch seconds."""

    key: str
    busy_until: float
    paused_until: float


class Limiter:
    """The limits of one organization."""

    def __init__(self, store: StateStore, org_id: str) -> None:
        self._store = store
        self._org_id = org_id

    def reserve(self, places: Sequence[Place], max_wait: float | None = None) -> float:
        """Take a place under every limit; returns the seconds to wait before sending.

        Raises:
            Throttled: the wait would exceed ``max_wait`` seconds; nothing was reserved.
            ConfigurationError: two of the places have the same key.
        """
        if not places:
            return 0.0
        # In one order for everybody: rows are locked one after the other.
        ordered = sorted(places, key=lambda place: place.key)
        _refuse_doubles(ordered)
        with self._store.write() as connection:
            found = self._locked(connection, [place.key for place in ordered])
            now = self._store.clock.now()  # only here: getting the lock may have taken a while
            send_at, slowest = max(
                (place.earliest(now, *found[place.key]), place.key) for place in ordered
            )
            if max_wait is not None and send_at - now > max_wait:
                raise Throttled(
                    f"The limit {slowest} is used up for {send_at - now:.0f} s.",
                    retry_at=send_at,
                    hint="It goes on by itself.",
                )
            for place in ordered:
                tat = place.tat_after(send_at, found[place.key][0])
                connection.execute(update(limiter).where(self._is(place.key)).values(tat=tat))
        return send_at - now

    def pause(self, key: str, until: float) -> None:
        """Send nothing on ``key`` before ``until``, as the platform asked; never shortens."""
        with self._store.write() as connection:
            self._locked(connection, [key])
            connection.execute(
                update(limiter)
                .where(self._is(key), limiter.c.paused_until < until)
                .values(paused_until=until)
            )

    def slow(self, key: str, utilisation: float) -> None:
        """The platform says that this share (0 to 1) of the allowance is used.

        Up to 0.75 nothing happens; from there on each such answer pauses the key for longer, up
        to a minute at 1. Because each answer does so, the rate settles where the allowance
        recovers as fast as it is used, also when other programs draw on it.
        """
        if utilisation <= _SLOW_FROM:
            return
        share = min(1.0, (utilisation - _SLOW_FROM) / (1.0 - _SLOW_FROM))
        self.pause(key, self._store.clock.now() + share * _SLOW_SECONDS)

    def state(self) -> list[KeyState]:
        """All keys of the organization, by name."""
        columns = (limiter.c.key, limiter.c.tat, limiter.c.paused_until)
        with self._store.read() as connection:
            rows = connection.execute(
                select(*columns).where(limiter.c.org_id == self._org_id).order_by(limiter.c.key)
            ).all()
        return [KeyState(key=key, busy_until=tat, paused_until=until) for key, tat, until in rows]

    def _locked(
        self, connection: Connection, keys: Sequence[str]
    ) -> dict[str, tuple[float, float]]:
        """``tat`` and ``paused_until`` per key, kept from others until the transaction ends."""
        rows = insert_into(connection, limiter).values(
            [{"org_id": self._org_id, "key": key, "tat": 0.0, "paused_until": 0.0} for key in keys]
        )
        # Writing a value over itself creates, locks and reads a row in one statement.
        locked = rows.on_conflict_do_update(
            index_elements=["org_id", "key"], set_={"tat": limiter.c.tat}
        ).returning(limiter.c.key, limiter.c.tat, limiter.c.paused_until)
        return {key: (tat, until) for key, tat, until in connection.execute(locked)}

    def _is(self, key: str) -> ColumnElement[bool]:
        return and_(limiter.c.org_id == self._org_id, limiter.c.key == key)


def _refuse_doubles(ordered: Sequence[Place]) -> None:
    for one, following in pairwise(ordered):
        if one.key == following.key:
            raise ConfigurationError(
                f"Two limits share the key {one.key!r}.",
                hint="Give each its own, such as meta/act_1/hour and meta/act_1/minute.",
            )
