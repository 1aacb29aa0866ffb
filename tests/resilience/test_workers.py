"""Six worker processes against a platform that counts, on both kinds of store."""

from __future__ import annotations

import math
import time
import uuid
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import httpx2  # noqa: F401  loaded before workers are forked
import pytest

from airflow_provider_liftos.model.errors import Throttled
from airflow_provider_liftos.model.platform import Limit
from airflow_provider_liftos.model.wire import Lane, Request
from airflow_provider_liftos.resilience.limiter import Limiter
from airflow_provider_liftos.state.clock import ManualClock
from airflow_provider_liftos.state.store import StateStore
from airflow_provider_liftos.transport.client import HttpSender
from airflow_provider_liftos.transport.flow import run
from tests.resilience import shop
from tests.resilience.attempts import shown

WORKERS = 6
LIMIT = Limit(name="second", scope="app", calls=30, per=1, option="calls_per_second")
NARROW = replace(LIMIT, calls=15)
SLOW = Limit(name="window", scope="app", calls=60, per=2, option="calls_per_window")
COUNTED = 90
"""Requests that a limit allows in the time in which they are counted."""


def work(url: str, address: str, org_id: str, number: int, gate, results, seconds, lane, limits):
    """Ask as fast as allowed until the time is over; what it cost, and what stopped it."""
    store = StateStore(url)
    session = shop.session(store, address, org_id, *limits, lane=lane)
    sender = HttpSender()
    with store.read():
        pass  # connected before the race, to the platform too
    warm = Request(method="GET", path="warm")
    sender.send(address, warm)
    gate.wait()
    until, refused = time.monotonic() + seconds, []
    while time.monotonic() < until:
        try:
            request = Request(method="GET", path=f"x/{number}")
            run(session.call(request, bytes), sender)
        except Throttled as error:
            refused.append(error.retry_at - store.clock.now())
            break
    sender.close()
    results.put((session.usage.requests, session.usage.resent, refused))


def at_work(
    processes: Any,
    url: str,
    org_id: str,
    here: shop.Shop,
    seconds: float,
    lanes: Sequence[Lane],
    *limits: Limit,
) -> list:
    """What each of the workers, one per lane, has to tell afterwards."""
    gate, results = processes.Barrier(len(lanes)), processes.Queue()
    with StateStore(url).read():
        pass  # its tables are there
    server = shop.Server(here)
    workers = [
        processes.Process(
            target=work,
            args=(url, server.address, org_id, n, gate, results, seconds, lane, limits),
        )
        for n, lane in enumerate(lanes)
    ]
    for worker in workers:
        worker.start()
    with server:
        found = [results.get(timeout=seconds + 120) for _ in workers]
        for worker in workers:
            worker.join(60)
    return found


def most_in_a_window(moments: Sequence[float], seconds: float) -> int:
    ordered = sorted(moments)
    ends = (bisect_left(ordered, moment + seconds) for moment in ordered)
    return max(end - number for number, end in enumerate(ends))


def test_a_limit_is_used_to_the_full_never_exceeded_and_shared_fairly(
    processes, store_url, report
) -> None:
    def attempt(calls: int) -> bool:
        here, org_id = shop.Shop(), uuid.uuid4().hex
        limits = (replace(LIMIT, calls=calls), replace(SLOW, calls=2 * calls))
        span = COUNTED / calls
        lanes = [Lane.FRESH] * WORKERS
        done = at_work(processes, store_url, org_id, here, span + 1.2, lanes, *limits)
        assert [refused for _, _, refused in done] == [[]] * WORKERS
        moments = sorted(arrival.at for arrival in here.arrivals)
        # Whole windows, after the first burst.
        begin = moments[0] + 1.0
        counted = [m for m in moments if begin <= m < begin + span]
        shares = Counter(arrival.worker for arrival in here.arrivals)
        even = len(here.arrivals) / WORKERS
        report(
            calls=calls,
            used=len(counted) / COUNTED,
            most=most_in_a_window(moments, 1.0),
            least_share=min(shares.values()) / even,
            largest_share=max(shares.values()) / even,
        )
        # What each has under way may come late, with what came in time.
        more = calls // 4 + WORKERS
        assert all(most_in_a_window(moments, one.per) <= one.calls + more for one in limits)
        assert len(shares) == WORKERS
        fairly = all(0.75 <= share / even <= 1.25 for share in shares.values())
        return len(counted) >= 0.95 * COUNTED and fairly

    # A busy machine may not come to thirty a second.
    assert any(attempt(calls) for calls in (30, 30, 15, 15, 8, 8, 4, 4))


