"""Days without rows between days with spend."""

from __future__ import annotations

from airflow_provider_liftos.quality.findings import Status, Verdict
from tests.quality.scene import DAY1, DAY2, DAY3, Scene, days, failing, finding, part
from tests.quality.test_sums import BEFORE


def test_a_gap_between_days_with_spend_is_found(scene: Scene) -> None:
    outcome = scene.audit(scene.stage(part(), days(DAY1, DAY3)))
    assert failing(outcome) == {"expected_days_present"}
    assert str(DAY2) in finding(outcome, "expected_days_present").observed
    assert outcome.decisions[0].verdict is Verdict.WARN


def test_a_gap_after_a_published_day_is_found(scene: Scene) -> None:
    scene.published(BEFORE)
    assert failing(scene.audit(scene.stage(part(), days(DAY2, DAY3)))) == {"expected_days_present"}


def test_a_gap_beside_days_without_spend_is_none(scene: Scene) -> None:
    rows = [*days(DAY1, spend="0", extra_metrics=None), *days(DAY3)]
    assert not failing(scene.audit(scene.stage(part(), rows)))


def test_a_gap_reaches_over_the_slices_of_one_run(scene: Scene) -> None:
    first = scene.stage(part(since=DAY1, until=DAY2), days(DAY1))
    second = scene.stage(part(since=DAY3, until=DAY3), days(DAY3))
    outcome = scene.audit(first, second)
    assert finding(outcome, "expected_days_present", first).status is Status.FAILED
    assert finding(outcome, "expected_days_present", second).status is Status.PASSED


def test_reports_in_steps_of_several_days_have_no_gaps(scene: Scene) -> None:
    asked = part(time_increment=3)
    outcome = scene.audit(scene.stage(asked, days(DAY1, date_end=DAY3)))
    assert not failing(outcome)
    assert finding(outcome, "expected_days_present").status is Status.NOT_APPLICABLE
    assert finding(outcome, "data_fresh").status is Status.PASSED
