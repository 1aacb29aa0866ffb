"""What a slice is beside the days before: the week, the volume, settled days, conversions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_liftos.model.platform import Coverage
from airflow_provider_liftos.model.report import Account, Level
from airflow_provider_liftos.quality.findings import Status, Verdict
from tests.quality.scene import (
    CLEAN,
    DAY1,
    DAY2,
    DAY3,
    Scene,
    days,
    entity,
    failing,
    finding,
    part,
    row,
    stream,
    totals,
)  # fmt: skip

DAY = timedelta(days=1)
WEEK_AGO = [DAY3 - n * DAY for n in range(6, 2, -1)]  # the days of the week before the window
OLD = DAY1 - 90 * DAY
SETTLED: dict[str, Any] = {"since": OLD, "until": OLD}
SPARSE: dict[str, Any] = {"coverage": lambda _: Coverage(sparse=True)}


def like_days(day: Any, weeks: int = 6) -> list[Any]:
    return [day - n * 7 * DAY for n in range(1, weeks + 1)]


def test_a_week_that_was_asked_for_is_covered_also_where_days_are_empty(scene: Scene) -> None:
    scene.published(*WEEK_AGO, rows=0, spend=None)
    outcome = scene.audit(scene.stage(part(), CLEAN))
    assert finding(outcome, "week_covered").status is Status.PASSED


def test_a_day_of_the_week_that_nobody_asked_for_is_found_by_its_rule_alone(scene: Scene) -> None:
    missing = WEEK_AGO[2]
    scene.published(*(day for day in WEEK_AGO if day != missing))
    outcome = scene.audit(scene.stage(part(), CLEAN))
    assert failing(outcome) == {"week_covered"}
    found = finding(outcome, "week_covered")
    assert (found.severity, found.dimension) == ("medium", "timeliness")
    assert str(missing) in found.observed
    assert "start a run over them" in found.advice
    assert outcome.decisions[0].verdict is Verdict.WARN


def test_a_week_does_not_apply_before_there_is_one_or_to_old_windows(scene: Scene) -> None:
    first = scene.stage(part(), CLEAN)
    assert finding(scene.audit(first), "week_covered").status is Status.NOT_APPLICABLE
    scene.published(WEEK_AGO[0] - 3 * DAY)
    late = scene.audit(first, today=DAY3 + 30 * DAY)
    assert finding(late, "week_covered").status is Status.NOT_APPLICABLE


@pytest.mark.parametrize(("rows", "fails"), [(40, False), (100, False), (300, True), (5, True)])
def test_volume_is_judged_beside_the_same_weekdays(scene: Scene, rows: int, fails: bool) -> None:
    names = [f"c{n}" for n in range(rows)]
    scene.published(*like_days(DAY3), rows=60)
    # The rest of the week is nothing to compare with.
    scene.published(*(DAY3 - n * DAY for n in range(1, 7)), rows=rows)
    staged = scene.stage(part(since=DAY3), days(DAY3, campaigns=names))
    outcome = scene.audit(staged)
    assert failing(outcome) == ({"volume_as_usual"} if fails else set())
    if fails:
        found = finding(outcome, "volume_as_usual")
        assert found.observed == f"{rows} rows on {DAY3}, 60 to 60 on like days before"
        assert (found.severity, outcome.decisions[0].verdict) == ("medium", Verdict.WARN)
        assert not failing(scene.audit(staged, thresholds={"volume_as_usual": 8}))


def test_volume_needs_a_habit_and_a_report_with_a_row_for_every_day(scene: Scene) -> None:
    scene.published(*like_days(DAY3, weeks=2), rows=60)
    staged = scene.stage(part(since=DAY3), days(DAY3))
    assert finding(scene.audit(staged), "volume_as_usual").status is Status.NOT_APPLICABLE
    scene.published(*(day - 14 * DAY for day in like_days(DAY3, weeks=2)), rows=60)
    assert finding(scene.audit(staged), "volume_as_usual").status is Status.FAILED
    assert finding(scene.audit(staged, **SPARSE), "volume_as_usual").status is Status.NOT_APPLICABLE


def settled(scene: Scene, *, spend: float = 10, conversions: float = 2, hours: float = -24) -> Any:
    scene.published(OLD, spend=spend, conversions=conversions, hours=hours)
    return scene.stage(part(**SETTLED), days(OLD))


def test_a_settled_day_that_stays_passes(scene: Scene) -> None:
    assert finding(scene.audit(settled(scene)), "settled_days_stay").status is Status.PASSED


@pytest.mark.parametrize(("was", "says", "cause"), [
    ({"spend": 10.2}, f"spend of {OLD} was 10.2, is 10", "invalid traffic"),
    ({"conversions": 3}, f"conversions of {OLD} was 3, is 2", "attribution setting"),
    # Conversions moved further, but spend moved as well: no other way of counting explains that.
    ({"spend": 10.2, "conversions": 3},
     f"spend of {OLD} was 10.2, is 10; conversions of {OLD} was 3, is 2", "invalid traffic"),
])  # fmt: skip
def test_a_settled_day_that_moves_is_found_by_its_rule_alone(
    scene: Scene, was: dict[str, float], says: str, cause: str
) -> None:
    outcome = scene.audit(settled(scene, **was))
    assert failing(outcome) == {"settled_days_stay"}
    found = finding(outcome, "settled_days_stay")
    assert (found.observed, found.severity) == (says, "medium")
    assert cause in found.advice


def test_days_that_may_still_move_or_were_published_too_early_do_not_apply(scene: Scene) -> None:
    scene.published(DAY1, DAY2, DAY3, spend=99)
    open_ = scene.audit(scene.stage(part(), CLEAN))
    assert finding(open_, "settled_days_stay").status is Status.NOT_APPLICABLE
    other = Scene(scene._folder)
    early = settled(other, spend=99, hours=-24 * 88)  # five days after the day
    outcome = other.audit(early)
    assert finding(outcome, "settled_days_stay").status is Status.NOT_APPLICABLE


def test_a_changed_zone_and_a_changed_attribution_are_told_as_the_cause(scene: Scene) -> None:
    seen = row(DAY1, account_timezone="America/New_York", attribution_setting="7d_click")
    scene.seen(seen)
    outcome = scene.audit(settled(scene, spend=12))
    assert "time zone was changed" in finding(outcome, "settled_days_stay").advice
    other = Scene(scene._folder)
    other.seen(row(OLD, attribution_setting="7d_click"))
    other.published(OLD, spend=12)
    staged = other.stage(part(**SETTLED), days(OLD, attribution_setting="1d_click"))
    told = finding(other.audit(staged), "settled_days_stay").advice
    assert "attribution setting was changed" in told


def tracked(scene: Scene, *, before: float, now: str, **parts: Any) -> Any:
    scene.published(*(DAY1 - n * DAY for n in range(1, 15)), conversions=before)
    return scene.stage(part(), days(DAY1, DAY2, DAY3, conversions=now, **parts))


def test_conversions_that_stop_are_found_by_their_rule_alone(scene: Scene) -> None:
    outcome = scene.audit(tracked(scene, before=20, now="0"))
    assert failing(outcome) == {"conversions_go_on"}
    found = finding(outcome, "conversions_go_on")
    assert found.observed == "3 days with spend and no conversion, 20 a day before"
    assert "Events Manager" in found.advice


@pytest.mark.parametrize(("before", "now", "parts", "status"), [
    (20, "1", {}, Status.PASSED),
    (2, "0", {}, Status.NOT_APPLICABLE),  # none on three days may be chance
    (20, "0", {"spend": "0", "extra_metrics": None}, Status.NOT_APPLICABLE),
])  # fmt: skip
def test_conversions_are_missed_only_where_there_always_were_some(
    scene: Scene, before: float, now: str, parts: dict[str, Any], status: Status
) -> None:
    outcome = scene.audit(tracked(scene, before=before, now=now, **parts))
    assert finding(outcome, "conversions_go_on").status is status


def test_an_ad_of_an_unknown_ad_group_is_found_by_its_rule_alone(scene: Scene) -> None:
    groups = scene.stage(stream("ad_groups"), [entity("ad_groups", ad_group_id="g1")])
    ads = [entity("ads", ad_id=f"a{n}", ad_group_id=g) for n, g in enumerate(("g1", "g1", "g7"))]
    outcome = scene.audit(groups, scene.stage(stream("ads"), ads))
    assert failing(outcome) == {"hierarchy_intact"}
    [found] = [f for f in outcome.findings if f.status is Status.FAILED]
    assert found.observed == "1 ads name none of the ad_groups, such as a2"
    assert (found.report, found.severity) == ("ads", "medium")
    assert "campaigns, ad_groups and ads together" in found.advice
    intact = Scene(scene._folder)
    intact.able(ad={}, group={"ad_group_id": "g7", "is_deleted": True})  # known, though deleted
    outcome = intact.audit(
        intact.stage(stream("ad_groups"), [entity("ad_groups", ad_group_id="g1")]),
        intact.stage(stream("ads"), ads),
    )
    statuses = [f.status for f in outcome.findings if f.rule == "hierarchy_intact"]
    assert statuses == [Status.NOT_APPLICABLE, Status.PASSED]


def test_a_hierarchy_does_not_apply_where_owners_were_never_listed(scene: Scene) -> None:
    ads = [entity("ads", ad_id="a1", ad_group_id="g1")]
    outcome = scene.audit(scene.stage(stream("ads"), ads))
    assert finding(outcome, "hierarchy_intact").status is Status.NOT_APPLICABLE


def others(scene: Scene, **parts: Any) -> None:
    scene.seen(row(DAY1, None, platform="tiktok", level="account", account_id="9",
                   **{"impressions": 90_000, "clicks": 800, "spend": "400", **parts}))  # fmt: skip


@pytest.mark.parametrize(("clicks", "spend", "fails"), [
    (20, 10, False), (20, 1000, True), (4, 10, False), (0, 10, False),
])  # fmt: skip
def test_ratios_are_compared_with_other_platforms(
    scene: Scene, clicks: int, spend: float, fails: bool
) -> None:
    others(scene)
    top = [r | {"clicks": clicks, "spend": spend} for r in totals(CLEAN)]
    account = Account(account_id="1001", currency="EUR", timezone="Europe/Berlin")
    outcome = scene.audit(scene.stage(part("account"), top, account=account))  # type: ignore[arg-type]
    assert failing(outcome) == ({"platforms_agree"} if fails else set())
    if fails:
        found = finding(outcome, "platforms_agree")
        assert (found.account_id, found.fingerprint, found.severity) == ("1001", "", "medium")
        assert found.observed == "CPM 500, 4.444 on other platforms"
        assert "another unit" in found.advice
        assert not failing(scene.audit(
            scene.stage(part("account"), top, load=False), thresholds={"platforms_agree": 200}))  # type: ignore[arg-type]  # fmt: skip


def test_a_ctr_that_is_odd_is_not_told_to_be_a_matter_of_money(scene: Scene) -> None:
    others(scene, clicks=8)
    outcome = scene.audit(scene.stage(part(Level.ACCOUNT), totals(CLEAN)))
    found = finding(outcome, "platforms_agree")
    assert found.observed.startswith("CTR ")
    assert "another unit" not in found.advice
    assert "which kind of clicks" in found.advice


def test_ratios_without_others_or_without_enough_of_them_do_not_apply(scene: Scene) -> None:
    top = scene.stage(part("account"), totals(CLEAN))  # type: ignore[arg-type]
    assert finding(scene.audit(top), "platforms_agree").status is Status.NOT_APPLICABLE
    others(scene, currency="JPY")  # CTR is compared, money is not
    outcome = scene.audit(top)
    assert finding(outcome, "platforms_agree").status is Status.PASSED
