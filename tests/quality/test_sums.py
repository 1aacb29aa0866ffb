from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_liftos.engine.manifest import File
from airflow_provider_liftos.model.platform import Coverage
from airflow_provider_liftos.model.report import Account, Ids, Level
from airflow_provider_liftos.quality.days import PublishedDay
from airflow_provider_liftos.quality.facts import due_day
from airflow_provider_liftos.quality.findings import Status, Verdict
from tests.quality.scene import (
    ACCOUNT,
    ASKED,
    CLEAN,
    DAY1,
    DAY2,
    DAY3,
    Scene,
    campaign,
    days,
    entity,
    failing,
    finding,
    part,
    stream,
    totals,
)  # fmt: skip

BEFORE, AFTER = DAY1 - timedelta(days=1), DAY3 + timedelta(days=1)
COUNTRY: dict[str, Any] = {"report": "countries", "breakdowns": ("country",)}


def by_country(rows: list[dict[str, Any]], share: float = 0.5) -> list[dict[str, Any]]:
    return [
        r | {"report": "countries", "breakdown_key": f"country={code}", "extra_metrics": None, "reach": None,
             "impressions": int(r["impressions"] * share), "clicks": int(r["clicks"] * share),
             "spend": float(r["spend"]) * share}
        for r in rows for code in ("DE", "FR")
    ]  # fmt: skip


def test_a_slice_that_failed_is_a_finding_and_is_not_published(scene: Scene) -> None:
    bad = scene.failed(part(account="1002"), "report 77 was given up")
    outcome = scene.audit(scene.stage(part(), CLEAN), bad)
    assert failing(outcome) == {"slice_complete"}
    assert [d.verdict for d in outcome.decisions] == [Verdict.PUBLISH, Verdict.QUARANTINE]
    assert "report 77 was given up" in outcome.decisions[1].reasons[0]
    assert finding(outcome, "slice_complete", bad).dimension == "completeness"


def test_rows_that_did_not_arrive_in_the_audit_table_block(scene: Scene) -> None:
    result = scene.stage(part(), CLEAN)
    scene.con.execute("DELETE FROM liftos_audit.performance WHERE campaign_id = 'c2'")
    outcome = scene.audit(result)
    assert failing(outcome) == {"rows_loaded"}
    assert finding(outcome, "rows_loaded").observed == "3 rows loaded of 6 staged"
    assert outcome.decisions[0].verdict is Verdict.QUARANTINE


def test_a_repeated_key_is_found_and_nulls_are_equal(scene: Scene) -> None:
    outcome = scene.audit(scene.stage(part(), [*CLEAN, CLEAN[0]]))
    assert failing(outcome) == {"key_unique"}
    assert outcome.decisions[0].verdict is Verdict.QUARANTINE


def test_attribution_windows_and_breakdowns_make_keys_differ(scene: Scene) -> None:
    rows = [
        *CLEAN,
        *(r | {"attribution_window": "7d_click"} for r in CLEAN),
        *(r | {"breakdown_key": "x"} for r in CLEAN),
    ]
    assert not failing(scene.audit(scene.stage(part(), rows)))


def test_another_load_is_not_this_ones_business(scene: Scene) -> None:
    scene.stage(part(), [r | {"load_id": "load-9", "spend": "-1"} for r in CLEAN])
    assert not failing(scene.audit(scene.stage(part(), CLEAN)))


@pytest.mark.parametrize(("today", "delay", "late"), [
    (AFTER, 1, True), (AFTER, 2, False), (AFTER + timedelta(days=5), 1, True),
    (datetime(2026, 11, 19, 22, tzinfo=UTC), 1, False),  # still the 19th in Berlin
    (datetime(2026, 11, 19, 23, 30, tzinfo=UTC), 1, True),  # the 20th has begun there
])  # fmt: skip
def test_the_newest_expected_day_must_be_there(
    scene: Scene, today: Any, delay: int, late: bool
) -> None:
    outcome = scene.audit(scene.stage(part(), days(DAY1, DAY2)), today=today, delay_days=delay)
    assert failing(outcome) == ({"data_fresh"} if late else set())


