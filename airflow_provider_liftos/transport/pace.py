"""The pace of a session: the limits it keeps, and what answers say of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from email.utils import parsedate_to_datetime
from fnmatch import fnmatchcase
from functools import partial
from types import MappingProxyType
from typing import Protocol

from airflow_provider_liftos.model.errors import ConfigurationError, Throttled
from airflow_provider_liftos.model.platform import Credentials, Limit, Platform
from airflow_provider_liftos.model.wire import Lane, Request, Signal
from airflow_provider_liftos.resilience.limiter import Place, Turn
from airflow_provider_liftos.transport.boarding import (
    AT_ONCE,
    Seat,
    Seating,
    Seats,
    most_at_once,
)
from airflow_provider_liftos.transport.flow import Do, Flow, Sleep

LONGEST_SLEEP = 60.0
"""Seconds a worker may sleep for a limit; longer waits end the stint and become a deferral."""

DEFAULT_PENALTY = 60.0
"""Seconds to leave a limit alone that is used up, where the platform does not say for how long."""

_ABOARD = 1.0
"""Seconds that a request may wait for its limits in a seat that others wait for."""

_BURST_SHARE = 4
_BRIEF = 0.05
"""Seconds too short to ask afterwards whether the platform has said something else meanwhile."""

_DAY = 86_400.0


class Limits(Protocol):
    """What a session asks of a limiter."""

    def reserve(
        self,
        places: Sequence[Place],
        max_wait: float | None = None,
        lane: Lane = Lane.FRESH,
        *,
        had_turn: bool = False,
    ) -> Turn:
        """A place under each limit, or the lane's turn; Throttled beyond ``max_wait``."""
        ...

    def paused(self, keys: Collection[str]) -> bool:
        """Whether nothing may be sent now on one of these."""
        ...

    def pause(self, key: str, until: float) -> None:
        """Let nobody pass before that moment."""
        ...

    def correct(
        self,
        place: Place,
        *,
        rate: float | None = None,
        left: float | None = None,
        cost: float | None = None,
    ) -> None:
        """Believe the platform where it knows better."""
        ...


