"""Limits and circuit breakers as ``[liftos]`` sets them."""

from __future__ import annotations

import pytest

from airflow_provider_liftos.hooks import limits
from airflow_provider_liftos.hooks.meta import MetaHook
from airflow_provider_liftos.model.errors import CircuitOpen, ConfigurationError
from airflow_provider_liftos.model.wire import Lane, Request
from airflow_provider_liftos.platforms import get
from airflow_provider_liftos.resilience.flights import Flights
from airflow_provider_liftos.transport.flow import run

META = get("meta")
REQUEST = Request(method="GET", path="x")


def calls(liftos, conn_id="liftos_meta_default"):
    """Calls per limit, as a session of the connection keeps them."""
    places = MetaHook(conn_id).session().pace.places(REQUEST)
    return {place.key.rpartition("/")[2]: place.calls for place in places}


@pytest.mark.parametrize(
    ("field", "option", "expected"),
    [
        (None, "", 200),
        (None, "meta.requests_per_hour=150", 150),
        (None, "meta.requests_per_hour=5000", 5000),
        (300, "", 300),
        (300, "meta.requests_per_hour=150", 150),
        (100, "meta.requests_per_hour=150", 100),
        (100, " tiktok.requests_per_hour = 5 , meta.requests_per_hour=90,", 90),
    ],
)
def test_the_stricter_of_connection_and_deployment_wins(liftos, field, option, expected):
    liftos.connect("liftos_meta_default", extra={"requests_per_hour": field})
    liftos.set("limits", option)
    assert calls(liftos)["hour"] == expected


@pytest.mark.parametrize(
    "wrong",
    ["meta.requests_per_hour=many", "meta.requests_per_hour=0", "meta.requests_per_hour=nan",
     "meta.concurrent_requests=0.5", "meta.calls=5", "requests_per_hour=5", "meta.requests_per_hour"],
)  # fmt: skip
def test_what_is_no_limit_is_named_with_those_that_are(liftos, wrong):
    liftos.set("limits", wrong)
    with pytest.raises(ConfigurationError, match="is no limit with a number above 0") as caught:
        limits.caps(META)
    assert "meta.requests_per_minute" in str(caught.value)


@pytest.mark.parametrize(
    ("field", "option", "expected"),
    [
        (None, "", []),
        (3, "", [3]),
        (None, "meta.concurrent_requests=2", [2]),
        ("3", "meta.concurrent_requests=2", [2]),
        (1, "meta.concurrent_requests=2, meta.concurrent_requests_per_account=5", [1, 5]),
        (None, "tiktok.concurrent_requests=2", []),
    ],
)
def test_of_caps_on_requests_in_flight_too(liftos, field, option, expected):
    liftos.connect("liftos_meta_default", extra={"concurrent_requests": field})
    liftos.set("limits", option)
    session = MetaHook("liftos_meta_default").session()
    seats = session.pace.seats(Request(method="GET", path="x", account="501"))
    run(seats.board(), None)
    flights = Flights(liftos.store, "default").state()
    assert sorted(state.most for state in flights) == expected
    run(seats.leave(), None)
    assert Flights(liftos.store, "default").state() == []


def test_a_breaker_opens_and_closes_as_it_is_set(liftos):
    liftos.set("breaker_failures", "2")
    liftos.set("breaker_seconds", "600")
    breaker = limits.breaker(liftos.store, "default")
    breaker.fail("meta/1")
    breaker.admit("meta/1")
    breaker.fail("meta/1")
    with pytest.raises(CircuitOpen) as caught:
        breaker.admit("meta/1")
    assert caught.value.until == pytest.approx(liftos.store.clock.now() + 600, abs=60)


@pytest.mark.parametrize("name", ["breaker_failures", "breaker_seconds", "breaker_probes"])
@pytest.mark.parametrize("wrong", ["0", "-1", "nan", "often"])
def test_a_setting_that_makes_no_sense_is_named(liftos, name, wrong):
    liftos.set(name, wrong)
    with pytest.raises(ConfigurationError, match=name):
        limits.breaker(liftos.store, "default")


def test_sessions_go_in_the_lane_of_the_newest_days_unless_told(liftos):
    hook = MetaHook("liftos_meta_default")
    assert hook.session().pace.lane is Lane.FRESH
    assert hook.session(lane=Lane.INTERACTIVE).pace.lane is Lane.INTERACTIVE
