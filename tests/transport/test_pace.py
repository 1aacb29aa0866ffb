"""What a session makes of limits: its own, and those that answers tell of."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_liftos.model.errors import Throttled, Unavailable
from airflow_provider_liftos.model.platform import Limit, Platform
from airflow_provider_liftos.model.wire import Lane, Request, Response
from airflow_provider_liftos.platforms import get, names
from airflow_provider_liftos.resilience.backoff import CONVERSIONS, EXTRACTION
from airflow_provider_liftos.resilience.breaker import Breaker
from airflow_provider_liftos.resilience.budget import RetryBudget
from airflow_provider_liftos.resilience.limiter import Limiter
from airflow_provider_liftos.state.clock import ManualClock
from airflow_provider_liftos.state.store import StateStore
from airflow_provider_liftos.transport.flow import run
from airflow_provider_liftos.transport.pace import Pace
from tests.engine.harness import credentials
from tests.resilience import shop
from tests.transport.conftest import NOW, Script, answer

FAST = Limit(name="second", scope="app", calls=1000, per=1, option="calls_per_second")
EVEN = Limit(name="even", scope="app", calls=3, per=30, option="calls")
FINE = answer({})


class World:
    """A session whose time is a number; ``meanwhile`` happens while it sleeps."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock(NOW)
        self.store = StateStore(f"sqlite:///{folder}/state.db", self.clock)
        self.limiter = Limiter(self.store, "o")
        self.slept: list[float] = []
        self.meanwhile: Callable[[], None] = lambda: None

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.meanwhile()
        self.clock.advance(seconds)

    def call(self, limit: Limit, *answers: Response | Exception, **parts: Any) -> list[float]:
        """When it was sent, in seconds from now."""
        began = self.clock.now()
        session = shop.session(self.store, "http://127.0.0.1:1", "o", limit, **parts)
        script = Script(answers, self.clock)
        request = Request(method="GET", path="reports/create", cost=1)
        try:
            run(session.call(request, bytes), script, self.sleep)
        finally:
            self.sent = [moment - began for moment in script.times]
        return self.sent


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.store.close()


def test_who_sleeps_for_a_place_hears_of_a_pause_before_it_sends(world: World) -> None:
    world.call(EVEN, FINE)
    world.meanwhile = lambda: world.limiter.pause("shop/app/shop/even", NOW + 40)
    assert world.call(EVEN, FINE) == [pytest.approx(40)]


def test_a_pause_of_more_than_a_minute_ends_the_stint(world: World) -> None:
    world.call(EVEN, FINE)
    world.meanwhile = lambda: world.limiter.pause("shop/app/shop/even", NOW + 400)
    with pytest.raises(Throttled) as caught:
        world.call(EVEN, FINE)
    assert caught.value.retry_at == NOW + 400
    assert world.sent == []


def test_a_lane_waits_for_its_turn_and_then_for_its_place(world: World) -> None:
    for _ in range(2):
        world.call(EVEN, FINE, lane=Lane.BULK)
    world.call(EVEN, FINE)
    assert world.slept == [pytest.approx(10), pytest.approx(10)]
    world.call(EVEN, FINE, lane=Lane.BULK)
    assert world.call(EVEN, FINE, lane=Lane.BULK) == [pytest.approx(40, abs=0.1)]


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("words", ["20", "Sat, 21 Nov 2026 11:00:20 GMT"])
def test_retry_after_is_obeyed_as_number_and_as_date(world: World, status: int, words: str) -> None:
    world.clock.advance(1_795_258_800.0 - world.clock.now())  # 2026-11-21 11:00:00 UTC
    sent = world.call(FAST, answer({}, status, retry_after=words), FINE)
    assert sent == [0, pytest.approx(20, abs=0.1)]


@pytest.mark.parametrize("words", ["soon", "", "nan", "-5", "Sat, 21 Nov 2020 10:00:20 GMT"])
def test_a_retry_after_without_sense_is_the_usual_pause(world: World, words: str) -> None:
    sent = world.call(FAST, answer({}, 429, retry_after=words), FINE)
    assert sent == [0, pytest.approx(60, abs=0.1)]


def test_rates_of_amazons_headers_slow_down_and_speed_up(world: World) -> None:
    told = [FINE, answer({}, **{"x-amzn-ratelimit-limit": "0.05"}), FINE, FINE,
            answer({}, **{"x-amzn-ratelimit-limit": "5"}), FINE, FINE]  # fmt: skip
    waits = [world.call(EVEN, one)[0] for one in told]
    # The place after the one that hears of it is still by the rate before.
    assert waits == pytest.approx([0, 10, 10, 20, 20, 20, 10], abs=0.1)


