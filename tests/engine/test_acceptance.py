"""What the strongest systems of the field get wrong, each as a fact about this engine."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from airflow_provider_liftos.engine.checkpoint import given_up
from airflow_provider_liftos.engine.extraction import Extraction, Options, Waiting
from airflow_provider_liftos.model.errors import Unavailable, WarehouseError
from airflow_provider_liftos.model.platform import Platform, RowMapping
from airflow_provider_liftos.model.report import Level, Report, Window
from airflow_provider_liftos.sandbox.wire.meta.results import Result
from airflow_provider_liftos.transport.flow import run
from tests.engine.harness import META, YESTERDAY, Harness, account_of, basic, last

BROKEN = ("demographics_age_and_gender", "demographics_country", "delivery_platform_and_device")


def days_asked(harness: Harness) -> list[tuple[str, date]]:
    """(account and level, day) of every submission, each day of its range."""
    found = []
    for entry in harness.submissions():
        span = json.loads(entry["params"]["time_range"])
        window = Window(
            since=date.fromisoformat(span["since"]), until=date.fromisoformat(span["until"])
        )
        owner = entry["path"] + entry["params"]["level"] + entry["params"].get("breakdowns", "")
        found += [(owner, day) for day in window.dates()]
    return found


def test_every_day_of_the_window_is_whole_and_asked_for_once(harness: Harness) -> None:
    cuts = harness.slices(
        [basic(level) for level in Level], last(10), accounts=(0, 2), slice_days=3
    )
    done = harness.run_to_end(cuts)
    assert harness.published_equals_truth(), harness.differences()
    asked = days_asked(harness)
    assert len(asked) == len(set(asked)) == 10 * 2 * len(Level)
    assert {day for _, day in asked} == set(last(10).dates())
    served = sum(entry["rows"] for entry in harness.journal("GET ") if "insights" in entry["path"])
    assert served == done.rows == len(harness.warehouse.query("SELECT 1 FROM liftos.performance"))
    dates = harness.warehouse.query("SELECT min(date), max(date) FROM liftos.performance")
    assert dates == [(last(10).since, last(10).until)]


def test_breakdowns_add_up_to_the_unbroken_report(harness: Harness) -> None:
    reports = [basic(Level.CAMPAIGN), *(META.preset(name, Level.CAMPAIGN) for name in BROKEN)]
    done = harness.run_to_end(harness.slices(reports, last(3), accounts=(0, 1)))
    sums = harness.warehouse.query(
        "SELECT DISTINCT date, account_id, sum(spend), sum(impressions), sum(clicks)"
        " FROM liftos.performance GROUP BY date, account_id, report ORDER BY ALL"
    )
    assert len(sums) == 6  # one line per day and account, whatever the report
    rows = harness.warehouse.query("SELECT count(*) FROM liftos.performance")[0][0]
    assert rows == done.rows > 4 * len(sums)
    assert harness.published_equals_truth(), harness.differences()


def test_restated_days_arrive_with_the_next_run_and_others_stay(own_harness: Harness) -> None:
    harness, sums = (
        own_harness,
        "SELECT date, sum(conversions) FROM liftos.performance GROUP BY ALL",
    )
    harness.run_to_end(harness.slices([basic()], last(5)))
    before = dict(harness.warehouse.query(sums))
    harness.pass_time(86_400)
    harness.scope = "dag/run2/extract/-1"
    tomorrow = Window(since=YESTERDAY - timedelta(days=2), until=YESTERDAY + timedelta(days=1))
    harness.run_to_end(harness.slices([basic()], tomorrow), "load2")
    after = dict(harness.warehouse.query(sums))
    assert harness.published_equals_truth(), harness.differences()
    assert set(after) == set(before) | {tomorrow.until}
    moved = {day for day in before if before[day] != after[day]}
    assert {tomorrow.since, YESTERDAY} <= moved  # the edge of the lookback, and the former last day
    assert not moved & {YESTERDAY - timedelta(days=3), YESTERDAY - timedelta(days=4)}


def test_a_row_that_the_wire_loses_is_noticed(
    own_harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Result._make
    monkeypatch.setattr(Result, "_make", lambda self, periods: made(self, periods)[1:])
    own_harness.run_to_end(own_harness.slices([basic()], last(2)))
    assert len(own_harness.differences()) == 2


def shifting(late: str) -> Platform:
    def shifted(report: Report, facts: object) -> RowMapping:
        mapping = META.mapping(report, {})
        return replace(mapping, select={**mapping.select, "date": f"({late})::VARCHAR"})

    return replace(META, mapping=shifted)


def test_a_mapping_that_shifts_days_is_noticed(harness: Harness) -> None:
    day = "try_cast(date_start AS DATE) + 1"
    cuts = harness.slices([basic()], last(3))
    harness.platform = shifting(day)
    with pytest.raises(WarehouseError, match="outside of the days"):
        harness.run_to_end(cuts)
    harness.platform = shifting(f"least({day}, DATE '{YESTERDAY}')")
    harness.run_to_end(cuts)
    assert len(harness.differences()) == 3


def test_the_token_is_in_no_address_and_its_expiry_is_told(harness: Harness) -> None:
    harness.run_to_end(harness.slices([basic()], last(1), streams=["ads"]))
    requests = harness.journal(batch=True)
    assert {entry["auth"] for entry in requests if "auth" in entry} == {"header"}
    assert not any("access_token" in entry["params"] for entry in requests)
    session = harness.session()
    facts = run(session.call(META.token(session.credentials), META.read_token), harness.sender)
    assert facts.valid
    assert "ads_read" in facts.scopes


def test_many_reports_are_polled_with_one_request(own_harness: Harness) -> None:
    cuts = own_harness.slices([basic()], last(30), slice_days=1)
    waiting = own_harness.extraction().advance(cuts)
    assert isinstance(waiting, Waiting)
    assert waiting.running == 30
    polls = [e for e in own_harness.journal("POST ") if not e["path"].endswith("/insights")]
    assert [entry["batch_size"] for entry in polls] == [30]


def test_a_locked_account_holds_up_only_itself(own_harness: Harness) -> None:
    harness, locked = own_harness, account_of(own_harness.sandbox, 0).account_id
    harness.sandbox.faults.add(kind="lockout", platform="meta", account=locked, regain=3600)
    cuts = harness.slices([basic()], last(2), accounts=(0, 1), streams=["campaigns"])
    extraction = harness.extraction()
    assert isinstance(extraction.advance(cuts), Waiting)
    harness.pass_time(61)
    waiting = extraction.advance(cuts)
    assert isinstance(waiting, Waiting)
    assert waiting.until == pytest.approx(harness.clock.now() + 3600, abs=130)
    states = {p.slice.account_id: p.state for p in harness.points()}
    assert states == {locked: "planned", account_of(harness.sandbox, 1).account_id: "fetched"}
    refused = [e for e in harness.journal("act_" + locked) if e["status"] != 200]
    assert len(refused) == 1  # nobody knocks at a locked door
    harness.publish(harness.extract(cuts))
    assert harness.published_equals_truth()
    assert harness.elapsed == pytest.approx(3600, abs=200)


def test_a_locked_account_does_not_delay_reports_of_others(own_harness: Harness) -> None:
    harness, locked = own_harness, account_of(own_harness.sandbox, 0).account_id
    harness.sandbox.faults.add(kind="lockout", platform="meta", account=locked, regain=3600)
    waiting = harness.extraction().advance(harness.slices([basic()], last(2), accounts=(0, 1)))
    assert isinstance(waiting, Waiting)
    assert (waiting.running, waiting.until) == (1, None)


def test_damaged_staging_is_fetched_again_without_a_new_report(harness: Harness) -> None:
    cuts = harness.slices([basic()], last(2), slice_days=1)
    first = harness.extract(cuts)
    with Path(first.slices[0].raw[0].path).open("ab") as file:
        file.write(b"x")
    harness.publish(harness.extract(cuts))
    assert harness.published_equals_truth()
    assert len(harness.submissions()) == 2


def test_slices_of_an_earlier_plan_are_forgotten(harness: Harness) -> None:
    harness.extract(harness.slices([basic()], last(3), slice_days=2))
    done = harness.run_to_end(harness.slices([basic()], last(4), slice_days=2))
    covered = [day for cut in done.slices for day in cut.slice.window.dates()]
    assert sorted(covered) == list(last(4).dates())
    assert harness.published_equals_truth()


def test_a_lost_answer_to_a_submission_is_counted(harness: Harness) -> None:
    harness.sandbox.faults.add(kind="reset", match="POST .*act_.*insights", times=2)
    harness.run_to_end(harness.slices([basic()], last(2)))
    assert len(harness.submissions()) == 3
    assert sum(point.wasted for point in harness.points()) == 2
    assert harness.published_equals_truth()


def test_after_success_everything_is_asked_for_afresh(harness: Harness) -> None:
    cuts = harness.slices([basic()], last(2))
    harness.extract(cuts)
    harness.extraction().checkpoints.consume()
    harness.extract(cuts)
    assert len(harness.submissions()) == 2


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        ({"code": 2, "status": 500}, "right"),
        ({"code": 104, "status": 400}, "right"),
        ({"code": 960, "status": 400}, "right"),
        ({"code": 1, "status": 500}, "right"),
        ({"code": 2, "subcode": 1504044, "status": 400}, "right"),
        ({"code": 2, "subcode": 1504043, "status": 503}, "right"),
        ({"code": 1, "subcode": 99, "status": 500}, "right"),
        ({"code": 100, "subcode": 1487534, "status": 400, "transient": False}, "right"),
        ({"code": 2, "subcode": 1504038, "status": 400}, "right"),
        ({"code": 2637, "subcode": 1815107, "status": 400}, "right"),
        ({"code": -2, "subcode": 2490547, "status": 400}, "right"),
        ({"code": 100, "subcode": 33, "status": 400, "transient": False}, "right"),
        (
            {
                "code": 100,
                "status": 400,
                "transient": False,
                "message": "(#100) Cannot include spend in summary param",
            },
            "right",
        ),
        ({"code": 2, "subcode": 1504041, "status": 400, "transient": True}, "failed"),
        ({"code": 100, "subcode": 3191001, "status": 400, "transient": False}, "failed"),
        ({"code": 3018, "status": 400, "transient": False}, "failed"),
        ({"code": 200, "status": 403, "transient": False}, "failed"),
    ],
    ids=lambda value: (
        value if isinstance(value, str) else f"{value['code']}-{value.get('subcode')}"
    ),
)
def test_an_error_once_while_reading_results(
    harness: Harness, error: dict[str, object], verdict: str
) -> None:
    harness.sandbox.faults.add(kind="http_500", match="GET .*/insights", times=1, **error)
    done = harness.run_to_end(harness.slices([basic()], last(2)))
    assert (len(done.failed) > 0) == (verdict == "failed")
    assert verdict == "failed" or harness.published_equals_truth()
    assert len(harness.submissions()) <= 3


@pytest.mark.parametrize("code", [4, 17, 32, 341, 613, 80000, 80004, 80014])
def test_every_limit_is_waited_for_and_costs_one_request(harness: Harness, code: int) -> None:
    harness.sandbox.faults.add(kind="rate_limit", times=1, code=code, subcode=None, regain=120)
    harness.run_to_end(harness.slices([basic()], last(1)))
    assert len(harness.journal()) <= 4
    assert 120 <= harness.elapsed <= 200
    assert harness.published_equals_truth()


def test_an_empty_account_is_complete_without_rows(harness: Harness) -> None:
    done = harness.run_to_end(harness.slices([basic()], last(5), accounts=(3,)))
    assert [(cut.status, cut.rows) for cut in done.slices] == [("complete", 0)]
    assert harness.published_equals_truth()


def test_a_failed_slice_publishes_and_deletes_nothing(harness: Harness) -> None:
    cuts = harness.slices([basic()], last(2))
    harness.run_to_end(cuts)
    before = harness.warehouse.query("SELECT count(*), sum(spend) FROM liftos.performance")
    harness.scope = "dag/run2/extract/-1"
    harness.sandbox.faults.add(kind="job_failed", code=2, subcode=1504042)
    done = harness.run_to_end(cuts, "load2")
    assert [cut.status for cut in done.slices] == ["failed"]
    assert harness.warehouse.query("SELECT count(*), sum(spend) FROM liftos.performance") == before


def test_kills_do_not_use_up_the_tries_of_a_report(harness: Harness) -> None:
    cuts = harness.slices([basic()], last(1))
    extraction: Extraction = harness.extraction()
    extraction.checkpoints.add(cuts)
    for _ in range(5):  # killed between intent and answer
        (point,) = extraction.checkpoints.load().values()
        point.state, point.attempts = "intent", point.attempts + 1
        extraction.checkpoints.save(point)
        extraction._points = extraction.checkpoints.load()
        extraction._recover()
    harness.sandbox.faults.add(kind="job_failed", times=1)
    harness.publish(harness.extract(cuts))
    assert harness.published_equals_truth()
    assert len(harness.submissions()) == 2
    assert [p.wasted for p in harness.points()] == [6]


def test_on_the_last_try_an_account_out_of_reach_is_given_up_for_the_others(
    harness: Harness,
) -> None:
    gone = account_of(harness.sandbox, 0).account_id
    harness.sandbox.faults.add(kind="http_500", account=gone)
    cuts = harness.slices([basic()], last(2), accounts=(0, 1))
    with pytest.raises(Unavailable):
        harness.extract(cuts)
    harness.how = Options(last_try=True)
    done = harness.run_to_end(cuts)
    assert [cut.slice.account_id for cut in done.failed] == [gone]
    assert harness.published_equals_truth()
    assert len(harness.journal()) <= 20


def test_a_new_try_asks_again_for_what_was_given_up(harness: Harness) -> None:
    barred, gone = (account_of(harness.sandbox, i).account_id for i in (0, 1))
    harness.sandbox.faults.add(kind="http_500", account=barred, code=200, status=403)
    harness.sandbox.faults.add(kind="http_500", account=gone)
    cuts = harness.slices([basic()], last(2), accounts=(0, 1), streams=["campaigns"])
    with pytest.raises(Unavailable):
        harness.extract(cuts)
    states = {p.state for p in harness.points() if p.slice.account_id == barred}
    assert states == {"given_up"}
    harness.sandbox.faults.clear()
    harness.pass_time(600)
    done = harness.run_to_end(cuts)
    assert not done.failed
    assert harness.published_equals_truth()


def test_a_field_that_came_back_is_asked_for_by_the_next_try(harness: Harness) -> None:
    extraction = harness.extraction()
    (point,) = extraction.checkpoints.add(harness.slices([basic()], last(1)))
    point.slice = point.slice.narrowed(report=replace(basic(), metrics=("spend",)))
    point.state, point.dropped = "dropped", ("reach", "spend")
    (again,) = given_up([point])
    assert (again.state, again.dropped) == ("planned", ("reach",))


def test_a_stint_after_a_deferral_leaves_what_was_given_up(harness: Harness) -> None:
    barred = account_of(harness.sandbox, 0).account_id
    harness.sandbox.faults.add(kind="http_500", account=barred, code=200, status=403)
    cuts = harness.slices([basic()], last(2))
    assert harness.extract(cuts).failed
    harness.sandbox.faults.clear()
    asked = len(harness.journal())
    harness.how = Options(new_try=False)
    assert harness.extract(cuts).failed
    assert len(harness.journal()) == asked


def test_weeks_of_two_runs_count_no_day_twice(harness: Harness) -> None:
    weekly = basic(Level.CAMPAIGN, time_increment=7)
    for run_, end in enumerate((YESTERDAY - timedelta(days=1), YESTERDAY)):
        harness.scope = f"dag/run{run_}/extract/-1"
        window = Window(since=end - timedelta(days=9), until=end)
        assert not harness.run_to_end(harness.slices([weekly], window), f"load{run_}").failed
    overlaps = harness.warehouse.query(
        "SELECT a.date, b.date FROM liftos.performance a JOIN liftos.performance b"
        " ON a.campaign_id = b.campaign_id AND a.date < b.date AND a.date_end >= b.date"
    )
    assert overlaps == []
    dates = harness.warehouse.query("SELECT DISTINCT date, date_end FROM liftos.performance")
    assert max(dates) == (date(2026, 11, 16), YESTERDAY)
