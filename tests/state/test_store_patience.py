"""How long one waits for others on Postgres, and what becomes of one that stands still."""

from __future__ import annotations

import multiprocessing
import time

import pytest
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert as insert_into_postgres

from airflow_provider_liftos.model.errors import Unavailable
from airflow_provider_liftos.state import engines, tables
from airflow_provider_liftos.state.store import StateStore
from tests.state.test_store import count

FORK = multiprocessing.get_context("fork")


def hold(url, holding):
    """Stand still in the middle of a transaction, as a process of a frozen host does.

    Before, it is at work amid one for as long as somebody else keeps what it waits for.
    """
    with StateStore(url).write() as connection:
        connection.execute(LOCKED)
        connection.execute(text("SET LOCAL lock_timeout = 0"))
        holding.set()
        connection.execute(GATE)
        time.sleep(600)


GATE = text("SELECT pg_advisory_xact_lock(20261122)")


LOCKED = (
    insert_into_postgres(tables.leases)
    .values(org_id="held", name="n", holder="h", expires_at=1.0)
    .on_conflict_do_update(index_elements=["org_id", "name"], set_={"holder": "h"})
)


def test_nobody_waits_for_ever_for_one_that_stands_still(postgres_url, monkeypatch):
    own = StateStore(postgres_url)  # whose transaction may take as long as it does
    count(own)
    monkeypatch.setattr(engines, "BUSY_SECONDS", 0.3)
    monkeypatch.setattr(engines, "IDLE_SECONDS", 1.0)
    store = StateStore(postgres_url)
    count(store)
    holding = FORK.Event()
    holder = FORK.Process(target=hold, args=(postgres_url, holding))
    try:
        with own.write() as gate:
            gate.execute(GATE)
            holder.start()
            assert holding.wait(60)
            with pytest.raises(Unavailable, match="lock timeout"), store.write() as connection:
                connection.execute(LOCKED)
        deadline = time.monotonic() + 90  # a server's clock, not ours
        while not has_the_lock(store):
            assert time.monotonic() < deadline
        assert holder.is_alive()
    finally:
        holder.kill()
        holder.join()


def has_the_lock(store):
    try:
        with store.write() as connection:
            connection.execute(LOCKED)
    except Unavailable:
        return False
    return True


@pytest.mark.parametrize("amid", [True, False])
def test_who_stood_still_is_told_that_it_can_be_done_again(postgres_url, amid):
    store = StateStore(postgres_url)
    count(store)
    with pytest.raises(Unavailable, match="rolled back"):
        stand_still(store, amid=amid)
    assert count(store) >= 0


def stand_still(store, *, amid):
    """Amid a transaction, until the server has ended it."""
    alive = text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid")
    with store.write() as connection:
        pid = {"pid": connection.scalar(text("SELECT pg_backend_pid()"))}
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 50"))
        deadline, found = time.monotonic() + 90, 1
        while found and time.monotonic() < deadline:
            with store.read() as other:
                found = other.scalar(alive, pid)
        if amid:
            connection.execute(text("SELECT 1"))


BOUNDS = """
SELECT current_setting('lock_timeout'), current_setting('idle_in_transaction_session_timeout')
"""


@pytest.mark.parametrize("pooled", [False, True])
def test_bounds_are_of_transactions_where_a_pooler_gives_sessions_to_others(
    postgres_url, monkeypatch, pooled
):
    if pooled:  # which tells a number of its own instead of the server's
        monkeypatch.setattr("psycopg.ConnectionInfo.backend_pid", property(lambda _info: 0))
    store = StateStore(postgres_url)
    with store.read() as connection:
        assert tuple(connection.execute(text(BOUNDS)).one()) == ("30s", "1min")
        raw = connection.connection.driver_connection
        connection.rollback()
        left = ("0", "0") if pooled else ("30s", "1min")
        assert raw.execute(BOUNDS).fetchone() == left
        raw.rollback()


def test_a_url_may_ask_for_other_patience(monkeypatch):
    asked = {}
    monkeypatch.setattr(engines, "create_engine", lambda _url, **options: asked.update(options))
    monkeypatch.setattr(engines.event, "listens_for", lambda *_, **__: lambda function: function)
    engines.build(engines.parse("postgresql://liftos@db.example/state?connect_timeout=3"))
    assert "connect_timeout" not in asked["connect_args"]
    assert asked["connect_args"]["tcp_user_timeout"] == 30_000


def test_a_process_that_uses_all_its_connections_is_told_so(postgres_url, monkeypatch):
    real = engines.create_engine
    few = {"pool_size": 1, "max_overflow": 0, "pool_timeout": 0.05}
    monkeypatch.setattr(engines, "create_engine", lambda url, **o: real(url, **{**o, **few}))
    store = StateStore(postgres_url)
    with store.read(), pytest.raises(Unavailable, match="in use"), store.read():
        pytest.fail("two of one")


def test_nothing_is_prepared_on_a_session_that_a_pooler_gives_to_others(postgres_url):
    store = StateStore(postgres_url)
    for _ in range(10):
        count(store)
    with store.read() as connection:
        prepared = text("SELECT count(*) FROM pg_prepared_statements")
        assert connection.scalar(prepared) == 0