@pytest.mark.parametrize(("pauses", "until", "status"), [
    (3, DAY2, Status.NOT_APPLICABLE),  # a day of silence is nothing new
    (2, DAY2, Status.FAILED),  # twice is no habit
    (3, DAY1, Status.FAILED),  # never so long
])  # fmt: skip
def test_an_account_that_often_pauses_is_not_late_for_one_more_pause(
    scene: Scene, pauses: int, until: date, status: Status
) -> None:
    silent = {DAY1 - timedelta(days=4 * n) for n in range(1, pauses + 1)}
    before = [DAY1 - timedelta(days=n) for n in range(1, 29)]
    scene.published(*(day for day in before if day not in silent))
    scene.published(*silent, rows=0, spend=None)
    there = [day for day in (DAY1, DAY2) if day <= until]
    outcome = scene.audit(scene.stage(part(), days(*there)), today=AFTER)
    assert finding(outcome, "data_fresh").status is status


def test_old_windows_are_judged_by_their_own_end(scene: Scene) -> None:
    outcome = scene.audit(scene.stage(part(), CLEAN), today=date(2027, 5, 1))
    assert finding(outcome, "data_fresh").status is Status.PASSED


def test_only_the_newest_slice_of_a_report_can_be_late(scene: Scene) -> None:
    old = scene.stage(part(since=DAY1, until=DAY2), days(DAY1))
    new = scene.stage(part(since=DAY3, until=DAY3), days(DAY3))
    outcome = scene.audit(old, new)
    assert finding(outcome, "data_fresh", old).status is Status.NOT_APPLICABLE
    assert finding(outcome, "data_fresh", new).status is Status.PASSED


def test_a_window_that_is_not_due_yet_has_no_freshness(scene: Scene) -> None:
    outcome = scene.audit(scene.stage(part(), CLEAN), today=DAY1)
    assert finding(outcome, "data_fresh").status is Status.NOT_APPLICABLE


def test_an_unknown_zone_leaves_the_day_as_given() -> None:
    assert due_day(datetime(2026, 11, 20, tzinfo=UTC), "Nowhere/Land", 1) == date(2026, 11, 19)


def test_an_empty_answer_where_spend_is_published_blocks(scene: Scene) -> None:
    scene.published(DAY2)
    outcome = scene.audit(scene.stage(part(), []))
    assert failing(outcome) == {"empty_is_not_zero"}
    assert outcome.decisions[0].verdict is Verdict.QUARANTINE


def test_an_empty_answer_after_spend_is_a_warning_where_nothing_contradicts(scene: Scene) -> None:
    scene.published(BEFORE)
    outcome = scene.audit(scene.stage(part(), []))
    assert failing(outcome) == {"account_is_heard"}
    assert finding(outcome, "account_is_heard").severity == "high"
    assert str(BEFORE) in finding(outcome, "account_is_heard").observed
    assert outcome.decisions[0].verdict is Verdict.WARN


@pytest.mark.parametrize(
    ("ad", "group", "silent"),
    [
        ({}, {}, True),
        ({"effective_status": "enabled"}, {"end_at": ASKED + timedelta(days=9)}, True),
        ({"effective_status": "ADSET_PAUSED"}, {}, False),
        ({"effective_status": None}, {}, False),
        ({}, {"effective_status": "PAUSED"}, False),
        ({}, {"end_at": ASKED - timedelta(days=3)}, False),
        ({"account_id": "1002"}, {"account_id": "1002"}, False),
    ],
)
def test_silence_up_to_the_newest_day_blocks_where_ads_are_active(
    scene: Scene, ad: dict[str, Any], group: dict[str, Any], silent: bool
) -> None:
    scene.published(BEFORE)
    scene.able(ad, group)
    for today, blocks in ((AFTER, silent), (AFTER + timedelta(days=1), False)):
        outcome = scene.audit(scene.stage(part(), []), today=today)
        assert failing(outcome) == {"empty_is_not_zero" if blocks else "account_is_heard"}, today
        assert outcome.decisions[0].verdict is (Verdict.QUARANTINE if blocks else Verdict.WARN)


def test_the_silence_of_an_account_that_may_not_deliver_is_no_wonder(scene: Scene) -> None:
    scene.published(BEFORE)
    scene.able({}, {})
    disabled = Account(account_id=ACCOUNT, currency="EUR", timezone="UTC", status="disabled")
    assert failing(scene.audit(scene.stage(part(), [], account=disabled))) == {"account_is_heard"}


