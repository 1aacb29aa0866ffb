"""How a request gets its seats, where a connection caps how many are in flight, and leaves them."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol, TypeVar

from airflow_provider_liftos.model.errors import ConfigurationError, Throttled
from airflow_provider_liftos.model.platform import Credentials
from airflow_provider_liftos.model.wire import Lane
from airflow_provider_liftos.transport.flow import Do, Flow, Sleep

T = TypeVar("T")

AT_ONCE: Mapping[str, str] = MappingProxyType(
    {
        "concurrent_requests_per_account": "account",
        "concurrent_requests": "app",
    }
)
"""Caps on requests in flight, and whose they are. The narrow one is waited for first, so that who
waits for it holds no seat of the other."""

LONGEST_QUEUE = 60.0
"""Seconds a request queues before its worker does something else meanwhile."""

_MEANWHILE = 90.0
_SHORTEST_PAUSE, _LONGEST_PAUSE, _PER_PLACE = 0.01, 0.5, 0.03
_LONGEST_SLEEP = 5.0
_LOOKS = 6
_JITTER = random.Random()  # noqa: S311  spreads looks, guards nothing


class Seat(Protocol):
    """One request's seat under one cap."""

    @property
    def key(self) -> str:
        """Of the cap."""
        ...

    def come(self) -> int:
        """Take it, or else queue; how many have to leave before it is this one's turn."""
        ...

    def look(self) -> int:
        """How many have to leave by now."""
        ...

    def leave(self) -> None:
        """Free it."""
        ...

    def give_up(self) -> None:
        """Have it left soon, without blocking."""
        ...


class Seating(Protocol):
    """What a session asks of those who count requests in flight."""

    def seat(self, key: str, most: int, lane: Lane) -> Seat:
        """One of ``most`` seats of ``key``; nothing is taken before ``come``."""
        ...


class Seats:
    """Those of one request: none, where nothing is capped. Each of ``make`` makes one of them."""

    def __init__(self, make: Sequence[Callable[[], Seat]], now: Callable[[], float]) -> None:
        self._make = make
        self._now = now
        self._mine: list[Seat] = []

    def __bool__(self) -> bool:
        return bool(self._make)

    def board(self) -> Flow[float]:
        """Wait until all of them are there; seconds waited. Raises Throttled after a minute."""
        waited = 0.0
        if not self._mine:
            for make in self._make:
                seat = make()
                self._mine.append(seat)
                waited += yield from self._queue(seat)
        return waited

    def _queue(self, seat: Seat) -> Flow[float]:
        first = ahead = yield Do(seat.come)
        waited = 0.0
        while ahead:
            if waited >= LONGEST_QUEUE:
                raise Throttled(
                    f"No request of {seat.key} has ended for so long that this one could be sent.",
                    retry_at=self._now() + _MEANWHILE,
                    hint="It goes on by itself.",
                )
            pause = _JITTER.uniform(0.75, 1.25) * until_next_look(ahead, first - ahead, waited)
            yield Sleep(pause)
            waited += pause
            ahead = yield Do(seat.look)
        return waited

    def leave(self) -> Flow[None]:
        """Free those that are held."""
        while self._mine:
            yield Do(self._mine[-1].leave)
            self._mine.pop()

    def around(self, work: Flow[T]) -> Flow[T]:
        """The same, and no seat is held afterwards, whatever becomes of it."""
        try:
            try:
                return (yield from work)
            except GeneratorExit:
                raise
            except BaseException:
                yield from self.leave()
                raise
        except BaseException:
            # Broken off, as a cancelled task is, at work or while it left: nobody carries out
            # effects any more. Or leaving failed: the keeper goes on trying.
            for seat in self._mine:
                seat.give_up()
            self._mine.clear()
            raise


def until_next_look(ahead: int, moved: int, waited: float) -> float:
    """Seconds until one that waits looks again, with ``ahead`` to leave and ``moved`` that did.

    Until it should be next, by how long others took; then a few times while one more leaves. So
    most who wait do not look at all, however many they are.
    """
    each = waited / moved if moved > 0 else waited / ahead
    behind = (ahead - 1) * max(each, _PER_PLACE)
    return min(behind, _LONGEST_SLEEP) + min(max(each / _LOOKS, _SHORTEST_PAUSE), _LONGEST_PAUSE)


def most_at_once(
    option: str, credentials: Credentials, caps: Mapping[str, float], platform: str
) -> int | None:
    """The stricter of what connection and deployment allow; None where neither caps.

    ConfigurationError when the connection's is no number from 1.
    """
    asked, cap = credentials.options.get(option), caps.get(option)
    if asked in (None, ""):
        return None if cap is None else int(cap)
    text = str(asked).strip()
    if not text.isdecimal() or int(text) < 1:
        raise ConfigurationError(
            f"{option} of connection {credentials.conn_id!r} is {asked!r}",
            platform=platform,
            hint="It is a whole number of requests from 1; leave it empty for no cap.",
        )
    return int(text) if cap is None else min(int(text), int(cap))
