from __future__ import annotations

import multiprocessing
import tempfile
import threading
import uuid
from bisect import bisect_left
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_liftos.model.errors import ConfigurationError, Throttled
from airflow_provider_liftos.model.wire import Lane
from airflow_provider_liftos.resilience.limiter import Limiter, Place
from airflow_provider_liftos.state.clock import ManualClock
from airflow_provider_liftos.state.store import StateStore

FORK = multiprocessing.get_context("fork")
START = 1_795_000_000.0  # as large as real moments, so that rounding shows
TINY = 1e-5

HOURLY = Place("meta/act_1/hour", 200, 3600)
MINUTELY = Place("meta/act_1/minute", 4, 60)


@pytest.fixture
def clock():
    return ManualClock(START)


@pytest.fixture
def org_id():
    return uuid.uuid4().hex


@pytest.fixture
def limiter(store_url, clock, org_id):
    return Limiter(StateStore(store_url, clock), org_id)


@pytest.fixture(scope="module")
def shared_store():
    with tempfile.TemporaryDirectory() as folder:
        yield StateStore(f"sqlite:///{Path(folder)}/state.db", ManualClock(START))


def take(limiter, places, max_wait=None, **options):
    """Seconds to wait for a place."""
    turn = limiter.reserve(places, max_wait, **options)
    assert turn.placed
    return turn.wait


def most_in_a_window(moments, seconds):
    """The largest number of moments in any half-open window."""
    ordered = sorted(moments)
    return max(
        bisect_left(ordered, moment + seconds - TINY) - number
        for number, moment in enumerate(ordered)
    )


def test_requests_are_spaced_evenly(limiter, clock):
    assert [take(limiter, [MINUTELY]) for _ in range(3)] == pytest.approx([0, 15, 30])
    clock.advance(30)
    assert take(limiter, [MINUTELY]) == pytest.approx(15)
    clock.advance(1000)
    assert take(limiter, [MINUTELY]) == 0


def test_a_burst_goes_at_once_after_a_quiet_time(limiter, clock):
    place = Place("k", 10, 1, burst=3)
    waits = [take(limiter, [place]) for _ in range(5)]
    assert waits == pytest.approx([0, 0, 0, 0.1, 0.2], abs=TINY)


def test_a_dear_request_occupies_more(limiter):
    dear = Place("k", 10, 1, cost=5)
    cheap = Place("k", 10, 1)
    assert take(limiter, [cheap]) == 0
    assert take(limiter, [dear]) == pytest.approx(0.5, abs=TINY)
    assert take(limiter, [cheap]) == pytest.approx(0.6, abs=TINY)


def test_200_an_hour_and_4_a_minute_both_hold(limiter, clock):
    sent = []
    for number in range(450):
        wait = take(limiter, [HOURLY, MINUTELY])
        sent.append(clock.now() + wait)
        # Sometimes the caller waits as told, sometimes it asks ahead, sometimes it pauses.
        clock.advance([wait, 0, wait / 2, wait + 100][number % 4])
    assert most_in_a_window(sent, 60) <= 4
    assert most_in_a_window(sent, 3600) <= 200


def test_both_hold_while_one_is_paused(limiter, clock):
    hourly = Place.capped("hour", 200, 3600, burst=40)
    limiter.pause("minute", clock.now() + 1000)
    sent = []
    for _ in range(450):
        wait = take(limiter, [hourly, Place("minute", 12, 60)])
        clock.advance(wait)
        sent.append(clock.now())
    assert sent[0] >= START + 1000 - TINY
    assert most_in_a_window(sent, 60) <= 12
    assert most_in_a_window(sent, 3600) <= 200


def test_what_two_limits_allow_is_used(limiter, clock):
    sent = []
    for _ in range(201):
        clock.advance(take(limiter, [HOURLY, MINUTELY]))
        sent.append(clock.now())
    assert sent[200] - sent[0] == pytest.approx(3600, abs=1e-3)


def test_too_long_a_wait_reserves_nothing_anywhere(limiter, clock):
    slow, fast = Place("slow", 1, 100), Place("fast", 1, 1)
    assert take(limiter, [slow]) == 0
    before = limiter.state()
    for _ in range(3):
        with pytest.raises(Throttled, match="slow is used up for 100 s") as caught:
            take(limiter, [fast, slow], max_wait=99)
    assert caught.value.retry_at == pytest.approx(START + 100)
    assert [row for row in limiter.state() if row.busy_until] == before
    assert take(limiter, [fast], max_wait=0) == 0
    clock.advance(100)
    assert take(limiter, [fast, slow], max_wait=0) == 0