def test_the_snapshot_under_audit_knows_better_than_the_published_one(scene: Scene) -> None:
    scene.published(BEFORE)
    scene.able({}, {})
    paused = entity("ads", ad_id="a1", ad_group_id="g1", effective_status="PAUSED")
    outcome = scene.audit(scene.stage(part(), []), scene.stage(stream("ads"), [paused]))
    assert failing(outcome) == {"account_is_heard"}


@pytest.mark.parametrize(
    ("below", "rule"), [("c1", "account_is_heard"), ("c2", "empty_is_not_zero")]
)
def test_changes_under_audit_know_better_of_their_own_campaigns_alone(
    scene: Scene, below: str, rule: str
) -> None:
    scene.published(BEFORE)
    scene.able({"campaign_id": "c1"}, {"campaign_id": "c1"})
    paused = entity(
        "ads", ad_id="a2" if below == "c2" else "a1", ad_group_id="g1", campaign_id=below,
        effective_status="PAUSED",
    )  # fmt: skip
    told = scene.stage(stream("ads").narrowed(ids=Ids(values=(below,))), [paused])
    outcome = scene.audit(scene.stage(part(), []), told, today=AFTER)
    assert failing(outcome) == {rule}


def test_an_empty_answer_where_another_level_has_spend_blocks(scene: Scene) -> None:
    campaigns = scene.stage(part(), CLEAN)
    ads = scene.stage(part(Level.AD), [])
    outcome = scene.audit(campaigns, ads)
    assert failing(outcome) == {"empty_is_not_zero"}
    assert [d.verdict for d in outcome.decisions] == [Verdict.PUBLISH, Verdict.QUARANTINE]


@pytest.mark.parametrize(("today", "broken", "verdict"), [
    (AFTER, "delivery_goes_on", Verdict.WARN),
    (DAY3, "empty_is_not_zero", Verdict.QUARANTINE),  # the day is not over
])  # fmt: skip
def test_a_pause_that_the_coarsest_report_confirms_is_a_warning(
    scene: Scene, today: date, broken: str, verdict: Verdict
) -> None:
    rows = days(DAY1, DAY2)
    spans = {"since": DAY1, "until": DAY2}, {"since": DAY3, "until": DAY3}
    top, quiet_top = (scene.stage(part(Level.ACCOUNT, **span), rows_)
                      for span, rows_ in zip(spans, (totals(rows), []), strict=True))  # fmt: skip
    low, quiet_low = (scene.stage(part(**span), rows_)
                      for span, rows_ in zip(spans, (rows, []), strict=True))  # fmt: skip
    outcome = scene.audit(top, quiet_top, low, quiet_low, today=today)
    assert failing(outcome) == {broken}
    assert [d.verdict for d in outcome.decisions] == [Verdict.PUBLISH, verdict] * 2


def test_a_pause_is_not_believed_where_the_coarsest_report_did_not_answer(scene: Scene) -> None:
    first = scene.stage(part(since=DAY1, until=DAY2), days(DAY1, DAY2))
    second = scene.stage(part(since=DAY3, until=DAY3), [])
    top = scene.failed(part(Level.ACCOUNT, since=DAY3, until=DAY3))
    outcome = scene.audit(first, second, top)
    assert finding(outcome, "empty_is_not_zero", second).status is Status.FAILED


def test_one_quiet_day_between_published_days_is_a_pause(scene: Scene) -> None:
    scene.published(BEFORE)
    scene.able({}, {})
    quiet = scene.stage(part(since=DAY1, until=DAY1), [])
    assert failing(scene.audit(quiet)) == {"account_is_heard"}, "silent since, for all we know"
    scene.published(DAY2)
    outcome = scene.audit(quiet)
    assert failing(outcome) == {"delivery_goes_on"}
    assert outcome.decisions[0].verdict is Verdict.WARN


def test_a_broken_down_report_alone_is_contradicted_by_nothing(scene: Scene) -> None:
    scene.published(BEFORE)
    outcome = scene.audit(scene.stage(part(report="basic", breakdowns=("country",)), []))
    assert failing(outcome) == {"account_is_heard"}


def test_a_broken_down_report_that_is_empty_beside_spend_blocks(scene: Scene) -> None:
    scene.published(BEFORE, report="countries")
    total = scene.stage(part(), CLEAN)
    outcome = scene.audit(total, quiet := scene.stage(part(**COUNTRY), []))
    assert failing(outcome) == {"empty_is_not_zero"}
    assert "basic:campaign does not agree" in finding(outcome, "empty_is_not_zero", quiet).observed


