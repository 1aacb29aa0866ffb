"""Six worker processes under a cap on requests in flight, on both kinds of store."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from typing import Any

import httpx2  # noqa: F401  loaded before workers are forked
from sqlalchemy import event

from airflow_provider_liftos.model.platform import Limit
from airflow_provider_liftos.model.wire import Request
from airflow_provider_liftos.resilience.flights import SEAT_SECONDS, Flights
from airflow_provider_liftos.state.store import StateStore
from airflow_provider_liftos.transport.client import HttpSender
from airflow_provider_liftos.transport.flow import run
from tests.resilience import shop
from tests.resilience.attempts import shown

WORKERS = 6
MOST = 3
HELD = 0.8
BRIEF = 6.0
"""Seconds that a seat lasts which nobody renews; a busy machine renews one every two."""
WIDE = Limit(name="second", scope="app", calls=1e6, per=1, option="calls_per_second")
NARROW = Limit(name="second", scope="app", calls=4, per=1, option="calls_per_second")


def work(url, address, org_id, number, gate, results, seconds, options, limits, seconds_held):
    """Ask as fast as allowed until the time is over; what it cost the store."""
    store = StateStore(url)
    seating = Flights(store, org_id, seconds_held)
    session = shop.session(store, address, org_id, *limits, seating=seating, options=options)
    sender = HttpSender()
    with store.read() as connection:
        counted = transactions(connection.engine)
    sender.send(address, Request(method="GET", path="warm"))
    gate.wait()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        run(session.call(Request(method="GET", path=f"x/{number}"), bytes), sender)
    sender.close()
    results.put((number, session.usage.requests, dict(counted)))


def transactions(engine: Any) -> Counter[str]:
    """Of an engine, from now on: those that wrote something, and those that only read."""
    counted: Counter[str] = Counter()

    @event.listens_for(engine, "begin")
    def _count(connection: Any) -> None:
        counted[
            "writes" if connection.get_execution_options().get("liftos_write") else "reads"
        ] += 1

    return counted


class Crew:
    """The six, at work for so many seconds."""

    def __init__(
        self,
        processes: Any,
        url: str,
        here: shop.Shop,
        seconds: float,
        options: Mapping[str, Any],
        limit: Limit = WIDE,
        seat_seconds: float = SEAT_SECONDS,
    ) -> None:
        self.store = StateStore(url)
        with self.store.read():
            pass  # its tables are there
        self.org_id = uuid.uuid4().hex
        self.server = shop.Server(here)
        self.seconds = seconds
        self._gate, self._results = processes.Barrier(WORKERS + 1), processes.Queue()
        self.workers = [
            processes.Process(
                target=work,
                args=(url, self.server.address, self.org_id, n, self._gate, self._results, seconds,
                      dict(options), (limit,), seat_seconds),
            )
            for n in range(WORKERS)
        ]  # fmt: skip

    def __enter__(self):
        for worker in self.workers:
            worker.start()
        self.server.__enter__()
        self._gate.wait(120)
        self.began = time.monotonic()
        return self

    def __exit__(self, *_):
        for worker in self.workers:
            worker.join(60)
        self.server.__exit__()

    def told(self, of: int = WORKERS) -> list[tuple[int, int, dict[str, int]]]:
        return [self._results.get(timeout=self.seconds + 120) for _ in range(of)]

    def in_flight(self) -> tuple[int, int]:
        [state] = Flights(self.store, self.org_id).state() or [None]
        return (state.in_flight, state.waiting) if state else (0, 0)


def test_no_more_than_allowed_are_in_flight_and_nearly_as_many(processes, store_url) -> None:
    def attempt() -> bool:
        here = shop.Shop(seconds=HELD)
        with Crew(processes, store_url, here, 7.0, {"concurrent_requests": MOST}) as crew:
            told = crew.told()
        begin = crew.began + HELD  # connected, and in the rhythm
        used = here.used(begin, begin + 5.0) / (5.0 * MOST)
        requests = sum(count for _, count, _ in told)
        shares = Counter(arrival.worker for arrival in here.arrivals)
        per_request = {
            kind: sum(counted.get(kind, 0) for _, _, counted in told) / requests
            for kind in ("writes", "reads")
        }
        print(f"used {used:.3f}, shares {sorted(shares.values())}, per request {per_request}")
        assert here.most() == MOST
        # One for the limit, one to come, one to go; the breaker's is none while all is well.
        assert per_request["writes"] <= 3.2
        assert crew.in_flight() == (0, 0)
        # Nearly all of it on a machine that has nothing else to do.
        return used >= 0.6 and max(shares.values()) - min(shares.values()) <= 2

    assert shown(attempt)


def test_who_is_killed_frees_its_seat_and_its_place_in_the_queue(processes, store_url) -> None:
    def attempt() -> bool:
        here = shop.Shop(seconds=HELD)
        capped = {"concurrent_requests": 1}
        with Crew(processes, store_url, here, 14.0, capped, seat_seconds=BRIEF) as crew:
            time.sleep(1.5)
            killed = crew.workers[:4]
            for worker in killed:
                os.kill(worker.pid, signal.SIGKILL)
            at = time.monotonic()
            told = crew.told(WORKERS - len(killed))
        # What they had sent is still being served for a moment.
        assert here.most() <= 1 + len(killed)
        after = [count for moment, count in here.at_once if moment > at + HELD + 3.0]
        assert max(after) == 1
        assert {number for number, _, _ in told} == {4, 5}
        assert crew.in_flight() == (0, 0)
        # Those in the queue end with those aboard.
        last = [a.at for a in here.arrivals if a.worker in {"4", "5"} and a.at > at]
        used = here.used(crew.began + 10.0, crew.began + 14.0) / 4.0
        print(f"the next after {min(last) - at:.1f} s, used {used:.3f}")
        return min(last) - at <= BRIEF + 2.0 and used >= 0.5

    assert shown(attempt)


def test_with_a_limit_beside_it_both_hold_and_the_narrower_is_used(processes, store_url) -> None:
    def attempt() -> bool:
        here = shop.Shop(seconds=HELD)
        with Crew(
            processes, store_url, here, 5.0, {"concurrent_requests": MOST + 1}, NARROW
        ) as crew:
            crew.told()
        moments = sorted(arrival.at for arrival in here.arrivals)
        begin = moments[0] + 1.0
        counted = [m for m in moments if begin <= m < begin + 3.0]
        most = max(sum(m <= x < m + 1.0 for x in moments) for m in moments)
        print(f"used {len(counted) / 12:.3f}, most in a second {most}")
        assert here.most() <= MOST + 1
        # What is held up comes with what came in time.
        return most <= NARROW.calls + 1 and len(counted) >= 0.7 * 3.0 * NARROW.calls

    assert shown(attempt)