def test_nothing_goes_before_a_pause_ends_and_no_crowd_after_it(limiter, clock):
    limiter.pause(MINUTELY.key, clock.now() + 100)
    limiter.pause(MINUTELY.key, clock.now() + 50)
    waits = [take(limiter, [MINUTELY]) for _ in range(3)]
    assert waits == pytest.approx([100, 115, 130])
    with pytest.raises(Throttled):
        take(limiter, [MINUTELY], max_wait=60)


def test_a_pause_holds_also_for_a_key_that_was_never_used(limiter, clock):
    limiter.pause("new", clock.now() + 7)
    assert take(limiter, [Place("new", 100, 1, burst=100)]) == pytest.approx(7)


def test_the_listing_shows_every_key_of_the_organization(limiter, store_url, clock):
    take(limiter, [HOURLY, MINUTELY])
    limiter.pause("app", START + 5)
    shown = [(row.key, row.busy_until - START, row.paused_until) for row in limiter.state()]
    assert shown == [
        ("app", -START, START + 5),
        (HOURLY.key, pytest.approx(18), 0),
        (MINUTELY.key, pytest.approx(15), 0),
    ]
    assert Limiter(StateStore(store_url, clock), uuid.uuid4().hex).state() == []


def test_organizations_do_not_throttle_one_another(limiter, store_url, clock):
    other = Limiter(StateStore(store_url, clock), uuid.uuid4().hex)
    limiter.pause(MINUTELY.key, clock.now() + 100)
    assert take(other, [MINUTELY]) == 0


def test_no_limits_no_wait(limiter):
    assert take(limiter, []) == 0


def test_two_limits_need_two_keys(limiter):
    with pytest.raises(ConfigurationError, match="share the key 'k'"):
        take(limiter, [Place("k", 200, 3600), Place("k", 4, 60)])


@pytest.mark.parametrize(
    "change", [{"calls": 0}, {"per": 0}, {"burst": 0}, {"burst": 0.5}, {"cost": -1}]
)
def test_a_limit_that_lets_nothing_pass_is_refused(change):
    with pytest.raises(ConfigurationError, match="makes no sense"):
        Place(**{"key": "k", "calls": 1, "per": 1, **change})


def test_a_burst_larger_than_the_cap_is_refused():
    with pytest.raises(ConfigurationError, match="makes no sense"):
        Place.capped("k", 4, 60, burst=6)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    calls=st.integers(1, 50),
    per=st.sampled_from([1, 60, 3600]),
    burst=st.integers(1, 20),
    requests=st.lists(st.tuples(st.floats(0, 2), st.integers(1, 3)), max_size=25),
)
def test_waits_are_those_of_a_token_bucket(shared_store, calls, per, burst, requests):
    limiter, clock = Limiter(shared_store, uuid.uuid4().hex), shared_store.clock
    rate, tokens = calls / per, float(burst)
    for pause, cost in requests:
        clock.advance(pause * per / calls)
        tokens = min(burst, tokens + pause) - cost
        wait = take(limiter, [Place("k", calls, per, burst, cost)])
        assert wait == pytest.approx(max(0.0, -tokens / rate), abs=TINY)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    calls=st.integers(2, 12),
    burst=st.integers(1, 12),
    other=st.integers(1, 30),
    actions=st.lists(st.tuples(st.floats(0, 20), st.floats(0, 60)), min_size=1, max_size=40),
)
def test_caps_hold_whatever_happens(shared_store, calls, burst, other, actions):
    limiter, clock = Limiter(shared_store, uuid.uuid4().hex), shared_store.clock
    capped = Place.capped("capped", calls, 60, min(burst, calls))
    places = [capped, Place("even", other, 100)]
    sent = []
    for advance, pause in actions:
        clock.advance(advance)
        sent.append(clock.now() + take(limiter, places))
        if pause > 50:
            limiter.pause("even", clock.now() + pause)
    assert most_in_a_window(sent, 60) <= calls
    assert most_in_a_window(sent, 100) <= other


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(calls=st.integers(1, 60), share=st.floats(0, 1), per=st.sampled_from([1, 60, 86_400]))
def test_a_cap_is_used_to_95_percent_whatever_the_burst(shared_store, calls, share, per):
    limiter, clock = Limiter(shared_store, uuid.uuid4().hex), shared_store.clock
    place = Place.capped("k", calls, per, max(1.0, calls * share))
    began, windows = clock.now(), 4
    for _ in range(windows * calls + 1):
        clock.advance(take(limiter, [place]))
    assert clock.now() - began <= windows * per / 0.95


