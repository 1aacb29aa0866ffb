"""Refresh tokens good for one exchange, in processes that begin together or are killed amid it."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from airflow_provider_liftos.model.errors import NotAuthorized
from airflow_provider_liftos.state import tokens
from airflow_provider_liftos.state.keyring import KeyRing, new_key
from airflow_provider_liftos.state.store import StateStore
from airflow_provider_liftos.transport.client import HttpSender
from airflow_provider_liftos.transport.grants import MARGIN
from tests.transport import token_server
from tests.transport.token_server import TokenServer

FORK = multiprocessing.get_context("fork")
KEY = new_key()
KILLS = 60


@pytest.fixture
def serve() -> Iterator[Callable[..., TokenServer]]:
    made: list[TokenServer] = []

    def start(**parts) -> TokenServer:
        made.append(TokenServer(**parts))
        return made[-1]

    yield start
    for server in made:
        server.close()


@pytest.mark.parametrize("processes", [2, 6])
def test_processes_that_begin_together_use_the_endpoint_once(
    new_store_url, serve, processes
) -> None:
    server = serve(strict=True, delay=0.3)
    refresh = server.consent("first")
    gate, told = FORK.Barrier(processes), FORK.Queue()
    given = (server.url, new_store_url, KEY, refresh, gate, told)
    workers = [FORK.Process(target=token_server.once, args=given) for _ in range(processes)]
    for worker in workers:
        worker.start()
    got = [told.get(timeout=90) for _ in workers]
    for worker in workers:
        worker.join(60)
    assert server.exchanges == ["first"]
    assert got == ["access-token-1"] * processes


@pytest.fixture(params=["sqlite", "postgres"])
def new_store_url(request, tmp_path) -> str:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/state.db"
    else:
        url = request.getfixturevalue("new_postgres_database")()
    with StateStore(url).read():  # made before it is needed in a hurry
        return url


class Victims:
    """Workers that refresh at every call, killed at random; counts what the platform saw."""

    def __init__(self, server: TokenServer, url: str, seed: int) -> None:
        self.server, self.url = server, url
        self.store = StateStore(url)
        self.chance = random.Random(seed)
        self.unkept: list[str] = []
        self.amid = 0
        server.on_use = self._check
        self.refresh = server.consent("consented-0")

    def _check(self, access: str) -> None:
        """The refresh token that came with an access token in use is in the store by now."""
        with self.store.read() as connection:
            rows = connection.execute(tokens.tokens.select()).all()
        ring = KeyRing.read(KEY)
        found = [ring.open(r.sealed, tokens.context(r._asdict())) for r in rows if r.sealed]
        if not any(self.server.refresh_of(access).encode() in plain for plain in found):
            self.unkept.append(access)

    def kill_one(self) -> bool:
        """Whether it lived until it was killed; otherwise it was refused."""
        here, there = FORK.Pipe()
        given = (self.server.url, self.url, KEY, self.refresh, there)
        worker = FORK.Process(target=token_server.work, args=given)
        worker.start()
        try:
            assert here.poll(60)
            assert here.recv_bytes() == b"."
            if self.chance.random() < 0.7:  # amid or after an exchange, however slow the machine
                self.server.arrived.clear()
                self.server.arrived.wait(60)
            refused = here.poll(self.chance.uniform(0.0, 0.06)) and here.recv_bytes() == b"R"
        finally:
            os.kill(worker.pid, signal.SIGKILL)
            worker.join()
        self.amid += self._under_way()
        return not refused

    def _under_way(self) -> bool:
        with self.store.read() as connection:
            found = connection.scalars(tokens.tokens.select().with_only_columns(
                tokens.tokens.c.intent_at)).all()  # fmt: skip
        return any(at is not None for at in found)

    def next_call(self) -> str:
        """What a worker after that gets."""
        made = token_server.session(self.server.url, self.store, KEY, self.refresh)
        return token_server.call(made, HttpSender())


@pytest.fixture
def short_leases(monkeypatch) -> None:
    """One worker at a time is at work here: what keeps others out need not outlast it."""
    monkeypatch.setattr(tokens, "LEASE_SECONDS", 0.02)


@pytest.mark.usefixtures("short_leases")
def test_killed_anywhere_the_chain_goes_on_where_the_platform_takes_the_old_token(
    tmp_path, serve
) -> None:
    server = serve(strict=False, lifetime=MARGIN, delay=0.05)
    victims = Victims(server, f"sqlite:///{tmp_path}/state.db", seed=1)
    for _ in range(KILLS):
        assert victims.kill_one(), server.refusals
        time.sleep(0.02)  # the lease of the dead ends
    victims.next_call()
    assert server.refusals == []
    assert victims.unkept == []
    assert victims.amid > KILLS // 4


@pytest.mark.usefixtures("short_leases")
def test_killed_anywhere_a_lost_token_is_asked_about_once_and_then_never_again(
    tmp_path, serve
) -> None:
    server = serve(strict=True, lifetime=MARGIN, delay=0.05)
    victims = Victims(server, f"sqlite:///{tmp_path}/state.db", seed=2)
    lost = 0
    for _ in range(KILLS):
        victims.kill_one()
        time.sleep(0.02)  # the lease of the dead ends
        before = len(server.refusals)
        try:
            victims.next_call()
        except NotAuthorized:
            for _again in range(3):
                with pytest.raises(NotAuthorized, match="re-authorize"):
                    victims.next_call()
            lost += 1
            assert len(server.refusals) == lost
            victims.refresh = server.consent(f"consented-{lost}")
            victims.next_call()
        else:
            assert len(server.refusals) == before
    assert victims.unkept == []
    assert lost > 0  # else nobody was killed between the answer and the store
