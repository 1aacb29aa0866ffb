"""Every sealed column gets the newest key, while others write, and says what no key opens."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import select

from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.model.secret import Secret
from airflow_provider_liftos.state import sealed
from airflow_provider_liftos.state.keyring import KeyRing, new_key
from airflow_provider_liftos.state.sealed import SEALED, reseal
from airflow_provider_liftos.state.store import StateStore
from airflow_provider_liftos.state.tables import dead_letters, oauth_states, tokens
from airflow_provider_liftos.state.tokens import Tokens

FORK = multiprocessing.get_context("fork")
OLD, NEW = new_key(), new_key()
BOTH = KeyRing.read(f"{NEW},{OLD}")


@pytest.fixture
def store(store_url: str) -> Iterator[StateStore]:
    made = StateStore(store_url)
    with made.write() as connection:
        for table in (tokens, dead_letters, oauth_states):
            connection.execute(table.delete())
    yield made
    made.close()


def shelf(store: StateStore, number: int, ring: KeyRing, org: str = "o") -> Tokens:
    return Tokens(store, org, f"c{number}", ring)


def keep(store: StateStore, number: int, ring: KeyRing, org: str = "o", value: str = "s") -> None:
    secrets = {"access_token": Secret(f"{value}{number}")}
    name = f"{number:032d}"
    one = shelf(store, number, ring, org)
    assert one.keep(name, one.find(name), secrets, 5.0, now_found_by=name)


def value(store: StateStore, number: int, ring: KeyRing, org: str = "o") -> str:
    return shelf(store, number, ring, org).find(f"{number:032d}").secrets["access_token"].reveal()


def test_all_rows_get_the_newest_key_and_the_old_one_can_go(store, monkeypatch):
    monkeypatch.setattr(sealed, "BATCH", 3)
    for number in range(10):
        keep(store, number, KeyRing.read(OLD), org=f"o{number % 2}")
    keep(store, 10, BOTH, org="o0")
    counts = reseal(store, BOTH)
    assert {org: count.resealed for (org, _), count in counts.items()} == {"o0": 5, "o1": 5}
    for number in range(11):
        assert value(store, number, KeyRing.read(NEW), f"o{number % 2}") == f"s{number}"
    assert reseal(store, BOTH) == {}


def test_what_no_key_opens_is_counted_and_kept_until_it_is_given_up(store):
    keep(store, 1, KeyRing.read(new_key()))
    keep(store, 2, KeyRing.read(OLD))
    for _ in range(2):
        count = reseal(store, BOTH)["o", "tokens"]
        assert ["not on the key ring" in why for why in count.unreadable] == [True]
    assert reseal(store, BOTH, drop=True)["o", "tokens"].dropped == 1
    assert shelf(store, 1, BOTH).find(f"{1:032d}") is None
    assert value(store, 2, KeyRing.read(NEW)) == "s2"


def test_without_a_key_there_is_nothing_to_rotate_to(store):
    keep(store, 1, KeyRing.read(OLD))
    with pytest.raises(ConfigurationError, match="rotate-keys --new"):
        reseal(store, KeyRing())
    assert value(store, 1, KeyRing.read(OLD)) == "s1"


def test_a_row_that_was_tampered_with_is_not_sealed_anew(store):
    keep(store, 1, KeyRing.read(OLD))
    keep(store, 2, KeyRing.read(OLD))
    with store.write() as connection:
        texts = dict(connection.execute(select(tokens.c.conn_id, tokens.c.sealed)).all())
        for conn_id, text in zip(("c1", "c2"), (texts["c2"], texts["c1"]), strict=True):
            connection.execute(
                tokens.update().where(tokens.c.conn_id == conn_id).values(sealed=text)
            )
    count = reseal(store, BOTH)["o", "tokens"]
    assert (count.resealed, len(count.unreadable)) == (0, 2)


def test_a_row_that_was_replaced_since_it_was_read_is_left_alone(store, monkeypatch):
    keep(store, 1, KeyRing.read(OLD))
    real = sealed._batches

    def batches(*given):
        for rows in real(*given):
            keep(store, 1, KeyRing.read(OLD), value="newer")
            yield rows

    with monkeypatch.context() as patched:
        patched.setattr(sealed, "_batches", batches)
        assert reseal(store, BOTH)["o", "tokens"].resealed == 0
    assert value(store, 1, BOTH) == "newer1"
    assert reseal(store, BOTH)["o", "tokens"].resealed == 1


def _refresh_all_the_time(url: str, until: float) -> None:
    store = StateStore(url)
    generation = 0
    while generation == 0 or time.monotonic() < until:  # once, however late it begins
        for number in range(5):
            keep(store, number, BOTH, value=f"g{generation}-")
        generation += 1


def test_workers_that_refresh_meanwhile_lose_nothing(store, store_url):
    for number in range(20):
        keep(store, number, KeyRing.read(OLD))
    worker = FORK.Process(target=_refresh_all_the_time, args=(store_url, time.monotonic() + 2))
    worker.start()
    while worker.is_alive():
        for count in reseal(store, BOTH).values():
            assert count.unreadable == []
    worker.join()
    assert worker.exitcode == 0
    assert reseal(store, BOTH) == {}
    found = [value(store, number, KeyRing.read(NEW)) for number in range(20)]
    assert all(found[n].startswith("g") for n in range(5))
    assert found[5:] == [f"s{n}" for n in range(5, 20)]


def test_every_column_whose_table_speaks_of_sealing_is_known(store):
    assert {one.table.name for one in SEALED} == {"tokens", "dead_letters", "oauth_states"}
    plain = {
        "org_id": "o", "id": "1", "platform": "p", "kind": "row", "reason": "r",
        "payload": "plain text", "form": "plain", "state": "open", "created_at": 1.0,
        "updated_at": 1.0,
    }  # fmt: skip
    with store.write() as connection:
        connection.execute(dead_letters.insert().values(**plain))
    assert reseal(store, BOTH, drop=True) == {}