def test_a_report_by_action_may_be_empty_on_any_day(scene: Scene) -> None:
    actions = part(report="basic", action_breakdowns=("action_type",))
    scene.published(BEFORE, DAY2, spend=None)
    outcome = scene.audit(scene.stage(actions, []))
    assert failing(outcome) == {"delivery_goes_on"}


def test_a_report_that_lawfully_lacks_rows_may_be_empty_or_full_of_gaps(scene: Scene) -> None:
    scene.published(BEFORE, report="countries")
    scene.published(AFTER, report="countries")
    sparse = {"coverage": lambda report: Coverage(sparse=report.name == "countries")}
    total = scene.stage(part(), CLEAN)
    quiet = scene.stage(part(**COUNTRY), [])
    assert failing(scene.audit(total, quiet, **sparse)) == {"delivery_goes_on"}
    gaps = scene.stage(part(**COUNTRY), by_country(days(DAY1)))
    assert not failing(scene.audit(total, gaps, **sparse))


def test_spend_that_was_published_does_not_vanish_from_such_a_report_either(scene: Scene) -> None:
    scene.published(DAY2, spend=7)
    outcome = scene.audit(scene.stage(part(), []), coverage=lambda _: Coverage(sparse=True))
    assert failing(outcome) == {"empty_is_not_zero"}


def test_a_finer_level_may_lack_what_has_no_such_parts_but_never_hold_more(scene: Scene) -> None:
    partial = {"coverage": lambda report: Coverage(partial=report.level is Level.AD)}
    whole = scene.stage(part(), CLEAN)
    ads = [row | {"level": "ad", "ad_id": "a1", "ad_group_id": "g1"} for row in CLEAN]
    few = scene.stage(part(level=Level.AD), ads[:3])
    assert "levels_add_up" in failing(scene.audit(whole, few))
    assert "levels_add_up" not in failing(scene.audit(whole, few, **partial))


def test_what_counts_things_several_times_is_not_added_up(scene: Scene) -> None:
    whole, double = scene.stage(part(), CLEAN), scene.stage(part(**COUNTRY), by_country(CLEAN, 1.0))
    assert failing(scene.audit(whole, double)) == {"breakdowns_add_up"}
    assert not failing(scene.audit(whole, double, coverage=lambda _: Coverage(overlapping=True)))


def test_an_empty_answer_after_days_without_spend_is_lawful(scene: Scene) -> None:
    scene.published(BEFORE, spend=0)
    outcome = scene.audit(scene.stage(part(), []))
    assert finding(outcome, "empty_is_not_zero").status is Status.PASSED
    assert outcome.decisions[0].verdict is Verdict.PUBLISH


def test_a_first_empty_answer_cannot_be_judged(scene: Scene) -> None:
    scene.published(BEFORE, account="1002")
    outcome = scene.audit(scene.stage(part(), []))
    assert finding(outcome, "empty_is_not_zero").status is Status.NOT_APPLICABLE


def test_previous_days_may_be_given_instead_of_asked(scene: Scene) -> None:
    scene.published(BEFORE)
    result = scene.stage(part(), [])
    assert not failing(scene.audit(result, previous=[]))
    known = PublishedDay(account_id=ACCOUNT, report="basic", level="campaign", date=DAY2, rows=4)
    assert failing(scene.audit(result, previous=[known])) == {"empty_is_not_zero"}


def test_regrading_lets_a_knowing_person_accept_emptiness(scene: Scene) -> None:
    scene.published(DAY2)
    outcome = scene.audit(scene.stage(part(), []), severities={"empty_is_not_zero": "low"})
    assert finding(outcome, "empty_is_not_zero").severity == "low"
    assert not [
        r for d in outcome.decisions for r in d.reasons if "empty_is_not_zero (critical)" in r
    ]


def test_levels_of_one_run_add_up(scene: Scene) -> None:
    top = scene.stage(part(Level.ACCOUNT), totals(CLEAN))
    low = scene.stage(part(), CLEAN)
    outcome = scene.audit(top, low)
    assert not failing(outcome)
    assert finding(outcome, "levels_add_up", low).status is Status.PASSED
    assert finding(outcome, "levels_add_up", top).status is Status.NOT_APPLICABLE


