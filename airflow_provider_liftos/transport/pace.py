"""The pace of a session: the limits it keeps, and what answers say of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.model.platform import Credentials, Limit, Platform
from airflow_provider_liftos.model.wire import Request
from airflow_provider_liftos.resilience.limiter import Place
from airflow_provider_liftos.transport.flow import Do, Flow

LONGEST_SLEEP = 60.0
"""Seconds a worker may sleep for a limit; longer waits end the stint and become a deferral."""

_BURST_SHARE = 4


class Limits(Protocol):
    """What a session asks of a limiter."""

    def reserve(self, places: Sequence[Place], max_wait: float | None = None) -> float:
        """Seconds to wait for a place in each; raises Throttled beyond ``max_wait``."""
        ...

    def pause(self, key: str, until: float) -> None:
        """Let nobody pass before that moment."""
        ...


class Pace:
    """How fast one connection may go, shared with all that use it.

    ``warn`` is handed what a person should be told.
    """

    def __init__(
        self,
        platform: Platform,
        credentials: Credentials,
        limiter: Limits,
        now: Callable[[], float],
        warn: Callable[[str], None],
    ) -> None:
        self._platform = platform
        self._credentials = credentials
        self._limiter = limiter
        self._now = now
        self._warn = warn

    def reserve(self, request: Request) -> float:
        """Seconds to wait before sending; Throttled when that is longer than LONGEST_SLEEP."""
        return self._limiter.reserve(self.places(request), max_wait=LONGEST_SLEEP)

    def places(self, request: Request) -> Sequence[Place]:
        """The limits this request counts against."""
        places = []
        for limit in self._platform.limits:
            if limit.scope == "account" and not request.account:
                continue
            if limit.path and limit.path != request.path:
                continue
            calls = self._calls(limit)
            key = self._limit_key(limit.scope, request.account) + f"/{limit.name}"
            burst = max(1.0, calls // _BURST_SHARE)
            places.append(Place.capped(key, calls, limit.per, burst, float(request.cost)))
        return places

    def _calls(self, limit: Limit) -> float:
        asked = self._credentials.options.get(limit.option)
        try:
            calls = float(asked or limit.calls)
        except (TypeError, ValueError):
            calls = math.nan
        if not 0 < calls < math.inf:
            raise ConfigurationError(
                f"{limit.option} of connection {self._credentials.conn_id!r} is {asked!r}",
                platform=self._platform.name,
                hint="It is a number of calls above 0; leave it empty for the default.",
            )
        return calls

    def _limit_key(self, scope: str, account: str | None) -> str:
        owner = account if scope == "account" else self._credentials.conn_id
        return f"{self._platform.name}/{scope}/{owner}"

    def heed(
        self, request: Request, told: Mapping[str | None, Iterable[Mapping[str, str]]]
    ) -> Flow[None]:
        """Pause the limits that answers, good or bad, say are nearly used up.

        ``told`` are their headers by the account they are about, None for the connection.
        """
        waits: dict[tuple[str, str | None], float] = {}
        for account, answers in told.items():
            for headers in answers:
                for notice in self._platform.notices(headers):
                    self._warn(notice)
                for signal in self._platform.signals(headers, account):
                    whose = (signal.key, account or signal.account)
                    waits[whose] = max(signal.wait, waits.get(whose, 0.0))
        for (scope, account), wait in waits.items():
            if wait > 0:
                yield from self.hold(replace(request, account=account), scope, self._now() + wait)

    def hold(self, request: Request, scope: str, until: float) -> Flow[None]:
        """Pause the limits of that scope, ``app`` or ``account``."""
        prefix = self._limit_key(scope, request.account) + "/"
        for place in self.places(request):
            if place.key.startswith(prefix):
                yield Do(lambda p=place: self._limiter.pause(p.key, until))  # type: ignore[misc]
