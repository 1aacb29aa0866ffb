from __future__ import annotations

import grpc
import pytest

from airflow_provider_liftos.sandbox import Sandbox
from tests.sandbox.google_client import AGENCY, BRANCH, CLOSED, HOLDING, GoogleWire

DAY = "segments.date = '2026-11-10'"
RANGE = "change_status.last_change_date_time"
CHANGES = "SELECT change_status.resource_name FROM change_status"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("SELECT campaign.id FROM kampagne", "BAD_RESOURCE_TYPE_IN_FROM_CLAUSE"),
        ("SELECT campaign.id FROM metrics", "BAD_RESOURCE_TYPE_IN_FROM_CLAUSE"),
        ("SELECT campaign.video_views FROM campaign", "UNRECOGNIZED_FIELD"),
        ("SELECT metrics.video_views FROM campaign", "UNRECOGNIZED_FIELD"),
        ("SELECT campaign FROM campaign", "UNRECOGNIZED_FIELD"),
        ("SELECT ad_group.type_ FROM ad_group", "UNRECOGNIZED_FIELD"),
        ("SELECT campaign.start_date FROM campaign", "UNRECOGNIZED_FIELD"),
        ("SELECT campaign.network_settings FROM campaign", "PROHIBITED_FIELD_IN_SELECT_CLAUSE"),
        ("SELECT ad_group.id FROM campaign", "PROHIBITED_RESOURCE_TYPE_IN_SELECT_CLAUSE"),
        ("SELECT campaign.id FROM campaign WHERE ad_group.id = 1", "PROHIBITED_RESOURCE_TYPE_IN_WHERE_CLAUSE"),
        ("SELECT metrics.clicks FROM user_list", "PROHIBITED_METRIC_IN_SELECT_OR_WHERE_CLAUSE"),
        ("SELECT metrics.clicks FROM conversion_action", "PROHIBITED_METRIC_IN_SELECT_OR_WHERE_CLAUSE"),
        ("SELECT segments.device FROM user_list", "PROHIBITED_SEGMENT_IN_SELECT_OR_WHERE_CLAUSE"),
        ("SELECT segments.geo_target_region, metrics.clicks FROM campaign", "PROHIBITED_SEGMENT_IN_SELECT_OR_WHERE_CLAUSE"),
        ("SELECT segments.conversion_action, metrics.clicks FROM campaign",
         "PROHIBITED_SEGMENT_WITH_METRIC_IN_SELECT_OR_WHERE_CLAUSE"),
        (f"SELECT metrics.clicks FROM campaign WHERE {DAY} AND segments.device = MOBILE",
         "EXPECTED_REFERENCED_FIELD_IN_SELECT_CLAUSE"),
        ("SELECT metrics.clicks FROM campaign ORDER BY segments.hour", "EXPECTED_REFERENCED_FIELD_IN_SELECT_CLAUSE"),
        ("SELECT segments.date, metrics.clicks FROM campaign", "EXPECTED_FILTERS_ON_DATE_RANGE"),
        ("SELECT segments.date FROM campaign WHERE segments.date > '2026-11-01'", "EXPECTED_FILTERS_ON_DATE_RANGE"),
        ("SELECT metrics.clicks FROM campaign WHERE segments.month = '2026-11-02'", "MISALIGNED_DATE_FOR_FILTER"),
        ("SELECT metrics.clicks FROM campaign WHERE segments.week = '2026-11-10'", "MISALIGNED_DATE_FOR_FILTER"),
        ("SELECT metrics.clicks FROM campaign WHERE segments.date = '10.11.2026'", "INVALID_DATE_FORMAT"),
        ("SELECT metrics.clicks FROM campaign WHERE segments.date = '2026-11-31'", "INVALID_DATE_FORMAT"),
        ("SELECT metrics.clicks FROM campaign WHERE segments.date DURING LAST_90_DAYS", "INVALID_VALUE_WITH_DURING_OPERATOR"),
        ("SELECT metrics.clicks FROM campaign WHERE segments.date BETWEEN '2026-11-02' AND '2026-11-01'",
         "INVALID_VALUE_WITH_BETWEEN_OPERATOR"),
        ("SELECT campaign.id FROM campaign WHERE campaign.status = 'ACTIVE'", "BAD_ENUM_CONSTANT"),
        ("SELECT campaign.id FROM campaign WHERE campaign.id = 'abc'", "BAD_NUMBER"),
        ("SELECT campaign.id FROM campaign WHERE customer.manager = 'maybe'", "BAD_VALUE"),
        ("SELECT campaign.id FROM campaign WHERE campaign.id LIKE '1%'", "OPERATOR_FIELD_MISMATCH"),
        ("SELECT campaign.id FROM campaign WHERE campaign.status > ENABLED", "OPERATOR_FIELD_MISMATCH"),
        ("SELECT campaign.id FROM campaign WHERE campaign.name DURING TODAY", "OPERATOR_FIELD_MISMATCH"),
        ("SELECT campaign.id FROM campaign WHERE campaign.name CONTAINS ANY ('a')", "OPERATOR_FIELD_MISMATCH"),
        ("SELECT campaign.id FROM campaign WHERE campaign.name REGEXP_MATCH '('", "INVALID_STRING_VALUE"),
        ("SELECT campaign.id FROM campaign PARAMETERS fast=true", "BAD_PARAMETER_NAME"),
        ("SELECT campaign.id FROM campaign PARAMETERS include_drafts=perhaps", "BAD_PARAMETER_VALUE"),
    ],
)  # fmt: skip
def test_a_query_that_makes_no_sense_is_refused(google: GoogleWire, query: str, code: str) -> None:
    assert google.refusal(query) == ("queryError", code)