@pytest.mark.parametrize("level", [Level.CAMPAIGN, Level.AD_GROUP, Level.AD])
def test_a_row_lost_at_a_finer_level_is_found_there(scene: Scene, level: Level) -> None:
    rows = [r | {"level": str(level), "ad_group_id": "g", "ad_id": "a"} for r in CLEAN]
    top = scene.stage(part(Level.ACCOUNT), totals(CLEAN))
    low = scene.stage(part(level), rows[:-1])
    outcome = scene.audit(top, low)
    assert failing(outcome) == {"levels_add_up"}
    found = finding(outcome, "levels_add_up", low)
    assert found.status is Status.FAILED
    assert "2000 against" not in found.observed
    assert "account level" in found.observed


def test_levels_are_compared_on_days_both_have(scene: Scene) -> None:
    top = scene.stage(part(Level.ACCOUNT, since=DAY2, until=DAY2), totals(days(DAY2)))
    low = scene.stage(part(), CLEAN)
    assert not failing(scene.audit(top, low))


def test_half_a_percent_between_levels_is_tolerated(scene: Scene) -> None:
    top = [r | {"spend": float(r["spend"]) * 1.004} for r in totals(CLEAN)]
    results = scene.stage(part(Level.ACCOUNT), top), scene.stage(part(), CLEAN)
    assert not failing(scene.audit(*results))


@pytest.mark.parametrize(("moved", "today", "fails"), [
    (150, AFTER, True),  # of 1,000 a day
    (90, AFTER, False),
    (150, DAY1, False),  # the days are not over: two reports are of two moments
])  # fmt: skip
def test_what_is_too_much_on_one_day_and_too_little_on_another_is_found(
    scene: Scene, moved: float, today: date, fails: bool
) -> None:
    many = days(DAY1, DAY2, DAY3, spend="500", extra_metrics=None)
    shifted = [dict(one) for one in many]
    shifted[0]["spend"], shifted[2]["spend"] = str(500 + moved), str(500 - moved)
    top = scene.stage(part(Level.ACCOUNT), totals(many))
    outcome = scene.audit(top, scene.stage(part(), shifted), today=today)
    assert failing(outcome) == ({"levels_add_up"} if fails else set())
    if fails:
        [found] = [f for f in outcome.findings if f.status is Status.FAILED]
        assert found.observed == f"spend of {DAY1} 1150 against 1000 at account level"


def test_a_failed_level_is_no_reference(scene: Scene) -> None:
    low = scene.stage(part(), CLEAN)
    outcome = scene.audit(scene.failed(part(Level.ACCOUNT)), low)
    assert finding(outcome, "levels_add_up", low).status is Status.NOT_APPLICABLE


def test_breakdowns_may_leave_rows_out_but_not_invent_them(scene: Scene) -> None:
    basic = scene.stage(part(), CLEAN)
    fewer = scene.stage(part(**COUNTRY), by_country(CLEAN, 0.4))
    assert not failing(scene.audit(basic, fewer))
    assert failing(scene.audit(basic, fewer, exact={"countries"})) == {"breakdowns_add_up"}


def test_breakdowns_above_the_total_are_found(scene: Scene) -> None:
    basic = scene.stage(part(), CLEAN)
    more = scene.stage(part(**COUNTRY), by_country(CLEAN, 0.6))
    outcome = scene.audit(basic, more)
    assert failing(outcome) == {"breakdowns_add_up"}
    assert finding(outcome, "breakdowns_add_up", basic).status is Status.NOT_APPLICABLE
    assert "basic:campaign" in finding(outcome, "breakdowns_add_up", more).observed


def test_breakdowns_without_a_total_in_the_run_do_not_apply(scene: Scene) -> None:
    alone = scene.stage(part(**COUNTRY), by_country(CLEAN))
    outcome = scene.audit(alone)
    assert finding(outcome, "breakdowns_add_up").status is Status.NOT_APPLICABLE
    actions = part(report="actions", breakdowns=("country",), action_breakdowns=("action_type",))
    rows = [r | {"report": "actions"} for r in by_country(CLEAN, 1.0)]
    outcome = scene.audit(scene.stage(part(), CLEAN), broken := scene.stage(actions, rows))
    assert finding(outcome, "breakdowns_add_up", broken).status is Status.NOT_APPLICABLE


