from __future__ import annotations

import multiprocessing
import time
import uuid

import pytest

from airflow_provider_liftos.resilience.breaker import Breaker
from airflow_provider_liftos.resilience.limiter import Limiter, Place
from airflow_provider_liftos.state.clock import ServerClock, SystemClock
from airflow_provider_liftos.state.leases import Leases
from airflow_provider_liftos.state.store import StateStore

FORK = multiprocessing.get_context("fork")
HOUR = 3600.0
SLOW = 59.0  # what a busy machine may take; an hour is told from it


def test_a_file_tells_the_machines_time_and_a_server_its_own(tmp_path, postgres_url):
    assert isinstance(StateStore(f"sqlite:///{tmp_path}/state.db").clock, SystemClock)
    store = StateStore(postgres_url)
    assert isinstance(store.clock, ServerClock)
    assert store.clock.now() == pytest.approx(time.time(), abs=SLOW)  # the server is this machine


def test_the_server_is_asked_now_and_then_and_in_passing(postgres_url, monkeypatch):
    store = StateStore(postgres_url)
    asked = []
    real = ServerClock.set
    monkeypatch.setattr(ServerClock, "set", lambda *told: (asked.append(told), real(*told)))
    for _ in range(5):
        store.clock.now()
        with store.read():
            pass
    assert len(asked) == 1
    monkeypatch.setattr(ServerClock, "KEPT", -1.0)
    store.clock.now()
    assert len(asked) == 1
    with store.write():
        pass
    assert len(asked) == 2


def an_hour_ahead(url, org_id, results):
    """A worker on a host whose clock is wrong."""
    real = time.time
    time.time = lambda: real() + HOUR
    store = StateStore(url)
    limiter = Limiter(store, org_id)
    results.put(store.clock.now() - real())
    results.put([limiter.reserve([Place("k", 1, 1000)]).wait for _ in range(2)])
    results.put(Leases(store, org_id).acquire("lease", "wrong", 600))
    breaker = Breaker(store, org_id, failures=1)
    breaker.fail("key")
    limiter.pause("paused", store.clock.now() + 500)


def test_a_host_whose_clock_is_an_hour_off_neither_throttles_nor_robs_the_others(postgres_url):
    org_id = uuid.uuid4().hex
    store = StateStore(postgres_url)
    limiter = Limiter(store, org_id)
    assert Leases(store, org_id).acquire("lease", "right", 600) == 1
    assert limiter.reserve([Place("k", 1, 1000)]).wait == 0
    results = FORK.Queue()
    worker = FORK.Process(target=an_hour_ahead, args=(postgres_url, org_id, results))
    worker.start()
    difference, waits, lease = (results.get(timeout=90) for _ in range(3))
    worker.join(60)
    assert abs(difference) < SLOW
    assert waits == pytest.approx([1000, 2000], abs=SLOW)
    assert lease is None
    assert limiter.reserve([Place("k", 1, 1000)]).wait == pytest.approx(3000, abs=SLOW)
    assert limiter.reserve([Place("paused", 1, 1)]).wait == pytest.approx(500, abs=SLOW)
    (circuit,) = Breaker(store, org_id).state()
    assert circuit.until - store.clock.now() == pytest.approx(60, abs=SLOW)
