from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from itertools import islice
from typing import Any

import pytest

from airflow_provider_liftos.sandbox import Sandbox
from airflow_provider_liftos.sandbox.truth import UnknownTruthError
from airflow_provider_liftos.sandbox.wire.google_ads.search import Search
from tests.sandbox.google_client import GoogleWire, Row, sums, truth_sums

DAYS = ("2026-11-15", "2026-11-21")
WHERE = f"WHERE segments.date BETWEEN '{DAYS[0]}' AND '{DAYS[1]}'"
METRICS = (
    "metrics.impressions, metrics.clicks, metrics.cost_micros, metrics.conversions, "
    "metrics.conversions_value, segments.date"
)
# level, breakdown, FROM, what is selected beside the metrics
QUESTIONS = [
    ("account", "", "customer", "customer.id"),
    ("campaign", "", "campaign", "campaign.id, campaign_budget.amount_micros"),
    ("ad_group", "", "ad_group", "ad_group.id, campaign.id"),
    ("ad", "", "ad_group_ad", "ad_group_ad.ad.id, ad_group.id, campaign.id"),
    ("keyword", "", "keyword_view", "ad_group.id, ad_group_criterion.criterion_id"),
    ("campaign", "device", "campaign", "campaign.id, segments.device"),
    ("campaign", "hour", "campaign", "campaign.id, segments.hour"),
    ("ad", "network", "ad_group_ad", "ad_group_ad.ad.id, segments.ad_network_type"),
    ("ad_group", "age", "age_range_view", "ad_group.id, ad_group_criterion.age_range.type"),
    ("ad_group", "gender", "gender_view", "ad_group.id, ad_group_criterion.gender.type"),
    ("ad_group", "search_term", "search_term_view", "ad_group.id, search_term_view.search_term"),
    ("campaign", "region,location_type", "geographic_view",
     "campaign.id, segments.geo_target_region, geographic_view.location_type"),
]  # fmt: skip
Ask = Callable[[GoogleWire, str, str], list[Row]]
TRANSPORTS: dict[str, Ask] = {
    "grpc stream": GoogleWire.grpc_stream,
    "grpc pages": GoogleWire.grpc_paged,
    "rest stream": GoogleWire.rest_stream,
    "rest pages": GoogleWire.rest_paged,
}


def asked(sandbox: Sandbox, cid: str, level: str, breakdown: str = "") -> dict[str, Any]:
    more = {"breakdown": breakdown} if breakdown else {}
    return sandbox.truth(
        platform="google_ads", account=cid, level=level, since=DAYS[0], until=DAYS[1], **more
    )


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(("level", "breakdown", "resource", "fields"), QUESTIONS)
def test_every_transport_arrives_at_the_truth(
    sandbox: Sandbox,
    google: GoogleWire,
    transport: str,
    level: str,
    breakdown: str,
    resource: str,
    fields: str,
) -> None:
    query = f"SELECT {fields}, {METRICS} FROM {resource} {WHERE}"
    for cid in google.accounts.values():
        rows = TRANSPORTS[transport](google, query, cid)
        truth = asked(sandbox, cid, level, breakdown)
        assert sums(rows) == truth_sums(truth)
        assert len(rows) == len(truth["rows"])
        assert {row["segments"]["date"] for row in rows} == {row["date"] for row in truth["rows"]}


def test_rows_are_those_of_the_truth_one_by_one(sandbox: Sandbox, google: GoogleWire) -> None:
    query = f"SELECT ad_group_ad.ad.id, segments.device, {METRICS} FROM ad_group_ad {WHERE}"
    found = {
        (row["segments"]["date"], row["adGroupAd"]["ad"]["id"], row["segments"]["device"]): row
        for row in google.grpc_stream(query)
    }
    truth = asked(sandbox, google.cid, "ad", "device")["rows"]
    assert len(found) == len(truth)
    for row in truth:
        theirs = found[row["date"], row["ad_id"], row["device"]]
        assert {name: Decimal(str(row[name])) for name in sums([])} == sums([theirs])


def test_countries_are_the_sums_of_their_regions(sandbox: Sandbox, google: GoogleWire) -> None:
    fields = "campaign.id, geographic_view.country_criterion_id"
    rows = google.grpc_stream(f"SELECT {fields}, {METRICS} FROM geographic_view {WHERE}")
    by_country: dict[str, list[Row]] = {}
    for row in rows:
        by_country.setdefault(row["geographicView"]["countryCriterionId"], []).append(row)
    named = google.grpc_stream(
        "SELECT geo_target_constant.id, geo_target_constant.country_code FROM geo_target_constant "
        "WHERE geo_target_constant.target_type = 'Country'"
    )
    codes = {
        row["geoTargetConstant"]["id"]: row["geoTargetConstant"]["countryCode"] for row in named
    }
    truth: dict[str, Decimal] = {}
    for row in asked(sandbox, google.cid, "campaign", "region")["rows"]:
        truth[row["country"]] = truth.get(row["country"], Decimal(0)) + Decimal(row["spend"])
    assert {codes[one]: sums(some)["spend"] for one, some in by_country.items()} == truth
    assert asked(sandbox, google.cid, "campaign", "country")["sums"]["spend"] == str(
        sum(truth.values())
    )


