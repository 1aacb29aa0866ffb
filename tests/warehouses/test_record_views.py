"""Advertisements, accounts by day and TikTok campaigns, in the columns other tools know."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

from airflow_provider_liftos.model.report import Level
from tests.warehouses import engines
from tests.warehouses.staging import (
    DAY1,
    DAY2,
    NOON,
    ORG,
    entity_row,
    manifest,
    performance_row,
    report_slice,
    stream_slice,
)

AD_DATA = """ad_id platform account_id campaign_id ad_group_id headline description cta image_url
video_url landing_page_url start_date end_date status impressions clicks ctr spend conversions
conversion_rate cpa roas relevance_score quality_score""".split()
ACCOUNT_DATA = """account_id platform account_name currency timezone date daily_spend
daily_impressions daily_clicks daily_conversions daily_revenue daily_roas campaign_count
ad_count""".split()
TIKTOK = """campaign_id campaign_name objective status budget spend impressions clicks conversions
ctr cpc cpm conversion_rate created_time updated_time""".split()
JUNE = datetime(2026, 6, 1, 8, tzinfo=UTC)


def columns(lab, view: str) -> dict[str, str]:
    found = engines.columns(lab.warehouse, table=view)
    return {name: kind.upper() for (_, _, name), kind in found.items()}


def one(lab, view: str, where: str = "true") -> dict:
    names = list(columns(lab, view))
    [row] = lab.warehouse.query(f"SELECT * FROM liftos.{view} WHERE {where}")
    return dict(zip(names, row, strict=True))


def entity(lab, stream: str, row: dict, *, platform: str = "meta") -> None:
    part = replace(stream_slice(stream), platform=platform)
    base = {k: v for k, v in entity_row("x", "h").items() if k != "campaign_id"}
    done = lab.staged(part, [{**base, "platform": platform, **row}], table=stream)
    lab.warehouse.load(manifest(done))
    lab.warehouse.publish(done, "load-1", ORG, NOON)


def report(lab, level: Level, rows: list[dict], *, platform: str = "meta", load_id: str) -> None:
    part = replace(report_slice(level=level), platform=platform)
    rows = [performance_row(DAY1, **{"level": str(level), "platform": platform, **r}) for r in rows]
    done = lab.staged(part, rows, load_id=load_id)
    lab.warehouse.load(manifest(done, load_id=load_id))
    lab.warehouse.publish(done, load_id, ORG, NOON)


def test_names_and_order_are_as_documented(lab):
    lab.warehouse.prepare()
    assert list(columns(lab, "ad_data"))[1 : 1 + len(AD_DATA)] == AD_DATA
    assert list(columns(lab, "account_data"))[1 : 1 + len(ACCOUNT_DATA)] == ACCOUNT_DATA
    assert [c for c in columns(lab, "tiktok_campaigns") if c in TIKTOK] == TIKTOK
    kinds = columns(lab, "ad_data")
    whole = {kinds[c] for c in ("impressions", "clicks", "conversions")}
    assert whole in ({"BIGINT"}, {"NUMBER"})
    assert {kinds[c] for c in ("ctr", "spend", "cpa", "roas", "quality_score")} <= {
        "DOUBLE",
        "DOUBLE PRECISION",
        "FLOAT",
    }
    assert {kinds[c] for c in ("start_date", "end_date")} == {"DATE"}


def test_an_ad_has_its_creative_its_dates_and_all_its_numbers(lab):
    entity(lab, "creatives", {"creative_id": "k1", "title": "Buy", "body": "now",
                              "call_to_action": "SHOP_NOW", "link_url": "https://x.example"})  # fmt: skip
    entity(lab, "ad_groups", {"ad_group_id": "g1", "campaign_id": "c1", "start_at": JUNE})
    entity(lab, "ads", {"ad_id": "a1", "ad_group_id": "g1", "campaign_id": "c1",
                        "creative_id": "k1", "effective_status": "ADSET_PAUSED"})  # fmt: skip
    half = {"ad_id": "a1", "ad_group_id": "g1", "conversions": "1.25"}
    report(lab, Level.AD, [half, {**half, "date": DAY2, "date_end": DAY2}], load_id="r")
    found = one(lab, "ad_data")
    assert (found["platform"], found["headline"], found["cta"]) == ("facebook", "Buy", "SHOP_NOW")
    assert (found["start_date"], found["end_date"]) == (date(2026, 6, 1), None)
    assert (found["status"], found["impressions"], found["spend"]) == ("paused", 2000, 10.0)
    assert (found["conversions"], found["conversions_exact"]) == (3, Decimal("2.5"))
    assert (found["ctr"], found["cpa"], found["roas"]) == (0.01, 4.0, 4.0)
    assert (found["first_day"], found["last_day"]) == (DAY1, DAY2)


def test_an_ad_without_numbers_and_numbers_without_an_ad_are_both_there(lab):
    entity(lab, "ads", {"ad_id": "quiet", "status": "ACTIVE"})
    report(lab, Level.AD, [{"ad_id": "gone", "ad_group_id": "g"}], load_id="r")
    quiet, gone = (one(lab, "ad_data", f"ad_id = '{name}'") for name in ("quiet", "gone"))
    assert (quiet["status"], quiet["impressions"], quiet["spend"]) == ("active", None, None)
    assert (gone["headline"], gone["status"], gone["start_date"]) == (None, None, DAY1)


def test_a_day_of_an_account_counts_what_delivered(lab):
    report(lab, Level.ACCOUNT, [{"campaign_id": None, "account_name": "Shop"}], load_id="a")
    idle = {"campaign_id": "c2", "impressions": 0, "spend": "0"}
    report(lab, Level.CAMPAIGN, [{"campaign_id": "c1"}, idle], load_id="b")
    found = one(lab, "account_data")
    assert (found["platform"], found["account_name"], found["date"]) == ("facebook", "Shop", DAY1)
    assert (found["daily_spend"], found["daily_revenue"], found["daily_roas"]) == (5.0, 20.0, 4.0)
    # Of campaigns one delivered; of ads nothing was ever loaded, so nobody knows.
    assert (found["campaign_count"], found["ad_count"]) == (1, None)


def test_platforms_have_their_documented_names(lab):
    names = {"google_ads": "google", "amazon_ads": "amazon", "tiktok": "tiktok", "x_ads": "x_ads"}
    for platform, name in names.items():
        report(lab, Level.ACCOUNT, [{}], platform=platform, load_id=platform)
        assert one(lab, "account_data", f"platform = '{name}'")["daily_clicks"] == 10


def test_a_tiktok_campaign_is_a_record_of_its_own(lab):
    entity(lab, "campaigns", {"campaign_id": "t1", "name": "Dance", "objective": "REACH",
                              "status": "ENABLE", "daily_budget": "50", "created_at": JUNE,
                              "currency": "EUR"}, platform="tiktok")  # fmt: skip
    report(lab, Level.CAMPAIGN, [{"campaign_id": "t1"}], platform="tiktok", load_id="r")
    report(lab, Level.CAMPAIGN, [{"campaign_id": "m1"}], load_id="m")
    found = one(lab, "tiktok_campaigns")
    assert (found["campaign_name"], found["budget"], found["spend"]) == ("Dance", 50.0, 5.0)
    assert (found["cpc"], found["cpm"], found["conversion_rate"]) == (0.5, 5.0, 0.1)
    assert found["created_time"].startswith("2026-06-01 08:00:00")
    assert columns(lab, "tiktok_campaigns")["created_time"] in {"VARCHAR", "TEXT", "STRING"}


def test_keywords_and_search_terms_are_reports_of_their_own(lab):
    keyword = '{"keyword_id": "7", "keyword_text": "red shoes", "keyword_match_type": "EXACT"}'
    term = (
        '{"keyword_text": "red shoes", "search_query": "shoes red", "search_match_type": "BROAD"}'
    )
    for name, values in (("keyword", keyword), ("search_term", term)):
        row = performance_row(DAY1, report=name, level="ad_group", ad_group_id="g",
                              breakdown_key="k", breakdowns=values)  # fmt: skip
        lab.publish(report_slice(report=name, level=Level.AD_GROUP), [row], load_id=name)
    found = one(lab, "keyword_report")
    assert [found[c] for c in ("keyword_id", "keyword_text", "keyword_match_type")] == [
        "7", "red shoes", "EXACT",
    ]  # fmt: skip
    found = one(lab, "search_report")
    assert (found["search_query"], found["keyword_id"], found["spend"]) == ("shoes red", None, 5)
