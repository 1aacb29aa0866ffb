"""The large profile: everything is made when it is asked for, and only then."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from airflow_provider_liftos.sandbox import Sandbox
from tests.sandbox.client import Wire, span, sums, truth_sums


@pytest.fixture(scope="module")
def large() -> Iterator[Wire]:
    with Sandbox(
        profile="large", start=datetime(2026, 11, 21, 11, tzinfo=UTC), frozen=True
    ) as sandbox:
        wire = Wire(sandbox)
        yield wire
        wire.http.close()


@pytest.fixture(scope="module")
def act(large: Wire) -> str:
    return large.get("me/adaccounts", limit=1)["data"][0]["id"]


def test_three_hundred_accounts_cost_nothing_until_they_are_read(large: Wire) -> None:
    tracemalloc.start()
    assert len(large.rows("me/adaccounts", fields="name,currency")) == 300
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 * 2**20


def test_one_day_of_some_ads_is_a_matter_of_moments(large: Wire, act: str) -> None:
    ids = [row["id"] for row in large.rows(f"{act}/ads", limit=5000)][:200]
    rule = [{"field": "ad.id", "operator": "IN", "value": ids}]
    ask = {"level": "ad", "fields": "ad_id,impressions", "limit": 1000, "filtering": rule}
    rows = large.rows(
        f"{act}/insights", time_range=span("2026-10-01", "2026-10-03"), time_increment="1", **ask
    )
    assert {row["ad_id"] for row in rows} <= set(ids)
    assert len(rows) > 400


def test_people_are_left_out_of_old_breakdowns_at_once_but_not_in_reports(
    large: Wire, act: str
) -> None:
    ask = {
        "level": "campaign", "fields": "impressions,reach,frequency,cpp", "breakdowns": "age",
        "time_range": span("2025-10-19", "2025-10-19"), "limit": 5000,
    }  # fmt: skip
    at_once = large.rows(f"{act}/insights", **ask)
    assert at_once
    assert not any({"reach", "frequency", "cpp"} & set(row) for row in at_once)
    run = large.submit(act, **ask)
    assert any("reach" in row for row in large.rows(f"{run}/insights", limit=5000))
    recent = {**ask, "time_range": span("2026-10-19", "2026-10-19")}
    assert any("reach" in row for row in large.rows(f"{act}/insights", **recent))


def test_hours_are_kept_for_thirteen_months(large: Wire, act: str) -> None:
    ask = {
        "level": "account", "fields": "impressions", "limit": 100,
        "breakdowns": "hourly_stats_aggregated_by_advertiser_time_zone",
    }  # fmt: skip
    old = large.submit(act, time_range=span("2025-10-18", "2025-10-20"), **ask)
    new = large.submit(act, time_range=span("2025-10-21", "2025-10-21"), **ask)
    assert large.get(f"{old}/insights") == {"data": []}
    assert len(large.rows(f"{new}/insights")) == 24


def test_a_heavy_report_is_read_while_others_poll(large: Wire, act: str) -> None:
    days = {"since": "2026-11-01", "until": "2026-11-02"}
    run = large.submit(
        act,
        level="ad",
        fields="spend,impressions,clicks,actions,action_values",
        time_increment="1",
        time_range=days,
    )

    def poll(_: int) -> str:
        return large.get(run)["async_status"]

    with ThreadPoolExecutor(6) as pool:
        polls = pool.map(poll, range(60))
        rows = large.rows(f"{run}/insights", limit=1000)
        assert set(polls) == {"Job Completed"}
    truth = large.sandbox.truth(level="ad", account=act, **days)
    assert sums(rows) == truth_sums(truth)
    assert len(rows) == len(truth["rows"]) > 5000
