"""Days of accounts and campaigns that are not as they should be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from airflow_provider_liftos.quality.anomalies import (
    NO_SUDDEN_DROP,
    OF_PRICES,
    RULES,
    Anomaly,
    _advice,
    anomalies,
    find,
)
from airflow_provider_liftos.quality.delivery import Cohort, Days, Delivery
from airflow_provider_liftos.quality.findings import Finding, Status, Verdict
from airflow_provider_liftos.quality.rules import Severity
from airflow_provider_liftos.quality.settled import Standing
from tests.bench import anomalies as bench
from tests.quality.scene import ACCOUNT, ORG, PLATFORM, Scene, part, row

TODAY = date(2026, 11, 19)
BACK = [TODAY - timedelta(days=n) for n in range(89, -1, -1)]


def usual(factor: float = 1.0) -> Days:
    """Days that move a little from week to week."""
    return {
        day: tuple(factor * (1 + 0.02 * (n % 9 - 4)) * v for v in (10_000, 100, 50.0, 20))
        for n, day in enumerate(BACK)
    }


def times(days: Days, day: date, factor: float) -> Days:
    return {**days, day: tuple(v * factor for v in days[day])}


def without(days: Days, *gone: date) -> Days:
    return {day: totals for day, totals in days.items() if day not in gone}


def delivery(campaigns: Mapping[str, Days], **parts: object) -> Delivery:
    known: dict[str, object] = {"account_id": ACCOUNT, "days": frozenset(BACK), **parts}
    return Delivery(campaigns=campaigns, **known)  # type: ignore[arg-type]


def told(one: Delivery, *judged: date) -> list[tuple[str, str, Severity]]:
    found = anomalies(one, judged or (TODAY,))
    return [(a.rule.name, a.campaign_id, a.severity) for a in found]


def test_usual_days_are_no_anomalies() -> None:
    assert told(delivery({"c1": usual(), "c2": usual(3)}), *BACK[-30:]) == []


def test_a_campaign_that_jumps_is_told_with_its_numbers() -> None:
    one = delivery({"c1": times(usual(), TODAY, 3), "c2": usual(30)})
    [found] = anomalies(one, [TODAY])
    assert (found.rule.name, found.campaign_id) == ("no_sudden_jump", "c1")
    assert found.severity is Severity.HIGH
    assert f"campaign c1 on {TODAY}: " in found.line
    assert "MADs" in found.line


def test_what_the_account_does_is_not_told_of_each_campaign() -> None:
    one = delivery({"c1": times(usual(), TODAY, 3), "c2": times(usual(5), TODAY, 3)})
    assert told(one) == [("no_sudden_jump", "", Severity.HIGH)]


def test_a_campaign_that_moves_the_account_is_named() -> None:
    one = delivery({"c1": times(usual(), TODAY, 9), "c2": usual()})
    [found] = anomalies(one, [TODAY])
    assert (found.campaign_id, found.through) == ("", "c1")
    assert found.line.endswith("mostly campaign c1")


def test_severity_grows_with_size() -> None:
    sizes = (1.27, 1.5, 3.0)
    found = [told(delivery({"c1": times(usual(), TODAY, size)})) for size in sizes]
    assert [one[0][2] for one in found] == [Severity.LOW, Severity.MEDIUM, Severity.HIGH]


def test_a_small_campaign_is_told_only_when_it_departs_far() -> None:
    small, large = times(usual(0.02), TODAY, 1.6), usual()
    assert told(delivery({"c1": small, "c2": large})) == []
    assert told(delivery({"c1": times(small, TODAY, 10), "c2": large})) != []


def wild() -> Days:
    """Days that move a lot, at a price that does not."""
    return {
        day: tuple((1 + 0.25 * (n % 5 - 2)) * v for v in (10_000, 100, 50.0, 20))
        for n, day in enumerate(BACK)
    }


def dearer(days: Days, day: date, factor: float) -> Days:
    shown, clicks, spent, bought = days[day]
    return {**days, day: (shown, clicks, spent * factor, bought)}


def test_spend_that_is_wrong_by_itself_stands_out_of_days_that_move_a_lot() -> None:
    assert told(delivery({"c1": wild()}), *BACK[-30:]) == []
    for factor, rule in ((1.6, "no_sudden_jump"), (0.5, "no_sudden_drop")):
        [found] = anomalies(delivery({"c1": dearer(wild(), TODAY, factor)}), [TODAY])
        assert (found.rule.name, found.metric) == (rule, "cpm")
        assert f"cpm {5 * factor:.2f}, usually 5.00 (" in found.line


def test_budgets_and_pauses_are_no_advice_for_a_price() -> None:
    [dear] = anomalies(delivery({"c1": dearer(wild(), TODAY, 0.5)}), [TODAY])
    [less] = anomalies(delivery({"c1": times(usual(), TODAY, 0.3)}), [TODAY])
    assert (dear.rule, dear.metric, less.rule) == (less.rule, "cpm", NO_SUDDEN_DROP)
    assert _advice(dear.rule, [dear]) == OF_PRICES
    assert _advice(less.rule, [less]) == NO_SUDDEN_DROP.advice
    assert _advice(less.rule, [less, dear]) == f"{NO_SUDDEN_DROP.advice} {OF_PRICES}"
    assert _advice(less.rule, []) == ""


def test_what_a_price_moves_is_spend() -> None:
    dear = dearer(wild(), TODAY, 1.6)
    own = [("no_sudden_jump", "c1", Severity.HIGH)]
    assert told(delivery({"c1": dear, "c2": usual(20)})) == own
    assert told(delivery({"c1": dear, "c2": usual(60)})) == []
    low = BACK[-6]  # a day that is quieter than usual, but for its price
    account = delivery({"c1": dearer(usual(9), low, 1.6), "c2": usual()})
    [found] = anomalies(account, [low])
    assert (found.campaign_id, found.metric, found.through) == ("", "cpm", "c1")


def test_what_cost_nothing_has_no_price_and_is_silent_spend() -> None:
    [found] = anomalies(delivery({"c1": dearer(usual(), TODAY, 0)}), [TODAY])
    assert (found.rule.name, found.metric) == ("no_gap_in_delivery", "spend")


def test_silence_of_a_small_campaign_is_told_if_it_was_never_silent() -> None:
    small, large = without(usual(0.01), TODAY), usual(9)
    assert told(delivery({"c1": small, "c2": large})) != []
    once = without(small, BACK[-40])
    assert told(delivery({"c1": once, "c2": large})) == []


def test_a_stopped_campaign_that_delivered_later_had_not_stopped_yet() -> None:
    day = TODAY - timedelta(days=3)
    campaigns = {"c1": without(usual(), day), "c2": usual(9)}
    one = delivery(campaigns, stopped=frozenset({"c1"}))
    assert told(one, day) == [("no_gap_in_delivery", "c1", Severity.HIGH)]


def test_a_gap_is_a_finding_of_medium_or_high_severity() -> None:
    one = delivery({"c1": without(usual(), TODAY), "c2": usual(5)})
    assert told(one) == [("no_gap_in_delivery", "c1", Severity.HIGH)]
    all_silent = delivery({"c1": without(usual(), TODAY)})
    assert told(all_silent) == [("no_gap_in_delivery", "", Severity.HIGH)]


def test_a_stopped_campaign_may_be_silent_and_is_not_missed_in_the_account() -> None:
    silent = without(usual(9), TODAY, TODAY - timedelta(days=1))
    one = delivery({"c1": silent, "c2": usual()})
    assert told(one, *BACK[-2:]) != []
    assert told(replace(one, stopped=frozenset({"c1"})), *BACK[-2:]) == []


def test_days_that_nobody_loaded_are_no_gaps() -> None:
    one = delivery({"c1": without(usual(), TODAY)}, days=frozenset(BACK[:-1]))
    assert told(one) == []


def test_ads_that_ended_or_began_explain_what_they_move() -> None:
    ended, began = TODAY - timedelta(days=3), TODAY - timedelta(days=2)
    stays, leaves = usual(), {d: t for d, t in usual(2).items() if d <= ended}
    comes = {d: t for d, t in usual(2).items() if d >= began}
    for change, cohort in (
        (leaves, Cohort(campaign_id="c1", began=None, ended=ended)),
        (comes, Cohort(campaign_id="c1", began=began, ended=None)),
    ):
        whole = {
            day: tuple(a + b for a, b in zip(totals, change.get(day, (0, 0, 0, 0)), strict=True))
            for day, totals in stays.items()
        }
        days = BACK[-3:]
        assert told(delivery({"c1": whole}), *days) != []
        assert told(delivery({"c1": whole}, cohorts={cohort: change}), *days) == []
        louder = times(whole, TODAY, 10)
        assert told(delivery({"c1": louder}, cohorts={cohort: change}), *days) != []


def test_an_episode_that_began_earlier_has_been_told() -> None:
    days = times(times(usual(), TODAY, 3), TODAY - timedelta(days=1), 3)
    assert told(delivery({"c1": days})) == []
    [(rule, _, _)] = told(delivery({"c1": days}), TODAY - timedelta(days=1), TODAY)
    assert rule == "no_sudden_jump"


def test_more_clicks_than_impressions_are_odd_unless_they_are_few() -> None:
    few = usual() | {TODAY: (0.0, 10.0, 0.0, 0.0)}
    many = usual() | {TODAY: (0.0, 11.0, 0.0, 0.0)}
    names = [rule for rule, *_ in told(delivery({"c1": few, "c2": usual(50)}))]
    assert "clicks_have_impressions" not in names
    names = [rule for rule, *_ in told(delivery({"c1": many, "c2": usual(50)}))]
    assert "clicks_have_impressions" in names


def test_fewer_alarms_than_one_a_month_and_nearly_all_that_matters_is_found() -> None:
    tally = bench.measure(range(1, 3))  # of those the constants were chosen on: no evidence
    assert tally.rate() <= 1.5
    assert tally.recall(bench.ALL) >= 0.9


@pytest.mark.full
def test_alarms_and_recall_over_many_seeds() -> None:
    for platform in bench.PLATFORMS:
        tally = bench.measure(range(bench.FIRST_SEED, bench.LAST_SEED + 1), platform)
        assert tally.rate() <= 1
        assert tally.recall(bench.ALL) >= 0.95


# In the warehouse


def loaded(scene: Scene, factor: float = 1.0, day: date = TODAY) -> list[dict[str, object]]:
    """Rows of the last three days, of two campaigns; one of them is multiplied on a day."""
    rows = []
    for campaign in ("c1", "c2"):
        for on in BACK[-3:]:
            by = factor if (campaign, on) == ("c1", day) else 1.0
            rows.append(
                row(on, campaign, impressions=int(1000 * by), spend=str(5 * by), load_id="load-1")
            )
    return rows


def publish_history(scene: Scene, days: list[date] = BACK[-45:-3]) -> None:
    rows = [row(day, c, load_id="load-0") for day in days for c in ("c1", "c2")]
    stored = [{k: v for k, v in one.items() if k != "unreadable"} for one in rows]
    scene._insert(scene.layout.published("performance"), stored)
    scene.published(*days)


def look(scene: Scene, *results: object, **options: object) -> dict[str, Finding]:
    given = {"standing": {}, **options}
    found = find(scene, scene.manifest(*results), **given)  # type: ignore[arg-type]
    assert [f.rule for f in found] == [rule.name for rule in RULES]
    return {f.rule: f for f in found}


def cut(**parts: object) -> object:
    return part(since=BACK[-3], until=TODAY, **parts)  # type: ignore[arg-type]


def test_days_under_audit_are_held_against_published_ones(scene: Scene) -> None:
    publish_history(scene)
    found = look(scene, scene.stage(cut(), loaded(scene, 4)))
    jump = found.pop("no_sudden_jump")
    assert jump.status is Status.FAILED
    assert (jump.severity, jump.account_id, jump.fingerprint) == ("high", ACCOUNT, "")
    assert "impressions 5,000, usually 2,000" in jump.observed
    assert "mostly campaign c1" in jump.observed
    assert jump.sample[0]["since"] == str(TODAY)
    assert jump.advice
    assert 0 < jump.failing_share < 0.2
    assert {f.status for f in found.values()} == {Status.PASSED}


def test_a_day_under_audit_without_rows_is_a_gap_whatever_is_published(scene: Scene) -> None:
    publish_history(scene, BACK[-45:])
    result = scene.stage(cut(), [r for r in loaded(scene) if r["date"] != TODAY])
    assert look(scene, result)["no_gap_in_delivery"].status is Status.FAILED


def test_slices_that_are_published_are_judged_as_they_are_there(scene: Scene) -> None:
    publish_history(scene)
    result = scene.stage(cut(), loaded(scene))
    scene.publish(result)
    standing = {result.slice.fingerprint(): Standing.PUBLISHED}
    found = look(scene, result, standing=standing)
    assert {f.status for f in found.values()} == {Status.PASSED}


def test_published_days_are_judged_by_what_people_see(scene: Scene) -> None:
    publish_history(scene)
    result = scene.stage(cut(), loaded(scene, 4))
    scene.publish(result)
    again = replace(result, staged=())
    assert look(scene, again, standing=None)["no_sudden_jump"].status is Status.FAILED
    assert look(scene, again, standing=None)["no_gap_in_delivery"].status is Status.PASSED


def test_severities_and_thresholds_are_the_users(scene: Scene) -> None:
    publish_history(scene)
    result = scene.stage(cut(), loaded(scene, 4))
    graver = look(scene, result, severities={"no_sudden_jump": "critical"})["no_sudden_jump"]
    assert (graver.severity, graver.status) == ("critical", Status.FAILED)
    bolder = look(scene, result, thresholds={"no_sudden_jump": 1000.0})["no_sudden_jump"]
    assert bolder.status is Status.PASSED


def test_a_gate_that_blocks_on_jumps_holds_the_account_back(scene: Scene) -> None:
    publish_history(scene)
    result = scene.stage(cut(), loaded(scene, 4))
    [lenient] = scene.audit(result).decisions
    assert lenient.verdict is Verdict.WARN
    [strict] = scene.audit(result, severities={"no_sudden_jump": "critical"}).decisions
    assert strict.verdict is Verdict.QUARANTINE
    assert any("no_sudden_jump" in reason for reason in strict.reasons)


def test_without_history_seasons_do_not_apply(scene: Scene) -> None:
    found = look(scene, scene.stage(cut(), loaded(scene, 4)))
    assert found["no_sudden_jump"].status is Status.NOT_APPLICABLE
    assert found["clicks_have_impressions"].status is Status.PASSED


def test_attribution_windows_are_not_added_up(scene: Scene) -> None:
    publish_history(scene)
    rows = loaded(scene)
    rows += [{**one, "attribution_window": "1d_view"} for one in rows]
    assert look(scene, scene.stage(cut(), rows))["no_sudden_jump"].status is Status.PASSED


def test_other_organizations_and_failed_slices_say_nothing(scene: Scene) -> None:
    publish_history(scene)
    scene.con.execute("UPDATE liftos.performance SET org_id = 'other'")
    scene.con.execute("UPDATE liftos.loads SET org_id = 'other'")
    found = look(scene, scene.stage(cut(), loaded(scene, 4)))
    assert found["no_sudden_jump"].status is Status.NOT_APPLICABLE
    assert find(scene, scene.manifest(scene.failed(cut())), standing={}) == ()


def ads(scene: Scene, table: str, rows: list[dict[str, object]], *, staged: bool = False) -> None:
    common = {
        "org_id": ORG, "platform": PLATFORM, "account_id": ACCOUNT, "campaign_id": "c1",
        "row_hash": "h", "as_of": datetime(2026, 11, 20, tzinfo=UTC), "is_mock": False,
    }  # fmt: skip
    lineage = (
        {"load_id": "load-1"}
        if staged
        else {"load_id": "load-0", "is_deleted": False, "valid_from": common["as_of"]}
    )
    where = scene.layout.audit(table) if staged else scene.layout.published(table)
    scene._insert(where, [{**common, **lineage, **one} for one in rows])


@pytest.mark.parametrize("how", ["ended", "deleted", "group", "campaign", "snapshot", "running"])
def test_an_ad_that_ended_explains_why_its_campaign_has_less(scene: Scene, how: str) -> None:
    """Ad a1 had most of campaign c1 until the day before yesterday."""
    publish_history(scene)
    rows = [
        row(on, "c1", level="ad", ad_id=ad, impressions=n, spend=str(n / 200), load_id="load-0")
        for on in BACK[-45:-3]
        for ad, n in (("a1", 900), ("a2", 100))
    ]
    stored = [{k: v for k, v in one.items() if k != "unreadable"} for one in rows]
    scene._insert(scene.layout.published("performance"), stored)
    state = {"ended": "PAUSED"}.get(how, "ACTIVE")
    known = {"ad_id": "a1", "ad_group_id": "g1", "effective_status": state}
    ads(scene, "ads", [known | {"is_deleted": how == "deleted"}])
    group = "ARCHIVED" if how == "group" else "ACTIVE"
    ads(scene, "ad_groups", [{"ad_group_id": "g1", "effective_status": group}])
    if how == "campaign":
        ads(scene, "campaigns", [{"effective_status": "PAUSED"}])
    results = [scene.stage(cut(), loaded_less(scene))]
    if how == "snapshot":
        ads(scene, "ads", [{"ad_id": "a2", "effective_status": "ACTIVE"}], staged=True)
        listing = replace(results[0], slice=part_of_stream("ads"))
        results.append(listing)
    found = look(scene, *results)
    expected = Status.FAILED if how == "running" else Status.PASSED
    assert found["no_sudden_drop"].status is expected


def loaded_less(scene: Scene) -> list[dict[str, object]]:
    return [
        one if one["campaign_id"] == "c2" else {**one, "impressions": 100, "spend": "0.5"}
        for one in loaded(scene)
    ]


def part_of_stream(name: str) -> object:
    from tests.quality.scene import stream

    return stream(name)


def test_the_gravest_is_named_first() -> None:
    one = delivery({"c1": times(usual(), TODAY, 3), "c2": without(usual(9), BACK[-5])})
    found: list[Anomaly] = anomalies(one, BACK[-9:])
    assert [a.severity.weight for a in found] == sorted(
        (a.severity.weight for a in found), reverse=True
    )
