"""The campaign report as a document: its schema, its numbers, its warnings."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import pytest

from airflow_provider_liftos.model.errors import WarehouseError
from airflow_provider_liftos.model.report import Level, Window
from airflow_provider_liftos.warehouses.campaign_report import CampaignReport
from tests.warehouses.staging import (
    ACCOUNT,
    DAY1,
    DAY2,
    NOON,
    ORG,
    Lab,
    entity_row,
    performance_row,
    report_slice,
    stream_slice,
)

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "include" / "schemas" / "campaign_report.schema.json").read_text())
BOTH = Window(since=DAY1, until=DAY2)

DOCUMENTED = """
{
  "metadata": {
    "platform": "meta",
    "account_id": "act_123456",
    "extraction_timestamp": "2024-01-15T10:30:00Z",
    "date_range": {"start": "2024-01-08", "end": "2024-01-15"},
    "timezone": "UTC",
    "currency": "USD"
  },
  "campaigns": [
    {
      "campaign_id": "camp_123",
      "campaign_name": "Summer Sale 2024",
      "status": "active",
      "objective": "conversions",
      "budget": 1000.00,
      "spend": 750.50,
      "impressions": 125000,
      "clicks": 2500,
      "ctr": 2.0,
      "cpc": 0.30,
      "cpm": 6.00,
      "conversions": 45,
      "conversion_value": 2250.00,
      "roas": 3.0,
      "start_date": "2024-01-08",
      "end_date": null,
      "breakdowns": {
        "age": [{"age_range": "18-24", "impressions": 50000, "clicks": 1000}],
        "gender": [{"gender": "male", "impressions": 60000, "clicks": 1200}],
        "device": [{"device": "mobile", "impressions": 100000, "clicks": 2000}]
      }
    }
  ],
  "summary": {
    "total_campaigns": 10,
    "total_spend": 7500.50,
    "total_impressions": 1250000,
    "total_clicks": 25000,
    "total_conversions": 450
  },
  "warnings": [
    "Some metrics for campaign 'camp_456' are estimated and may change",
    "Historical data for 'camp_789' is incomplete due to account changes"
  ]
}
"""


def valid(document: dict) -> dict:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(document, SCHEMA, format_checker=jsonschema.FormatChecker())
    assert json.loads(json.dumps(document)) == document
    return document


def written(lab: Lab, window: Window = BOTH, account: str = ACCOUNT) -> dict:
    report = CampaignReport(warehouse=lab.warehouse, org_id=ORG, platform="meta", now=NOON)
    return valid(report.document(account, window))


def broken(lab: Lab, report: str, values: list[dict], **metrics) -> None:
    rows = [
        performance_row(
            DAY1, report=report, breakdown_key=f"k{n}", breakdowns=json.dumps(value), **metrics
        )
        for n, value in enumerate(values)
    ]
    lab.publish(report_slice(DAY1, DAY2, report=report), rows, load_id=report)


@pytest.fixture
def shop(lab):
    entity = entity_row(
        "c1", "h", name="Summer Sale", effective_status="ACTIVE", objective="OUTCOME_SALES",
        daily_budget="1000", start_at=datetime(2026, 6, 1, 22, tzinfo=UTC),
    )  # fmt: skip
    lab.publish(stream_slice(), [entity], table="campaigns")
    numbers = {"spend": "375.25", "impressions": 62500, "clicks": 1250, "conversions": "22.5",
               "conversions_value": "1125"}  # fmt: skip
    second = {"date": DAY2, "date_end": DAY2, "is_estimated": True}
    rows = [performance_row(DAY1, **numbers), performance_row(DAY1, **{**numbers, **second})]
    lab.publish(report_slice(), rows)
    return lab


def test_the_documented_example_is_valid():
    valid(json.loads(DOCUMENTED))


@pytest.mark.parametrize(
    "wrong",
    [
        {"platform": "Meta!"},
        {"currency": "dollars"},
        {"extraction_timestamp": "yesterday"},
        {"date_range": {"start": "2024-01-08"}},
        {"surprise": 1},
    ],
)
def test_the_schema_refuses_what_is_wrong(wrong):
    document = json.loads(DOCUMENTED)
    document["metadata"] |= wrong
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, SCHEMA, format_checker=jsonschema.FormatChecker())


def test_a_campaign_has_its_state_and_its_numbers(shop):
    document = written(shop)
    assert document["metadata"] == {
        "platform": "meta", "account_id": ACCOUNT, "extraction_timestamp": "2026-11-20T12:00:00Z",
        "date_range": {"start": "2026-11-01", "end": "2026-11-02"},
        "timezone": "Europe/Berlin", "currency": "EUR",
    }  # fmt: skip
    [campaign] = document["campaigns"]
    assert campaign == {
        "campaign_id": "c1", "campaign_name": "Summer Sale", "status": "active",
        "objective": "outcome_sales", "budget": 1000, "spend": 750.5, "impressions": 125000,
        "clicks": 2500, "ctr": 2, "cpc": 0.3002, "cpm": 6.004, "conversions": 45,
        "conversion_value": 2250, "roas": 2.998, "start_date": "2026-06-02", "end_date": None,
        "breakdowns": {},
    }  # fmt: skip
    assert document["summary"] == {
        "total_campaigns": 1, "total_spend": 750.5, "total_impressions": 125000,
        "total_clicks": 2500, "total_conversions": 45,
    }  # fmt: skip
    assert document["warnings"] == ["Some metrics for campaign 'c1' are estimated and may change"]


def test_each_dimension_comes_from_the_report_that_cuts_it_least(shop):
    cells = [{"age": a, "gender": g} for a in ("18-24", "25-34") for g in ("female", "male")]
    broken(shop, "demographics_age_and_gender", cells)
    broken(shop, "demographics_age", [{"age": "18-24"}, {"age": "25-34"}], impressions=7)
    broken(shop, "delivery", [{"publisher_platform": "facebook", "device_platform": "mobile_app"}])
    [campaign] = written(shop)["campaigns"]
    found = campaign["breakdowns"]
    assert list(found) == ["age", "device", "gender", "placement"]
    assert [(b["age_range"], b["impressions"]) for b in found["age"]] == [
        ("18-24", 7),
        ("25-34", 7),
    ]
    assert [(b["gender"], b["impressions"]) for b in found["gender"]] == [
        ("female", 2000), ("male", 2000),
    ]  # fmt: skip
    assert found["device"] == [
        {"device": "mobile_app", "impressions": 1000, "clicks": 10, "spend": 5, "conversions": 1}
    ]


def test_days_that_were_never_published_are_named(shop):
    wide = Window(since=DAY1, until=DAY2.replace(day=10))
    [first, *_] = written(shop, wide)["warnings"]
    assert first == (
        "Data of report 'basic' is incomplete: nothing was published for 2026-11-03, 2026-11-04,"
        " 2026-11-05, 2026-11-06, 2026-11-07 and 3 more days"
    )


def test_what_is_unknown_is_null_and_never_zero(lab):
    quiet = {"conversions": None, "conversions_value": None, "clicks": 0}
    lab.publish(report_slice(level=Level.CAMPAIGN), [performance_row(DAY1, **quiet)])
    [campaign] = written(lab)["campaigns"]
    for name in ("status", "objective", "budget", "conversions", "conversion_value", "cpc", "roas"):
        assert campaign[name] is None
    assert campaign["ctr"] == 0


def test_an_account_without_anything_is_an_error(shop):
    with pytest.raises(WarehouseError, match="nothing is published from 2026-11-01"):
        written(shop, account="999")