def test_an_allowance_that_others_have_used_up_is_waited_for(world: World) -> None:
    world.call(FAST, answer({}, **{"ratelimit-remaining": "0", "ratelimit-reset": "15"}))
    assert world.call(FAST, FINE) == [pytest.approx(15, abs=0.1)]


def test_points_of_shopifys_bodies_are_believed(world: World) -> None:
    points = Limit(name="points", scope="app", calls=100, per=1, option="points_per_second",
                   burst=25)  # fmt: skip
    bucket = {"maximumAvailable": 25.0, "currentlyAvailable": 0.0, "restoreRate": 2.0}
    told = {"extensions": {"cost": {"actualQueryCost": 1, "throttleStatus": bucket}}}
    world.call(points, answer(told))
    assert world.call(points, FINE) == [pytest.approx(0.5, abs=0.01)]
    assert world.call(points, FINE) == [pytest.approx(0.5, abs=0.01)]


def test_limits_may_be_of_a_family_of_endpoints(tmp_path: Path, world: World) -> None:
    families = [
        Limit(name=name, scope="app", calls=5, per=1, option="x", path=path)
        for name, path in (("all", ""), ("reports", "reports/*"), ("ends", "*/create"),
                           ("one", "reports/create"), ("other", "ads/*"))
    ]  # fmt: skip
    session = shop.session(world.store, "http://127.0.0.1:1", "o", *families)
    places = session.pace.places(Request(method="GET", path="reports/create"))
    names = [place.key.rpartition("/")[2] for place in places]
    assert names == ["all", "reports", "ends", "one"]


def test_a_lockout_burns_no_retry(world: World) -> None:
    with pytest.raises(Throttled) as caught:
        world.call(FAST, answer({}, 429, retry_after="600"))
    assert caught.value.retry_at == NOW + 600
    assert (len(world.sent), world.slept) == (1, [])


def test_a_platform_that_is_unwell_is_not_asked_many_times_as_often(world: World) -> None:
    session = shop.session(world.store, "http://127.0.0.1:1", "o", FAST)
    session._breaker = Breaker(world.store, "o", failures=10**6)  # it would end this earlier
    script = Script([Unavailable("no answer")], world.clock)
    for _ in range(100):
        with pytest.raises(Unavailable):
            run(session.call(Request(method="GET", path="x"), bytes), script, world.sleep)
    assert len(script.sent) <= (100 + 10) / 0.8 + 1
    assert session.usage.resent == len(script.sent) - 100


def test_connections_of_one_app_share_its_limits_and_others_have_their_own(world: World) -> None:
    def keys(
        platform: Platform, conn_id: str, *, is_mock: bool = False, **options: Any
    ) -> set[str]:
        given = replace(
            credentials("http://127.0.0.1:1", platform, {}), conn_id=conn_id, is_mock=is_mock
        )
        given = replace(given, options={**given.options, **options})
        pace = Pace(platform, given, world.limiter, world.clock.now, print)
        places = pace.places(Request(method="GET", path="x"))
        return {place.key for place in places}

    for name in names():
        platform = get(name)
        field = "client_id" if name == "google_ads" else "app_id"
        assert field in {one.name for one in platform.conn_fields}
        old, new = (keys(platform, conn, **{field: "77"}) for conn in ("old", "new"))
        assert old == new != set()
        assert not old & keys(platform, "old", **{field: "78"})
        assert not old & keys(platform, "old", is_mock=True, **{field: "77"})
        assert not keys(platform, "old") & keys(platform, "new")
        caps = {limit.option: "7" for limit in platform.limits if limit.scope == "app"}
        capped = keys(platform, "capped", **{field: "77"}, **caps)
        assert not old & capped, "who waits for a narrow cap would hold up the others"
        assert capped == keys(platform, "as narrow", **{field: "77"}, **caps)


def test_an_accounts_retries_do_not_use_up_anothers() -> None:
    budget = RetryBudget(share=0.2, least=2)
    budget.asked("a")
    assert [budget.spend("a") for _ in range(4)] == [True, True, True, False]
    assert budget.spend("b")
    for _ in range(5):
        budget.asked("a")
    assert [budget.spend("a") for _ in range(2)] == [True, False]


def test_the_documented_attempts_are_the_defaults() -> None:
    assert (EXTRACTION.attempts, EXTRACTION.factor) == (5, 2)

    class Highest:
        def uniform(self, _low: float, high: float) -> float:
            return high

    highest: Any = Highest()
    retries = [n for n in range(1, 10) if not CONVERSIONS.exhausted(n)]
    assert [CONVERSIONS.delay(n, highest) for n in retries] == [1, 2, 4]
    assert json.dumps(retries) == "[1, 2, 3]"
