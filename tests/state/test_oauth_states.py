"""Consent under way: once, in time, by the same user, and of no use to who reads the table."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import select, update

from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.model.secret import Secret
from airflow_provider_liftos.state.clock import ManualClock
from airflow_provider_liftos.state.keyring import KeyRing, new_key
from airflow_provider_liftos.state.oauth_states import OAuthStates, Pending, StateRefused, reference
from airflow_provider_liftos.state.store import StateStore
from airflow_provider_liftos.state.tables import oauth_states

ANNA = Pending(
    org_id="acme",
    platform="google_ads",
    conn_id="ads",
    actor="anna",
    redirect_uri="https://air.example.com/liftos/oauth/callback",
    verifier=Secret("a-verifier-of-forty-three-characters-or-more"),
)


@pytest.fixture
def clock():
    return ManualClock(1000.0)


@pytest.fixture
def store(store_url, clock):
    return StateStore(store_url, clock)


@pytest.fixture
def states(store):
    return OAuthStates(store, KeyRing.read(new_key()))


def test_a_state_brings_back_what_was_asked_for(states):
    state, until = states.open(ANNA)
    assert until == 1600.0
    found = states.take(state, "anna")
    assert (found.org_id, found.platform, found.conn_id) == ("acme", "google_ads", "ads")
    assert found.verifier == ANNA.verifier


def test_a_state_is_used_once(states):
    state, _ = states.open(ANNA)
    states.take(state, "anna")
    with pytest.raises(StateRefused, match="used already") as caught:
        states.take(state, "anna")
    assert caught.value.pending.conn_id == "ads"


def test_of_many_at_once_one_gets_it(states):
    state, _ = states.open(ANNA)

    def attempt(_):
        try:
            return states.take(state, "anna").conn_id
        except StateRefused:
            return None

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(attempt, range(8)))
    assert sorted(filter(None, found)) == ["ads"]


def test_ten_minutes_are_the_limit(states, clock):
    early, _ = states.open(ANNA)
    late, _ = states.open(ANNA)
    clock.advance(599.9)
    assert states.take(early, "anna")
    clock.advance(0.1)
    with pytest.raises(StateRefused, match="after 10 minutes"):
        states.take(late, "anna")


def test_another_user_cannot_answer_and_then_nobody_can(states):
    state, _ = states.open(ANNA)
    with pytest.raises(StateRefused, match="another user"):
        states.take(state, "ben")
    with pytest.raises(StateRefused, match="used already"):
        states.take(state, "anna")


@pytest.mark.parametrize("state", ["", "made-up", "' OR 1=1 --"])
def test_a_state_nobody_asked_for_is_refused(states, state):
    states.open(ANNA)
    with pytest.raises(StateRefused, match="nobody here asked") as caught:
        states.take(state, "anna")
    assert caught.value.pending is None


def test_the_table_holds_neither_state_nor_verifier(states, store):
    state, _ = states.open(ANNA)
    with store.read() as connection:
        cells = [str(v) for row in connection.execute(select(oauth_states)) for v in row]
    assert reference(state) in cells
    assert not [c for c in cells if state in c or ANNA.verifier.reveal() in c]


def test_a_verifier_moved_to_another_row_does_not_open(states, store):
    theirs, _ = states.open(ANNA)
    mine, _ = states.open(ANNA)
    rows = oauth_states.c
    with store.write() as connection:
        sealed = connection.scalar(select(rows.verifier).where(rows.digest == reference(theirs)))
        moved = update(oauth_states).where(rows.digest == reference(mine))
        connection.execute(moved.values(verifier=sealed))
    with pytest.raises(ConfigurationError, match="does not open"):
        states.take(mine, "anna")


def test_without_a_key_nothing_is_begun_and_the_error_says_how_to_make_one(store):
    keyless = replace(ANNA, org_id="keyless")
    with pytest.raises(ConfigurationError, match=r"rotate-keys --new"):
        OAuthStates(store, KeyRing()).open(keyless)
    with store.read() as connection:
        rows = select(oauth_states).where(oauth_states.c.org_id == "keyless")
        assert connection.execute(rows).first() is None


def test_what_came_of_it_is_for_the_user_who_began(states):
    state, _ = states.open(ANNA)
    assert states.outcome(reference(state), "anna") is None
    states.conclude(states.take(state, "anna"), {"accounts": 6})
    assert states.outcome(reference(state), "anna") == {"accounts": 6}
    assert states.outcome(reference(state), "ben") is None