@pytest.mark.parametrize(
    ("where", "code"),
    [
        ("LIMIT 10", "CHANGE_DATE_RANGE_INFINITE"),
        (f"WHERE {RANGE} > '2026-11-01' LIMIT 10", "CHANGE_DATE_RANGE_INFINITE"),
        (f"WHERE {RANGE} >= '2026-11-10' AND {RANGE} <= '2026-11-09' LIMIT 10", "CHANGE_DATE_RANGE_NEGATIVE"),
        (f"WHERE {RANGE} BETWEEN '2026-08-01' AND '2026-11-20' LIMIT 10", "START_DATE_TOO_OLD"),
        (f"WHERE {RANGE} DURING LAST_7_DAYS", "LIMIT_NOT_SPECIFIED"),
        (f"WHERE {RANGE} DURING LAST_7_DAYS LIMIT 10001", "INVALID_LIMIT_CLAUSE"),
    ],
)  # fmt: skip
def test_changes_need_a_range_and_a_limit(google: GoogleWire, where: str, code: str) -> None:
    assert google.refusal(f"{CHANGES} {where}") == ("changeStatusError", code)


def test_changes_are_the_latest_of_each_resource(sandbox: Sandbox, google: GoogleWire) -> None:
    rows = google.grpc_stream(
        "SELECT change_status.resource_type, change_status.resource_status, "
        f"change_status.last_change_date_time, change_status.ad_group_ad FROM change_status WHERE {RANGE} "
        f"BETWEEN '2026-11-01' AND '2026-11-20 23:59:59' ORDER BY {RANGE} LIMIT 10000"
    )
    moments = [row["changeStatus"]["lastChangeDateTime"] for row in rows]
    assert moments == sorted(moments)
    assert {moment[:7] for moment in moments} == {"2026-11"}
    truth = sandbox.truth(platform="google_ads", stream="ads", account=google.cid)["rows"]
    ads = [row for row in rows if row["changeStatus"]["resourceType"] == "AD_GROUP_AD"]
    recent = [row for row in truth if "2026-11-01" <= row["updated_at"][:10] <= "2026-11-20"]
    assert len(ads) == len(recent) > 5
    assert {"CHANGED", "REMOVED"} <= {row["changeStatus"]["resourceStatus"] for row in rows}


