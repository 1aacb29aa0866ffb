from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_liftos.model.report import Account, Level
from airflow_provider_liftos.platforms import get
from airflow_provider_liftos.quality.findings import Status, Verdict
from tests.quality.scene import (
    CLEAN,
    DAY1,
    DAY2,
    DAY3,
    Scene,
    campaign,
    days,
    failing,
    finding,
    part,
    row,
    stream,
)  # fmt: skip

RECORDED = Path(__file__).parents[1] / "data" / "quality_recorded_rows.json"
FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("required_fields", {"currency": None}),
    ("required_fields", {"currency": ""}),
    ("required_fields", {"campaign_id": None}),
    ("required_fields", {"campaign_id": ""}),
    ("required_fields", {"is_estimated": None}),
    ("required_fields", {"breakdown_key": None}),
    ("values_readable", {"unreadable": 1}),
    ("value_ranges", {"link_clicks": -1}),
    ("value_ranges", {"conversions": "-0.5"}),
    ("spend_not_negative", {"spend": "-0.01", "extra_metrics": None}),
    ("clicks_within_impressions", {"clicks": 1001, "extra_metrics": None}),
    ("clicks_within_impressions", {"impressions": 0, "reach": 0, "extra_metrics": None}),
    ("reach_within_impressions", {"reach": 1001, "frequency": None}),
    ("derived_metrics_agree", {"extra_metrics": '{"ctr": "0.01"}'}),
    ("derived_metrics_agree", {"extra_metrics": '{"cpm": "5.2"}'}),
    ("derived_metrics_agree", {"extra_metrics": '{"cpc": "50"}'}),
    ("rows_in_slice", {"platform": "tiktok"}),
    ("rows_in_slice", {"date_end": DAY1, "date": DAY1 - timedelta(days=1)}),
    ("currency_matches_account", {"currency": "USD"}),
    ("timezone_matches_account", {"account_timezone": "UTC"}),
    ("mock_rows_marked", {"is_mock": True}),
    ("dates_in_order", {"date_end": DAY1 - timedelta(days=1)}),
    ("dates_in_order", {"date_end": DAY3 + timedelta(days=1)}),
    ("derived_metrics_agree", {"frequency": "2.5"}),
    (
        "derived_metrics_agree",
        {"extra_metrics": '{"purchase_roas": [{"value": "6"}]}', "conversions_value": "3"},
    ),
    ("value_ranges", {"extra_metrics": '{"unique_ctr": "101"}'}),
    ("value_ranges", {"extra_metrics": '{"estimated_ad_recallers": "-1"}'}),
]


def test_clean_rows_pass_every_rule(scene: Scene) -> None:
    outcome = scene.audit(scene.stage(part(), CLEAN))
    assert [f.line for f in outcome.failed] == []
    assert outcome.score.value == 100.0
    assert [d.verdict for d in outcome.decisions] == [Verdict.PUBLISH]


@pytest.mark.parametrize(
    ("rule", "fault"), FAULTS, ids=lambda v: v if isinstance(v, str) else ",".join(v)
)
def test_a_planted_fault_is_caught_by_its_rule_alone(
    scene: Scene, rule: str, fault: dict[str, Any]
) -> None:
    # A row out of the slice is missing in the sums as well; those look at the slice's own days.
    lawful = {"rows_in_slice": {"rows_loaded"}}.get(rule, set())
    outcome = scene.audit(scene.stage(part(), [*CLEAN, row(campaign="c3") | fault]))
    assert failing(outcome) - lawful == {rule}
    found = finding(outcome, rule)
    assert found.failing_share == pytest.approx(1 / 7)
    assert "1 of 7 rows" in found.observed
    assert found.sample
    assert found.advice
    blocks = found.severity == "critical" or lawful
    assert outcome.decisions[0].verdict is (Verdict.QUARANTINE if blocks else Verdict.WARN)


DELIVERY = ("impressions", "clicks", "spend")


@pytest.mark.parametrize("column", DELIVERY)
def test_what_a_report_asks_for_is_required_of_its_rows(scene: Scene, column: str) -> None:
    bad = row(campaign="c3", extra_metrics=None, frequency=None) | {column: None}
    outcome = scene.audit(scene.stage(part(metrics=DELIVERY), [*CLEAN, bad]))
    assert failing(outcome) == {"required_fields"}
    assert finding(outcome, "required_fields").observed == f"{column}: 1 of 7 rows"
    other = Scene(scene._folder)
    rest = tuple(name for name in DELIVERY if name != column)
    assert not failing(other.audit(other.stage(part(metrics=rest), [*CLEAN, bad])))


