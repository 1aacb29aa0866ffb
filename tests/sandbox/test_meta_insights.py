"""Insights on Meta's wire, asked at once and as report runs."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from airflow_provider_liftos.sandbox import Sandbox
from tests.sandbox.client import Wire, span, sums

WEEK = span("2026-11-13", "2026-11-19")
DAILY = {"level": "ad", "time_increment": "1", "time_range": WEEK, "limit": 1000}


@pytest.fixture
def act(wire: Wire) -> str:
    return wire.accounts()["EUR"]


def test_numbers_are_texts_and_zeros_are_absent(wire: Wire, act: str) -> None:
    fields = "impressions,clicks,spend,reach,frequency,cpc,cpm,ctr,cpp,unique_clicks,actions"
    rows = wire.rows(f"{act}/insights", fields=fields, **DAILY)
    assert any("clicks" not in row for row in rows)
    for row in rows:
        assert row["date_start"] == row["date_stop"]
        for name, value in row.items():
            if name == "actions":
                assert value
                assert all(isinstance(one["value"], str) and one["value"] != "0" for one in value)
            else:
                assert isinstance(value, str)
                assert value not in ("0", "0.00", "")


def test_derived_numbers_follow_from_the_others(wire: Wire, act: str) -> None:
    fields = "impressions,clicks,spend,reach,frequency,cpc,cpm,ctr"
    seen = 0
    for row in wire.rows(f"{act}/insights", fields=fields, **DAILY):
        if "clicks" not in row or "impressions" not in row:
            continue
        seen += 1
        spend, clicks, shown = (Decimal(row[n]) for n in ("spend", "clicks", "impressions"))
        near = Decimal("0.000001")
        assert abs(Decimal(row["cpc"]) - spend / clicks) <= near
        assert abs(Decimal(row["ctr"]) - 100 * clicks / shown) <= near
        assert abs(Decimal(row["cpm"]) - 1000 * spend / shown) <= near
        assert abs(Decimal(row["frequency"]) - shown / Decimal(row["reach"])) <= near
    assert seen > 50


def test_only_fields_asked_for_come_and_the_dates(wire: Wire, act: str) -> None:
    row = wire.rows(f"{act}/insights", fields="spend", **DAILY)[0]
    assert set(row) == {"spend", "date_start", "date_stop"}
    row = wire.rows(f"{act}/insights", **DAILY)[0]
    assert set(row) == {"impressions", "spend", "date_start", "date_stop"}


def test_actions_carry_the_windows_asked_for(wire: Wire, act: str) -> None:
    windows = ["1d_click", "7d_click", "28d_click", "1d_view", "7d_view", "28d_view"]
    rows = wire.rows(
        f"{act}/insights", fields="actions", action_attribution_windows=windows, **DAILY
    )
    items = [one for row in rows for one in row.get("actions", [])]
    keys = {key for one in items for key in one}
    assert keys == {"action_type", "value", "1d_click", "7d_click", "28d_click", "1d_view"}
    bought = [one for one in items if one["action_type"] == "omni_purchase"]
    assert bought
    for one in bought:
        week, view = int(one.get("7d_click", 0)), int(one.get("1d_view", 0))
        assert int(one["value"]) == week + view
        assert int(one.get("1d_click", 0)) <= week <= int(one.get("28d_click", 0))


def test_the_same_purchase_has_several_names_but_not_in_every_account(wire: Wire) -> None:
    for currency, across in (("EUR", True), ("BRL", False)):
        rows = wire.rows(f"{wire.accounts()[currency]}/insights", fields="actions", **DAILY)
        kinds = {one["action_type"] for row in rows for one in row.get("actions", [])}
        assert ("omni_purchase" in kinds) is across
        assert {"purchase", "offsite_conversion.fb_pixel_purchase"} <= kinds


def test_action_breakdowns_divide_what_happens_on_the_platform(wire: Wire, act: str) -> None:
    plain = wire.rows(f"{act}/insights", fields="actions", **DAILY)
    split = wire.rows(
        f"{act}/insights", fields="actions", action_breakdowns="action_type,action_device", **DAILY
    )

    def clicks(rows: list[dict[str, list[dict[str, str]]]]) -> list[dict[str, str]]:
        return [o for r in rows for o in r.get("actions", []) if o["action_type"] == "link_click"]

    assert sum(int(o["value"]) for o in clicks(plain)) == sum(
        int(o["value"]) for o in clicks(split)
    )
    assert {o["action_device"] for o in clicks(split)} >= {"iphone", "desktop"}
    bought = [o for r in split for o in r.get("actions", []) if o["action_type"] == "purchase"]
    assert bought
    assert all("action_device" not in one for one in bought)


def test_conversions_are_withheld_by_region_and_apart_by_product(wire: Wire, act: str) -> None:
    ask = {"fields": "impressions,actions", **DAILY}
    region = wire.rows(f"{act}/insights", breakdowns="region", **ask)
    assert not any("purchase" in o["action_type"] for r in region for o in r.get("actions", []))
    product = wire.rows(f"{act}/insights", breakdowns="product_id", **ask)
    apart = [row for row in product if "product_id" not in row]
    assert apart
    assert all("impressions" not in row for row in apart)
    buyers = [
        r for r in product if any(o["action_type"] == "purchase" for o in r.get("actions", []))
    ]
    assert all("product_id" not in row for row in buyers)


def test_breakdown_values_may_be_objects(wire: Wire, act: str) -> None:
    rows = wire.rows(f"{act}/insights", fields="impressions", breakdowns="body_asset", **DAILY)
    assert all(set(row["body_asset"]) == {"text", "id"} for row in rows)


def test_time_can_be_cut_in_every_way(wire: Wire, act: str) -> None:
    month = {"level": "account", "fields": "spend", "time_range": span("2026-10-05", "2026-11-08")}
    daily = wire.rows(f"{act}/insights", time_increment="1", **month)
    weekly = wire.rows(f"{act}/insights", time_increment="7", **month)
    monthly = wire.rows(f"{act}/insights", time_increment="monthly", **month)
    whole = wire.rows(f"{act}/insights", **month)
    assert (len(daily), len(weekly), len(monthly), len(whole)) == (35, 5, 2, 1)
    assert sums(daily) == sums(weekly) == sums(monthly) == sums(whole)
    assert [r["date_stop"] for r in monthly] == ["2026-10-31", "2026-11-08"]
    assert (weekly[1]["date_start"], weekly[1]["date_stop"]) == ("2026-10-12", "2026-10-18")
    ranges = [
        {"since": "2026-11-01", "until": "2026-11-02"},
        {"since": "2026-11-02", "until": "2026-11-02"},
    ]
    several = wire.rows(f"{act}/insights", level="account", fields="spend", time_ranges=ranges)
    assert [r["date_start"] for r in several] == ["2026-11-01", "2026-11-02"]


@pytest.mark.parametrize(
    ("preset", "since", "until"),
    [
        ("today", "2026-11-21", "2026-11-21"),
        ("yesterday", "2026-11-20", "2026-11-20"),
        ("last_7d", "2026-11-14", "2026-11-20"),
        ("this_month", "2026-11-01", "2026-11-21"),
        ("last_month", "2026-10-01", "2026-10-31"),
        ("last_week_mon_sun", "2026-11-09", "2026-11-15"),
        ("last_week_sun_sat", "2026-11-08", "2026-11-14"),
        ("this_week_sun_today", "2026-11-15", "2026-11-21"),
        ("last_quarter", "2026-07-01", "2026-09-30"),
        ("maximum", "2023-10-21", "2026-11-21"),
    ],
)
def test_date_presets_count_days_of_the_account(
    wire: Wire, act: str, preset: str, since: str, until: str
) -> None:
    (row,) = wire.rows(f"{act}/insights", level="account", fields="spend", date_preset=preset)
    assert (row["date_start"], row["date_stop"]) == (since, until)


def test_today_begins_at_midnight_of_the_account(wire: Wire) -> None:
    # It is 11:00 UTC: four in the morning of the 21st in Los Angeles, 20:00 in Tokyo.
    for currency in ("USD", "JPY"):
        act = wire.accounts()[currency]
        (row,) = wire.rows(f"{act}/insights", fields="impressions", date_preset="today")
        assert row["date_start"] == "2026-11-21"


def test_a_day_without_delivery_has_no_row(wire: Wire) -> None:
    ask = {"level": "account", "fields": "spend", "time_increment": "1", "limit": 100}
    days = span("2026-09-25", "2026-11-20")
    gaps = wire.rows(f"{wire.accounts()['INR']}/insights", time_range=days, **ask)
    assert 20 < len(gaps) < 55
    empty = wire.get(f"{wire.accounts()['KWD']}/insights", time_range=days, **ask)
    assert empty == {"data": []}
    before = wire.get(
        f"{wire.accounts()['EUR']}/insights", time_range=span("2026-01-01", "2026-01-31")
    )
    assert before == {"data": []}


def test_filters_and_nodes_narrow_to_the_same_rows(wire: Wire, act: str) -> None:
    rows = wire.rows(f"{act}/insights", fields="campaign_id,adset_id,ad_id,spend", **DAILY)
    for field, name in (
        ("campaign.id", "campaign_id"),
        ("adset.id", "adset_id"),
        ("ad.id", "ad_id"),
    ):
        one = rows[0][name]
        mine = [row for row in rows if row[name] == one]
        filtering = [{"field": field, "operator": "IN", "value": [one]}]
        ask = {"fields": "campaign_id,adset_id,ad_id,spend", **DAILY}
        assert wire.rows(f"{act}/insights", filtering=filtering, **ask) == mine
        assert wire.rows(f"{one}/insights", **ask) == mine
    busy = [{"field": "clicks", "operator": "GREATER_THAN", "value": 50}]
    found = wire.rows(f"{act}/insights", fields="clicks", filtering=busy, **DAILY)
    assert found
    assert all(int(row["clicks"]) > 50 for row in found)
    gone = [{"field": "ad.effective_status", "operator": "IN", "value": ["DELETED"]}]
    dead = wire.rows(f"{act}/insights", fields="ad_id", filtering=gone, **DAILY)
    assert dead, "deleted ads keep their numbers"


def test_rows_can_be_sorted_and_summed_up(wire: Wire, act: str) -> None:
    rows = wire.rows(f"{act}/insights", fields="spend", sort="spend_descending", **DAILY)
    spends = [Decimal(row.get("spend", 0)) for row in rows]
    assert spends == sorted(spends, reverse=True)
    body = wire.get(f"{act}/insights", fields="spend,impressions", default_summary="true", **DAILY)
    assert sums([body["summary"]]) == sums(body["data"])
    assert body["summary"]["date_stop"] == "2026-11-19"


def test_pages_are_complete_in_any_size(wire: Wire, act: str) -> None:
    ask = {**DAILY, "fields": "ad_id,spend"}
    whole = wire.rows(f"{act}/insights", **ask)
    for limit in (1, 7, 25, len(whole), len(whole) + 1):
        if limit == 1:
            ask = {**ask, "time_range": span("2026-11-13", "2026-11-13")}
            expected = [row for row in whole if row["date_start"] == "2026-11-13"]
        else:
            ask = {**ask, "time_range": WEEK}
            expected = whole
        pages = wire.pages(f"{act}/insights", **{**ask, "limit": limit})
        assert [row for page in pages for row in page] == expected
        assert all(len(page) == limit for page in pages[:-1])
    assert len(wire.pages(f"{act}/insights", **{**ask, "limit": ""})[0]) == 25


def test_next_carries_the_token_and_cursors_belong_to_their_list(wire: Wire, act: str) -> None:
    body = wire.get(f"{act}/insights", **{**DAILY, "limit": 5})
    assert "access_token=sandbox-token" in body["paging"]["next"]
    assert "after=" in body["paging"]["next"]
    followed = wire.http.get(body["paging"]["next"]).json()
    assert followed["data"] != body["data"]
    after = body["paging"]["cursors"]["after"]
    assert wire.error(f"{act}/ads", after=after)["code"] == 100
    assert wire.error(f"{act}/insights", after="rubbish")["code"] == 100


@pytest.mark.parametrize(
    ("ask", "code", "says"),
    [
        ({"fields": "spend,shoe_size"}, 100, "shoe_size"),
        ({"fields": "spend,age", "breakdowns": "age"}, 100, "age is not valid for fields param"),
        ({"breakdowns": "shoe_size"}, 100, "breakdowns[0]"),
        ({"breakdowns": "age,country"}, 2, "age, country"),
        ({"breakdowns": "region,device_platform"}, 2, "region"),
        ({"breakdowns": "device_platform"}, 2, "device_platform"),
        ({"breakdowns": "age", "fields": "newsfeed_clicks"}, 100, "newsfeed_clicks"),
        ({"breakdowns": "region", "fields": "video_p25_watched_actions"}, 100, "video_p25"),
        ({"breakdowns": "frequency_value", "fields": "spend"}, 100, "spend"),
        ({"breakdowns": "image_asset", "level": "account"}, 100, "account level"),
        ({"level": "planet"}, 100, "level"),
        ({"time_increment": "91"}, 100, "time_increment"),
        ({"time_range": span("2026-11-02", "2026-11-01")}, 100, "since"),
        ({"time_range": span("2026-11-31", "2026-12-01")}, 100, "valid date"),
        ({"time_range": "{"}, 100, "time_range"),
        ({"time_range": span("2023-10-20", "2023-10-30")}, 3018, "37 months"),
        ({"date_preset": "last_2d"}, 100, "date_preset"),
        ({"action_attribution_windows": ["2d_click"]}, 100, "action_attribution_windows[0]"),
        ({"action_breakdowns": ["shoe_size"]}, 100, "action_breakdowns[0]"),
        ({"filtering": [{"field": "shoe.size", "operator": "IN", "value": []}]}, 100, "shoe.size"),
        ({"filtering": [{"field": "ad.id", "operator": "NEAR", "value": "1"}]}, 100, "operator"),
        ({"sort": "sideways"}, 100, "sort"),
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_wrong_question_is_refused_at_once(
    wire: Wire, act: str, ask: dict[str, str], code: int, says: str, method: str
) -> None:
    error = wire.error(f"{act}/insights", method=method, **ask)
    assert error["code"] == code
    assert says in error["message"]
    assert error["fbtrace_id"]
    if code == 2:
        assert error["error_subcode"] == 1504041


@pytest.mark.parametrize("limit", ["0", "-5", "many"])
def test_a_senseless_page_size_is_refused(wire: Wire, act: str, limit: str) -> None:
    assert "limit" in wire.error(f"{act}/insights", limit=limit)["message"]


def test_the_oldest_day_allowed_is_37_months_back(wire: Wire, act: str) -> None:
    body = wire.get(f"{act}/insights", time_range=span("2023-10-21", "2026-11-20"))
    assert body["data"]


def test_a_call_about_too_many_rows_is_refused(wire: Wire, act: str) -> None:
    hours = "hourly_stats_aggregated_by_advertiser_time_zone"
    ask = {"level": "ad", "breakdowns": hours, "time_range": span("2026-09-22", "2026-11-20")}
    error = wire.error(f"{act}/insights", time_increment="1", **ask)
    assert (error["code"], error["error_subcode"]) == (100, 1487534)
    assert wire.submit(act, time_increment="1", **ask)


def test_breakdowns_that_need_consent_are_empty_at_once_and_few_as_reports(
    own: Sandbox, own_wire: Wire
) -> None:
    act = own_wire.accounts()["EUR"]
    ask = {"fields": "reach", "breakdowns": "frequency_value", "date_preset": "yesterday"}
    assert own_wire.get(f"{act}/insights", **ask) == {"data": []}
    runs = [own_wire.submit(act, **ask) for _ in range(10)]
    error = own_wire.error(f"{act}/insights", method="POST", **ask)
    assert (error["code"], error["error_subcode"]) == (4, 1504022)
    own.clock.advance(60)
    rows = own_wire.rows(f"{runs[0]}/insights")
    truth = own.truth(
        level="account", account=act, since="2026-11-20", until="2026-11-20",
        breakdown="frequency_value",
    )["rows"]  # fmt: skip
    assert {r["frequency_value"]: int(r["reach"]) for r in rows} == {
        r["frequency_value"]: r["reach"] for r in truth
    }


def test_a_report_runs_its_course(own: Sandbox, own_wire: Wire) -> None:
    act = own_wire.accounts()["EUR"]
    run = own_wire.submit(act, fields=["ad_id", "spend"], **DAILY)
    assert int(run) > 2**53
    seen = []
    for _ in range(13):
        status = own_wire.get(run, fields="async_status,async_percent_completion,is_running")
        seen.append((status["async_status"], status["async_percent_completion"]))
        assert status["is_running"] is (status["async_status"] != "Job Completed")
        if status["async_status"] != "Job Completed":
            error = own_wire.error(f"{run}/insights")
            assert (error["code"], error["is_transient"]) == (2601, True)
        own.clock.advance(5)
    names = [name for name, _ in seen]
    assert list(dict.fromkeys(names)) == [
        "Job Not Started", "Job Started", "Job Running", "Job Completed",
    ]  # fmt: skip
    assert ("Job Running", 100) in seen, "the percentage is there before the job is"
    percents = [percent for _, percent in seen]
    assert percents == sorted(percents)
    rows = own_wire.rows(f"{run}/insights")
    assert set(rows[0]) == {"ad_id", "spend", "date_start", "date_stop"}
    only = own_wire.rows(f"{run}/insights", fields="spend")
    assert set(only[0]) == {"spend", "date_start", "date_stop"}
    assert len(only) == len(rows)


def test_a_report_shows_what_was_known_when_it_was_submitted(own: Sandbox, own_wire: Wire) -> None:
    act = own_wire.accounts()["EUR"]
    before = own.truth(level="account", account=act, since="2026-11-13", until="2026-11-19")
    run = own_wire.submit(act, fields=["spend", "actions"], **DAILY)
    own.clock.advance(5 * 86_400)
    after = own.truth(level="account", account=act, since="2026-11-13", until="2026-11-19")
    assert sums(own_wire.rows(f"{run}/insights"))["conversions"] == before["sums"]["conversions"]
    assert before["sums"]["conversions"] < after["sums"]["conversions"]


def test_status_fields_have_a_default_and_are_checked(wire: Wire, act: str) -> None:
    run = wire.submit(act, **DAILY)
    status = wire.get(run)
    assert status["async_status"] == "Job Completed"
    assert status["date_start"] == "2026-11-13"
    assert {"id", "account_id", "time_ref", "time_completed"} <= set(status)
    assert wire.error(run, fields="shoe_size")["code"] == 100
    assert wire.get(run + "/", fields="async_status") == {
        "id": run,
        "async_status": "Job Completed",
    }


def test_a_report_expires_after_thirty_days(own: Sandbox, own_wire: Wire) -> None:
    act = own_wire.accounts()["EUR"]
    run = own_wire.submit(act, **DAILY)
    own.clock.advance(30 * 86_400 - 1)
    assert own_wire.get(run)["async_status"] == "Job Completed"
    own.clock.advance(1)
    error = own_wire.error(run)
    assert (error["code"], error["error_subcode"]) == (100, 33)


def test_an_empty_report_has_no_paging(wire: Wire) -> None:
    run = wire.submit(wire.accounts()["KWD"], **DAILY)
    assert wire.get(f"{run}/insights") == {"data": []}


def test_hostile_names_arrive_as_they_are(wire: Wire, act: str) -> None:
    rows = wire.rows(f"{act}/insights", fields="ad_id,ad_name", **DAILY)
    truth = {r["id"]: r["name"] for r in wire.sandbox.truth(stream="ads", account=act)["rows"]}
    assert all(row["ad_name"] == truth[row["ad_id"]] for row in rows)
    names = "".join(truth.values())
    assert {"\n", "\t", '"', "'", "🔥", "=HYPERLINK", "<script>"} <= {
        part for part in ("\n", "\t", '"', "'", "🔥", "=HYPERLINK", "<script>") if part in names
    }
    assert max(map(len, truth.values())) > 300


def test_a_month_of_ads_is_served_quickly(own: Sandbox, own_wire: Wire) -> None:
    import time

    act = own_wire.accounts()["EUR"]
    fields = "ad_id,ad_name,campaign_id,impressions,clicks,spend,reach,actions,action_values"
    begun = time.process_time()
    rows = own_wire.rows(
        f"{act}/insights",
        level="ad",
        fields=fields,
        time_increment="1",
        date_preset="last_28d",
        limit=2000,
    )
    assert len(rows) > 600
    assert time.process_time() - begun < 1.0, json.dumps(len(rows))