class Pool:
    """Workers of one lane that ask again as soon as they have been served."""

    def __init__(self, limiter, places, lane, workers):
        self._ask = lambda **had: limiter.reserve(places, 60.0, lane, **had)
        self.due = [(0.0, False)] * workers
        self.sent = []

    def step(self, clock):
        """Whoever's time has come asks; when the next one's comes."""
        for number, (at, had_turn) in enumerate(self.due):
            if at > clock.now():
                continue
            turn = self._ask(had_turn=had_turn)
            moment = clock.now() + turn.wait
            self.sent += [moment] * turn.placed
            self.due[number] = (max(moment, clock.now() + TINY), not turn.placed)
        return min(at for at, _ in self.due)


def served(clock, seconds, *pools):
    until = clock.now() + seconds
    while clock.now() < until:
        nearest = min(pool.step(clock) for pool in pools)
        clock.advance(max(nearest - clock.now(), TINY))
    return [len([m for m in pool.sent if m <= until]) for pool in pools]


BUSY = Place.capped("k", 20, 10, 4)  # two a second


def test_the_higher_lane_goes_first_and_the_lower_one_does_not_starve(limiter, clock):
    fresh = Pool(limiter, [BUSY], Lane.FRESH, 4)
    bulk = Pool(limiter, [BUSY], Lane.BULK, 12)
    ahead, behind = served(clock, 200, fresh, bulk)
    assert 0.17 <= behind / (ahead + behind) <= 0.25
    assert ahead + behind >= 0.95 * 2 * 200


def test_a_lower_lane_alone_has_everything(limiter, clock):
    assert served(clock, 200, Pool(limiter, [BUSY], Lane.BULK, 6))[0] >= 0.95 * 2 * 200


def test_a_person_is_served_while_history_waits_in_a_long_line(limiter, clock):
    bulk = Pool(limiter, [BUSY], Lane.BULK, 12)
    served(clock, 60, bulk)
    waits = []
    for _ in range(30):
        turn = limiter.reserve([BUSY], 60.0, Lane.INTERACTIVE)
        assert turn.placed
        waits.append(turn.wait)
        served(clock, max(turn.wait, 1.0), bulk)
    assert waits[0] <= 12 / 2 + 1  # those who were there before
    assert max(waits[5:]) <= 2.5


def test_who_waits_for_a_turn_holds_no_place(limiter, clock):
    place = Place("k", 1, 1)
    limiter.reserve([place], 60, Lane.FRESH)
    turns = [limiter.reserve([place], 60, Lane.BULK) for _ in range(4)]
    assert [turn.placed for turn in turns] == [True, False, False, False]
    assert [turn.wait for turn in turns] == pytest.approx([1, 5, 10, 15])
    assert take(limiter, [place], lane=Lane.FRESH) == pytest.approx(2)  # behind one, not four
    with pytest.raises(Throttled) as caught:
        limiter.reserve([place], 19, Lane.BULK)
    assert caught.value.retry_at == pytest.approx(clock.now() + 20)


def test_history_need_not_wait_where_half_of_a_burst_is_left(limiter):
    daily = Place.capped("day", 1500, 86_400, burst=100)
    limiter.reserve([daily], 60, Lane.FRESH)
    waits = [limiter.reserve([daily], 86_400, Lane.BULK).wait for _ in range(60)]
    assert waits[:48] == [0] * 48
    assert max(waits) > 0


def test_a_lane_that_went_away_is_waited_for_no_longer(limiter, clock):
    place = Place("k", 1, 1)
    limiter.reserve([place], 60, Lane.FRESH)
    clock.advance(11)
    assert [limiter.reserve([place], 60, Lane.BULK).wait for _ in range(3)] == [0, 1, 2]


