"""Reports on TikTok's wire: what may be asked, what is refused, what the answers look like."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_liftos.sandbox import Sandbox
from tests.sandbox.tiktok_client import METRICS, TikTok, condition, question, sums

REPORT = "report/integrated/get/"
CONFLICT = "Conflict occurs. The input params including metrics and dimensions have no relation."
ALL = [condition("ad_status", "IN", ["STATUS_ALL"])]


@pytest.fixture
def eur(tiktok: TikTok) -> str:
    return tiktok.accounts()["EUR"]


def refused(tiktok: TikTok, advertiser: str, **asked: Any) -> tuple[int, str]:
    return tiktok.refusal(REPORT, **question(advertiser, **asked))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("report_type", "report_type: Must be one of"),
        ("dimensions", "dimensions: Missing data for required field."),
        ("data_level", "data_level: Missing data for required field."),
        ("start_date", "start_date: Missing data for required field."),
        ("advertiser_id", "advertiser_id: Missing data for required field."),
    ],
)
def test_what_must_be_there_is_named(tiktok: TikTok, eur: str, name: str, text: str) -> None:
    code, message = refused(tiktok, eur, **{name: ""})
    assert code == 40002
    assert text in message


@pytest.mark.parametrize(
    ("dimensions", "days", "text"),
    [
        (["ad_id", "stat_time_day"], 30, "max time span is 30 days when use stat_time_day"),
        (["ad_id", "stat_time_hour"], 1, "max time span is 1 days when use stat_time_hour"),
        (["ad_id"], 365, "max time span is 365 days"),
    ],
)
def test_a_report_has_a_longest_span(
    tiktok: TikTok, eur: str, dimensions: list[str], days: int, text: str
) -> None:
    ends = {1: "2026-11-01", 30: "2026-11-30", 365: "2027-10-31"}
    asked = {"dimensions": dimensions, "start_date": "2026-11-01"}
    assert tiktok.get(REPORT, **question(eur, **asked, end_date=ends[days]))["list"]
    late = {1: "2026-11-02", 30: "2026-12-01", 365: "2027-11-01"}
    assert refused(tiktok, eur, **asked, end_date=late[days]) == (40002, text)


@pytest.mark.parametrize(
    "asked",
    [
        {"dimensions": ["stat_time_day"]},
        {"dimensions": ["campaign_id", "stat_time_day"]},
        {"dimensions": ["ad_id", "ad_id_v2"]},
        {"dimensions": ["ad_id", "stat_time_day", "stat_time_hour"], "end_date": "2026-11-13"},
        {"dimensions": ["ad_id", "stat_time_day", "gender"]},
        {"dimensions": ["ad_id", "stat_time_day"], "report_type": "AUDIENCE"},
        {
            "dimensions": ["ad_id", "stat_time_hour", "age"],
            "report_type": "AUDIENCE",
            "end_date": "2026-11-13",
        },
        {"dimensions": ["ad_id", "age", "gender", "platform"], "report_type": "AUDIENCE"},
        {"dimensions": ["ad_id", "stat_time_day"], "query_lifetime": True},
        {"dimensions": ["ad_id", "country_code"], "query_lifetime": True},
        {"level": "campaign", "metrics": ["spend", "ad_name"]},
    ],
    ids=str,
)
def test_what_does_not_go_together_is_refused(
    tiktok: TikTok, eur: str, asked: dict[str, Any]
) -> None:
    assert refused(tiktok, eur, **asked) == (40002, CONFLICT)


@pytest.mark.parametrize(
    ("asked", "code", "text"),
    [
        ({"metrics": ["spend", "video_views"]}, 40002, "Invalid metric fields: ['video_views']"),
        ({"dimensions": ["ad_id", "shoe"]}, 40002, "Invalid dimension fields: ['shoe']"),
        ({"dimensions": "ad_id"}, 40002, "dimensions: Not a valid JSON string."),
        ({"page_size": 1001}, 40002, "page_size: Must be greater than or equal to 1 and less"),
        ({"page": 0}, 40002, "page: Must be greater than or equal to 1."),
        ({"data_level": "AD"}, 40002, "data_level: Must be one of"),
        ({"start_date": "13.11.2026"}, 40002, "start_date: Not a valid date."),
        ({"start_date": "2026-11-20"}, 40002, "start_date: Must not be later than end_date."),
        ({"order_field": "reach"}, 40002, "order_field: Must be one of"),
        ({"order_field": "spend", "order_type": "UP"}, 40002, "order_type: Must be one of"),
        ({"query_mode": "CHUNK"}, 40002, "query_mode: Must be one of"),
        ({"advertiser_id": "7"}, 40001, "No permission to operate advertiser 7."),
        ({"filtering": {"ad_ids": []}}, 40002, "filtering: Not a valid list."),
        ({"filtering": [{"field_name": "ad_ids"}]}, 40002, "filtering.0.filter_type: Missing"),
        ({"filtering": [condition("shoe", "IN", ["1"])]}, 40002, "Unsupported field shoe."),
        ({"filtering": [condition("ad_ids", "LIKE", ["1"])]}, 40002, "filter_type: Must be one"),
        ({"filtering": [condition("ad_ids", "IN", "1")]}, 40002, "filter_value: Not a valid list"),
        ({"filtering": [condition("ad_status", "IN", ["ON"])]}, 40002, "Unknown status ON."),
        ({"filtering": [condition("ad_ids", "IN", list(range(101)))]}, 40011, "maximum length 100"),
    ],
    ids=str,
)
def test_a_wrong_parameter_is_named(
    tiktok: TikTok, eur: str, asked: dict[str, Any], code: int, text: str
) -> None:
    found, message = refused(tiktok, eur, **asked)
    assert found == code
    assert text in message


def test_pages_are_of_ten_unless_asked_and_say_how_many_there_are(tiktok: TikTok, eur: str) -> None:
    data = tiktok.get(REPORT, **question(eur))
    total = data["page_info"]["total_number"]
    assert data["page_info"] == {
        "page": 1, "page_size": 10, "total_number": total, "total_page": -(-total // 10),
    }  # fmt: skip
    assert len(data["list"]) == 10
    beyond = tiktok.get(REPORT, page=10_000, **question(eur))
    assert beyond["list"] == []
    pages = tiktok.pages(REPORT, page_size=37, **question(eur))
    assert sum(map(len, pages)) == total


def test_every_value_is_a_text(tiktok: TikTok, eur: str) -> None:
    for row in tiktok.report(eur, metrics=[*METRICS, "reach", "secondary_goal_result", "budget"]):
        assert all(isinstance(value, str) and value for value in row.values())
        assert row["secondary_goal_result"] == "-"
        assert row["stat_time_day"].endswith(" 00:00:00")


def test_rates_are_percents_and_follow_from_the_numbers(tiktok: TikTok, eur: str) -> None:
    names = ["spend", "impressions", "clicks", "conversion", "ctr", "cpc", "cpm", "conversion_rate"]
    seen = 0
    for row in tiktok.report(eur, metrics=names):
        value = {name: Decimal(row[name]) for name in names}
        if value["clicks"] and value["impressions"]:
            seen += 1
            near = Decimal("0.005")
            assert abs(value["ctr"] - 100 * value["clicks"] / value["impressions"]) <= near
            assert abs(value["cpc"] - value["spend"] / value["clicks"]) <= near
            assert abs(value["cpm"] - 1000 * value["spend"] / value["impressions"]) <= near
            rate = 100 * value["conversion"] / value["clicks"]
            assert abs(value["conversion_rate"] - rate) <= near
    assert seen > 50


def test_spend_and_impressions_come_without_asking(tiktok: TikTok, eur: str) -> None:
    row = tiktok.get(REPORT, **question(eur, metrics=""))["list"][0]
    assert set(row["metrics"]) == {"spend", "impressions"}


def test_the_deleted_are_left_out_unless_all_are_asked_for(
    sandbox: Sandbox, tiktok: TikTok, eur: str
) -> None:
    gone = {
        level: {row["id"] for row in sandbox.truth(
            platform="tiktok", stream=stream, account=eur)["rows"] if row["deleted"]}
        for level, stream in (("campaign", "campaigns"), ("ad", "ads"))
    }  # fmt: skip
    days = {"start_date": "2026-10-22", "end_date": "2026-11-10"}
    for level in ("campaign", "ad"):
        name = f"{level}_id"
        everything = {row[name] for row in tiktok.report(eur, level, **days)}
        by_default = {row[name] for row in tiktok.report(eur, level, filtering=[], **days)}
        only = [condition(f"{level}_status", "IN", ["STATUS_DELETE"])]
        deleted = {row[name] for row in tiktok.report(eur, level, filtering=only, **days)}
        assert everything & gone[level]
        assert by_default == everything - gone[level]
        assert deleted == everything & gone[level]


def test_filters_choose_ads_by_id_name_number_and_country(tiktok: TikTok, eur: str) -> None:
    rows = tiktok.report(eur, metrics=[*METRICS, "campaign_id", "campaign_name"])
    some = sorted({row["campaign_id"] for row in rows})[:2]

    def chosen(*conditions: dict[str, str], **asked: Any) -> list[dict[str, Any]]:
        return tiktok.report(
            eur, metrics=[*METRICS, "campaign_id"], filtering=[*ALL, *conditions], **asked
        )

    these = chosen(condition("campaign_ids", "IN", some))
    others = chosen(condition("campaign_ids", "NOT_IN", some))
    assert {row["campaign_id"] for row in these} == set(some)
    assert len(these) + len(others) == len(rows)
    large = chosen(condition("spend", "GREATER_THAN", 100))
    assert len(large) == sum(Decimal(row["spend"]) > 100 for row in rows)
    span = chosen(condition("impressions", "BETWEEN", [100, 900]))
    assert len(span) == sum(100 <= int(row["impressions"]) <= 900 for row in rows)
    named = chosen(condition("campaign_name", "MATCH", "always"))
    assert len(named) == sum("Always" in row["campaign_name"] for row in rows)
    home = chosen(condition("country_code", "IN", ["DE"]))
    split = tiktok.report(eur, breakdown=("country_code",))
    assert sums(home) == sums([row for row in split if row["country_code"] == "DE"])


def test_rows_are_ordered_as_asked(tiktok: TikTok, eur: str) -> None:
    for kind, downwards in ((None, True), ("DESC", True), ("ASC", False)):
        asked = {"order_field": "spend"} | ({"order_type": kind} if kind else {})
        spend = [Decimal(row["spend"]) for row in tiktok.report(eur, **asked)]
        assert spend == sorted(spend, reverse=downwards)
    assert tiktok.report(eur, order_field="stat_time_day", order_type="ASC")


def test_zero_rows_come_only_without_a_day_also_of_what_was_born_later(
    sandbox: Sandbox, tiktok: TikTok, eur: str
) -> None:
    days = {"start_date": "2026-09-22", "end_date": "2026-09-22"}
    daily = tiktok.report(eur, **days)
    assert all(int(row["impressions"]) or int(row["clicks"]) for row in daily)
    summed = tiktok.report(eur, dimensions=["ad_id"], **days)
    ads = sandbox.truth(platform="tiktok", stream="ads", account=eur)["rows"]
    assert {row["ad_id"] for row in summed} == {row["id"] for row in ads}
    assert {**sums(summed), "rows": 0} == {**sums(daily), "rows": 0}
    zero = [row for row in summed if row["impressions"] == "0"]
    assert zero
    assert all(row["spend"] == "0.00" for row in zero)


def test_a_lifetime_needs_no_dates(sandbox: Sandbox, tiktok: TikTok, eur: str) -> None:
    asked = question(eur, "campaign", dimensions=["campaign_id"], query_lifetime=True)
    del asked["start_date"], asked["end_date"]
    asked["filtering"] = [condition("campaign_status", "IN", ["STATUS_ALL"])]
    rows = [row["metrics"] for row in tiktok.rows(REPORT, **asked)]
    truth = sandbox.truth(platform="tiktok", level="campaign", account=eur)["sums"]
    assert sums(rows)["spend"] == Decimal(truth["spend"])


def test_totals_come_beside_every_page(tiktok: TikTok, eur: str) -> None:
    rows = tiktok.report(eur)
    data = tiktok.get(REPORT, enable_total_metrics=True, **question(eur, filtering=ALL))
    assert len(data["list"]) == 10
    assert {**sums([data["total_metrics"]]), "rows": len(rows)} == sums(rows)


def test_several_advertisers_come_with_currency_and_zone(tiktok: TikTok) -> None:
    accounts = tiktok.accounts()
    asked = question("", "account", advertiser_ids=[accounts["EUR"], accounts["JPY"]])
    rows = tiktok.rows(REPORT, page_size=1000, **asked)
    assert {tuple(row["metrics"][n] for n in ("advertiser_id", "currency", "timezone"))
            for row in rows} == {
        (accounts["EUR"], "EUR", "Europe/Berlin"), (accounts["JPY"], "JPY", "Asia/Tokyo"),
    }  # fmt: skip
    code, _ = tiktok.refusal(REPORT, **{**asked, "advertiser_ids": list(range(6))})
    assert code == 40011


def test_in_smart_plus_an_ad_id_is_a_creative_and_the_ad_has_another(
    tiktok: TikTok, eur: str
) -> None:
    by_creative = tiktok.report(eur, dimensions=["ad_id"])
    by_ad = tiktok.report(eur, dimensions=["ad_id_v2"])
    assert {**sums(by_creative), "rows": 0} == {**sums(by_ad), "rows": 0}
    listed = tiktok.rows(
        "smart_plus/ad/get/", advertiser_id=eur, filtering={"primary_status": "STATUS_ALL"}
    )
    pairs = {one["smart_plus_ad_id"]: one["creative_list"] for one in listed}
    creatives = {part["ad_material_id"] for parts in pairs.values() for part in parts}
    ads = {row["ad_id_v2"] for row in by_ad}
    assert set(pairs) <= ads
    assert creatives <= {row["ad_id"] for row in by_creative}
    assert not creatives & ads
    assert len(by_creative) == len(by_ad) + len(pairs)


@pytest.mark.parametrize("report_type", ["PLAYABLE_MATERIAL", "CATALOG", "BC", "TT_SHOP"])
def test_other_reports_are_empty_here(tiktok: TikTok, eur: str, report_type: str) -> None:
    data = tiktok.get(REPORT, **question(eur, report_type=report_type))
    assert (data["list"], data["page_info"]["total_number"]) == ([], 0)


def test_only_the_newest_ads_are_looked_at_and_a_header_is_the_only_sign(
    sandbox: Sandbox, tiktok: TikTok, eur: str
) -> None:
    asked = question(eur, dimensions=["ad_id"], filtering=ALL, page_size=1000)
    reply = tiktok.send("GET", REPORT, **asked)
    assert "x-tt-ads-throttle" not in reply.headers
    whole = {row["dimensions"]["ad_id"] for row in reply.json()["data"]["list"]}
    sandbox.faults.add(kind="ads_cut", platform="tiktok", threshold=30)
    reply = tiktok.send("GET", REPORT, **asked)
    assert "20k" in reply.headers["x-tt-ads-throttle"]
    cut = {row["dimensions"]["ad_id"] for row in reply.json()["data"]["list"]}
    assert cut < whole
    assert len(cut) == 30
    groups = sorted({row["adgroup_id"] for row in tiktok.report(eur, "ad_group")})
    parts = [
        tiktok.send("GET", REPORT, **{
            **asked, "filtering": [*ALL, condition("adgroup_ids", kind, groups[:5])]})
        for kind in ("IN", "NOT_IN")
    ]  # fmt: skip
    assert all("x-tt-ads-throttle" not in part.headers for part in parts)
    found = {row["dimensions"]["ad_id"] for part in parts for row in part.json()["data"]["list"]}
    assert found == whole
    task = tiktok.task(eur, dimensions=["ad_id"])
    assert {row["ad_id"] for row in tiktok.file(eur, task)} == whole
