from __future__ import annotations

from datetime import date

import pytest

from airflow_provider_liftos.sandbox.wire.google_ads.dates import DURING
from airflow_provider_liftos.sandbox.wire.google_ads.errors import AdsError
from airflow_provider_liftos.sandbox.wire.google_ads.gaql import Condition, parse
from tests.sandbox.google_client import GoogleWire

DAY = "segments.date = '2026-11-10'"
WEEK = "segments.date BETWEEN '2026-11-09' AND '2026-11-15'"


def test_clauses_are_read() -> None:
    query = parse(
        "select campaign.id, metrics.clicks from campaign where campaign.status IN (ENABLED, "
        "'PAUSED') AND campaign.name LIKE \"%it's%\" and metrics.clicks > 10 AND segments.date "
        "during last_7_days AND campaign.end_date_time IS NULL AND campaign.id not in (1,2) "
        "order by metrics.clicks desc, campaign.id limit 5 parameters include_drafts=true"
    )
    assert query.fields == ("campaign.id", "metrics.clicks")
    assert query.resource == "campaign"
    assert query.conditions == (
        Condition("campaign.status", "IN", ("ENABLED", "PAUSED")),
        Condition("campaign.name", "LIKE", ("%it's%",)),
        Condition("metrics.clicks", ">", ("10",)),
        Condition("segments.date", "DURING", ("last_7_days",)),
        Condition("campaign.end_date_time", "IS NULL"),
        Condition("campaign.id", "NOT IN", ("1", "2")),
    )
    assert query.order == (("metrics.clicks", True), ("campaign.id", False))
    assert (query.limit, query.parameters) == (5, {"include_drafts": "true"})


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "EXPECTED_SELECT"),
        ("FROM campaign", "EXPECTED_SELECT"),
        ("SELECT", "UNEXPECTED_END_OF_QUERY"),
        ("SELECT campaign.id", "EXPECTED_FROM"),
        ("SELECT FROM campaign", "BAD_FIELD_NAME"),
        ("SELECT campaign.id, FROM campaign", "BAD_FIELD_NAME"),
        ("SELECT * FROM campaign", "BAD_SYMBOL"),
        ("SELECT campaign.id FROM campaign, ad_group", "UNEXPECTED_INPUT"),
        ("SELECT campaign.id FROM 7", "BAD_RESOURCE_TYPE_IN_FROM_CLAUSE"),
        ("SELECT campaign.id FROM campaign WHERE", "UNEXPECTED_END_OF_QUERY"),
        ("SELECT campaign.id FROM campaign WHERE campaign.id ~ 1", "BAD_SYMBOL"),
        ("SELECT campaign.id FROM campaign WHERE campaign.id IS 1", "BAD_OPERATOR"),
        ("SELECT campaign.id FROM campaign WHERE campaign.id WITHIN 1", "BAD_OPERATOR"),
        ("SELECT campaign.id FROM campaign WHERE campaign.id = 1 OR campaign.id = 2", "UNEXPECTED_INPUT"),
        ("SELECT campaign.id FROM campaign WHERE (campaign.id = 1)", "BAD_FIELD_NAME"),
        ("SELECT campaign.id FROM campaign WHERE campaign.id = (1)", "EXPECTED_SINGLE_VALUE"),
        ("SELECT campaign.id FROM campaign WHERE campaign.id IN 1", "EXPECTED_LIST"),
        ("SELECT campaign.id FROM campaign WHERE campaign.id IN ()", "PROHIBITED_EMPTY_LIST_IN_CONDITION"),
        ("SELECT campaign.id FROM campaign WHERE campaign.id BETWEEN 1, 2", "EXPECTED_AND"),
        ("SELECT campaign.id FROM campaign WHERE campaign.id = =", "BAD_VALUE"),
        ("SELECT campaign.id FROM campaign WHERE campaign.name = 'open", "STRING_NOT_TERMINATED"),
        ("SELECT campaign.id FROM campaign WHERE campaign.name = 'a\nb'", "PROHIBITED_NEWLINE_IN_STRING"),
        ("SELECT campaign.id FROM campaign WHERE campaign.id = 12ab", "BAD_NUMBER"),
        ("SELECT campaign.id FROM campaign ORDER campaign.id", "EXPECTED_BY"),
        ("SELECT campaign.id FROM campaign LIMIT many", "BAD_LIMIT_VALUE"),
        ("SELECT campaign.id FROM campaign LIMIT 1.5", "BAD_LIMIT_VALUE"),
        ("SELECT campaign.id FROM campaign LIMIT 0", "LIMIT_VALUE_TOO_LOW"),
        ("SELECT campaign.id FROM campaign LIMIT 1 WHERE campaign.id = 1", "UNEXPECTED_INPUT"),
        ("SELECT campaign.id FROM campaign PARAMETERS include_drafts", "UNEXPECTED_INPUT"),
    ],
)  # fmt: skip
def test_what_is_no_query_is_refused(text: str, code: str) -> None:
    with pytest.raises(AdsError) as refused:
        parse(text)
    assert (refused.value.kind, refused.value.code) == ("query_error", code)


