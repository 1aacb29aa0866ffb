from __future__ import annotations

import uuid
from decimal import Decimal

import pytest
from sqlalchemy import select

from airflow_provider_liftos.state.clock import ManualClock
from airflow_provider_liftos.state.restatements import note
from airflow_provider_liftos.state.store import StateStore
from airflow_provider_liftos.state.tables import restatements

MOVED = [("2026-11-01", "spend", Decimal("5.00"), Decimal("6.00")),
         ("2026-11-01", "clicks", Decimal(3), None)]  # fmt: skip


@pytest.fixture
def store(store_url):
    return StateStore(store_url, ManualClock(1_000.0))


@pytest.fixture
def org():
    return uuid.uuid4().hex


def keep(store, org, moved=MOVED, **parts) -> None:
    whose = {"platform": "meta", "account_id": "1", "report": "basic", "level": "ad"}
    note(store, org, **{**whose, "load_id": "l1", **parts}, moved=moved)


def kept(store, org) -> list[tuple]:
    names = ("load_id", "account_id", "date", "metric", "old_value", "new_value")
    with store.read() as connection:
        rows = connection.execute(
            select(*(restatements.c[name] for name in names)).where(restatements.c.org_id == org)
        )
        return sorted(map(tuple, rows))


def test_a_move_of_a_load_is_noted_once_however_often_it_is_told(store, org):
    keep(store, org, MOVED[:1])
    keep(store, org)
    keep(store, org, [])
    assert kept(store, org) == [
        ("l1", "1", "2026-11-01", "clicks", "3", None),
        ("l1", "1", "2026-11-01", "spend", "5.00", "6.00"),
    ]


def test_other_loads_and_accounts_have_moves_of_their_own(store, org):
    keep(store, org, MOVED[:1])
    keep(store, org, MOVED[:1], load_id="l2")
    keep(store, org, MOVED[:1], account_id="2")
    keep(store, org, [("2026-11-01", "spend", Decimal("6.00"), Decimal("7.00"))])
    assert len(kept(store, org)) == 4
