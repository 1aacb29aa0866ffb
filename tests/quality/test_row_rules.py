from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_liftos.model.report import Account, Level
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
