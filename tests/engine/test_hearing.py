"""A poll asks about many reports at once; an answer that stumps us costs its own report alone."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from airflow_provider_liftos.engine import polling
from airflow_provider_liftos.engine.checkpoint import GIVEN_UP, READY, SUBMITTED, Checkpoint
from airflow_provider_liftos.engine.extraction import Extraction
from airflow_provider_liftos.model.errors import Unreadable
from airflow_provider_liftos.model.platform import Pending, ReportStatus
from airflow_provider_liftos.model.wire import Request, Response
from airflow_provider_liftos.transport.flow import run
from tests.engine.harness import META, Harness, basic, last
from tests.transport.conftest import answer

REPORTS = META.asynchronous()
TOKEN = "sandbox-token"


def bug() -> Exception:
    return KeyError(f"async_status\n behind ?access_token={TOKEN}")


def stumbling(
    over: Callable[[Pending], bool], error: Callable[[], BaseException] = bug
) -> Callable[[bytes, Sequence[Pending]], Sequence[ReportStatus]]:
    """Reads answers to polls, except those that tell of such a report."""

    def statuses(body: bytes, asked: Sequence[Pending]) -> Sequence[ReportStatus]:
        if any(over(one) for one in asked):
            raise error()
        return REPORTS.statuses(body, asked)

    return statuses


class Ready:
    """A platform of which every report is ready; counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def send(self, _base_url: str, request: Request) -> Response:
        batch = json.loads((request.form or {})["batch"])
        self.asked.append(len(batch))
        done = {"async_status": "Job Completed", "async_percent_completion": 100}
        return answer([{"code": 200, "body": json.dumps(done)} for _ in batch])


def running(harness: Harness, count: int) -> tuple[Extraction, list[Checkpoint]]:
    """So many reports that are being prepared, numbered."""
    extraction = harness.extraction()
    points = extraction.checkpoints.add(harness.slices([basic()], last(count), slice_days=1))
    for number, point in enumerate(points):
        point.state, point.report_id = SUBMITTED, str(number)
    extraction.checkpoints.save(*points)
    return extraction, points


def poll(harness: Harness, extraction: Extraction, sender: Any) -> dict[str, Checkpoint]:
    flow = polling.poll(extraction.session, extraction.checkpoints, harness.clock.now())
    run(flow, sender, harness.pass_time)
    return {str(point.report_id): point for point in harness.points()}


def reads(harness: Harness, **parts: Any) -> None:
    harness.platform = replace(META, prepared=replace(REPORTS, **parts))


