from __future__ import annotations

import multiprocessing
import uuid
from dataclasses import replace

import pytest
from sqlalchemy import select

from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.state import letter as words
from airflow_provider_liftos.state import sealed
from airflow_provider_liftos.state.clock import ManualClock
from airflow_provider_liftos.state.dead_letters import DeadLetters, organizations
from airflow_provider_liftos.state.keyring import KeyRing, new_key
from airflow_provider_liftos.state.letter import Draft, Wanted
from airflow_provider_liftos.state.store import StateStore
from airflow_provider_liftos.state.tables import dead_letters

FORK = multiprocessing.get_context("fork")
DAY = 86_400.0
ROW = Draft(
    kind="row",
    platform="meta",
    account_id="1",
    name="basic:ad",
    reason="no day",
    payload='{"spend": "1"}',
)
EVENT = Draft(
    kind="request",
    platform="meta",
    account_id="1",
    name="event",
    reason="refused",
    payload='{"email": "anna@example.org"}',
    personal=True,
    identity="event-7",
)


@pytest.fixture
def clock():
    return ManualClock(1_000.0)


@pytest.fixture
def store(store_url, clock):
    return StateStore(store_url, clock)


@pytest.fixture
def org_id():
    return uuid.uuid4().hex


@pytest.fixture
def letters(store, org_id):
    return DeadLetters(store, org_id)


def test_what_is_seen_again_is_one_letter_with_more_attempts(letters, clock):
    assert letters.keep([ROW, ROW], load_id="a", dag_id="d", run_id="r1") == 1
    letters.keep([ROW], load_id="a", dag_id="d", run_id="r1")  # a retry of the task
    clock.advance(DAY)
    letters.keep([ROW], load_id="b", dag_id="d", run_id="r2")
    [letter] = letters.find()
    assert (letter.attempts, letter.state, letter.run_id) == (2, "open", "r2")
    assert (letter.created_at, letter.updated_at) == (1_000.0, 1_000.0 + DAY)
    assert letter.days == ("1970-01-01", "1970-01-02")
    assert letters.payload(letter) == ROW.payload


def test_a_long_payload_is_cut_and_says_so(letters):
    letters.keep([replace(ROW, payload="x" * 20_000)])
    [letter] = letters.find()
    assert (letter.form, len(letter.payload)) == (words.CUT, 10_000)


def test_more_letters_than_a_statement_takes_are_kept(letters):
    drafts = [replace(ROW, payload=str(number)) for number in range(450)]
    assert letters.keep(drafts) == 450
    assert letters.keep(drafts) == 450
    assert {letter.attempts for letter in letters.find()} == {2}


def test_personal_data_is_sealed_and_bound_to_its_letter(store, org_id):
    ring = KeyRing.read(new_key())
    letters = DeadLetters(store, org_id, ring)
    letters.keep([EVENT, replace(EVENT, identity="event-8")])
    with store.read() as connection:
        mine = select(dead_letters).where(dead_letters.c.org_id == org_id)
        assert "anna" not in str(connection.execute(mine).all())
    one, other = letters.find()
    assert letters.payload(one) == EVENT.payload
    with pytest.raises(ConfigurationError, match="does not open"):
        letters.payload(replace(one, payload=other.payload))
    with pytest.raises(ConfigurationError, match="not on the key ring"):
        DeadLetters(store, org_id, KeyRing.read(new_key())).payload(one)


def test_without_a_key_personal_data_is_left_out(store, org_id):
    letters = DeadLetters(store, org_id, KeyRing())
    letters.keep([EVENT])
    [letter] = letters.find()
    assert (letter.form, letter.payload, letters.payload(letter)) == ("left_out", None, None)


def test_nothing_is_derived_from_personal_data():
    with pytest.raises(ValueError, match="identity"):
        replace(EVENT, identity="")
    assert replace(EVENT, payload="other").id == EVENT.id


def test_letters_are_sealed_again_with_a_new_key(store, org_id):
    old, new = new_key(), new_key()
    DeadLetters(store, org_id, KeyRing.read(old)).keep([EVENT])
    both = KeyRing.read(f"{new},{old}")
    assert sealed.reseal(store, both)[org_id, "dead_letters"].resealed == 1
    assert (org_id, "dead_letters") not in sealed.reseal(store, both)
    alone = DeadLetters(store, org_id, KeyRing.read(new))
    assert alone.payload(alone.find()[0]) == EVENT.payload


