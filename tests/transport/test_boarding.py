"""Requests under a cap on how many are in flight."""

from __future__ import annotations

import asyncio
import json

import pytest

from airflow_provider_liftos.model.errors import ConfigurationError, Rejected, Throttled
from airflow_provider_liftos.model.wire import Lane, Request
from airflow_provider_liftos.transport.boarding import Seats, until_next_look
from airflow_provider_liftos.transport.flow import arun, run
from tests.transport.conftest import Caller, Script, answer, refusal

APP = "meta/app/1001/concurrent_requests"
ACCOUNT = "meta/account/501/concurrent_requests_per_account"
REQUEST = Request(method="GET", path="x", account="501")
OK = answer({"data": []})


@pytest.fixture
def capped(tmp_path):
    made = []

    def make(**options):
        made.append(Caller(tmp_path, **options))
        return made[-1]

    yield make
    for caller in made:
        caller.store.close()


class Watching(Script):
    """Notes who is in flight when it is asked."""

    def __init__(self, answers, caller):
        super().__init__(answers, caller.clock)
        self.caller = caller
        self.seen = []

    def send(self, base_url, request):
        states = self.caller.flights.state()
        self.seen.append({state.key: (state.in_flight, state.most) for state in states})
        return super().send(base_url, request)


def test_a_seat_under_each_cap_is_held_while_a_request_is_away_and_no_longer(capped):
    caller = capped(concurrent_requests=3, concurrent_requests_per_account=2)
    sender = Watching([OK], caller)
    run(caller.session.call(REQUEST, json.loads), sender)
    assert sender.seen == [{APP: (1, 3), ACCOUNT: (1, 2)}]
    assert caller.flights.state() == []


def test_without_a_cap_nothing_is_written(capped):
    caller = capped()
    sender = Watching([OK], caller)
    run(caller.session.call(REQUEST, json.loads), sender)
    assert sender.seen == [{}]
    assert not caller.session.pace.seats(REQUEST)


def test_requests_of_no_account_are_under_the_connections_cap_alone(capped):
    caller = capped(concurrent_requests=3, concurrent_requests_per_account=2)
    sender = Watching([OK], caller)
    run(caller.session.call(Request(method="GET", path="me"), json.loads), sender)
    assert sender.seen == [{APP: (1, 3)}]


@pytest.mark.parametrize(
    "said",
    [answer(refusal(100), status=400), answer(b"<html>", status=502), TimeoutError("broken")],
)
def test_a_seat_is_left_after_bad_answers_too(capped, said):
    caller = capped(concurrent_requests=1)
    with pytest.raises(Exception):  # noqa: B017  each kind ends in its own
        caller.call(said)
    assert caller.flights.state() == []


def test_each_attempt_has_a_seat_of_its_own_and_none_while_it_waits(capped):
    caller = capped(concurrent_requests=1)
    held = []
    sender = Watching([answer(b"", status=500), OK], caller)

    def sleep(seconds):
        held.append(caller.flights.state())
        caller.sleep(seconds)

    run(caller.session.call(REQUEST, json.loads), sender, sleep)
    assert sender.seen == [{APP: (1, 1)}] * 2
    assert held == [[]]


def test_it_is_sent_once_a_seat_is_free(capped):
    caller = capped(concurrent_requests=1)
    other = caller.flights.seat(APP, 1, Lane.FRESH)
    other.come()

    def sleep(seconds):
        caller.sleep(seconds)
        if sum(caller.slept) > 0.3:
            other.leave()

    sender = Watching([OK], caller)
    run(caller.session.call(REQUEST, json.loads), sender, sleep)
    assert sender.seen == [{APP: (1, 1)}]
    assert 0.3 < sum(caller.slept) < 0.5
    assert caller.session.usage.throttled_seconds == pytest.approx(sum(caller.slept))


def test_who_queues_for_a_minute_comes_back_later(capped):
    caller = capped(concurrent_requests=1)
    other = caller.flights.seat(APP, 1, Lane.FRESH)
    other.come()

    def sleep(seconds):
        caller.sleep(seconds)
        caller.flights.renew([other.id])

    sender = Watching([OK], caller)
    with pytest.raises(Throttled, match=r"No request of .* has ended for so long") as caught:
        run(caller.session.call(REQUEST, json.loads), sender, sleep)
    assert sender.seen == []
    assert caught.value.retry_at - caller.clock.now() > 60  # a deferral, not another sleep
    assert [(state.in_flight, state.waiting) for state in caller.flights.state()] == [(1, 0)]