class Pace:
    """How fast one connection may go, shared with all that use it.

    ``warn`` is handed what a person should be told. ``caps`` are calls by the names of the limits'
    options; they and the connection's own fields bind alike, the stricter wins. ``lane`` is that of
    requests without one of their own. ``seating`` counts requests in flight, where they are capped.
    """

    def __init__(
        self,
        platform: Platform,
        credentials: Credentials,
        limiter: Limits,
        now: Callable[[], float],
        warn: Callable[[str], None],
        *,
        caps: Mapping[str, float] = MappingProxyType({}),
        lane: Lane = Lane.FRESH,
        seating: Seating | None = None,
    ) -> None:
        self._platform = platform
        self._credentials = credentials
        self._limiter = limiter
        self._now = now
        self._warn = warn
        self._caps = caps
        self.lane = lane
        self._seating = seating
        self._rates: dict[str, float] = {}
        # Connections of one app share its limits; of an unknown or a mock one, each has its own.
        app = "" if credentials.is_mock else platform.app(credentials)
        self._app = app or credentials.conn_id

    # -- before a request -----------------------------------------------------------------------

    def enter(self, request: Request, seats: Seats) -> Flow[float]:
        """Wait until the request may be sent; seconds waited.

        Its seats are taken first, and left while it waits for a limit: a moment that a limit gave
        away is kept, and nobody waits for a seat of one who sleeps.

        Raises Throttled when that is longer than LONGEST_SLEEP.
        """
        places = self.places(request)
        waited, had_turn = 0.0, False
        while True:
            waited += yield from seats.board()
            try:
                turn: Turn = yield Do(
                    lambda had=had_turn: self._reserve(places, request, seats, had)  # type: ignore[misc]
                )
            except Throttled as error:
                wait = error.retry_at - self._now()
                if not seats or waited + wait > LONGEST_SLEEP:
                    raise
                turn = Turn(wait, placed=False)
            else:
                had_turn = had_turn or not turn.placed
            if not turn.placed:
                yield from seats.leave()
            if turn.wait > 0:
                waited += turn.wait
                yield Sleep(turn.wait)
            if turn.placed and (
                turn.wait <= _BRIEF or not (yield Do(lambda: self._paused(places)))
            ):
                return waited

    def _reserve(
        self, places: Sequence[Place], request: Request, seats: Seats, had_turn: bool
    ) -> Turn:
        patience = _ABOARD if seats else LONGEST_SLEEP
        return self._limiter.reserve(places, patience, self._lane(request), had_turn=had_turn)

    def _lane(self, request: Request) -> Lane:
        return self.lane if request.lane is None else request.lane

    def seats(self, request: Request) -> Seats:
        """Those it needs, where the connection or the deployment caps requests in flight."""
        seating, lane = self._seating, self._lane(request)
        make: list[Callable[[], Seat]] = []
        for option, scope in AT_ONCE.items():
            most = most_at_once(option, self._credentials, self._caps, self._platform.name)
            if seating and most and (request.account or scope == "app"):
                key = f"{self._limit_key(scope, request.account)}/{option}"
                make.append(partial(seating.seat, key, most, lane))
        return Seats(make, self._now)

    def _paused(self, places: Sequence[Place]) -> bool:
        """Whether the platform has asked everybody to wait while this request waited."""
        return self._limiter.paused([place.key for place in places])

    def places(self, request: Request) -> Sequence[Place]:
        """The limits this request counts against."""
        places = []
        for limit in self._platform.limits:
            if limit.scope == "account" and not request.account:
                continue
            if limit.path and not fnmatchcase(request.path, limit.path):
                continue
            calls = self._calls(limit)
            key = self._limit_key(limit.scope, request.account)
            # A cap of a connection's own would hold up the app's other connections, which queue.
            if limit.scope == "app" and calls != limit.calls:
                key += f"/{calls:g}"
            key += f"/{limit.name}"
            cost = float(request.cost)
            if limit.burst:
                places.append(Place(key, calls, limit.per, limit.burst, cost))
            else:
                burst = max(1.0, calls // _BURST_SHARE)
                places.append(Place.capped(key, calls, limit.per, burst, cost))
        return places

    def _calls(self, limit: Limit) -> float:
        asked = self._credentials.options.get(limit.option)
        try:
            calls = float(asked or self._caps.get(limit.option) or limit.calls)
        except (TypeError, ValueError):
            calls = math.nan
        if not 0 < calls < math.inf:
            raise ConfigurationError(
                f"{limit.option} of connection {self._credentials.conn_id!r} is {asked!r}",
                platform=self._platform.name,
                hint="It is a number of calls above 0; leave it empty for the default.",
            )
        return min(calls, self._caps.get(limit.option, calls))

    def _limit_key(self, scope: str, account: str | None) -> str:
        owner = account if scope == "account" else self._app
        return f"{self._platform.name}/{scope}/{owner}"

    # -- after an answer ------------------------------------------------------------------------

    def heed(
        self,
        request: Request,
        told: Mapping[str | None, Iterable[Mapping[str, str]]],
        body: bytes = b"",
    ) -> Flow[None]:
        """Let what answers, good or bad, say of limits correct ours.

        ``told`` are their headers by the account they are about, None for the connection.
        """
        waits: dict[tuple[str, str | None], float] = {}
        for account, answers in told.items():
            for headers in answers:
                for notice in self._platform.notices(headers):
                    self._warn(notice)
                for signal in self._signals(headers, account, body):
                    whose = (signal.key, account or signal.account)
                    waits[whose] = max(signal.wait, waits.get(whose, 0.0))
                    yield from self._correct(replace(request, account=whose[1]), signal)
        for (scope, account), wait in waits.items():
            if wait > 0:
                yield from self.hold(replace(request, account=account), scope, self._now() + wait)

    def _signals(
        self, headers: Mapping[str, str], account: str | None, body: bytes
    ) -> Sequence[Signal]:
        found = self._platform.signals(headers, account)
        return (*found, *self._platform.body_signals(body)) if body else found

    def _correct(self, request: Request, signal: Signal) -> Flow[None]:
        """Rates, remainders and costs that an answer names."""
        if signal.rate is None and signal.left is None and signal.cost is None:
            return
        for place in self._places_of(request, signal.key):
            if signal.limit and not place.key.endswith(f"/{signal.limit}"):
                continue
            rate = signal.rate if self._rates.get(place.key) != signal.rate else None
            if signal.rate is not None:
                self._rates[place.key] = signal.rate
            if rate is not None or signal.left is not None or signal.cost is not None:
                facts = {"rate": rate, "left": signal.left, "cost": signal.cost}
                yield Do(lambda p=place, f=facts: self._limiter.correct(p, **f))  # type: ignore[misc]

    def hold(self, request: Request, scope: str, until: float) -> Flow[None]:
        """Pause the limits of that scope, ``app`` or ``account``."""
        for place in self._places_of(request, scope):
            yield Do(lambda p=place: self._limiter.pause(p.key, until))  # type: ignore[misc]

    def _places_of(self, request: Request, scope: str) -> Sequence[Place]:
        prefix = self._limit_key(scope, request.account) + "/"
        return [place for place in self.places(request) if place.key.startswith(prefix)]

    def penalty(self, headers: Mapping[str, str], account: str | None) -> float:
        """Seconds to wait after a refusal, as its headers say it, or else as is usual."""
        waits = [signal.wait for signal in self._platform.signals(headers, account)]
        asked = max([wait for wait in waits if wait > 0], default=0.0)
        return asked or self.retry_after(headers) or DEFAULT_PENALTY

    def retry_after(self, headers: Mapping[str, str]) -> float:
        """Seconds of ``Retry-After``, which is a number or a date (RFC 9110); 0 for none."""
        value = headers.get("retry-after", "").strip()
        try:
            seconds = float(value)
        except ValueError:
            try:
                seconds = parsedate_to_datetime(value).timestamp() - self._now()
            except (TypeError, ValueError):
                return 0.0
        return min(max(seconds, 0.0), _DAY) if not math.isnan(seconds) else 0.0
