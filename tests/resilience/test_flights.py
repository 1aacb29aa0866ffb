"""Seats for requests in flight, by a clock that tests move."""

from __future__ import annotations

import threading
import time
import uuid

import pytest

from airflow_provider_liftos.model.errors import Unavailable
from airflow_provider_liftos.model.wire import Lane
from airflow_provider_liftos.resilience.flights import Flights, FlightState
from airflow_provider_liftos.state.clock import ManualClock
from airflow_provider_liftos.state.store import StateStore

KEY = "shop/app/c"


@pytest.fixture
def clock():
    return ManualClock(1_000_000.0)


@pytest.fixture
def org_id():
    return uuid.uuid4().hex


@pytest.fixture
def flights(store_url, org_id, clock):
    return Flights(StateStore(store_url, clock), org_id)


@pytest.fixture
def come(flights, clock):
    """Somebody comes, a moment after whoever came before."""

    def came(most=1, lane=Lane.FRESH, key=KEY):
        clock.advance(0.001)
        seat = flights.seat(key, most, lane)
        return seat, seat.come()

    return came


def test_seats_are_taken_until_there_are_none_and_then_one_queues(come):
    assert [come(3)[1] for _ in range(5)] == [0, 0, 0, 1, 2]


def test_who_leaves_hands_the_seat_to_who_came_first(come):
    (holder, _), (first, _), (second, _) = come(), come(), come()
    assert (first.look(), second.look()) == (1, 2)
    holder.leave()
    assert (first.look(), second.look()) == (0, 1)
    _, ahead = come()
    assert ahead == 2
    second.leave()  # while it waits
    first.leave()


def test_a_free_seat_is_not_taken_from_those_who_wait(flights, come, clock):
    (_holder, _), (waiting, _) = come(), come()
    clock.advance(flights.seconds + 1)  # both died
    (third, ahead), (fourth, _) = come(), come()
    assert ahead == 0
    clock.advance(1)
    assert waiting.look() == 2  # it came back to life, and queues anew
    third.leave()
    assert fourth.look() == 0


def test_the_seat_of_the_dead_is_free_once_it_is_over(flights, come, clock):
    (_dead, _), (waiting, _) = come(), come()
    clock.advance(flights.seconds / 2)
    flights.renew([waiting.id])
    assert waiting.look() == 1
    clock.advance(flights.seconds / 2 + 1)
    assert waiting.look() == 0
    assert flights.state() == [FlightState(key=KEY, most=1, in_flight=1, waiting=0)]


def test_what_is_over_is_not_renewed(flights, come, clock):
    (late, _), (_other, _) = come(), come()
    clock.advance(flights.seconds + 1)
    flights.renew([late.id])
    assert flights.state() == []


def test_a_higher_lane_goes_first_and_a_lower_one_does_not_starve(come, clock):
    holder, _ = come()
    bulk, _ = come(lane=Lane.BULK)
    fresh, ahead = come(lane=Lane.FRESH)
    person, first = come(lane=Lane.INTERACTIVE)
    assert (ahead, first) == (1, 1)
    assert [seat.look() for seat in (person, fresh, bulk)] == [1, 2, 3]
    clock.advance(11)
    late, _ = come(lane=Lane.FRESH)
    assert bulk.look() < late.look()
    holder.leave()
    assert person.look() == 0


def test_of_several_caps_the_own_one_counts_and_keys_are_apart(come):
    (one, _), (two, ahead) = come(most=2), come(most=1)
    three, behind = come(most=2)
    assert (ahead, behind) == (1, 2)  # who queues is not overtaken
    one.leave()
    assert (two.look(), three.look()) == (0, 0)
    assert come(key="shop/app/d")[1] == 0


def test_organizations_do_not_see_one_another(flights, come, clock):
    come()
    other = Flights(flights._store, f"{flights._org_id}-other")
    assert other.seat(KEY, 1, Lane.FRESH).come() == 0
    assert [state.in_flight for state in other.state()] == [1]


def test_what_is_given_up_while_it_comes_is_left_all_the_same(flights, monkeypatch):
    seat = flights.seat(KEY, 1, Lane.FRESH)
    inside, go_on = threading.Event(), threading.Event()
    enter = flights.enter

    def slowly(seat):
        inside.set()
        go_on.wait(60)
        return enter(seat)

    monkeypatch.setattr(flights, "enter", slowly)
    coming = threading.Thread(target=seat.come)
    coming.start()
    inside.wait(60)
    seat.give_up()
    go_on.set()
    coming.join(60)
    assert flights.state() == []


def test_what_is_given_up_is_left_by_another_thread(flights, come):
    seat, _ = come()
    seat.give_up()
    assert within(60, lambda: flights.state() == [])


def test_a_seat_is_renewed_as_long_as_its_process_lives(store_url, org_id):
    # A busy machine may be late for a short one; who renews none loses one of any length.
    assert any(outlives(Flights(StateStore(store_url), org_id, s)) for s in (0.6, 2.0, 6.0, 20.0))


def outlives(flights):
    """Whether a seat is kept for longer than it lasts by itself."""
    seat = flights.seat(KEY, 1, Lane.FRESH)
    seat.come()
    kept = not within(2.5 * flights.seconds, lambda: flights.state() == [])
    seat.leave()
    assert flights.state() == []
    return kept


def test_a_store_out_of_reach_costs_no_answer(flights, come, monkeypatch):
    seat, _ = come()

    def away(_seat):
        raise Unavailable("the store is away")

    monkeypatch.setattr(flights, "leave", away)
    seat.leave()


def within(seconds, holds):
    """Whether it came to hold in that time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if holds():
            return True
        threading.Event().wait(0.02)
    return False
