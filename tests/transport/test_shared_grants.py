"""Access tokens that workers share through the store, and refresh tokens good for one exchange."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_liftos.model.errors import (
    ConfigurationError,
    NotAuthorized,
    Throttled,
    Unavailable,
)
from airflow_provider_liftos.model.platform import Credentials, Grant, TokenFacts
from airflow_provider_liftos.model.secret import Secret
from airflow_provider_liftos.model.wire import Request, Response
from airflow_provider_liftos.resilience.breaker import Breaker
from airflow_provider_liftos.state.audit_log import AuditLog
from airflow_provider_liftos.state.keyring import KeyRing
from airflow_provider_liftos.state.tokens import LEASE_SECONDS
from airflow_provider_liftos.transport.flow import run
from tests.engine.harness import META
from tests.transport.conftest import NOW, answer, refusal
from tests.transport.office import RING, ROTATING, Office, Worker, read, token

GONE = answer(refusal(190), 401)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path)
    yield made
    made.store.close()


OK = answer([1])


def test_one_worker_asks_and_all_use_what_it_got(office):
    assert office.worker().call(token("a"), OK) == ["r0", "a"]
    assert office.worker().call(OK) == ["a"]
    office.clock.advance(3600 - 119)
    assert office.worker().call(token("b"), OK) == ["r0", "b"]
    assert office.worker().call(OK) == ["b"]


def test_a_token_refused_early_is_replaced_once_for_all(office):
    one, two = office.worker(), office.worker()
    one.call(token("a"), OK)
    two.call(OK)
    assert one.call(GONE, token("b"), OK) == ["a", "r0", "b"]
    assert two.call(GONE, OK) == ["a", "b"]
    assert office.worker().call(OK) == ["b"]


def test_a_token_that_keeps_being_refused_is_replaced_once(office):
    worker = office.worker()
    with pytest.raises(NotAuthorized):
        worker.call(token("a"), GONE, token("b"), GONE)
    assert worker.sent == ["r0", "a", "r0", "b"]


def test_threads_whose_token_is_refused_at_the_same_time_replace_it_once(office):
    worker, together = office.worker(), threading.Barrier(4)
    first, replaced = threading.Semaphore(1), threading.Event()
    worker.call(token("a"), OK)
    exchanges: list[str] = []

    class Platform:
        def send(self, _base_url: str, request: Request) -> Response:
            if request.form:
                exchanges.append(request.form["refresh_token"])
                return token("b")
            if request.headers["Authorization"] == "Bearer a":
                together.wait(60)
                if not first.acquire(blocking=False):
                    replaced.wait(60)  # it was sent before, and is refused after
                return GONE
            replaced.set()
            return OK

    def one(_number: int) -> Any:
        flow = worker.session.call(Request(method="GET", path="x"), json.loads)
        return run(flow, Platform(), worker.sleep)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(one, range(4))) == [[1]] * 4
    assert exchanges == ["r0"]


def test_a_day_of_tokens_that_end_every_hour_loses_none(office):
    class Platform:
        """Strict: whatever was exchanged, or has ended, is refused."""

        refresh, access, ends, exchanges = "r0", "", 0.0, 0

        def send(self, _base_url: str, request: Request) -> Response:
            now = office.clock.now()
            if request.form:
                if request.form["refresh_token"] != self.refresh:
                    return answer(refusal(190), 400)
                self.exchanges += 1
                self.refresh, self.access = f"r{self.exchanges}", f"a{self.exchanges}"
                self.ends = now + 3600
                return token(self.access, self.refresh)
            good = request.headers["Authorization"] == f"Bearer {self.access}" and now < self.ends
            return OK if good else GONE

    platform, workers = Platform(), [office.worker(ROTATING) for _ in range(3)]
    for minute in range(24 * 60):
        office.clock.advance(60)
        if minute % 97 == 0:
            workers[minute % 3] = office.worker(ROTATING)  # a process began anew
        if minute % 401 == 0:
            platform.access = "taken back"
        session = workers[minute % 3].session
        flow = session.call(Request(method="GET", path="x"), json.loads)
        assert run(flow, platform, workers[0].sleep) == [1]
    assert 24 <= platform.exchanges <= 31


def test_another_credential_in_the_connection_drops_what_was_made_of_the_former(office):
    office.worker().call(token("a"), OK)
    edited = office.worker(secrets={"refresh_token": "typed-in"})
    assert edited.call(token("b"), OK) == ["typed-in", "b"]
    assert office.worker().call(OK) == ["a"]


def test_another_address_in_the_connection_is_not_sent_what_the_former_gave(office):
    office.worker().call(token("a"), OK)
    moved = office.worker()
    grants = moved.session._grants
    grants._given = replace(grants._given, base_url="http://127.0.0.1:3")
    assert moved.call(token("b"), OK) == ["r0", "b"]


def test_without_a_key_each_process_asks_for_itself_and_nothing_is_stored(office):
    assert office.worker(ring=KeyRing()).call(token("a"), OK) == ["r0", "a"]
    assert office.worker(ring=KeyRing()).call(token("b"), OK) == ["r0", "b"]
    assert office.worker().tokens.find("") is None


def test_a_holder_that_is_slow_is_waited_for(office):
    one, two = office.worker(), office.worker()
    sight = _fingerprint(two)
    lease = one.tokens.acquire(sight)
    original = two.sleep

    def finish_meanwhile(seconds: float) -> None:
        original(seconds)
        if one.tokens.find(sight) is None:
            secrets = {"access_token": Secret("a")}
            one.tokens.keep(sight, None, secrets, NOW + 3600, now_found_by=sight)
            one.tokens.release(sight, lease)

    two.sleep = finish_meanwhile  # type: ignore[method-assign]
    assert two.call(OK) == ["a"]


def test_who_gets_the_lease_after_somebody_else_looks_again(office):
    one, two = office.worker(), office.worker()
    real = two.tokens.acquire

    def late(root: str) -> int | None:
        one.call(token("a"), OK)
        return real(root)

    two.tokens.acquire = late  # type: ignore[method-assign]
    assert two.call(OK) == ["a"]


def test_a_holder_that_died_ends_in_a_deferral_and_then_in_a_token(office):
    one, two = office.worker(), office.worker()
    one.tokens.acquire(_fingerprint(one))
    with pytest.raises(Throttled) as told:
        two.call()
    assert two.sent == []
    assert told.value.retry_at > office.clock.now() + 60
    office.clock.advance(LEASE_SECONDS)
    assert two.call(token("a"), OK) == ["r0", "a"]


def _fingerprint(worker: Worker) -> str:
    from airflow_provider_liftos.transport.grants import _Sight

    session = worker.session
    return _Sight(session.platform, session.platform.grant, session._grants._given).fingerprint


def test_each_secret_is_told_where_logs_are_masked(office):
    one, two = office.worker(ROTATING), office.worker(ROTATING)
    one.call(token("a", "r1"), OK)
    two.call(OK)
    assert one.seen == two.seen == {"a", "r1"}
    assert [kept.generation for kept in one.kept] == [1]
    assert two.kept == []


def test_an_open_circuit_asks_for_no_token(office):
    worker = office.worker()
    for _ in range(5):
        Breaker(office.store, "default").fail("meta/grant")
    with pytest.raises(Exception, match="failed"):
        worker.call()
    assert worker.sent == []


# --- refresh tokens that are good for one exchange -----------------------------------------------


def test_each_exchange_brings_the_refresh_token_of_the_next(office):
    assert office.worker(ROTATING).call(token("a", "r1"), OK) == ["r0", "a"]
    office.clock.advance(3600)
    assert office.worker(ROTATING).call(token("b", "r2"), OK) == ["r1", "b"]
    office.clock.advance(3600)
    assert office.worker(ROTATING).call(token("c", "r3"), OK) == ["r2", "c"]


def test_the_next_one_is_kept_before_the_access_token_is_used(office):
    worker = office.worker(ROTATING)
    kept: list[Any] = []

    def look(sent: str) -> None:
        if sent == "a":
            kept.append(worker.tokens.find(_fingerprint(worker)).secrets["refresh_token"].reveal())

    office.sending = look
    worker.call(token("a", "r1"), OK)
    assert kept == ["r1"]


def test_where_it_cannot_be_kept_nothing_is_exchanged(office):
    worker = office.worker(ROTATING, ring=KeyRing())
    with pytest.raises(ConfigurationError, match=r"good for one exchange.*rotate-keys --new"):
        worker.call()
    assert worker.sent == []


def test_a_process_that_died_amid_the_exchange_is_noticed_and_the_old_token_tried(office):
    one = office.worker(ROTATING)
    office.sending = _die
    with pytest.raises(KeyboardInterrupt):
        one.call(token("a", "r1"))
    office.sending = lambda _sent: None
    office.clock.advance(LEASE_SECONDS)
    assert office.worker(ROTATING).tokens.find(_fingerprint(one)).intent_at == NOW
    assert office.worker(ROTATING).call(token("a", "r1"), OK) == ["r0", "a"]
    assert office.worker(ROTATING).tokens.find(_fingerprint(one)).intent_at is None


def _die(_sent: str) -> None:
    raise KeyboardInterrupt


def test_an_old_token_that_is_refused_is_said_once_and_never_sent_again(office):
    one = office.worker(ROTATING)
    office.sending = _die
    with pytest.raises(KeyboardInterrupt):
        one.call()
    office.sending = lambda _sent: None
    two = office.worker(ROTATING)
    with pytest.raises(NotAuthorized, match=r"re-authorize.*was lost.*Consent again"):
        two.call(answer(refusal(190), 400))
    assert two.sent == ["r0"]
    for _ in range(3):
        late = office.worker(ROTATING)
        with pytest.raises(NotAuthorized, match="re-authorize"):
            late.call()
        assert late.sent == []


@pytest.mark.parametrize("ring", [RING, KeyRing()], ids=["key", "no key"])
def test_a_refused_credential_is_asked_about_again_once_the_connection_is_another(office, ring):
    with pytest.raises(NotAuthorized, match="re-authorize") as told:
        office.worker(ring=ring).call(answer(refusal(190), 400))
    assert "was lost" not in str(told.value)
    with pytest.raises(NotAuthorized, match="re-authorize"):
        office.worker(ring=ring).call()
    edited = office.worker(ring=ring, options={"client_id": "another"})
    with pytest.raises(NotAuthorized):
        edited.call(answer(refusal(190), 400))
    assert edited.sent == ["r0"]
    consented = office.worker(ring=ring, secrets={"refresh_token": "consented"})
    assert consented.call(token("a"), OK) == ["consented", "a"]


def test_one_that_stood_still_amid_an_exchange_does_not_call_for_a_person(office):
    """It is refused because another process has exchanged the same token meanwhile."""
    slow, quick = office.worker(ROTATING), office.worker(ROTATING)

    def overtaken(sent: str) -> None:
        office.sending = lambda _sent: None
        office.clock.advance(LEASE_SECONDS + 1)  # longer than its lease lasts
        assert quick.call(token("a1", "r1"), answer({})) == ["r0", "a1"]

    office.sending = overtaken
    assert slow.call(GONE, answer({})) == ["r0", "a1"]
    office.clock.advance(3600)
    assert slow.call(token("a2", "r2"), answer({})) == ["r1", "a2"]
    assert "refused" not in [entry.action for entry in AuditLog(office.store, "default").entries()]


def test_a_person_who_tests_the_connection_is_not_told_of_the_past(office):
    with pytest.raises(NotAuthorized):
        office.worker().call(answer(refusal(190), 400))
    assert office.worker(insist=True).call(token("a"), OK) == ["r0", "a"]
    assert office.worker().call(OK) == ["a"]


def test_a_platform_that_is_unwell_has_refused_nothing(office):
    worker = office.worker(ROTATING)
    assert worker.call(answer(b"", 500), Unavailable("reset"), token("a", "r1"), OK) == [
        "r0", "r0", "r0", "a",
    ]  # fmt: skip


def test_a_store_that_is_away_for_a_moment_loses_no_refresh_token(office, monkeypatch):
    worker = office.worker(ROTATING)
    real, failures = worker.tokens.keep, [Unavailable("busy")] * 5

    def keep(*given: Any, **named: Any) -> Any:
        if failures:
            raise failures.pop()
        return real(*given, **named)

    monkeypatch.setattr(worker.tokens, "keep", keep)
    assert worker.call(token("a", "r1"), OK) == ["r0", "a"]
    assert failures == []


# --- access tokens that are exchanged themselves -------------------------------------------------

_END = NOW + 50 * 86_400


def exchange(credentials: Credentials) -> Request:
    form = {"fb_exchange_token": credentials.secret("access_token")}
    return Request(method="POST", path="token", base_url="http://127.0.0.1:2", form=form)


def facts(body: bytes) -> TokenFacts:
    value = json.loads(body)
    return TokenFacts(valid=value["valid"], expires_at=value["ends"])


OWN = replace(
    META,
    grant=Grant(
        request=exchange, read=read, credential=("access_token",), early=30 * 86_400,
        applies=lambda credentials: bool(credentials.options.get("app_id")),
    ),
    token=lambda _credentials: Request(method="GET", path="debug"),
    read_token=facts,
)  # fmt: skip


def own(office: Office, value: str = "own", **parts: Any) -> Worker:
    return office.worker(OWN, secrets={"access_token": value}, options={"app_id": "1"}, **parts)


def ends(at: float, *, valid: bool = True) -> Response:
    return answer({"ends": at, "valid": valid})


def test_a_token_without_an_end_is_looked_up_once_and_left_alone(office):
    assert own(office).call(ends(0), OK) == ["own", "own"]
    assert own(office).call(OK) == ["own"]
    office.clock.advance(400 * 86_400)
    assert own(office).call(OK) == ["own"]


def test_a_token_with_an_end_is_exchanged_in_time_and_the_next_one_too(office):
    assert own(office).call(ends(_END), OK) == ["own", "own"]
    office.clock.advance(19 * 86_400)
    assert own(office).call(OK) == ["own"]
    office.clock.advance(2 * 86_400)
    assert own(office).call(token("t1", seconds=60 * 86_400), OK) == ["own", "t1"]
    assert own(office).call(OK) == ["t1"]
    office.clock.advance(31 * 86_400)
    assert own(office).call(token("t2", seconds=60 * 86_400), OK) == ["t1", "t2"]


def test_an_exchange_that_fails_costs_nothing_and_is_tried_again_the_next_day(office):
    office.clock.advance(30 * 86_400)
    worker = own(office)
    assert worker.call(ends(_END), answer(refusal(1), 500), OK) == ["own", "own", "own"]
    assert "could not be exchanged" in worker.session.usage.warnings[0]
    assert own(office).call(OK) == ["own"]
    office.clock.advance(86_401)
    assert own(office).call(token("t1"), OK)[:2] == ["own", "t1"]


def test_a_token_that_has_ended_is_not_exchanged(office):
    own(office).call(ends(_END), OK)
    office.clock.advance(60 * 86_400)
    worker = own(office)
    with pytest.raises(NotAuthorized):
        worker.call(GONE)
    assert worker.sent == ["own"]


def test_one_who_still_holds_the_former_token_takes_the_younger(office):
    late = own(office)
    late.call(ends(_END), OK)
    office.clock.advance(21 * 86_400 - 1)
    late.session._grants._until = NOW + 1e9
    own(office).call(token("t1", seconds=60 * 86_400), OK)
    assert late.call(GONE, OK) == ["own", "t1"]


def test_without_a_key_or_what_it_takes_the_token_is_used_as_it_is(office):
    assert own(office, ring=KeyRing()).call(OK) == ["own"]
    assert office.worker(OWN, secrets={"access_token": "own"}).call(OK) == ["own"]
