from __future__ import annotations

import multiprocessing
import threading
import uuid

import pytest

from airflow_provider_liftos.model.errors import Unavailable
from airflow_provider_liftos.state.clock import ManualClock
from airflow_provider_liftos.state.leases import Leases
from airflow_provider_liftos.state.store import StateStore, alone

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def clock():
    return ManualClock(1_000.0)


@pytest.fixture
def org_id():
    return uuid.uuid4().hex


@pytest.fixture
def leases(store_url, clock, org_id):
    return Leases(StateStore(store_url, clock), org_id, sleep=clock.advance)


def test_one_holder_at_a_time(leases):
    token = leases.acquire("file", "a", ttl=10)
    assert token is not None
    assert leases.acquire("file", "b", ttl=10) is None
    assert leases.acquire("file", "a", ttl=10) is None
    assert leases.holder("file") == "a"
    assert leases.release("file", token)
    assert leases.holder("file") is None
    assert leases.acquire("file", "b", ttl=10) is not None


def test_an_expired_lease_is_taken_over_with_a_higher_token(leases, clock):
    old = leases.acquire("file", "a", ttl=10)
    clock.advance(10)
    new = leases.acquire("file", "b", ttl=10)
    assert new > old
    assert not leases.release("file", old)
    assert not leases.renew("file", old, ttl=10)
    assert leases.holder("file") == "b"


def test_tokens_grow_over_a_release(leases):
    first = leases.acquire("file", "a", ttl=10)
    leases.release("file", first)
    assert leases.acquire("file", "a", ttl=10) > first


def test_renewing_holds_on_until_it_is_lost(leases, clock):
    token = leases.acquire("file", "a", ttl=10)
    clock.advance(9)
    assert leases.renew("file", token, ttl=10)
    clock.advance(9)
    assert leases.acquire("file", "b", ttl=10) is None
    clock.advance(1)
    assert not leases.renew("file", token, ttl=10)  # expired, though nobody took it


@pytest.mark.parametrize("act", ["acquire", "renew"])
def test_a_lease_begins_when_it_is_given_out_and_not_when_it_is_asked_for(
    leases, store_url, org_id, clock, act
):
    token = leases.acquire("file", "a", ttl=30) if act == "renew" else 0
    busy, go_on = threading.Event(), threading.Event()

    def be_busy():
        with StateStore(store_url, clock).write() as connection:
            alone(connection, f"{org_id}/leases/file")
            busy.set()
            go_on.wait(60)
            clock.advance(25)

    thread = threading.Thread(target=be_busy)
    thread.start()
    assert busy.wait(60)
    later = threading.Timer(0.3, go_on.set)
    later.start()
    assert (
        leases.acquire("file", "a", ttl=30) if act == "acquire" else leases.renew("file", token, 30)
    )
    thread.join()
    clock.advance(29)
    assert leases.holder("file") == "a"
    clock.advance(1)
    assert leases.holder("file") is None


def test_names_and_organizations_are_apart(leases, store_url, clock):
    leases.acquire("file", "a", ttl=10)
    assert leases.acquire("other", "b", ttl=10) is not None
    elsewhere = Leases(StateStore(store_url, clock), uuid.uuid4().hex)
    assert elsewhere.acquire("file", "b", ttl=10) is not None


def test_a_block_gives_the_lease_back_also_when_it_fails(leases):
    def fail():
        with leases.held("file", ttl=10, holder="me") as token:
            assert token == 1
            assert leases.holder("file") == "me"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert leases.holder("file") is None


def test_waiting_ends_when_the_holder_dies(leases, clock):
    leases.acquire("file", "dead", ttl=10)
    before = clock.now()
    with leases.held("file", ttl=10, wait=60):
        assert 10 <= clock.now() - before < 11


def test_waiting_in_vain_names_the_holder(leases, clock):
    leases.acquire("file", "loader on host-7", ttl=100)
    before = clock.now()
    with (
        pytest.raises(Unavailable, match="held by loader on host-7"),
        leases.held("file", ttl=10, wait=5),
    ):
        pytest.fail("two holders")
    assert clock.now() - before == pytest.approx(5)


def test_a_lost_lease_is_not_taken_from_its_new_holder(leases, clock):
    with leases.held("file", ttl=10):
        clock.advance(11)
        leases.acquire("file", "next", ttl=10)
    assert leases.holder("file") == "next"


def add_alone(url, org_id, path):
    leases = Leases(StateStore(url), org_id)
    for _ in range(5):
        with leases.held("counter", ttl=300, wait=300):
            path.write_text(str(int(path.read_text()) + 1))


def test_processes_exclude_one_another(store_url, org_id, tmp_path):
    path = tmp_path / "counter"
    path.write_text("0")
    workers = [FORK.Process(target=add_alone, args=(store_url, org_id, path)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(300)
    assert path.read_text() == "20"