def test_a_bug_in_reading_of_one_report_costs_that_report(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    reads(harness, statuses=stumbling(lambda one: one.report_id == "11"))
    extraction, _ = running(harness, 30)
    sender = Ready()
    with caplog.at_level(logging.ERROR):
        found = poll(harness, extraction, sender)
    assert {n for n, point in found.items() if point.state != READY} == {"11"}
    assert (found["11"].state, found["11"].error["kind"]) == (GIVEN_UP, "Unforeseen")
    assert "KeyError" in found["11"].error["message"]
    told = "\n".join(record.getMessage() for record in caplog.records)
    assert "Traceback" in told
    assert TOKEN not in told + found["11"].error["message"]
    assert len(sender.asked) <= 1 + 2 * 5, "halves of halves of thirty"


def test_a_bug_in_reading_of_every_report_ends_and_costs_them_all(harness: Harness) -> None:
    reads(harness, statuses=stumbling(lambda _one: True))
    extraction, _ = running(harness, 6)
    sender = Ready()
    found = poll(harness, extraction, sender)
    assert {point.state for point in found.values()} == {GIVEN_UP}
    assert len(sender.asked) == 2 * 6 - 1


def test_a_bug_in_deciding_costs_the_report_that_it_is_about(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    signals = META.signals

    def stumbles(headers: Any, account: str | None) -> Any:
        if "x-odd" in headers:
            raise bug()
        return signals(headers, account)

    def odd(body: bytes, asked: Sequence[Pending]) -> Sequence[ReportStatus]:
        found = REPORTS.statuses(body, asked)
        return [replace(s, headers={"x-odd": "1"}) if s.report_id == "2" else s for s in found]

    harness.platform = replace(META, signals=stumbles, prepared=replace(REPORTS, statuses=odd))
    extraction, _ = running(harness, 5)
    found = poll(harness, extraction, Ready())
    assert {n for n, point in found.items() if point.state == GIVEN_UP} == {"2"}
    assert {n for n, point in found.items() if point.state == READY} == {"0", "1", "3", "4"}


@pytest.mark.parametrize("poll_batch", [50, 1])
def test_an_answer_without_sense_costs_its_report_where_others_make_sense(
    harness: Harness, poll_batch: int
) -> None:
    odd = stumbling(lambda one: one.report_id == "0", nonsense)
    reads(harness, statuses=odd, poll_batch=poll_batch)
    extraction, _ = running(harness, 5)
    found = poll(harness, extraction, Ready())
    assert {n for n, point in found.items() if point.state == READY} == {"1", "2", "3", "4"}
    assert found["0"].state == GIVEN_UP
    assert "not what the platform documents" in found["0"].error["message"]


def nonsense() -> Exception:
    return ValueError("what is this?")


@pytest.mark.parametrize("poll_batch", [50, 3, 1])
@pytest.mark.parametrize(
    "senseless",
    [{0, 1}, {7, 8}, {0, 5, 9}, set(range(5)), set(range(5, 10)), set(range(9)), set(range(1, 10))],
)
def test_it_does_not_matter_which_of_ten_reports_have_senseless_answers(
    harness: Harness, poll_batch: int, senseless: set[int]
) -> None:
    odd = stumbling(lambda one: int(one.report_id) in senseless, nonsense)
    reads(harness, statuses=odd, poll_batch=poll_batch)
    extraction, _ = running(harness, 10)
    found = poll(harness, extraction, Ready())
    assert {int(n) for n, point in found.items() if point.state == GIVEN_UP} == senseless
    assert {int(n) for n, point in found.items() if point.state == READY} == (
        set(range(10)) - senseless
    )


@pytest.mark.parametrize("first", [0, 15, 25, 39])
def test_many_senseless_answers_in_a_row_do_not_hide_what_makes_sense(
    harness: Harness, first: int
) -> None:
    senseless = {(first + n) % 75 for n in range(36)}
    reads(harness, statuses=stumbling(lambda one: int(one.report_id) in senseless, nonsense))
    extraction, _ = running(harness, 75)
    for _ in range(4):
        found = poll(harness, extraction, Ready())
    assert {int(n) for n, point in found.items() if point.state == GIVEN_UP} == senseless
    assert {point.state for point in found.values()} == {GIVEN_UP, READY}


@pytest.mark.parametrize("count", [1, 2, 40])
def test_where_no_answer_makes_sense_it_is_the_platform_and_all_wait(
    harness: Harness, count: int
) -> None:
    extraction, _ = running(harness, count)

    class Hiccups(Ready):
        def send(self, base_url: str, request: Request) -> Response:
            super().send(base_url, request)
            return answer(b"<html>back soon</html>")

    sender = Hiccups()
    with pytest.raises(Unreadable):
        poll(harness, extraction, sender)
    assert {point.state for point in harness.points()} == {SUBMITTED}
    assert len(sender.asked) <= 40


@pytest.mark.parametrize("error", [MemoryError(), OSError("disk"), KeyboardInterrupt()])
def test_what_is_no_reports_fault_ends_the_poll(harness: Harness, error: BaseException) -> None:
    reads(harness, statuses=stumbling(lambda one: one.report_id == "1", lambda: error))
    extraction, _ = running(harness, 3)
    with pytest.raises(type(error)):
        poll(harness, extraction, Ready())
    assert {point.state for point in harness.points()} == {SUBMITTED}


def test_a_store_that_fails_ends_the_poll(harness: Harness) -> None:
    lost = OperationalError("SELECT", {}, Exception("gone"))
    reads(harness, statuses=stumbling(lambda _one: True, lambda: lost))
    extraction, _ = running(harness, 2)
    with pytest.raises(OperationalError):
        poll(harness, extraction, Ready())


def test_the_task_goes_on_without_that_report_and_a_new_try_brings_it(harness: Harness) -> None:
    account = harness.accounts[1].account_id
    reads(harness, statuses=stumbling(lambda one: one.slice.account_id == account))
    cuts = harness.slices([basic()], last(2), accounts=(0, 1, 2), streams=["campaigns"])
    done = harness.run_to_end(cuts)
    (failed,) = done.failed
    assert (failed.slice.account_id, failed.slice.name) == (account, "basic:ad")
    assert sum(cut.status == "complete" for cut in done.slices) == 5
    assert harness.published_equals_truth()
    harness.platform = META
    assert not harness.run_to_end(cuts, "load2").failed
    assert harness.published_equals_truth()


def test_a_bug_in_weighing_why_a_report_failed_costs_its_slice(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = polling.judged
    account = harness.accounts[0].account_id

    def stumbles(session: Any, point: Checkpoint) -> Any:
        if point.slice.account_id == account:
            raise bug()
        return judged(session, point)

    monkeypatch.setattr(polling, "judged", stumbles)
    harness.sandbox.faults.add(platform="meta", kind="job_failed", times=2)
    done = harness.run_to_end(harness.slices([basic()], last(2), accounts=(0, 1)))
    assert [cut.slice.account_id for cut in done.failed] == [account]
    assert harness.published_equals_truth()
