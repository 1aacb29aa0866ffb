"""Limits and circuit breakers of this deployment, as ``[liftos]`` sets them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.model.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow_provider_liftos.model.platform import Platform
    from airflow_provider_liftos.resilience.breaker import Breaker
    from airflow_provider_liftos.state.store import StateStore


def caps(platform: Platform) -> Mapping[str, float]:
    """Calls of ``[liftos] limits`` by the limits' options, those of this platform.

    Among them those that cap how many are in flight, which are from 1.

    ConfigurationError when one is none, of whichever platform.
    """
    from airflow_provider_liftos.platforms import discover
    from airflow_provider_liftos.transport.boarding import AT_ONCE

    given = config.text("limits")
    known = {
        f"{one.name}.{option}"
        for one in discover()
        for option in (*(limit.option for limit in one.limits), *AT_ONCE)
    }
    found: dict[str, float] = {}
    for part in filter(str.strip, given.split(",")):
        name, _, value = (text.strip() for text in part.partition("="))
        calls = _number(value)
        least = 1 if name.partition(".")[2] in AT_ONCE else math.ulp(0.0)
        if name not in known or not least <= calls < math.inf:
            raise ConfigurationError(
                f"[liftos] limits is {given!r}: {part.strip()!r} is no limit with a number above 0",
                hint=f"Write it as {min(known)}=1000; limits are {', '.join(sorted(known))}.",
            )
        found[name] = calls
    own = f"{platform.name}."
    return {name.removeprefix(own): n for name, n in found.items() if name.startswith(own)}


def breaker(store: StateStore, org_id: str) -> Breaker:
    """The circuits of an organization; ConfigurationError when a setting makes no sense."""
    from airflow_provider_liftos.resilience.breaker import Breaker

    failures, probes = _above_zero("breaker_failures"), _above_zero("breaker_probes")
    cooldown = _above_zero("breaker_seconds")
    return Breaker(
        store, org_id, failures=math.ceil(failures), cooldown=cooldown, probes=math.ceil(probes)
    )


def _above_zero(name: str) -> float:
    value = config.number(name)
    if not 0 < value < math.inf:
        raise ConfigurationError(f"[liftos] {name} is {value:g}; it is a number above 0")
    return value


def _number(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        return math.nan