def test_while_it_waits_for_a_limit_others_have_its_seat(capped):
    caller = capped(concurrent_requests=1, requests_per_minute=4)
    held = []

    def sleep(seconds):
        held.append((round(seconds), caller.flights.state()))
        caller.sleep(seconds)

    sender = Watching([OK], caller)
    for _ in range(3):
        run(caller.session.call(REQUEST, json.loads), sender, sleep)
    assert held == [(15, []), (15, [])]
    assert sender.times[2] - sender.times[0] == pytest.approx(30, abs=1)
    assert sender.seen == [{APP: (1, 1)}] * 3


def test_a_flow_that_is_broken_off_gives_its_seat_up(capped):
    caller = capped(concurrent_requests=1)
    flow = caller.session.call(REQUEST, json.loads)
    effect = next(flow)
    while type(effect).__name__ != "Send":
        effect = flow.send(effect.call())
    assert [state.in_flight for state in caller.flights.state()] == [1]
    flow.close()
    asyncio.run(soon(lambda: caller.flights.state() == []))


def test_so_does_one_that_is_broken_off_while_it_leaves_after_an_error(capped):
    caller = capped(concurrent_requests=1, concurrent_requests_per_account=1)
    flow = caller.session.call(REQUEST, json.loads)
    effect = next(flow)
    while type(effect).__name__ != "Send":
        effect = flow.send(effect.call())
    effect = flow.throw(RuntimeError("lost"))
    assert effect.call.__name__ == "leave"
    flow.close()
    asyncio.run(soon(lambda: caller.flights.state() == []))


def test_a_seat_that_could_not_be_left_is_given_up():
    given_up = []

    class Stuck:
        key = "app"
        come = look = int

        def leave(self):
            raise OSError("the store is away")

        def give_up(self):
            given_up.append(self)

    seats = Seats([Stuck, Stuck], float)

    def work():
        yield from seats.board()
        raise ValueError

    with pytest.raises(OSError, match="away"):
        run(seats.around(work()), None)
    assert len(given_up) == 2


def test_so_does_a_cancelled_task_of_an_event_loop(capped):
    caller = capped(concurrent_requests=1)

    class Never:
        async def send(self, *_):
            self.asked.set()
            await asyncio.Event().wait()

    async def cancelled():
        sender = Never()
        sender.asked = asyncio.Event()
        task = asyncio.create_task(arun(caller.session.call(REQUEST, json.loads), sender))
        await asyncio.wait_for(sender.asked.wait(), 60)
        assert [state.in_flight for state in caller.flights.state()] == [1]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        del task
        await soon(lambda: caller.flights.state() == [])

    asyncio.run(cancelled())


def test_on_an_event_loop_the_cap_holds_too(capped):
    caller = capped(concurrent_requests=2)

    class Counting:
        now = most = 0

        async def send(self, *_):
            self.now += 1
            self.most = max(self.most, self.now)
            for _ in range(500):  # the other one may be late, and more would come after it
                if self.most >= 2:
                    break
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.02)
            self.now -= 1
            return OK

    async def many(sender):
        flows = [caller.session.call(REQUEST, json.loads) for _ in range(12)]
        await asyncio.gather(*(arun(flow, sender) for flow in flows))

    sender = Counting()
    asyncio.run(many(sender))
    assert sender.most == 2
    assert caller.flights.state() == []


@pytest.mark.parametrize("wrong", ["many", "0", "-1", "1.5", 0])
def test_a_cap_that_is_none_is_named(capped, wrong):
    caller = capped(concurrent_requests=wrong)
    with pytest.raises(ConfigurationError, match="concurrent_requests of connection 'meta_test'"):
        caller.call(OK)


def test_a_refusal_is_the_one_that_the_platform_meant(capped):
    caller = capped(concurrent_requests=1)
    with pytest.raises(Rejected):
        caller.call(answer(refusal(100), status=400))


def test_whoever_is_further_behind_looks_less_often():
    assert until_next_look(1, 0, 0) == 0.01
    assert until_next_look(1, 3, 3.0) == pytest.approx(1 / 6)
    assert until_next_look(3, 3, 3.0) == pytest.approx(2 + 1 / 6)
    assert until_next_look(1, 1, 60.0) == 0.5
    assert until_next_look(2000, 0, 0) == pytest.approx(5.01)


async def soon(holds):
    """Fails when it does not come to hold within a minute."""
    for _ in range(3000):
        if holds():
            return
        await asyncio.sleep(0.02)
    raise AssertionError