def test_a_field_that_the_platform_dropped_is_missed_and_explained(scene: Scene) -> None:
    rows = [r | {"spend": None, "extra_metrics": None} for r in CLEAN]
    gone = scene.stage(part(metrics=("impressions", "clicks")), rows, dropped=("spend",))
    outcome = scene.audit(gone)
    assert failing(outcome) == {"required_fields"}
    assert "gives a field no longer" in finding(outcome, "required_fields").advice
    assert outcome.decisions[0].verdict is Verdict.QUARANTINE


GOOGLE = {"quality": get("google_ads").quality}


@pytest.mark.parametrize(("score", "status"), [
    ("7", Status.PASSED), ("0", Status.FAILED), ("11", Status.FAILED), (None, Status.NOT_APPLICABLE),
])  # fmt: skip
def test_quality_scores_of_google_are_between_one_and_ten(
    scene: Scene, score: str | None, status: Status
) -> None:
    extra = json.dumps({"metrics.historical_quality_score": score, "metrics.ctr": "0.01"})
    outcome = scene.audit(
        scene.stage(part(), [r | {"extra_metrics": extra} for r in CLEAN]), **GOOGLE
    )
    found = finding(outcome, "quality_score_in_range")
    assert (found.status, found.severity) == (status, "low")
    assert failing(outcome) <= {"quality_score_in_range"}
    if status is Status.FAILED:
        assert "treat it as unknown" in found.advice


def test_each_platform_judges_ratios_in_its_own_unit(scene: Scene) -> None:
    units = {
        "google_ads": {"metrics.ctr": 0.01, "metrics.average_cpc": 500_000, "metrics.average_cpm": 5e6},
        "tiktok": {"ctr": 0.01, "cpc": 0.5, "cpm": 5, "complete_payment_roas": 2,
                   "total_complete_payment_rate": 10},
        "meta": {"ctr": 1, "cpc": 0.5, "cpm": 5},
    }  # fmt: skip
    for name, given in units.items():
        quality = get(name).quality
        for wrong in (None, *(n for n in given if n != "total_complete_payment_rate")):
            told = {n: str(v * 2 if n == wrong else v) for n, v in given.items()}
            alone = Scene(scene._folder)
            rows = [r | {"extra_metrics": json.dumps(told)} for r in CLEAN]
            found = finding(alone.audit(alone.stage(part(), rows), quality=quality),
                            "derived_metrics_agree")  # fmt: skip
            assert found.status is (Status.FAILED if wrong else Status.PASSED), (name, wrong)


LATE = {"impressions": 0, "clicks": 1, "reach": 0, "frequency": None, "extra_metrics": None}


@pytest.mark.parametrize(("platform", "parts", "lawful"), [
    ("meta", {"spend": "0"}, True),  # a click after midnight
    ("meta", {"spend": "0.07"}, False),
    ("tiktok", {"spend": "0"}, True),
    ("google_ads", {"spend": "0.07"}, True),  # paid for on the day of the click
    ("google_ads", {"spend": "0.07", "impressions": 2, "clicks": 3}, False),
    ("google_ads", {"impressions": 2, "clicks": 3, "breakdown_key": "device=MOBILE"}, True),
    ("meta", {"impressions": 2, "clicks": 3, "breakdown_key": "device=mobile"}, False),
])  # fmt: skip
def test_clicks_without_impressions_are_lawful_where_the_platform_means_them(
    scene: Scene, platform: str, parts: dict[str, Any], lawful: bool
) -> None:
    rows = [*CLEAN, row(campaign="c3") | LATE | parts]
    given = [r | {"extra_metrics": None} for r in rows]
    outcome = scene.audit(scene.stage(part(), given), quality=get(platform).quality)
    assert failing(outcome) == (set() if lawful else {"clicks_within_impressions"})


def test_oddities_of_real_accounts_are_lawful(scene: Scene) -> None:
    """Spend without clicks, estimated recall, roubles in Moscow, shares below ten percent."""
    odd = {
        "meta": row(clicks=0, extra_metrics='{"estimated_ad_recallers": "50.0", "ctr": "0.0",'
                    ' "cpm": "5", "cpc": null, "quality_ranking": "UNKNOWN"}'),
        "tiktok": row(currency="RUB", account_timezone="Europe/Moscow", extra_metrics=None,
                      conversions=None, conversions_value=None, reach=None, frequency=None),
        "google_ads": row(impressions=0, clicks=0, spend="0", reach=None, frequency=None,
                          conversions="0.333333", extra_metrics='{"metrics.ctr": "0.0",'
                          ' "metrics.search_impression_share": "0.0999",'
                          ' "metrics.search_budget_lost_impression_share": "0.9001"}'),
    }  # fmt: skip
    for name, one in odd.items():
        alone = Scene(scene._folder)
        account = Account(
            account_id="1001", currency=one["currency"], timezone=one["account_timezone"]
        )
        staged = alone.stage(part(until=DAY1), [one], account=account)
        outcome = alone.audit(staged, quality=get(name).quality, today=DAY2)
        assert not failing(outcome), name
    free = Scene(scene._folder)
    budgets = [campaign("c1", daily_budget="0", lifetime_budget=None)]
    assert not failing(free.audit(free.stage(stream(), budgets)))