def test_metadata_queries_take_no_from() -> None:
    assert parse("SELECT name WHERE name = 'a'", has_from=False).fields == ("name",)
    with pytest.raises(AdsError) as refused:
        parse("SELECT name FROM x", has_from=False)
    assert refused.value.code == "UNEXPECTED_FROM_CLAUSE"


@pytest.mark.parametrize(
    ("literal", "since", "until"),
    [
        ("TODAY", "2026-11-21", "2026-11-21"),
        ("YESTERDAY", "2026-11-20", "2026-11-20"),
        ("LAST_7_DAYS", "2026-11-14", "2026-11-20"),
        ("LAST_14_DAYS", "2026-11-07", "2026-11-20"),
        ("LAST_30_DAYS", "2026-10-22", "2026-11-20"),
        ("LAST_BUSINESS_WEEK", "2026-11-09", "2026-11-13"),
        ("THIS_MONTH", "2026-11-01", "2026-11-21"),
        ("LAST_MONTH", "2026-10-01", "2026-10-31"),
        ("THIS_WEEK_SUN_TODAY", "2026-11-15", "2026-11-21"),
        ("THIS_WEEK_MON_TODAY", "2026-11-16", "2026-11-21"),
        ("LAST_WEEK_SUN_SAT", "2026-11-08", "2026-11-14"),
        ("LAST_WEEK_MON_SUN", "2026-11-09", "2026-11-15"),
    ],
)
def test_during_means_these_days(google: GoogleWire, literal: str, since: str, until: str) -> None:
    days = (date.fromisoformat(since), date.fromisoformat(until))
    assert DURING[literal](date(2026, 11, 21)) == days  # a Saturday
    rows = google.grpc_stream(
        f"SELECT customer.id, segments.date, metrics.clicks FROM customer WHERE segments.date DURING {literal}"
    )
    found = [row["segments"]["date"] for row in rows]
    assert (min(found), max(found)) == (since, until)
    assert len(found) == (days[1] - days[0]).days + 1


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        ("campaign.status = 'PAUSED'", None),
        ("campaign.status != REMOVED", None),
        ("campaign.status IN ('ENABLED', PAUSED)", None),
        ("campaign.status NOT IN (REMOVED)", None),
        ("campaign.name LIKE '%(eu)'", 1),
        ('campaign.name LIKE "_rand _Always%"', 1),
        ("campaign.name NOT LIKE '%(EU)'", 4),
        ("campaign.name REGEXP_MATCH '.*\\\\d{3}'", 4),
        ("campaign.name REGEXP_MATCH 'Brand'", 0),
        ("campaign.name NOT REGEXP_MATCH '.*(EU).*'", 4),
        ("campaign.end_date_time IS NULL", 4),
        ("campaign.end_date_time IS NOT NULL", 1),
        ("campaign.advertising_channel_type = SEARCH", 2),
        ("campaign_budget.amount_micros >= 10000000", 5),
        ("campaign_budget.amount_micros < 1", 0),
        ("campaign_budget.amount_micros BETWEEN 1 AND 999000000000", 5),
        ("customer.manager = FALSE", 5),
        ("campaign.resource_name = 'customers/1/campaigns/1'", 0),
        ("campaign.start_date_time >= '2020-01-01'", 5),
    ],
)
def test_operators_choose(google: GoogleWire, condition: str, names: int | None) -> None:
    query = f"SELECT campaign.id, campaign.status FROM campaign WHERE {condition}"
    rows = google.grpc_stream(query)
    assert google.rest_stream(query) == rows
    if names is not None:
        assert len(rows) == names
    else:
        assert 0 <= len(rows) < 5
        assert all(row["campaign"].get("status") != "REMOVED" for row in rows)


