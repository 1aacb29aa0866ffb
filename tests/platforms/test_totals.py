"""What every platform must come to: the truth at every level, twice the same, restated as it is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_liftos.model.report import Level, Window
from airflow_provider_liftos.platforms import names
from airflow_provider_liftos.sandbox import Sandbox
from tests.engine.harness import YESTERDAY, Harness, basic, last
from tests.platforms.conftest import Make

every_platform = pytest.mark.parametrize("platform", names())


def levels(harness: Harness) -> list[Any]:
    return [basic(level, platform=harness.platform) for level in Level]


@every_platform
def test_all_levels_of_all_accounts_agree(make: Make, platform: str) -> None:
    harness = make(platform)
    done = harness.run_to_end(harness.slices(levels(harness), last(3), accounts=range(6)))
    assert not done.failed
    assert harness.published_equals_truth(), harness.differences()
    unlike = harness.warehouse.query(
        "SELECT account_id, date FROM (SELECT account_id, date, level, sum(impressions) AS i,"
        " sum(clicks) AS c, sum(spend) AS s, sum(conversions) AS n, sum(conversions_value) AS v"
        " FROM liftos.performance GROUP BY ALL) GROUP BY ALL"
        " HAVING count(DISTINCT (i, c, s, n, v)) > 1 OR count(*) <> 4"
    )
    assert unlike == []
    kinds = "SELECT count(DISTINCT currency), count(DISTINCT account_timezone)"
    [(currencies, zones)] = harness.warehouse.query(f"{kinds} FROM liftos.performance")
    assert min(currencies, zones) > 2, "yen and odd zones are among them"


@every_platform
def test_a_second_run_and_a_backfill_of_the_whole_range_change_nothing(
    make: Make, platform: str
) -> None:
    harness = make(platform)
    rows = "SELECT * EXCLUDE (as_of, load_id) FROM liftos.performance ORDER BY ALL"
    harness.run_to_end(harness.slices(levels(harness), last(8), accounts=(0, 1)))
    before = harness.warehouse.query(rows)
    for days in (30, 3):
        harness.scope = f"dag/again-{days}/extract/-1"
        cuts = harness.slices(levels(harness), last(8), accounts=(0, 1), slice_days=days)
        harness.run_to_end(cuts, f"load-{days}")
        assert harness.warehouse.query(rows) == before
    assert harness.published_equals_truth(), harness.differences()


@every_platform
def test_restated_days_change_as_the_clock_says_and_others_stay(
    make: Make, own_sandbox: Sandbox, platform: str
) -> None:
    harness = make(platform, own_sandbox)
    report = basic(platform=harness.platform)
    sums = "SELECT date, sum(conversions) FROM liftos.performance GROUP BY ALL"
    harness.run_to_end(harness.slices([report], last(5)))
    before = dict(harness.warehouse.query(sums))
    harness.pass_time(86_400)
    harness.scope = "dag/run2/extract/-1"
    later = Window(since=YESTERDAY - timedelta(days=2), until=YESTERDAY + timedelta(days=1))
    harness.run_to_end(harness.slices([report], later), "load2")
    after = dict(harness.warehouse.query(sums))
    assert harness.published_equals_truth(), harness.differences()
    assert set(after) == set(before) | {later.until}
    moved = {day for day in before if before[day] != after[day]}
    assert YESTERDAY in moved
    assert not moved & {YESTERDAY - timedelta(days=3), YESTERDAY - timedelta(days=4)}
