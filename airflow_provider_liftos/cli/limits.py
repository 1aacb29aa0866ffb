"""``airflow liftos limits``: where limits, requests in flight and circuit breakers stand."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_liftos.model.errors import LiftosError

if TYPE_CHECKING:
    from airflow_provider_liftos.resilience.breaker import Circuit
    from airflow_provider_liftos.resilience.flights import FlightState
    from airflow_provider_liftos.resilience.limiter import KeyState

_LINE = "{:52} {:>10}  {:20}  {}"


def limits(args: Any) -> None:
    """One line per limit that was ever used, per cap that is in use, per circuit that failed."""
    from airflow_provider_liftos.hooks import config
    from airflow_provider_liftos.hooks.limits import breaker
    from airflow_provider_liftos.resilience.flights import Flights
    from airflow_provider_liftos.resilience.limiter import Limiter

    try:
        store = config.state_store()
        keys, circuits = Limiter(store, args.org).state(), breaker(store, args.org).state()
        flights = Flights(store, args.org).state()
        now = store.clock.now()
    except LiftosError as error:
        sys.exit(str(error))
    if args.json:
        plain = {
            "limits": [asdict(one) for one in keys],
            "flights": [asdict(one) for one in flights],
            "circuits": [asdict(one) for one in circuits],
        }
        print(json.dumps(plain, indent=2))
    else:
        _print(keys, flights, circuits, now)


def _print(
    keys: list[KeyState], flights: list[FlightState], circuits: list[Circuit], now: float
) -> None:
    _line("limit", "busy for", "paused until", "the platform's own rate")
    for one in keys:
        busy = f"{max(one.busy_until - now, 0.0):,.1f} s"
        rate = f"{one.told_rate:g} per second" if one.told_rate else ""
        _line(one.key, busy, _moment(one.paused_until, now), rate)
    if flights:
        print()
        _line("requests in flight", "now", "at most", "waiting")
    for flight in flights:
        _line(flight.key, flight.in_flight, flight.most, flight.waiting)
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