@pytest.mark.parametrize(
    ("where", "code"),
    [
        ("segments.date BETWEEN '2026-11-09' AND '2026-11-10'", "EXPECTED_FILTER_ON_A_SINGLE_DAY"),
        ("click_view.gclid = 'x'", "EXPECTED_FILTER_ON_A_SINGLE_DAY"),
        ("segments.date = '2026-08-01'", "DATE_TOO_OLD"),
    ],
)
def test_clicks_are_asked_for_one_day_at_a_time(google: GoogleWire, where: str, code: str) -> None:
    query = f"SELECT click_view.gclid, metrics.clicks FROM click_view WHERE {where}"
    assert google.refusal(query) == ("clickViewError", code)


def test_every_click_has_an_id_of_its_own(sandbox: Sandbox, google: GoogleWire) -> None:
    rows = google.grpc_stream(
        "SELECT click_view.gclid, click_view.keyword, click_view.ad_group_ad, campaign.id, "
        f"metrics.clicks, segments.device FROM click_view WHERE {DAY}"
    )
    truth = sandbox.truth(
        platform="google_ads",
        account=google.cid,
        level="account",
        since="2026-11-10",
        until="2026-11-10",
    )
    assert len({row["clickView"]["gclid"] for row in rows}) == len(rows)
    assert len(rows) == truth["sums"]["clicks"]


def test_a_manager_has_no_metrics(google: GoogleWire) -> None:
    query = f"SELECT customer.id, metrics.clicks FROM customer WHERE {DAY}"
    assert google.refusal(query, HOLDING) == ("queryError", "REQUESTED_METRICS_FOR_MANAGER")
    (row,) = google.grpc_stream("SELECT customer.id, customer.manager FROM customer", HOLDING)
    assert row["customer"]["manager"] is True
    assert google.grpc_stream("SELECT campaign.id FROM campaign", HOLDING) == []


def test_the_hierarchy_is_a_tree_with_a_leaf_under_two_managers(google: GoogleWire) -> None:
    fields = (
        "customer_client.id, customer_client.level, customer_client.manager, customer_client.status"
    )
    query = f"SELECT {fields} FROM customer_client"
    below = {}
    for manager in (HOLDING, AGENCY):
        google.login = manager
        rows = google.grpc_stream(query, manager)
        below[manager] = {row["customerClient"]["id"]: row["customerClient"] for row in rows}
        assert below[manager][manager].get("level", "0") == "0"
    assert below[HOLDING][BRANCH]["manager"] is True
    levels = {one.get("level") for one in below[HOLDING].values() if not one.get("manager")}
    assert levels == {"1", "2"}
    leaves = [one["id"] for one in below[HOLDING].values() if not one.get("manager")]
    assert set(leaves) == set(google.accounts.values())
    assert set(below[HOLDING]) & set(below[AGENCY]) == {google.cid}
    assert below[AGENCY][CLOSED]["status"] == "CANCELED"
    assert len(google.grpc_stream(f"{query} WHERE customer_client.status = 'ENABLED'", AGENCY)) == 2


def test_access_goes_through_a_manager(google: GoogleWire) -> None:
    query = "SELECT customer.id FROM customer"
    dollars, yen = google.accounts["USD"], google.accounts["JPY"]
    assert google.grpc_stream(query, yen)
    google.login = AGENCY
    assert google.refusal(query, yen) == ("authorizationError", "USER_PERMISSION_DENIED")
    assert google.refusal(query, CLOSED) == ("authorizationError", "CUSTOMER_NOT_ENABLED")
    google.login = BRANCH
    assert google.grpc_stream(query, dollars)
    assert google.refusal(query, yen) == ("authorizationError", "USER_PERMISSION_DENIED")
    google.login = ""
    assert google.grpc_stream(query, dollars)  # open to the user directly
    assert google.refusal(query, yen) == ("authorizationError", "USER_PERMISSION_DENIED")
    google.login = "111-111-1111"
    assert google.refusal(query, yen) == ("headerError", "INVALID_LOGIN_CUSTOMER_ID")
    google.login = HOLDING
    assert google.refusal(query, "12345") == ("requestError", "INVALID_CUSTOMER_ID")
    assert google.refusal(query, "9999999999") == ("authorizationError", "USER_PERMISSION_DENIED")