def test_what_the_platform_says_is_heeded_by_all_after_one_request(
    processes, store_url, report
) -> None:
    def attempt() -> bool:
        told_at: list[float] = []

        def told(count: int, at: float) -> tuple[int, dict[str, str]]:
            if count != 20:
                return 200, {}
            told_at.append(at)
            return 200, {"Pause": "1.0"}

        here, org_id = shop.Shop(told=told), uuid.uuid4().hex
        at_work(processes, store_url, org_id, here, 3.0, [Lane.FRESH] * WORKERS, LIMIT)
        moment = told_at[0] if told_at else math.inf
        late = Counter(a.worker for a in here.arrivals if moment < a.at < moment + 0.95)
        after = [a.at for a in here.arrivals if a.at >= moment + 0.95]
        if not after:  # they did not come to it in time
            return False
        report(late=sum(late.values()), resumed=min(after) - moment)
        # Who waited meanwhile is no crowd.
        crowd = LIMIT.calls + LIMIT.calls // 4 + WORKERS
        assert most_in_a_window(after, LIMIT.per) <= crowd
        # What was under way already, and no more, where the word gets round at once.
        return min(after) - moment <= 1.0 + 0.3 and all(count <= 1 for count in late.values())

    assert shown(attempt)


def test_a_lockout_costs_one_refusal_each_at_most_and_no_retry(
    processes, store_url, report
) -> None:
    locked: list[float] = []

    def told(count: int, at: float) -> tuple[int, dict[str, str]]:
        if count < 40:
            return 200, {}
        locked.append(at)
        return 429, {"Retry-After": "600"}

    here, org_id = shop.Shop(told=told), uuid.uuid4().hex
    begun = time.monotonic()
    # Each ends when it is refused, or told that the others were.
    done = at_work(processes, store_url, org_id, here, 60.0, [Lane.FRESH] * WORKERS, LIMIT)
    lasted = time.monotonic() - begun
    report(refused=len(locked))
    refused = Counter(a.worker for a in here.arrivals if a.status == 429)
    assert all(count == 1 for count in refused.values())
    assert sum(resent for _, resent, _ in done) == 0
    waits = [wait for _, _, stopped in done for wait in stopped]
    assert len(waits) == WORKERS  # everybody knows until when
    # A second for hosts' clocks, which are read in passing.
    assert all(600 - lasted - 1 <= wait <= 600 + 1 for wait in waits)


def test_the_newest_days_go_first_and_history_does_not_starve(processes, store_url, report) -> None:
    def attempt() -> bool:
        here, org_id = shop.Shop(), uuid.uuid4().hex
        lanes = [Lane.FRESH, Lane.BULK] * (WORKERS // 2)
        at_work(processes, store_url, org_id, here, 3.0, lanes, NARROW)
        begin = here.arrivals[0].at + 1.0  # after the first burst, which is whose it is
        counted = [a for a in here.arrivals if a.at >= begin]
        fresh = sum(lanes[int(a.worker)] is Lane.FRESH for a in counted) / len(counted)
        report(fresh=fresh, used=len(counted) / (NARROW.calls * (here.arrivals[-1].at - begin)))
        return 0.7 <= fresh <= 0.9

    assert shown(attempt)


@pytest.fixture
def report(request, capsys):
    """Numbers of a test, to be read where it is run with -s."""

    def told(**numbers: float) -> None:
        text = ", ".join(f"{name} {number:.3g}" for name, number in numbers.items())
        print(f"{request.node.name}: {text}")

    return told


def test_a_limit_that_was_told_holds_for_workers_that_were_not(store_url) -> None:
    store, org_id = StateStore(store_url, ManualClock(1_000.0)), uuid.uuid4().hex
    told = shop.session(store, "http://127.0.0.1:1", org_id, LIMIT)
    request = Request(method="GET", path="x")
    run(told.pace.heed(request, {None: [{"x-amzn-ratelimit-limit": "2"}]}), HttpSender())
    other = shop.session(store, "http://127.0.0.1:1", org_id, LIMIT)
    [place] = other.pace.places(request)
    waits = [Limiter(store, org_id).reserve([place]).wait for _ in range(4)]
    assert waits[:2] == [0, 0]
    assert waits[2:] == pytest.approx([1, 1], abs=0.2)  # of a clock that stands still