def test_a_claim_keeps_others_away_until_it_ends(letters, clock):
    letters.keep([ROW])
    [mine] = letters.claim(Wanted(), holder="a", seconds=60)
    assert mine.state == "open"
    assert letters.claim(Wanted(), holder="b", seconds=60) == []
    assert [x.id for x in letters.claim(Wanted(), holder="a", seconds=60)] == [mine.id], (
        "a retry of the same task goes on"
    )
    clock.advance(61)
    assert len(letters.claim(Wanted(), holder="b", seconds=60)) == 1, "the holder has died"
    assert letters.let_go("a") == 0
    assert letters.let_go("b") == 1
    assert letters.find()[0].state == "open"


def claim_all(url, org_id, gate, holder, found):
    letters = DeadLetters(StateStore(url), org_id)
    gate.wait()
    found.put(len(letters.claim(Wanted(), holder=holder, seconds=3600)))


def test_two_replays_at_once_share_the_letters(store_url, org_id):
    drafts = [replace(ROW, payload=str(number)) for number in range(50)]
    store = StateStore(store_url)
    DeadLetters(store, org_id).keep(drafts)
    store.close()
    gate, found = FORK.Barrier(4), FORK.Queue()
    workers = [
        FORK.Process(target=claim_all, args=(store_url, org_id, gate, str(n), found))
        for n in range(4)
    ]
    for worker in workers:
        worker.start()
    counts = [found.get(timeout=90) for _ in workers]
    for worker in workers:
        worker.join(60)
    # Who finds a row locked leaves it to the other; what nobody took is still open.
    taken = [x for x in DeadLetters(store, org_id).find() if x.state == "replaying"]
    assert sum(counts) == len(taken) > 0


def test_closing_says_when_and_by_whom_and_seeing_it_again_opens_it(letters, clock):
    letters.keep([ROW], load_id="a")
    clock.advance(5)
    [letter] = letters.find()
    assert letters.close([letter.id], state=words.REPLAYED, by="anna") == 1
    assert letters.close([letter.id], state=words.DISCARDED, by="ben") == 0, "closed already"
    [closed] = letters.find()
    assert (closed.state, closed.closed_at, closed.closed_by) == ("replayed", 1_005.0, "anna")
    letters.keep([ROW], load_id="b")
    [again] = letters.find()
    assert (again.state, again.closed_at, again.attempts) == ("open", None, 2)


def test_what_a_person_let_go_stays_so(letters):
    letters.keep([ROW], load_id="a")
    letters.close([ROW.id], state=words.DISCARDED, by="anna")
    letters.keep([ROW], load_id="b")
    [letter] = letters.find()
    assert (letter.state, letter.closed_by, letter.attempts) == ("discarded", "anna", 2)


def test_a_replay_that_fails_counts_and_opens_the_letter(letters):
    letters.keep([ROW], load_id="a")
    [letter] = letters.claim(Wanted(), holder="x", seconds=60)
    letters.failed(letter, "still no day", load_id="replay")
    [again] = letters.find()
    assert (again.state, again.attempts, again.reason) == ("open", 2, "still no day")
    assert again.claimed_by == ""


def test_letters_are_found_by_what_they_are_about(letters):
    other = replace(ROW, platform="tiktok", kind="slice", name="basic:account")
    letters.keep([ROW, other])
    for wanted in (
        Wanted(platform="tiktok"),
        Wanted(kind="slice"),
        Wanted(name="basic:account"),
        Wanted(ids=[other.id]),
    ):
        assert [x.id for x in letters.find(wanted)] == [other.id]
    assert letters.find(Wanted(states=["discarded"])) == []
    assert len(letters.find(limit=1)) == 1
    assert letters.one(ROW.id[:8]).id == ROW.id
    for wrong in ("", "zz", "%"):
        with pytest.raises(ConfigurationError, match="no dead letter"):
            letters.one(wrong)


def test_organizations_do_not_see_one_another(store, org_id):
    mine, theirs = DeadLetters(store, org_id), DeadLetters(store, org_id + "2")
    mine.keep([ROW])
    assert theirs.find() == theirs.claim(Wanted(), holder="x", seconds=9) == []
    assert theirs.close([ROW.id], state=words.DISCARDED, by="x") == 0
    assert {org_id} <= set(organizations(store))
    assert org_id + "2" not in organizations(store)
    with pytest.raises(ConfigurationError):
        theirs.one(ROW.id)