def test_every_expected_account_needs_its_basic_report(scene: Scene) -> None:
    expected = [Account(account_id=ACCOUNT), "1002", "1003"]
    outcome = scene.audit(
        scene.stage(part(), CLEAN), scene.failed(part(account="1003")), expected_accounts=expected
    )
    states = {f.account_id: f.status for f in outcome.findings if f.rule == "accounts_present"}
    assert states == {ACCOUNT: Status.PASSED, "1002": Status.FAILED, "1003": Status.FAILED}
    assert outcome.decisions[0].verdict is Verdict.PUBLISH
    assert outcome.accounts["1002"].value == 0.0


def test_an_account_without_any_slice_is_missing_whatever_the_reports(scene: Scene) -> None:
    rows = [r | {"report": "mine"} for r in CLEAN]
    mine = scene.stage(part(report="mine"), rows)
    outcome = scene.audit(
        mine, expected_accounts=[ACCOUNT, "1002"], unplanned={"1003": "unknown time zone"}
    )
    assert outcome.missing == {"1002": "no slice of the account", "1003": "unknown time zone"}
    notes = {f.account_id: f.observed for f in outcome.findings if f.rule == "accounts_present"}
    assert notes == {ACCOUNT: "", **outcome.missing}
    assert outcome.to_json()["missing"] == outcome.missing
    failed = scene.audit(scene.failed(part()), expected_accounts=[ACCOUNT])
    assert failed.missing == {}, "a slice that failed is held back as such"


def test_runs_without_basic_reports_expect_no_account(scene: Scene) -> None:
    rows = [r | {"report": "mine"} for r in CLEAN]
    outcome = scene.audit(scene.stage(part(report="mine"), rows))
    assert finding(outcome, "accounts_present").status is Status.NOT_APPLICABLE


def test_a_repeated_entity_and_an_emptied_account_are_found(scene: Scene) -> None:
    twice = scene.stage(stream(), [campaign("c1"), campaign("c1")])
    assert failing(scene.audit(twice)) == {"key_unique"}
    fresh = Scene(scene._folder)
    fresh.living("c1", "c2")
    outcome = fresh.audit(fresh.stage(stream(), []))
    assert failing(outcome) == {"empty_is_not_zero"}
    told = finding(outcome, "empty_is_not_zero").observed
    assert told == "no rows, but 2 are published, and nothing else of the account came"
    assert outcome.decisions[0].verdict is Verdict.QUARANTINE


def test_a_first_empty_snapshot_cannot_be_judged(scene: Scene) -> None:
    outcome = scene.audit(scene.stage(stream(), []), row_stream := scene.failed(stream("ads")))
    assert finding(outcome, "slice_complete", row_stream).status is Status.FAILED
    found = [f.status for f in outcome.findings if f.rule == "empty_is_not_zero"]
    assert found == [Status.NOT_APPLICABLE, Status.NOT_APPLICABLE]


def test_rows_without_spend_count_by_their_number(scene: Scene) -> None:
    scene.published(DAY2, spend=None, rows=3)
    assert failing(scene.audit(scene.stage(part(), []))) == {"empty_is_not_zero"}


def test_a_row_that_could_not_be_kept_blocks_reports_and_streams(scene: Scene) -> None:
    received = (File(path="rows.ndjson", rows=9, bytes=1, sha256=""),)
    report = scene.stage(part(), CLEAN, raw=received, rejected=3)
    entities = scene.stage(stream(), [campaign()], raw=received, rejected=8)
    outcome = scene.audit(report, entities)
    assert failing(outcome) == {"rows_kept"}
    assert [d.verdict for d in outcome.decisions] == [Verdict.QUARANTINE, Verdict.QUARANTINE]
    assert finding(outcome, "rows_kept", report).observed == "3 of 9 rows read are dead letters"
    assert "dead letters" in finding(outcome, "rows_kept", report).advice


def test_rows_that_lawfully_become_nothing_are_no_loss(scene: Scene) -> None:
    received = (File(path="rows.ndjson", rows=10, bytes=1, sha256=""),)
    asked = part(report="actions", action_breakdowns=("action_type",))
    result = replace(scene.stage(asked, []), staged=(), raw=received, normalized=True)
    assert (result.rows, result.raw_rows, result.staged_rows) == (0, 10, 0)
    assert replace(result, normalized=False).rows == 10
    outcome = scene.audit(result)
    assert finding(outcome, "rows_loaded").status is Status.PASSED
    assert outcome.decisions[0].verdict is Verdict.PUBLISH