def test_lists_are_searched_with_contains(google: GoogleWire) -> None:
    url = "https://shop.example/p/3"
    counts = {}
    for how in ("ANY", "ALL", "NONE"):
        rows = google.grpc_stream(
            "SELECT ad_group_ad.ad.id FROM ad_group_ad WHERE ad_group_ad.ad.final_urls "
            f"CONTAINS {how} ('{url}')"
        )
        counts[how] = len(rows)
    assert counts == {"ANY": 1, "ALL": 1, "NONE": 39}


def test_metrics_and_segments_choose_after_adding_up(google: GoogleWire) -> None:
    rows = google.grpc_stream(
        "SELECT campaign.id, segments.device, metrics.clicks FROM campaign "
        f"WHERE {WEEK} AND segments.device IN ('MOBILE', DESKTOP) AND metrics.clicks > 100 "
        "ORDER BY metrics.clicks DESC, campaign.id"
    )
    clicks = [int(row["metrics"]["clicks"]) for row in rows]
    assert clicks == sorted(clicks, reverse=True)
    assert min(clicks) > 100
    assert {row["segments"]["device"] for row in rows} == {"MOBILE", "DESKTOP"}


def test_periods_are_named_by_their_first_day(google: GoogleWire) -> None:
    where = "segments.date BETWEEN '2026-10-01' AND '2026-11-21'"
    fields = "segments.week, segments.month, segments.quarter, segments.year"
    rows = google.grpc_stream(
        f"SELECT customer.id, {fields}, metrics.clicks FROM customer WHERE {where}"
    )
    assert {row["segments"]["month"] for row in rows} == {"2026-10-01", "2026-11-01"}
    assert {row["segments"]["quarter"] for row in rows} == {"2026-10-01"}
    assert {row["segments"]["year"] for row in rows} == {2026}
    assert {date.fromisoformat(row["segments"]["week"]).weekday() for row in rows} == {0}
    week = google.grpc_stream(
        "SELECT customer.id, metrics.clicks FROM customer WHERE segments.week = '2026-11-09'"
    )
    days = google.grpc_stream(f"SELECT customer.id, metrics.clicks FROM customer WHERE {WEEK}")
    assert week == days
    weekdays = google.grpc_stream(
        f"SELECT segments.day_of_week, metrics.clicks FROM customer WHERE {where}"
    )
    assert len(weekdays) == 7


def test_dates_may_be_written_without_dashes(google: GoogleWire) -> None:
    fields = "SELECT customer.id, metrics.clicks FROM customer WHERE segments.date"
    assert google.grpc_stream(f"{fields} = '20261110'") == google.grpc_stream(
        f"{fields} = '2026-11-10'"
    )
    assert google.grpc_stream(f"{fields} >= '2026-11-09' AND segments.date < '2026-11-16'") == (
        google.grpc_stream(f"SELECT customer.id, metrics.clicks FROM customer WHERE {WEEK}")
    )


def test_limit_and_resource_names(google: GoogleWire) -> None:
    query = "SELECT campaign.id, customer.currency_code FROM campaign LIMIT 2"
    rows = google.grpc_stream(query)
    assert len(rows) == 2
    assert all(
        "resourceName" in row["customer"] and "resourceName" in row["campaign"] for row in rows
    )
    bare = google.grpc_stream(f"{query} PARAMETERS omit_unselected_resource_names=true")
    assert all(set(row["campaign"]) == {"id"} for row in bare)


def test_an_enum_may_have_a_number_without_a_name(google: GoogleWire) -> None:
    rows = google.grpc_stream("SELECT campaign.bidding_strategy_type FROM campaign")
    assert 97 in [row["campaign"]["biddingStrategyType"] for row in rows]


def test_impression_share_is_null_outside_of_search(google: GoogleWire) -> None:
    rows = google.grpc_stream(
        "SELECT campaign.advertising_channel_type, metrics.search_impression_share, "
        f"metrics.impressions, segments.date FROM campaign WHERE {WEEK}"
    )
    shares = {
        row["campaign"]["advertisingChannelType"]: "searchImpressionShare" in row["metrics"]
        for row in rows
    }
    assert shares["SEARCH"]
    assert not shares["VIDEO"]