def test_findings_belong_to_the_slice_of_the_broken_rows(scene: Scene) -> None:
    good = scene.stage(part(), CLEAN)
    other = part(account="1002")
    bad = scene.stage(other, [row(DAY1, account_id="1002", spend="-1", extra_metrics=None),
                              *days(DAY1, DAY2, DAY3, account_id="1002", campaigns=["c9"])])  # fmt: skip
    outcome = scene.audit(good, bad)
    assert finding(outcome, "spend_not_negative", good).status is Status.PASSED
    found = finding(outcome, "spend_not_negative", bad)
    assert (found.status, found.failing_share) == (Status.FAILED, 0.25)
    assert found.sample == ({"date": str(DAY1), "campaign_id": "c1", "attribution_window": "default",
                             "spend": "-1.000000"},)  # fmt: skip
    assert outcome.accounts["1001"].value == 100.0
    assert outcome.accounts["1002"].value is not None
    assert outcome.accounts["1002"].value < 100.0


def test_every_slice_has_samples_however_many_rows_of_another_are_broken(scene: Scene) -> None:
    many = [row(DAY1, f"c{n}", spend="-1", extra_metrics=None) for n in range(1100)]
    few = [row(DAY1, account_id="1002", spend="-2", extra_metrics=None)]
    first = scene.stage(part(), many)
    second = scene.stage(part(account="1002"), few)
    outcome = scene.audit(first, second)
    assert len(finding(outcome, "spend_not_negative", first).sample) == 3
    [shown] = finding(outcome, "spend_not_negative", second).sample
    assert shown["spend"] == "-2.000000"


def test_rules_without_a_value_to_judge_do_not_apply(scene: Scene) -> None:
    nothing = dict.fromkeys(
        ("impressions", "clicks", "spend", "reach", "frequency", "conversions", "link_clicks")
    )
    rows = [r | nothing | {"extra_metrics": None} for r in CLEAN]
    account = Account(account_id="1001", currency="", timezone="")
    outcome = scene.audit(scene.stage(part(), rows, account=account))
    for rule in ("value_ranges", "spend_not_negative", "clicks_within_impressions",
                 "reach_within_impressions", "derived_metrics_agree", "currency_matches_account",
                 "timezone_matches_account"):  # fmt: skip
        assert finding(outcome, rule).status is Status.NOT_APPLICABLE, rule
    assert not failing(outcome)
    assert outcome.score.value == 100.0


def test_an_empty_slice_passes_no_row_rule(scene: Scene) -> None:
    outcome = scene.audit(scene.stage(part(), []))
    rows = [
        f
        for f in outcome.findings
        if f.rule in {"required_fields", "values_readable", "mock_rows_marked"}
    ]
    assert {f.status for f in rows} == {Status.NOT_APPLICABLE}
    assert outcome.decisions[0].verdict is Verdict.PUBLISH


def test_level_ids_are_required_where_the_level_has_them(scene: Scene) -> None:
    ids: dict[str, Any] = {"campaign_id": "c1", "ad_group_id": "g1", "ad_id": "a1"}
    for level, missing in (
        (Level.AD, "ad_id"),
        (Level.AD, "ad_group_id"),
        (Level.AD_GROUP, "ad_group_id"),
    ):
        alone = Scene(scene._folder)
        rows = [row(day) | ids | {"level": str(level), missing: None} for day in (DAY1, DAY2, DAY3)]
        outcome = alone.audit(alone.stage(part(level), rows))
        assert failing(outcome) == {"required_fields"}
        assert finding(outcome, "required_fields").observed == f"{missing}: 3 of 3 rows"
    rows = [row(day, None, level="account") for day in (DAY1, DAY2, DAY3)]
    scene = Scene(scene._folder)
    assert not failing(scene.audit(scene.stage(part(Level.ACCOUNT), rows)))


def test_values_of_another_type_are_unreadable(scene: Scene) -> None:
    rows = [*CLEAN, row(campaign="c3", clicks="many", extra_metrics=None)]
    outcome = scene.audit(scene.stage(part(), rows, types={"clicks": "VARCHAR"}, load=False))
    assert "values_readable" in failing(outcome)
    assert finding(outcome, "values_readable").failing_share == pytest.approx(1 / 7)


