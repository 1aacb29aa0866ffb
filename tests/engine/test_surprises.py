"""A bug met by the work on one slice costs that slice, and nothing that is no slice's fault."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_liftos.engine.extraction import Extraction
from airflow_provider_liftos.model.errors import StagingError
from airflow_provider_liftos.model.platform import Page, Paged, Pending
from airflow_provider_liftos.platforms import get
from tests.engine.harness import Harness, account_of, basic, last

META = get("meta")
REPORTS = META.asynchronous()
TOKEN = "sandbox-token"


def bug() -> Exception:
    return KeyError(f"spend\n of a row behind ?access_token={TOKEN}")


def stumbles(account: str, error: Callable[[], BaseException]) -> Callable[[Pending], Paged]:
    """Reads results of reports, except an account's."""

    def read(_body: bytes) -> Page:
        raise error()

    def result(pending: Pending) -> Paged:
        reading = REPORTS.result(pending)
        assert isinstance(reading, Paged)
        return replace(reading, page=read) if pending.slice.account_id == account else reading

    return result


def with_bug(harness: Harness, error: Callable[[], BaseException] = bug) -> str:
    """The account whose results are stumbled over."""
    account = account_of(harness.sandbox, 0).account_id
    reports = replace(REPORTS, result=stumbles(account, error))
    harness.platform = replace(META, prepared=reports)
    return account


def test_a_bug_in_a_reader_costs_its_slice_and_no_other(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    account = with_bug(harness)
    cuts = harness.slices([basic()], last(2), accounts=(0, 1), streams=["campaigns"])
    with caplog.at_level(logging.ERROR):
        done = harness.run_to_end(cuts)
    (failed,) = done.failed
    assert (failed.slice.account_id, failed.slice.name) == (account, "basic:ad")
    assert sum(cut.status == "complete" for cut in done.slices) == 3
    assert harness.published_equals_truth()
    (point,) = [p for p in harness.points() if p.state == "given_up"]
    assert point.error["kind"] == "Unforeseen"
    assert "KeyError" in failed.error
    assert "\n" not in failed.error
    assert TOKEN not in failed.error
    told = "\n".join(r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR)
    assert "Traceback" in told
    assert "in read" in told
    assert TOKEN not in told


def test_with_the_bug_mended_the_next_try_brings_the_slice(harness: Harness) -> None:
    with_bug(harness)
    cuts = harness.slices([basic()], last(2), accounts=(0, 1))
    assert len(harness.run_to_end(cuts).failed) == 1
    harness.platform = META
    assert not harness.run_to_end(cuts).failed
    assert harness.published_equals_truth()


def test_a_bug_in_choosing_how_to_read_costs_its_slice_and_no_other(harness: Harness) -> None:
    def at_once(cut: Any, credentials: Any) -> Any:
        if cut.account_id == harness.accounts[0].account_id:
            raise bug()
        return META.at_once(cut, credentials)

    harness.platform = replace(META, at_once=at_once)
    done = harness.run_to_end(harness.slices([basic()], last(2), accounts=(0, 1)))
    assert [cut.slice.account_id for cut in done.failed] == [harness.accounts[0].account_id]
    assert len(harness.submissions()) == 1


def test_an_answer_to_a_submission_that_stumps_us_may_have_left_a_report(harness: Harness) -> None:
    def unread(_body: bytes) -> str:
        raise bug()

    harness.platform = replace(META, prepared=replace(REPORTS, report_id=unread))
    done = harness.extract(harness.slices([basic()], last(2)))
    assert [cut.status for cut in done.slices] == ["failed"]
    assert [(p.attempts, p.wasted) for p in harness.points()] == [(1, 1)]


class Stop(BaseException):
    """A signal, or Airflow's time-out."""


@pytest.mark.parametrize(
    "error", [Stop(), KeyboardInterrupt(), MemoryError(), OSError("disk"), StagingError("disk")]
)
def test_what_is_no_slices_fault_ends_the_task(harness: Harness, error: BaseException) -> None:
    with_bug(harness, lambda: error)
    with pytest.raises(type(error)):
        harness.extract(harness.slices([basic()], last(2), accounts=(0, 1)))
    assert {point.state for point in harness.points()} <= {"ready", "fetched"}


def test_a_bug_of_the_engine_itself_ends_the_task(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_extraction: Extraction) -> None:
        raise bug()

    monkeypatch.setattr(Extraction, "_mend_failed", broken)
    with pytest.raises(KeyError):
        harness.extract(harness.slices([basic()], last(2)))
