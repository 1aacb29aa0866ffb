"""Six worker processes against a platform that counts, on both kinds of store."""

from __future__ import annotations

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
from airflow_provider_liftos.state.store import StateStore
from airflow_provider_liftos.transport.client import HttpSender
from airflow_provider_liftos.transport.flow import run
from tests.resilience import shop
from tests.resilience.attempts import shown

WORKERS = 6
LIMIT = Limit(name="second", scope="app", calls=30, per=1, option="calls_per_second")
NARROW = replace(LIMIT, calls=15)
SLOW = Limit(name="window", scope="app", calls=60, per=2, option="calls_per_window")


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
    def attempt() -> bool:
        here, org_id = shop.Shop(), uuid.uuid4().hex
        done = at_work(processes, store_url, org_id, here, 4.2, [Lane.FRESH] * WORKERS, LIMIT, SLOW)
        assert [refused for _, _, refused in done] == [[]] * WORKERS
        moments = sorted(arrival.at for arrival in here.arrivals)
        # Whole windows, after the first burst.
        begin = moments[0] + 1.0
        counted = [m for m in moments if begin <= m < begin + 3.0]
        shares = Counter(arrival.worker for arrival in here.arrivals)
        even = len(here.arrivals) / WORKERS
        report(
            used=len(counted) / (3 * LIMIT.calls),
            most=most_in_a_window(moments, 1.0),
            least_share=min(shares.values()) / even,
            largest_share=max(shares.values()) / even,
        )
        burst = LIMIT.calls // 4
        assert most_in_a_window(moments, LIMIT.per) <= LIMIT.calls + burst
        assert most_in_a_window(moments, SLOW.per) <= SLOW.calls + burst
        assert len(shares) == WORKERS
        fairly = all(0.75 <= share / even <= 1.25 for share in shares.values())
        return len(counted) >= 0.95 * 3 * LIMIT.calls and fairly

    assert shown(attempt)


def test_what_the_platform_says_is_heeded_by_all_after_one_request(
    processes, store_url, report
) -> None:
    def attempt() -> bool:
        told_at: list[float] = []

        def told(count: int, at: float) -> tuple[int, dict[str, str]]:
            if count != 40:
                return 200, {}
            told_at.append(at)
            return 200, {"Pause": "1.0"}

        here, org_id = shop.Shop(told=told), uuid.uuid4().hex
        at_work(processes, store_url, org_id, here, 3.0, [Lane.FRESH] * WORKERS, LIMIT)
        [moment] = told_at
        late = Counter(a.worker for a in here.arrivals if moment < a.at < moment + 0.95)
        after = [a.at for a in here.arrivals if a.at >= moment + 0.95]
        report(late=sum(late.values()), resumed=min(after) - moment)
        assert all(count <= 1 for count in late.values())  # what was under way already
        # Who waited meanwhile is no crowd.
        assert most_in_a_window(after, LIMIT.per) <= LIMIT.calls + LIMIT.calls // 4
        return min(after) - moment <= 1.0 + 0.3

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
    done = at_work(processes, store_url, org_id, here, 3.0, [Lane.FRESH] * WORKERS, LIMIT)
    lasted = time.monotonic() - begun  # three seconds, or what a busy machine makes of them
    report(refused=len(locked))
    refused = Counter(a.worker for a in here.arrivals if a.status == 429)
    assert all(count == 1 for count in refused.values())
    assert sum(resent for _, resent, _ in done) == 0
    waits = [wait for _, _, stopped in done for wait in stopped]
    assert len(waits) == WORKERS  # everybody knows until when
    assert all(600 - lasted <= wait <= 600 for wait in waits)


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
    store, org_id = StateStore(store_url), uuid.uuid4().hex
    told = shop.session(store, "http://127.0.0.1:1", org_id, LIMIT)
    request = Request(method="GET", path="x")
    run(told.pace.heed(request, {None: [{"x-amzn-ratelimit-limit": "2"}]}), HttpSender())
    other = shop.session(store, "http://127.0.0.1:1", org_id, LIMIT)
    [place] = other.pace.places(request)
    waits = [Limiter(store, org_id).reserve([place]).wait for _ in range(4)]
    assert waits[:2] == [0, 0]
    assert waits[2:] == pytest.approx([1, 1], abs=0.2)
