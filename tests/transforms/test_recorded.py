"""Rows recorded from real accounts, as numbers and as texts."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_liftos.model.report import Level
from airflow_provider_liftos.platforms.meta import insights
from tests.engine.harness import META
from tests.transforms.bench import Bench

RECORDED = Path(__file__).parents[1] / "data" / "meta_recorded.jsonl"
ROWS = [json.loads(line) for line in RECORDED.read_text().splitlines()]
REPORTS = {
    "ads_insights": "basic",
    "ads_insights_action_conversion_device": "delivery_device",
}
STREAMS = {
    "campaigns": "campaigns",
    "ad_sets": "ad_groups",
    "ads": "ads",
    "custom_audiences": "audiences",
}


def of(stream: str) -> dict[str, Any]:
    return next(row["data"] for row in ROWS if row["stream"] == stream)


def as_text(row: dict[str, Any]) -> dict[str, Any]:
    """Numbers as the wire sends them."""
    return {k: str(v) if type(v) in (int, float) else v for k, v in row.items()}


@pytest.mark.parametrize("stream", REPORTS)
def test_a_recorded_row_is_the_same_from_numbers_and_from_texts(bench: Bench, stream: str) -> None:
    row = of(stream)
    report = insights.check(META.preset(REPORTS[stream], Level.AD))
    done = bench.normalize(report, [row])
    found = bench.rows(done)
    assert found == bench.rows(bench.normalize(report, [as_text(row)]))
    values = bench.rows(done, "date::VARCHAR, ad_id, impressions, clicks, spend, reach, currency")
    assert values == [
        (row["date_start"], row["ad_id"], row["impressions"], row["clicks"],
         Decimal(str(row["spend"])), row["reach"], row["account_currency"]),
    ]  # fmt: skip
    assert (done.rejected, done.unreadable, done.duplicates) == (0, 0, 0)


@pytest.mark.parametrize("stream", STREAMS)
def test_a_recorded_entity_is_the_same_from_numbers_and_from_texts(
    bench: Bench, stream: str
) -> None:
    row = of(stream)
    found = bench.rows(bench.normalize(STREAMS[stream], [row]), "* EXCLUDE (row_hash)")
    told = bench.rows(bench.normalize(STREAMS[stream], [as_text(row)]), "* EXCLUDE (row_hash)")
    assert len(found) == 1
    assert str(row["id"]) in found[0]
    assert row["name"] in found[0]
    assert [c for c in found[0] if not str(c).startswith("{")] == [
        c for c in told[0] if not str(c).startswith("{")
    ]
