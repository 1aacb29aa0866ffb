"""Whose turn it is: lanes of slices, and reports of several tasks at a time."""

from __future__ import annotations

import multiprocessing
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_liftos.engine import turns
from airflow_provider_liftos.engine.checkpoint import INTENT, PLANNED, SUBMITTED, Checkpoints
from airflow_provider_liftos.engine.extraction import Finished, Waiting
from airflow_provider_liftos.model.platform import AsyncReport
from airflow_provider_liftos.model.report import Account, Slice, Window
from airflow_provider_liftos.model.wire import Lane
from airflow_provider_liftos.resilience.limiter import Limiter
from airflow_provider_liftos.sandbox import Sandbox
from airflow_provider_liftos.state.clock import ManualClock
from airflow_provider_liftos.state.store import StateStore
from tests.engine.harness import META, Harness, basic, last

FORK = multiprocessing.get_context("fork")
NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC).timestamp()


def lane(last_day: date, zone: str, own: Lane = Lane.FRESH) -> Lane:
    session: Any = SimpleNamespace(pace=SimpleNamespace(lane=own))
    cut = Slice(platform="meta", account_id="1", window=Window(since=last_day, until=last_day))
    return turns.lane(session, cut, {"1": Account(account_id="1", timezone=zone)}, NOW)


@pytest.mark.parametrize(
    ("zone", "yesterday"),
    [("UTC", 20), ("America/Los_Angeles", 20), ("Pacific/Kiritimati", 20), ("Pacific/Midway", 19)],
)
def test_yesterday_is_yesterday_where_the_account_is(zone: str, yesterday: int) -> None:
    assert lane(date(2026, 11, yesterday), zone) is Lane.FRESH
    assert lane(date(2026, 11, yesterday + 1), zone) is Lane.FRESH
    assert lane(date(2026, 11, yesterday - 1), zone) is Lane.BULK


def test_for_a_person_who_waits_every_day_is_the_same() -> None:
    assert lane(date(2020, 1, 1), "UTC", Lane.INTERACTIVE) is Lane.INTERACTIVE


def test_every_request_of_a_slice_goes_in_its_lane(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Lane] = []
    reserve = Limiter.reserve

    def noted(self: Limiter, places: Any, most: Any, own: Lane, **parts: Any) -> Any:
        seen.append(own)
        return reserve(self, places, most, own, **parts)

    monkeypatch.setattr(Limiter, "reserve", noted)
    week_ago = Window(since=date(2026, 11, 10), until=date(2026, 11, 12))
    history = harness.slices([basic()], week_ago, streams=["campaigns"])
    harness.extract(history)
    # Submitted, read, listed; reports are asked about for all slices of a task at once.
    assert (seen.count(Lane.BULK), seen.count(Lane.FRESH)) == (3, 1)
    seen.clear()
    harness.scope = "dag/other/extract/-1"
    harness.extract(harness.slices([basic()], last(2)), load_id="load2")
    assert set(seen) == {Lane.FRESH}


@pytest.fixture
def narrow(tmp_path: Path, own_sandbox: Sandbox) -> Iterator[Harness]:
    """A platform that prepares two reports of an account at a time."""
    reports = replace(META.asynchronous(), per_account=2)
    made = Harness(sandbox=own_sandbox, folder=tmp_path, platform=replace(META, prepared=reports))
    yield made
    made.close()


def in_state(harness: Harness, scope: str, state: str) -> int:
    points = Checkpoints(harness.store, "default", scope).load().values()
    return sum(point.state == state for point in points)


def test_two_tasks_of_an_account_share_its_places_for_reports(narrow: Harness) -> None:
    cuts = narrow.slices([basic()], last(3), slice_days=1)
    narrow.scope = "one"
    one = narrow.extraction()
    narrow.scope = "two"
    two = narrow.extraction("load2")
    assert one.advance(cuts) == Waiting(
        running=2, until=None, reason="2 reports are being prepared"
    )
    waiting = two.advance(cuts)
    assert isinstance(waiting, Waiting)
    assert waiting.until == pytest.approx(narrow.clock.now() + 60)
    assert (in_state(narrow, "two", SUBMITTED), in_state(narrow, "two", PLANNED)) == (0, 3)
    assert len(narrow.submissions()) == 2
    narrow.pass_time(61)
    outcomes: list[Any] = [None, None]
    for _ in range(12):
        for number, extraction in enumerate((one, two)):
            if not isinstance(outcomes[number], Finished):
                outcomes[number] = extraction.advance(cuts)
            running = in_state(narrow, "one", SUBMITTED) + in_state(narrow, "two", SUBMITTED)
            assert running <= 2
        narrow.pass_time(61)
    assert all(isinstance(outcome, Finished) for outcome in outcomes)
    assert len(narrow.submissions()) == 6
    assert {outcome.manifest.rows for outcome in outcomes} == {outcomes[0].manifest.rows}


def test_reports_of_a_task_that_is_no_more_count_until_their_deadline(narrow: Harness) -> None:
    cuts = narrow.slices([basic()], last(2), slice_days=1)
    narrow.scope = "dead"
    narrow.extraction().advance(cuts)
    narrow.scope = "alive"
    assert narrow.extraction().advance(cuts).until is not None
    narrow.pass_time(META.asynchronous().timeout + 1)
    narrow.extraction().advance(cuts)
    assert len(narrow.submissions()) == 4


def reports(**parts: Any) -> AsyncReport:
    return replace(META.asynchronous(), **parts)


def cut(account: str, day: int) -> Slice:
    window = Window(since=date(2026, 11, day), until=date(2026, 11, day))
    return Slice(platform="meta", account_id=account, window=window, report=basic())


def claim_all(url: str, org_id: str, number: int, gate: Any, results: Any) -> None:
    points = Checkpoints(StateStore(url, ManualClock(NOW)), org_id, f"task {number}")
    added = points.add([cut("1", day) for day in range(1, 6)])
    gate.wait()
    results.put(sum(points.claim(p, reports(per_account=7), 60) for p in added))


def test_six_processes_claim_no_more_than_there_is(store_url: str) -> None:
    gate, results, org_id = FORK.Barrier(6), FORK.Queue(), uuid.uuid4().hex
    with StateStore(store_url).read():
        pass  # its tables are there before the race
    workers = [
        FORK.Process(target=claim_all, args=(store_url, org_id, n, gate, results)) for n in range(6)
    ]
    for worker in workers:
        worker.start()
    assert sum(results.get(timeout=90) for _ in workers) == 7
    for worker in workers:
        worker.join(60)


def test_a_claim_is_an_intent_and_a_limit_may_be_of_all_accounts(store_url: str) -> None:
    clock = ManualClock(NOW)
    points = Checkpoints(StateStore(store_url, clock), uuid.uuid4().hex, "task")
    one, two, three = points.add([cut("1", 1), cut("2", 1), cut("3", 1)])
    narrow = reports(per_account=1, per_app=2)
    assert points.claim(one, narrow, 60)
    assert points.claim(two, narrow, 90)
    assert not points.claim(three, narrow, 60)
    found = points.load()
    assert [(found[p.fingerprint].state, found[p.fingerprint].attempts) for p in (one, three)] == [
        (INTENT, 1),
        (PLANNED, 0),
    ]
    clock.advance(61)
    assert points.claim(three, narrow, 60)