def test_accessible_customers_are_those_of_the_user(google: GoogleWire) -> None:
    request = google.message("ListAccessibleCustomersRequest", "customer_service")()
    answer = google.message("ListAccessibleCustomersResponse", "customer_service")
    found = google.rpc("CustomerService/ListAccessibleCustomers", request, answer)
    names = [f"customers/{one}" for one in (HOLDING, AGENCY, google.accounts["USD"])]
    assert list(found.resource_names) == names
    path = "/v26/customers:listAccessibleCustomers"
    assert google.http.get(path, headers=google.headers).json() == {"resourceNames": names}


@pytest.mark.parametrize("version", ["v22", "v30"])
def test_a_version_that_is_gone_says_so(google: GoogleWire, version: str) -> None:
    google.version = "v26"
    request = google.message("SearchGoogleAdsStreamRequest")(
        customer_id=google.cid, query="SELECT 1"
    )
    method = google.channel.unary_stream(
        f"/google.ads.googleads.{version}.services.GoogleAdsService/SearchStream",
        request_serializer=type(request).SerializeToString,
        response_deserializer=google.message("SearchGoogleAdsStreamResponse").FromString,
    )
    with pytest.raises(grpc.RpcError) as refused:
        list(method(request, metadata=list(google.headers.items())))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert f"google.ads.googleads.{version}.errors.googleadsfailure-bin" in dict(
        refused.value.trailing_metadata()
    )
    google.version = version
    for path in (f"customers/{google.cid}/googleAds:search", "googleAdsFields:search", "other"):
        reply = google.post(path, {"query": "SELECT campaign.id FROM campaign"})
        assert reply.status_code == 400
        (error,) = reply.json()["error"]["details"][0]["errors"]
        assert error["errorCode"] == {"requestError": "UNSUPPORTED_VERSION"}


def test_unknown_methods_and_paths(google: GoogleWire) -> None:
    request = google.message("SearchGoogleAdsRequest")(customer_id=google.cid)
    with pytest.raises(grpc.RpcError) as refused:
        google.rpc("GoogleAdsService/Mutate", request, google.message("SearchGoogleAdsResponse"))
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert google.http.get("/nowhere", headers=google.headers).status_code == 404
    reply = google.http.post(
        f"/v26/customers/{google.cid}/googleAds:search", content=b"[", headers=google.headers
    )
    assert reply.status_code == 400


def test_summary_rows_are_not_made_here_and_never_left_out_silently(google: GoogleWire) -> None:
    query = "SELECT metrics.clicks FROM customer"
    path = f"customers/{google.cid}/googleAds:searchStream"
    asked = {"query": query, "summaryRowSetting": "SUMMARY_ROW_WITH_RESULTS"}
    assert google.post(path, asked).status_code == 501
    assert google.post(path, {**asked, "summaryRowSetting": "NO_SUMMARY_ROW"}).status_code == 200
    with pytest.raises(grpc.RpcError, match="UNIMPLEMENTED"):
        google.grpc_page(query, search_settings={"return_summary_row": True})


def test_a_streams_error_is_in_an_array_too(google: GoogleWire) -> None:
    reply = google.post(f"customers/{google.cid}/googleAds:searchStream", {"query": "SELECT"})
    assert reply.status_code == 400
    ((body),) = reply.json()
    assert body["error"]["status"] == "INVALID_ARGUMENT"
    assert body["error"]["details"][0]["requestId"] == reply.headers["request-id"]
