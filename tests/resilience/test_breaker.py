from __future__ import annotations

import multiprocessing
import uuid

import pytest

from airflow_provider_liftos.model.errors import CircuitOpen
from airflow_provider_liftos.resilience.breaker import Breaker
from airflow_provider_liftos.state.clock import ManualClock
from airflow_provider_liftos.state.store import StateStore

FORK = multiprocessing.get_context("fork")
KEY = "meta/act_1"


@pytest.fixture
def clock():
    return ManualClock(1_000.0)


@pytest.fixture
def org_id():
    return uuid.uuid4().hex


@pytest.fixture
def store(store_url, clock):
    return StateStore(store_url, clock)


@pytest.fixture
def breaker(store, org_id):
    return Breaker(store, org_id)


def passes(breaker, key=KEY):
    try:
        breaker.admit(key)
    except CircuitOpen:
        return False
    return True


def fail(breaker, times):
    for _ in range(times):
        breaker.fail(KEY)


def test_it_opens_after_five_failures_in_a_row(breaker, clock):
    fail(breaker, 4)
    assert passes(breaker)
    fail(breaker, 1)
    with pytest.raises(CircuitOpen, match="failed 5 times in a row") as caught:
        breaker.admit(KEY)
    assert caught.value.until == clock.now() + 60


def test_a_success_between_starts_the_count_again(breaker):
    fail(breaker, 4)
    breaker.succeed(KEY)
    fail(breaker, 4)
    assert passes(breaker)


def test_three_probes_pass_after_the_cooldown(breaker, clock):
    fail(breaker, 5)
    clock.advance(59.9)
    assert not passes(breaker)
    clock.advance(0.1)
    assert [passes(breaker) for _ in range(5)] == [True, True, True, False, False]


def test_the_first_success_closes_it(breaker, clock):
    fail(breaker, 5)
    clock.advance(60)
    breaker.admit(KEY)
    breaker.succeed(KEY)
    assert all(passes(breaker) for _ in range(10))
    fail(breaker, 4)
    assert passes(breaker)


def test_a_failing_probe_opens_it_again(breaker, clock):
    fail(breaker, 5)
    clock.advance(60)
    breaker.admit(KEY)
    breaker.fail(KEY)
    with pytest.raises(CircuitOpen) as caught:
        breaker.admit(KEY)
    assert caught.value.until == clock.now() + 60


def test_probes_that_never_come_back_do_not_block_for_ever(breaker, clock):
    fail(breaker, 5)
    clock.advance(60)
    assert [passes(breaker) for _ in range(4)] == [True, True, True, False]
    clock.advance(60)
    assert passes(breaker)


def test_a_probe_that_is_merely_refused_is_free_again(breaker, clock):
    fail(breaker, 5)
    clock.advance(60)
    for _ in range(10):
        assert passes(breaker)
        breaker.abstain(KEY)
    assert [passes(breaker) for _ in range(4)] == [True, True, True, False]
    breaker.fail(KEY)
    breaker.abstain(KEY)  # of a probe from before
    clock.advance(60)
    assert [passes(breaker) for _ in range(4)] == [True, True, True, False]


def test_late_answers_neither_close_nor_prolong(breaker, clock):
    fail(breaker, 5)
    clock.advance(30)
    breaker.succeed(KEY)
    breaker.fail(KEY)
    assert not passes(breaker)
    clock.advance(30)
    assert passes(breaker)


def test_processes_share_it(breaker, store_url, clock, org_id):
    fail(breaker, 3)
    other = Breaker(StateStore(store_url, clock), org_id)
    fail(other, 2)
    assert not passes(breaker)
    assert not passes(other)


def test_keys_and_organizations_are_apart(breaker, store):
    fail(breaker, 5)
    assert passes(breaker, "meta/act_2")
    assert passes(Breaker(store, uuid.uuid4().hex))


def test_a_closed_circuit_costs_no_write(breaker, store, monkeypatch):
    fail(breaker, 1)
    breaker.succeed(KEY)

    def refuse():
        raise AssertionError("a write")

    monkeypatch.setattr(store, "write", refuse)
    breaker.admit(KEY)
    breaker.succeed(KEY)
    breaker.admit("never seen")
    breaker.succeed("never seen")


def probe(url, org_id, now, gate, results):
    breaker = Breaker(StateStore(url, ManualClock(now)), org_id)
    gate.wait()
    results.put(sum(passes(breaker) for _ in range(3)))


def test_four_processes_get_three_probes_between_them(breaker, store_url, clock, org_id):
    fail(breaker, 5)
    clock.advance(60)
    gate, results = FORK.Barrier(4), FORK.Queue()
    arguments = (store_url, org_id, clock.now(), gate, results)
    workers = [FORK.Process(target=probe, args=arguments) for _ in range(4)]
    for worker in workers:
        worker.start()
    passed = sum(results.get(timeout=90) for _ in workers)
    for worker in workers:
        worker.join(60)
    assert passed == 3


def test_concurrent_failures_are_all_counted(store_url, org_id, clock):
    workers = [FORK.Process(target=fail_once, args=(store_url, org_id)) for _ in range(5)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert not passes(Breaker(StateStore(store_url, clock), org_id))


def fail_once(url, org_id):
    Breaker(StateStore(url, ManualClock(1_000.0)), org_id).fail(KEY)