def test_conversions_by_action_add_up_to_the_whole(sandbox: Sandbox, google: GoogleWire) -> None:
    rows = google.grpc_stream(
        "SELECT campaign.id, segments.conversion_action_name, segments.conversion_action, "
        "metrics.conversions, metrics.conversions_value, metrics.all_conversions, segments.date "
        f"FROM campaign {WHERE}"
    )
    truth = asked(sandbox, google.cid, "campaign", "conversion_action")
    whole = asked(sandbox, google.cid, "campaign")["sums"]
    assert sums(rows)["conversions"] == Decimal(whole["conversions"])
    assert Decimal(truth["sums"]["conversions_value"]) == sums(rows)["conversions_value"]
    everything = sum(Decimal(str(row["metrics"]["allConversions"])) for row in rows)
    assert everything == Decimal(whole["all_conversions"]) > sums(rows)["conversions"]
    assert len({row["segments"]["conversionAction"] for row in rows}) == 4


def test_conversions_are_fractions_and_values_have_more_decimals_than_money(
    sandbox: Sandbox,
) -> None:
    rows = sandbox.truth(platform="google_ads", level="ad")["rows"]
    assert any(Decimal(row["conversions"]) % 1 for row in rows)
    assert any(Decimal(row["conversions_value"]) % Decimal("0.01") for row in rows)


def test_what_the_platform_hides_is_missing_from_the_parts(
    sandbox: Sandbox, google: GoogleWire
) -> None:
    whole = truth_sums(asked(sandbox, google.cid, "ad_group"))
    for level, breakdown in (("keyword", ""), ("ad_group", "age"), ("ad_group", "search_term")):
        part = truth_sums(asked(sandbox, google.cid, level, breakdown))
        assert 0 < part["impressions"] < whole["impressions"]
    assert truth_sums(asked(sandbox, google.cid, "ad_group", "hour")) == whole


def test_rows_of_nothing_but_zeros_exist_only_without_segments(
    sandbox: Sandbox, google: GoogleWire
) -> None:
    plain = google.grpc_stream(f"SELECT campaign.id, metrics.clicks FROM campaign {WHERE}")
    ids = {row["campaign"]["id"] for row in plain}
    gone = {row["campaign"]["id"] for row in plain if "metrics" not in row}
    assert gone
    assert len(ids) == len(plain) == 5
    query = f"SELECT campaign.id, metrics.clicks, segments.date FROM campaign {WHERE}"
    assert {row["campaign"]["id"] for row in google.grpc_stream(query)} == ids - gone
    assert google.grpc_stream(query, google.accounts["KWD"]) == []
    (row,) = google.grpc_stream(
        f"SELECT customer.id, metrics.clicks FROM customer {WHERE}", google.accounts["KWD"]
    )
    assert "metrics" not in row


def test_a_row_lost_in_the_wire_shows(
    sandbox: Sandbox, google: GoogleWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows_of = Search.rows
    monkeypatch.setattr(Search, "rows", lambda search: islice(rows_of(search), 1, None))
    rows = google.grpc_stream(
        f"SELECT campaign.id, campaign.status, {METRICS} FROM campaign {WHERE}"
    )
    truth = asked(sandbox, google.cid, "campaign")
    assert len(rows) == len(truth["rows"]) - 1
    assert sums(rows) != truth_sums(truth)


def test_yesterday_grows_while_days_pass(own: Sandbox, own_google: GoogleWire) -> None:
    query = (
        "SELECT customer.id, metrics.conversions, metrics.cost_micros, segments.date "
        "FROM customer WHERE segments.date = '2026-11-20'"
    )
    (first,) = own_google.grpc_stream(query)
    own.clock.advance(7 * 86_400)
    (second,) = own_google.grpc_stream(query)
    assert second["metrics"]["costMicros"] == first["metrics"]["costMicros"]
    assert second["metrics"]["conversions"] > first["metrics"]["conversions"]


def test_yen_have_micros_too(google: GoogleWire) -> None:
    rows = google.grpc_stream(f"SELECT {METRICS} FROM customer {WHERE}", google.accounts["JPY"])
    assert all(int(row["metrics"]["costMicros"]) % 1_000_000 == 0 for row in rows)


def test_keywords_have_entity_truth(sandbox: Sandbox, google: GoogleWire) -> None:
    truth = sandbox.truth(platform="google_ads", stream="keywords", account=google.cid)
    rows = google.grpc_stream(
        "SELECT ad_group_criterion.criterion_id, ad_group_criterion.keyword.text, ad_group.id "
        "FROM ad_group_criterion WHERE ad_group_criterion.type = KEYWORD"
    )
    assert {(r["adGroup"]["id"], r["adGroupCriterion"]["criterionId"]) for r in rows} == {
        (r["ad_group_id"], r["id"]) for r in truth["rows"]
    }


@pytest.mark.parametrize(
    "question",
    [{"level": "creative"}, {"breakdown": "publisher_platform"}, {"window": "7d_click"}],
    ids=str,
)
def test_a_senseless_question_is_refused(sandbox: Sandbox, question: dict[str, str]) -> None:
    with pytest.raises(UnknownTruthError):
        sandbox.truth(platform="google_ads", **question)
