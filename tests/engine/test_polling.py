from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest

from airflow_provider_liftos.engine import polling
from airflow_provider_liftos.engine.checkpoint import FETCHED, READY, SUBMITTED, Checkpoint
from airflow_provider_liftos.engine.extraction import Extraction
from airflow_provider_liftos.model.errors import NotAuthorized, Throttled, TooMuchData
from airflow_provider_liftos.transport.flow import run
from tests.engine.harness import Harness, basic, last
from tests.transport.conftest import Script, answer


@pytest.mark.parametrize(
    ("state", "report_id", "expected"),
    [(SUBMITTED, "77", READY), (FETCHED, "77", FETCHED), (SUBMITTED, "78", SUBMITTED)],
)
def test_a_late_poll_writes_nothing_over_what_came_meanwhile(
    harness: Harness, state: str, report_id: str, expected: str
) -> None:
    extraction = harness.extraction()
    (point,) = extraction.checkpoints.add(harness.slices([basic()], last(1)))
    point.state, point.report_id = SUBMITTED, "77"
    extraction.checkpoints.save(point)
    heard = extraction.checkpoints.load()[point.fingerprint]
    heard.state = READY
    point.state, point.report_id, point.attempts = state, report_id, 3
    extraction.checkpoints.save(point)
    extraction.checkpoints.note(heard)
    (found,) = harness.points()
    assert (found.state, found.report_id, found.attempts) == (expected, report_id, 3)


def test_slices_that_are_split_side_by_side_disturb_no_other(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def looked_through(self: Extraction, _point: Checkpoint) -> bool:
        return not all(time.sleep(0.001) is None for _ in self._points.values())

    def too_much(_self: Extraction, point: Checkpoint) -> None:
        time.sleep(0.002 * point.position)
        raise TooMuchData(point.slice.label)

    monkeypatch.setattr(Extraction, "_hopeless", looked_through)
    monkeypatch.setattr(Extraction, "_fetch", too_much)
    extraction = harness.extraction()
    extraction.checkpoints.add(harness.slices([basic()], last(24), slice_days=2))
    extraction._points = extraction.checkpoints.load()
    extraction._fetch_all(list(extraction._points.values()))
    assert sorted(p.state for p in harness.points()) == ["planned"] * 24 + ["split"] * 12


def polled(harness: Harness, *errors: dict[str, int] | None) -> list[str]:
    """States after one poll that hears these errors, one per report; None: it still runs."""
    extraction = harness.extraction()
    points = extraction.checkpoints.add(harness.slices([basic()], last(len(errors)), slice_days=1))
    for number, point in enumerate(points):
        point.state, point.report_id = SUBMITTED, str(number)
    extraction.checkpoints.save(*points)
    items = [
        {"code": 400, "body": json.dumps({"error": error})} if error else None for error in errors
    ]
    sender = Script([answer(items)], harness.clock)
    run(polling.poll(extraction.session, extraction.checkpoints, harness.clock.now()), sender)
    return [point.state for point in harness.points()]


def test_a_token_refused_inside_a_batch_is_refused_at_once(harness: Harness) -> None:
    with pytest.raises(NotAuthorized, match="token"):
        polled(harness, None, {"code": 190})


def test_limits_inside_a_batch_hold_up_only_those_who_hear_nothing_else(harness: Harness) -> None:
    assert polled(harness, None, {"code": 80000}) == [SUBMITTED, SUBMITTED]
    harness.scope = "dag/run2/extract/-1"
    with pytest.raises(Throttled) as caught:
        polled(harness, {"code": 80000}, {"code": 17})
    assert caught.value.retry_at == harness.clock.now() + 60


def test_usage_told_inside_a_batch_holds_up_the_account_before_it_is_refused(
    harness: Harness,
) -> None:
    extraction = harness.extraction()
    points = extraction.checkpoints.add(harness.slices([basic()], last(3), slice_days=1))
    for number, point in enumerate(points):
        point.state, point.report_id = SUBMITTED, str(number)
    extraction.checkpoints.save(*points)
    usage = {"acc_id_util_pct": 97, "reset_time_duration": 600}
    headers = [{"name": "X-Ad-Account-Usage", "value": json.dumps(usage)}]
    running = {"code": 200, "body": '{"async_status": "Job Running"}', "headers": headers}
    sender = Script([answer([running, running, None])], harness.clock)
    run(polling.poll(extraction.session, extraction.checkpoints, harness.clock.now()), sender)
    assert [point.state for point in harness.points()] == [SUBMITTED] * 3
    (account,) = {point.slice.account_id for point in points}
    now = harness.clock.now()
    paused = {s.key: s.paused_until - now for s in harness.limiter.state() if s.paused_until > now}
    assert paused == {f"meta/account/{account}/allowance": 600}


def test_a_report_that_the_token_may_not_ask_about_any_more_has_failed(harness: Harness) -> None:
    assert polled(harness, {"code": 200}, {"code": 100}) == ["failed", SUBMITTED]


@pytest.mark.parametrize(
    ("error", "kind"),
    [({"code": 100, "error_subcode": 33}, "expired"), ({"code": 10}, "failed"),
     ({"code": 3018}, "failed")],
)  # fmt: skip
def test_a_refusal_to_tell_of_the_only_report_asked_about_concerns_that_report(
    harness: Harness, error: dict[str, int], kind: str
) -> None:
    one_by_one = replace(harness.platform.asynchronous(), poll_batch=1)
    extraction = harness.extraction()
    extraction.session.platform = replace(harness.platform, prepared=one_by_one)
    first, second = points = extraction.checkpoints.add(
        harness.slices([basic()], last(2), slice_days=1)
    )
    for point in points:
        point.state, point.report_id = SUBMITTED, point.fingerprint
    extraction.checkpoints.save(*points)
    sender = Script([answer({"error": error}, 400), answer([None])], harness.clock)
    run(polling.poll(extraction.session, extraction.checkpoints, harness.clock.now()), sender)
    found = {point.fingerprint: point for point in harness.points()}
    assert found[first.fingerprint].state == "failed"
    assert found[first.fingerprint].error["kind"] == kind
    assert found[first.fingerprint].error["code"] == error["code"]
    assert found[second.fingerprint].state == SUBMITTED


def test_a_refused_token_is_nothing_that_a_single_report_did(harness: Harness) -> None:
    one_by_one = replace(harness.platform.asynchronous(), poll_batch=1)
    extraction = harness.extraction()
    extraction.session.platform = replace(harness.platform, prepared=one_by_one)
    (point,) = extraction.checkpoints.add(harness.slices([basic()], last(1)))
    point.state, point.report_id = SUBMITTED, "77"
    extraction.checkpoints.save(point)
    sender = Script([answer({"error": {"code": 190}}, 400)], harness.clock)
    with pytest.raises(NotAuthorized):
        run(polling.poll(extraction.session, extraction.checkpoints, harness.clock.now()), sender)
    assert [one.state for one in harness.points()] == [SUBMITTED]
