"""Kept tokens: what opens them, what finds them, and what they never do."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
from sqlalchemy import select, update

from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.model.secret import Secret
from airflow_provider_liftos.state.audit_log import AuditLog
from airflow_provider_liftos.state.clock import ManualClock
from airflow_provider_liftos.state.keyring import KeyRing, new_key
from airflow_provider_liftos.state.store import StateStore
from airflow_provider_liftos.state.tables import tokens
from airflow_provider_liftos.state.tokens import Tokens

FIRST, SECOND = "1" * 32, "2" * 32
RING = KeyRing.read(new_key())


@pytest.fixture
def store(store_url: str) -> Iterator[StateStore]:
    made = StateStore(store_url, ManualClock(1000.0))
    with made.write() as connection:
        connection.execute(tokens.delete())
    yield made
    made.close()


def kept(store: StateStore, conn_id: str = "c", *, org: str = "o", ring: KeyRing = RING) -> Tokens:
    return Tokens(store, org, conn_id, ring)


def keep(shelf: Tokens, value: str, fingerprint: str = FIRST, after=None, found_by: str = ""):
    return shelf.keep(
        fingerprint, after, {"access_token": Secret(value)}, 5000.0,
        now_found_by=found_by or fingerprint,
    )  # fmt: skip


def row(store: StateStore, conn_id: str = "c"):
    with store.read() as connection:
        return connection.execute(select(tokens).where(tokens.c.conn_id == conn_id)).one()


def change(store: StateStore, conn_id: str = "c", **values) -> None:
    with store.write() as connection:
        connection.execute(update(tokens).where(tokens.c.conn_id == conn_id).values(**values))


def test_what_is_kept_comes_back_and_lies_there_sealed(store):
    made = keep(kept(store), "the-access-token")
    found = kept(store).find(FIRST)
    assert found == made
    assert found.secrets["access_token"].reveal() == "the-access-token"
    assert (found.generation, found.expires_at) == (1, 5000.0)
    assert "the-access-token" not in str(row(store)._asdict())


def test_a_token_without_an_end_has_none(store):
    kept(store).keep(FIRST, None, {}, math.inf, now_found_by=FIRST)
    assert kept(store).find(FIRST).expires_at == math.inf


def test_another_credential_in_the_connection_finds_nothing(store):
    keep(kept(store), "a")
    assert kept(store).find(SECOND) is None


def test_another_organization_finds_nothing(store):
    keep(kept(store), "a")
    assert kept(store, org="p").find(FIRST) is None


def test_a_rotated_credential_finds_what_its_predecessor_found(store):
    first = keep(kept(store), "a")
    second = keep(kept(store), "b", after=first, found_by=SECOND)
    assert kept(store).find(FIRST) == kept(store).find(SECOND) == second


def test_the_connections_own_credential_finds_it_after_any_number_of_rotations(store):
    last = None
    for number in range(40):
        last = keep(kept(store), "a", after=last, found_by=f"{number:032d}")
    assert kept(store).find(FIRST) == kept(store).find(f"{39:032d}") == last
    assert kept(store).find(f"{1:032d}") is None


def test_a_connection_with_the_same_credential_shares_the_row(store):
    first = keep(kept(store), "a")
    other = kept(store, "d")
    assert other.find(FIRST) == first
    second = keep(other, "b", after=first)
    assert kept(store).find(FIRST) == second


def test_of_two_writers_the_slower_one_changes_nothing(store):
    first = keep(kept(store), "a")
    assert keep(kept(store), "b", after=first) is not None
    assert keep(kept(store), "c", after=first) is None
    assert keep(kept(store), "d") is None
    assert kept(store).find(FIRST).secrets["access_token"].reveal() == "b"


def test_a_former_credentials_row_outlives_the_edit_for_those_still_at_work(store):
    keep(kept(store), "old")
    keep(kept(store), "new", SECOND)
    assert kept(store).find(FIRST).secrets["access_token"].reveal() == "old"
    store.clock.advance(91 * 86_400)
    keep(kept(store), "newer", SECOND, after=kept(store).find(SECOND))
    assert kept(store).find(FIRST) is None


def test_an_intent_and_a_refusal_need_no_key(store):
    shelf = kept(store, ring=KeyRing())
    noted = shelf.intend(FIRST, None)
    assert (noted.intent_at, shelf.find(FIRST).intent_at) == (1000.0, 1000.0)
    shelf.refuse(FIRST, noted, why="because", of="x")
    assert (shelf.find(FIRST).refused, shelf.find(FIRST).refused_for) == ("because", "x")


def test_who_was_overtaken_neither_begins_an_exchange_nor_refuses_what_came_of_anothers(store):
    shelf = kept(store, org="overtaken")
    first = keep(shelf, "a")
    stopped = shelf.intend(FIRST, first)
    store.clock.advance(100)
    other = shelf.intend(FIRST, stopped)
    assert shelf.intend(FIRST, stopped) is None
    assert not shelf.refuse(FIRST, stopped, why="because", of="x")
    second = keep(shelf, "b", after=other, found_by=SECOND)
    assert shelf.intend(FIRST, stopped) is None
    assert not shelf.refuse(FIRST, stopped, why="because", of="x")
    assert shelf.intend(FIRST, None) is None
    assert shelf.find(FIRST) == shelf.find(SECOND) == second


def test_new_tokens_end_intent_and_refusal(store):
    shelf = kept(store)
    shelf.refuse(FIRST, shelf.intend(FIRST, None), why="because", of="x")
    keep(shelf, "a", after=shelf.find(FIRST))
    found = shelf.find(FIRST)
    assert (found.intent_at, found.refused) == (None, "")


def test_a_person_who_insists_is_not_told_of_former_refusals(store):
    kept(store).refuse(FIRST, None, why="because", of="x")
    assert Tokens(store, "o", "c", RING, insist=True).find(FIRST).refused == ""


def test_the_audit_log_says_what_was_made_of_which_connection_by_whom(store):
    first = keep(kept(store, org="audited"), "a")
    second = keep(kept(store, org="audited"), "b", after=first, found_by=SECOND)
    kept(store, org="audited").refuse(FIRST, second, why="gone", of="x")
    entries = AuditLog(store, "audited").entries(subject="c")
    assert {entry.action for entry in entries} == {"refreshed", "rotated", "refused"}
    assert all("/" in entry.actor for entry in entries)


# --- attacks -------------------------------------------------------------------------------------


def test_a_changed_text_does_not_open(store):
    keep(kept(store), "a")
    sealed = row(store).sealed
    middle = len(sealed) // 2
    other = "A" if sealed[middle] != "A" else "B"
    change(store, sealed=sealed[:middle] + other + sealed[middle + 1 :])
    with pytest.raises(ConfigurationError, match=r"connection 'c': .* does not open"):
        kept(store).find(FIRST)


def test_rows_that_were_swapped_do_not_open(store):
    keep(kept(store), "of-c")
    keep(kept(store, "d"), "of-d", SECOND)
    one, other = row(store).sealed, row(store, "d").sealed
    change(store, sealed=other)
    change(store, "d", sealed=one)
    for conn_id, fingerprint in (("c", FIRST), ("d", SECOND)):
        with pytest.raises(ConfigurationError, match="moved from the row"):
            kept(store, conn_id).find(fingerprint)


def test_a_row_that_was_given_to_another_organization_does_not_open(store):
    keep(kept(store), "a")
    change(store, org_id="mallory")
    with pytest.raises(ConfigurationError, match="moved from the row"):
        kept(store, org="mallory").find(FIRST)


def test_an_older_text_of_the_same_row_does_not_open(store):
    first = keep(kept(store), "a")
    sealed = row(store).sealed
    keep(kept(store), "b", after=first)
    change(store, sealed=sealed)
    with pytest.raises(ConfigurationError, match="does not open"):
        kept(store).find(FIRST)


@pytest.mark.parametrize("ring", [KeyRing.read(new_key()), KeyRing()], ids=["wrong", "missing"])
def test_a_wrong_or_missing_key_is_said_with_what_to_do(store, ring):
    keep(kept(store), "the-access-token")
    with pytest.raises(ConfigurationError, match="not on the key ring") as told:
        kept(store, ring=ring).find(FIRST)
    assert "'c'" in str(told.value)
    assert "Put that key back" in str(told.value)
    assert "the-access-token" not in str(told.value)


def test_without_a_key_nothing_is_kept_in_plain_text(store):
    with pytest.raises(ConfigurationError, match="nothing is kept in plain text"):
        keep(kept(store, ring=KeyRing()), "a")
    with store.read() as connection:
        assert connection.execute(select(tokens)).all() == []


def test_names_with_wildcards_and_quotes_find_only_themselves(store):
    name = "c%' OR '1'='1"
    keep(kept(store, name, org="o_%"), "a")
    assert kept(store, name, org="o_%").find(FIRST).conn_id == name
    assert kept(store, org="o").find("%") is None
    assert kept(store, org="o_%").find("_" * 32) is None