def test_a_missing_column_is_not_evaluated_and_blocks_when_critical(scene: Scene) -> None:
    outcome = scene.audit(scene.stage(part(), CLEAN, without=["currency"]))
    required = finding(outcome, "required_fields")
    assert required.status is Status.NOT_EVALUATED
    assert "currency" in required.observed
    assert not failing(outcome)
    assert outcome.decisions[0].verdict is Verdict.QUARANTINE
    assert outcome.score.value == 100.0  # what was not evaluated counts neither way


def test_a_missing_column_of_a_lesser_rule_only_warns(scene: Scene) -> None:
    outcome = scene.audit(scene.stage(part(), CLEAN, without=["reach"]))
    assert finding(outcome, "reach_within_impressions").status is Status.NOT_EVALUATED
    assert outcome.decisions[0].verdict is Verdict.WARN


def test_broken_json_beside_the_metrics_is_exempt(scene: Scene) -> None:
    outcome = scene.audit(
        scene.stage(part(), [r | {"extra_metrics": "{oops", "frequency": None} for r in CLEAN])
    )
    assert finding(outcome, "derived_metrics_agree").status is Status.NOT_APPLICABLE


def test_an_unreadable_file_holds_up_its_own_slice_only(scene: Scene) -> None:
    good = scene.stage(part(), CLEAN)
    bad = scene.stage(part(account="1002"), days(DAY1, DAY2, DAY3, account_id="1002"))
    Path(bad.staged[0].path).write_bytes(b"PAR1 no more PAR1")
    outcome = scene.audit(good, bad)
    assert [d.verdict for d in outcome.decisions] == [Verdict.PUBLISH, Verdict.QUARANTINE]
    assert finding(outcome, "required_fields", bad).status is Status.NOT_EVALUATED


def test_frames_of_any_size_say_the_same(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    results = [
        scene.stage(part(account=a), [row(account_id=a, spend="-1", extra_metrics=None),
                                      *days(DAY1, DAY2, DAY3, account_id=a, campaigns=["x"])])
        for a in ("1", "2", "3")
    ]  # fmt: skip
    whole = scene.audit(*results)
    monkeypatch.setattr("airflow_provider_liftos.quality.frames.parts.__defaults__", (4,))
    assert scene.audit(*results).findings == whole.findings


def test_invented_rows_belong_into_an_invented_load_only(scene: Scene) -> None:
    rows = [r | {"is_mock": True} for r in CLEAN]
    result = scene.stage(part(), rows)
    assert failing(scene.audit(result)) == {"mock_rows_marked"}
    assert not failing(scene.audit(result, is_mock=True))
    unmarked = Scene(scene._folder)
    assert failing(unmarked.audit(unmarked.stage(part(), CLEAN), is_mock=True)) == {
        "mock_rows_marked"
    }


def test_rows_as_real_accounts_have_them_pass(scene: Scene) -> None:
    """Facts of recorded rows: texts of CTR and CPM, zero clicks with spend, more frequency than 1."""
    recorded = json.loads(RECORDED.read_text())
    rows = [
        row(DAY1, f"c{n}", **{k: v for k, v in given.items() if k != "extra_metrics"},
            extra_metrics=json.dumps(given["extra_metrics"]))
        for n, given in enumerate(recorded)
    ]  # fmt: skip
    outcome = scene.audit(scene.stage(part(until=DAY1), rows), today=DAY2)
    assert not failing(outcome)
    assert finding(outcome, "derived_metrics_agree").status is Status.PASSED


def test_entities_have_a_suite_of_their_own(scene: Scene) -> None:
    outcome = scene.audit(scene.stage(stream(), [campaign("c1"), campaign("c2")]))
    assert not failing(outcome)
    assert finding(outcome, "required_fields").status is Status.PASSED
    assert outcome.decisions[0].verdict is Verdict.PUBLISH


@pytest.mark.parametrize(("rule", "fault"), [
    ("required_fields", {"row_hash": None}),
    ("required_fields", {"campaign_id": ""}),
    ("value_ranges", {"daily_budget": "-1"}),
    ("rows_in_slice", {"platform": "tiktok"}),
    ("mock_rows_marked", {"is_mock": True}),
])  # fmt: skip
def test_a_fault_among_entities_is_caught(scene: Scene, rule: str, fault: dict[str, Any]) -> None:
    lawful = {"rows_loaded"} if rule == "rows_in_slice" else set()
    outcome = scene.audit(scene.stage(stream(), [campaign("c1"), campaign("c2") | fault]))
    assert failing(outcome) - lawful == {rule}
