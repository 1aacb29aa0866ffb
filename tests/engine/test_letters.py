"""What a letter is about, what settles it, and which days are left alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from airflow_provider_liftos.engine import letters
from airflow_provider_liftos.engine.manifest import Manifest, SliceResult
from airflow_provider_liftos.model.report import Account, Ids, Level, Report, Slice, Window
from airflow_provider_liftos.state.clock import ManualClock
from airflow_provider_liftos.state.dead_letters import DeadLetters
from airflow_provider_liftos.state.letter import DISCARDED, Wanted
from airflow_provider_liftos.state.store import StateStore

DAY = 86_400.0


def days(first: int, last: int) -> Window:
    return Window(since=date(2026, 11, first), until=date(2026, 11, last))


def cut(first: int, last: int, **parts) -> SliceResult:
    given = {"report": Report(name="basic", level=Level.AD), **parts}
    part = Slice(platform="meta", account_id="1", window=days(first, last), **given)
    account = Account(account_id="1", currency="EUR", timezone="Europe/Berlin")
    return SliceResult(slice=part, status="complete", as_of=1.0, account=account)


STREAM = {"report": None, "stream": "campaigns"}
LOAD = Manifest(
    org_id="o", platform="meta", load_id="first",
    facts={"conn_id": "conn", "warehouse_conn_id": "dwh"},
)  # fmt: skip
LATER = replace(LOAD, load_id="later")


@pytest.fixture
def clock():
    return ManualClock(1_000 * DAY)


@pytest.fixture
def box(tmp_path, clock):
    return DeadLetters(StateStore(f"sqlite:///{tmp_path}/state.db", clock), "o")


def settled(box, manifest, result, holder="x"):
    return letters.settle(box, manifest, result, holder=holder, by="run")


def states(box):
    return [letter.state for letter in box.find()]


def test_a_letter_says_all_that_a_replay_needs(box):
    box.keep([letters.of_slice(LOAD, cut(1, 3), "failed")])
    [letter] = box.find()
    assert letters.left(letter) == [days(1, 3)]
    assert letters.account(letter).timezone == "Europe/Berlin"
    assert (letter.spec["conn_id"], letter.spec["warehouse_conn_id"]) == ("conn", "dwh")
    assert list(letters.cuts([letter]).values()) == [cut(1, 3).slice]


def test_a_slice_is_settled_day_by_day(box):
    box.keep([letters.of_slice(LOAD, cut(1, 9), "failed")])
    assert settled(box, LATER, cut(4, 6)) == 0
    [letter] = box.find()
    assert letters.left(letter) == [days(1, 3), days(7, 9)]
    assert settled(box, LATER, cut(10, 12)) == 0
    assert settled(box, LATER, cut(1, 3)) == 0
    assert settled(box, LATER, cut(5, 30)) == 1
    assert states(box) == ["superseded"]


def test_others_slices_settle_nothing(box):
    box.keep([letters.of_slice(LOAD, cut(1, 1), "failed")])
    other = Report(name="basic", level=Level.CAMPAIGN)
    assert settled(box, LATER, cut(1, 1, report=other)) == 0
    assert settled(box, replace(LATER, is_mock=True), cut(1, 1)) == 0
    assert settled(box, replace(LATER, platform="tiktok"), cut(1, 1)) == 0
    assert states(box) == ["open"]


def test_rows_that_this_very_load_refused_stay_open(box):
    box.keep([letters.of_row(LOAD, cut(1, 1), "no day", "{}")], load_id="first")
    assert settled(box, LOAD, cut(1, 1)) == 0
    assert settled(box, LATER, cut(1, 1)) == 1


def test_who_replays_closes_its_own_as_replayed(box):
    drafts = [letters.of_slice(LOAD, cut(n, n), "failed") for n in (1, 2)]
    box.keep(drafts)
    box.claim(Wanted(ids=[drafts[0].id]), holder="mine", seconds=60)
    for n in (1, 2):
        settled(box, LATER, cut(n, n), holder="mine")
    assert {x.since: (x.state, x.closed_by) for x in box.find()} == {
        "2026-11-01": ("replayed", "run"),
        "2026-11-02": ("superseded", "run"),
    }


def test_a_stream_is_settled_by_a_full_listing_only_on_whatever_day(box):
    box.keep([letters.of_slice(LOAD, cut(1, 1, **STREAM), "failed")])
    box.keep([letters.of_slice(LATER, cut(2, 2, **STREAM), "failed")], load_id="later")
    [letter] = box.find()  # tomorrow's listing that fails is the same trouble
    assert letter.attempts == 2
    some = cut(9, 9, **STREAM, ids=Ids(values=("1",)))
    assert settled(box, LATER, some) == 0
    assert settled(box, LATER, cut(9, 9, **STREAM)) == 1


def test_a_listing_is_asked_for_in_full(box):
    part = cut(1, 1, **STREAM, changed_since="2026-11-01T00:00:00", ids=Ids(values=("1",)))
    box.keep([letters.of_slice(LOAD, part, "failed")])
    [asked] = letters.cuts(box.find()).values()
    assert (asked.changed_since, asked.ids) == ("", None)


def test_no_day_is_asked_for_twice(box):
    for first, last in ((1, 9), (8, 12), (2, 3)):
        box.keep([letters.of_slice(LOAD, cut(first, last), "failed")])
    box.keep([letters.of_row(LOAD, cut(9, 9), "no day", "{}")])
    windows = [part.window for part in letters.cuts(box.find()).values()]
    covered = [day for window in windows for day in window.dates()]
    assert sorted(covered) == list(days(1, 12).dates())


def test_rows_of_several_days_are_asked_for_as_wholes(box):
    weekly = Report(name="basic", level=Level.AD, time_increment=7)
    box.keep([letters.of_slice(LOAD, cut(2, 15, report=weekly), "failed")])
    settled(box, LATER, cut(2, 8, report=weekly))
    [asked] = letters.cuts(box.find()).values()
    assert asked.window == days(2, 15)


def test_days_are_left_alone_after_failing_on_so_many_days(box, clock):
    box.keep([letters.of_slice(LOAD, cut(1, 3), "failed")])
    box.keep([letters.of_slice(LOAD, cut(3, 5), "failed")])  # the same night
    found = letters.left_alone(box.find(), 2)
    assert found["1", "basic:ad"].failed == ()
    clock.advance(DAY)
    box.keep([letters.of_slice(LOAD, cut(3, 5), "failed")])
    assert letters.left_alone(box.find(), 2)["1", "basic:ad"].failed == (days(3, 5),)
    assert letters.left_alone(box.find(), 0)["1", "basic:ad"].failed == ()


def test_a_window_that_grows_each_night_counts_its_days(box, clock):
    for night in range(3):
        box.keep([letters.of_slice(LOAD, cut(1, 5 + night), "failed")], load_id=str(night))
        clock.advance(DAY)
    assert letters.left_alone(box.find(), 3)["1", "basic:ad"].failed == (days(1, 5),)


def test_discarded_days_are_left_alone_at_once(box):
    draft = letters.of_slice(LOAD, cut(1, 3), "failed")
    box.keep([draft])
    box.close([draft.id], state=DISCARDED, by="anna")
    found = letters.left_alone(box.find(), 5)["1", "basic:ad"]
    assert (found.failed, found.discarded, found.days) == ((), (days(1, 3),), (days(1, 3),))


@pytest.mark.parametrize(
    ("windows", "said"),
    [
        ([days(1, 1)], "2026-11-01"),
        ([days(1, 2), days(3, 3)], "2026-11-01..2026-11-03"),
        ([days(1, 1), days(5, 5)], "2 days from 2026-11-01 to 2026-11-05"),
    ],
)
def test_days_are_told_in_few_words(windows, said):
    assert letters.span(windows) == said
