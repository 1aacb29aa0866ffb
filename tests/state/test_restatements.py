from __future__ import annotations

import uuid
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from sqlalchemy import select

from airflow_provider_liftos.state.clock import ManualClock
from airflow_provider_liftos.state.restatements import ages, moves, note
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


DAY = datetime(2026, 11, 1, tzinfo=UTC).timestamp()


def moved_at(store, org, age: int, *moved, **parts) -> None:
    """Noted so many days after 1 November began, by a load of its own."""
    store.clock.advance(DAY + age * 86_400 + 3_600 - store.clock.now())
    keep(store, org, moved, load_id=f"{age}", **parts)


def test_a_day_that_moves_again_tells_its_first_and_its_newest_value(store, org):
    moved_at(store, org, 2, ("2026-11-01", "spend", Decimal("100.00"), Decimal("104.00")))
    moved_at(store, org, 9, ("2026-11-01", "spend", Decimal("104.00"), Decimal("110.00")),
             ("2026-11-08", "clicks", None, Decimal(4)))  # fmt: skip
    moved_at(store, org, 9, ("2026-11-01", "spend", Decimal(1), None), account_id="2")
    newest, one, two = moves(store, org)
    assert (newest.date, newest.first, newest.now, newest.share) == (
        date(2026, 11, 8), None, Decimal(4), None,
    )  # fmt: skip
    assert (one.first, one.now, one.moves, one.age_days) == (Decimal(100), Decimal(110), 2, 9)
    assert one.share == pytest.approx(0.1)
    assert (two.account_id, two.now, two.share) == ("2", None, -1.0)
    assert moves(store, org, account_id="2") == [two]
    assert moves(store, org, since=date(2026, 11, 2)) == [newest]
    assert moves(store, org, platform="tiktok") == moves(store, "other") == []


def test_ages_tell_what_a_shorter_window_would_have_missed(store, org):
    moved_at(store, org, 3, ("2026-11-01", "spend", Decimal(100), Decimal(150)))
    moved_at(store, org, 20, ("2026-11-01", "spend", Decimal(300), Decimal(303)), account_id="2")
    moved_at(store, org, 20, ("2026-11-02", "spend", Decimal(100), Decimal(99)), account_id="2")
    moved_at(store, org, 91, ("2026-11-01", "spend", None, Decimal(7)), account_id="3")
    found = [(one.label, one.days, one.share) for one in ages(moves(store, org))]
    assert found == [("1-3 d", 1, 0.5), ("15-28 d", 2, 0.005), ("> 90 d", 1, None)]
