"""``airflow liftos limits``: where limits and circuit breakers stand."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_liftos.model.errors import LiftosError

if TYPE_CHECKING:
    from airflow_provider_liftos.resilience.breaker import Circuit
    from airflow_provider_liftos.resilience.limiter import KeyState

_LINE = "{:52} {:>10}  {:20}  {}"


def limits(args: Any) -> None:
    """One line per limit that was ever used, and per circuit that ever failed."""
    from airflow_provider_liftos.hooks import config
    from airflow_provider_liftos.hooks.limits import breaker
    from airflow_provider_liftos.resilience.limiter import Limiter

    try:
        store = config.state_store()
        keys, circuits = Limiter(store, args.org).state(), breaker(store, args.org).state()
        now = store.clock.now()
    except LiftosError as error:
        sys.exit(str(error))
    if args.json:
        plain = {"limits": [asdict(k) for k in keys], "circuits": [asdict(c) for c in circuits]}
        print(json.dumps(plain, indent=2))
    else:
        _print(keys, circuits, now)


def _print(keys: list[KeyState], circuits: list[Circuit], now: float) -> None:
    _line("limit", "busy for", "paused until", "the platform's own rate")
    for one in keys:
        busy = f"{max(one.busy_until - now, 0.0):,.1f} s"
        rate = f"{one.told_rate:g} per second" if one.told_rate else ""
        _line(one.key, busy, _moment(one.paused_until, now), rate)
    print()
    _line("circuit", "state", "open until", "failures in a row")
    for circuit in circuits:
        _line(circuit.key, circuit.state, _moment(circuit.until, now), circuit.failures)


def _line(*parts: object) -> None:
    print(_LINE.format(*parts).rstrip())


def _moment(moment: float, now: float) -> str:
    """A moment that is still to come."""
    if moment <= now:
        return ""
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M:%S}Z"
