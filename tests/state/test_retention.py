from __future__ import annotations

import uuid

import pytest
from sqlalchemy import Text, func, select

from airflow_provider_liftos.state import tables
from airflow_provider_liftos.state.clock import ManualClock
from airflow_provider_liftos.state.leases import Leases
from airflow_provider_liftos.state.retention import DAYS, KEPT, RULES, enforce
from airflow_provider_liftos.state.store import StateStore

DAY = 86_400.0
NOW = 1_000 * DAY
AGED = {
    "run_ledger": "started_at", "quality_results": "created_at", "quality_scores": "created_at",
    "restatements": "created_at", "audit_log": "created_at", "dead_letters": "closed_at",
    "open_dead_letters": "updated_at", "alerts": "resolved_at", "checkpoints": "updated_at",
    "limits": "tat", "breakers": "updated_at", "leases": "expires_at", "flights": "expires_at",
    "oauth_states": "expires_at", "statements": "as_of",
}  # fmt: skip


@pytest.fixture
def clock():
    return ManualClock(NOW)


@pytest.fixture
def store(empty_store_url, clock):
    return StateStore(empty_store_url, clock)


def put(store, rule, age_days, org_id="o", **parts):
    """A row of the rule's table that was over so many days ago."""
    values = {}
    for column in rule.table.columns:
        if column.nullable:
            continue
        values[column.name] = uuid.uuid4().hex if isinstance(column.type, Text) else 0
    values |= {"org_id": org_id, AGED[rule.name]: NOW - age_days * DAY, **parts}
    with store.write() as connection:
        connection.execute(rule.table.insert().values(**values))


def rows(store, table):
    with store.read() as connection:
        return connection.scalar(select(func.count()).select_from(table))


def test_every_table_has_a_rule_or_a_reason():
    with_rule = {rule.table.name for rule in RULES}
    assert with_rule | set(KEPT) == set(tables.metadata.tables)
    assert not with_rule & set(KEPT)
    assert {rule.name for rule in RULES} == set(AGED)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_what_is_older_than_its_days_goes_and_the_rest_stays(store, rule):
    put(store, rule, rule.days + 1)
    put(store, rule, rule.days + 1, org_id="p")
    put(store, rule, rule.days - 1)
    counts = enforce(store, DAYS, sleep=lambda _: None)
    assert counts == {**dict.fromkeys(AGED, 0), rule.name: 2}
    assert rows(store, rule.table) == 1


def test_days_are_a_setting(store):
    rule = RULES[0]
    put(store, rule, 3)
    assert enforce(store, {**DAYS, rule.name: 2})[rule.name] == 1


def test_batches_are_small_and_a_kill_between_them_is_harmless(store):
    rule = RULES[0]
    for _ in range(7):
        put(store, rule, 500)

    class KilledError(BaseException):
        pass

    def kill(_seconds):
        raise KilledError

    with pytest.raises(KilledError):
        enforce(store, DAYS, batch=3, sleep=kill)
    assert rows(store, rule.table) == 4
    assert enforce(store, DAYS, batch=3, sleep=lambda _: None)[rule.name] == 4
    assert rows(store, rule.table) == 0


def test_checkpoints_of_a_task_stay_as_long_as_one_of_them_moves(store):
    rule = next(rule for rule in RULES if rule.name == "checkpoints")
    put(store, rule, 30, scope="alive")
    put(store, rule, 1, scope="alive")
    put(store, rule, 30, scope="dead")
    put(store, rule, 1, scope="dead", org_id="another")
    assert enforce(store, DAYS)["checkpoints"] == 1
    with store.read() as connection:
        left = connection.execute(select(tables.slices.c.org_id, tables.slices.c.scope)).all()
    assert sorted(map(tuple, left)) == [("another", "dead"), ("o", "alive"), ("o", "alive")]


def test_a_lease_that_was_just_given_back_keeps_its_number(store, clock):
    leases = Leases(store, "o")
    leases.release("file", leases.acquire("file", "a", ttl=10))
    clock.advance(6 * DAY)
    assert enforce(store, DAYS)["leases"] == 0
    assert leases.acquire("file", "b", ttl=10) == 2, "never used again"
    clock.advance(DAY)
    assert enforce(store, DAYS)["leases"] == 0
    clock.advance(7 * DAY)
    assert enforce(store, DAYS)["leases"] == 1


def test_a_limit_that_is_paused_or_busy_stays(store):
    rule = next(rule for rule in RULES if rule.name == "limits")
    put(store, rule, 30, paused_until=NOW + 60)
    put(store, rule, 30, fresh_turn=NOW - DAY)
    assert enforce(store, DAYS)["limits"] == 0


def test_an_open_letter_outlives_a_closed_one(store):
    rule = next(rule for rule in RULES if rule.name == "open_dead_letters")
    put(store, rule, 100, state="open")
    put(store, rule, 100, state="replaying")
    put(store, rule, 100, state="replayed", closed_at=NOW - 91 * DAY)
    counts = enforce(store, DAYS)
    assert (counts["dead_letters"], counts["open_dead_letters"]) == (1, 0)