def test_history_leaves_the_last_tenth_of_a_day_to_lanes_that_were_there(limiter, clock):
    daily = Place.capped("day", 100, 86_400, 100)
    take(limiter, [daily], lane=Lane.FRESH)
    clock.advance(3600)
    for _ in range(89):
        assert take(limiter, [daily], lane=Lane.BULK, max_wait=60) == 0
    with pytest.raises(Throttled):
        limiter.reserve([daily], 60, Lane.BULK)
    for _ in range(10):
        assert take(limiter, [daily], lane=Lane.FRESH, max_wait=60) == 0
    with pytest.raises(Throttled):
        limiter.reserve([daily], 60, Lane.FRESH)


def test_the_platforms_own_rate_binds_until_it_names_another(limiter):
    place = Place("k", 10, 1)
    limiter.correct(place, rate=2.0)
    assert [take(limiter, [place]) for _ in range(3)] == pytest.approx([0, 0.5, 1.0], abs=TINY)
    limiter.correct(place, rate=1000.0)
    # What was given before stays; ours is the stricter one now.
    assert [take(limiter, [place]) for _ in range(2)] == pytest.approx([1.5, 1.6], abs=TINY)


def test_what_others_used_of_an_allowance_is_believed(limiter):
    bucket = Place("k", 10, 1, burst=20)
    limiter.correct(bucket, left=2)
    assert [take(limiter, [bucket]) for _ in range(4)] == pytest.approx([0, 0, 0.1, 0.2], abs=TINY)
    limiter.correct(bucket, left=20)  # said before the last four were counted
    assert take(limiter, [bucket]) == pytest.approx(0.3, abs=TINY)
    window = Place.capped("window", 100, 3600, 50)
    limiter.correct(window, left=3)
    assert [take(limiter, [window]) for _ in range(3)] == pytest.approx([0, 0, 0], abs=TINY)
    assert take(limiter, [window]) > 3000


def test_a_request_that_came_to_less_makes_room(limiter):
    dear = Place("k", 100, 1, burst=100, cost=80)
    assert take(limiter, [dear]) == 0
    limiter.correct(dear, cost=10)
    assert take(limiter, [dear]) == 0
    limiter.correct(dear, cost=90)
    assert take(limiter, [Place("k", 100, 1, burst=100)]) == pytest.approx(0.01, abs=TINY)


def test_a_pause_that_came_meanwhile_can_be_seen(limiter, clock):
    assert not limiter.paused(["a", "b"])
    limiter.pause("b", clock.now() + 5)
    assert limiter.paused(["a", "b"])
    assert not limiter.paused(["a"])
    clock.advance(5)
    assert not limiter.paused(["a", "b"])


class Noting:
    """A store's clock that keeps what it told last: from then on a wait is counted."""

    def __init__(self, clock):
        self._clock = clock
        self.told = 0.0

    def now(self):
        self.told = self._clock.now()
        return self.told


def reserve_many(url, org_id, gate, results):
    store = StateStore(url)
    with store.read():
        pass  # connect before the race
    store.clock = Noting(store.clock)
    limiter = Limiter(store, org_id)
    gate.wait()
    moments = []
    for _ in range(50):
        wait = take(limiter, [Place("a", 100, 1, burst=10), Place("b", 1000, 60, burst=50)])
        moments.append(store.clock.told + wait)
    results.put(moments)


def test_four_processes_never_exceed_a_limit_by_more_than_a_burst(store_url, org_id):
    gate, results = FORK.Barrier(4), FORK.Queue()
    arguments = (store_url, org_id, gate, results)
    workers = [FORK.Process(target=reserve_many, args=arguments) for _ in range(4)]
    for worker in workers:
        worker.start()
    sent = [moment for _ in workers for moment in results.get(timeout=90)]
    for worker in workers:
        worker.join(60)
    assert len(sent) == 200
    assert most_in_a_window(sent, 1) <= 100 + 10
    assert most_in_a_window(sent, 6) <= 100 + 50
    assert max(sent) - min(sent) >= (200 - 50) * 0.06 - 1


def test_opposite_orders_do_not_block_one_another(limiter):
    one, two = Place("one", 1e6, 1), Place("two", 1e6, 1)
    failures = []

    def work(places):
        try:
            for _ in range(30):
                take(limiter, places)
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=work, args=(p,)) for p in ([one, two], [two, one]) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
