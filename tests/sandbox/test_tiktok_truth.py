from __future__ import annotations

from collections import Counter
from decimal import Decimal

import pytest

from airflow_provider_liftos.sandbox import Sandbox
from airflow_provider_liftos.sandbox.wire.tiktok import reports
from tests.sandbox.tiktok_client import LEVELS, WEEK, TikTok, sums, truth_sums

SPANS = (("2026-09-22", "2026-10-21"), ("2026-10-22", "2026-11-20"), ("2026-11-21", "2026-11-22"))
OURS = {name: "creative" if name == "ad" else name for name in LEVELS}
DAYS = {"since": WEEK["start_date"], "until": WEEK["end_date"]}


@pytest.mark.parametrize("level", LEVELS)
def test_reports_at_once_arrive_at_the_truth_at_every_level(
    sandbox: Sandbox, tiktok: TikTok, level: str
) -> None:
    identity = LEVELS[level][1]
    truth_id = {"account": "account_id", "ad_group": "ad_group_id"}.get(level, identity)
    for advertiser in tiktok.accounts().values():
        rows = [
            row
            for start, end in SPANS
            for row in tiktok.report(advertiser, level, start_date=start, end_date=end)
        ]
        truth = sandbox.truth(platform="tiktok", level=OURS[level], account=advertiser)
        assert sums(rows) == truth_sums(truth)
        assert {(row[identity], row["stat_time_day"][:10]) for row in rows} == {
            (row[truth_id], row["date"]) for row in truth["rows"]
        }


@pytest.mark.parametrize("level", LEVELS)
def test_files_of_tasks_arrive_at_the_truth_at_every_level(
    sandbox: Sandbox, tiktok: TikTok, level: str
) -> None:
    for advertiser in tiktok.accounts().values():
        task = tiktok.task(advertiser, level, start_date="2026-09-01", end_date="2026-11-22")
        truth = sandbox.truth(platform="tiktok", level=OURS[level], account=advertiser)
        assert sums(tiktok.file(advertiser, task)) == truth_sums(truth)


@pytest.mark.parametrize("breakdown", ["gender", "age", "country_code", "age,gender", "platform"])
@pytest.mark.parametrize("currency", ["EUR", "JPY"])
def test_breakdowns_arrive_at_the_truth_both_ways(
    sandbox: Sandbox, tiktok: TikTok, breakdown: str, currency: str
) -> None:
    advertiser, names = tiktok.accounts()[currency], tuple(breakdown.split(","))
    truth = sandbox.truth(
        platform="tiktok", level="creative", account=advertiser, breakdown=breakdown, **DAYS
    )
    rows = tiktok.report(advertiser, breakdown=names)
    assert sums(rows) == truth_sums(truth)
    for name in names:
        assert {row[name] for row in rows} == {row[name] for row in truth["rows"]}
    file = tiktok.file(advertiser, tiktok.task(advertiser, breakdown=names))
    assert sums(file) == truth_sums(truth)
    whole = truth_sums(
        sandbox.truth(platform="tiktok", level="creative", account=advertiser, **DAYS)
    )
    assert {**truth_sums(truth), "rows": 0} == {**whole, "rows": 0}


def test_hours_add_up_to_the_day_also_where_the_clock_changed(
    sandbox: Sandbox, tiktok: TikTok
) -> None:
    advertiser, day = tiktok.accounts()["EUR"], "2026-10-25"
    rows = tiktok.report(
        advertiser, dimensions=["ad_id", "stat_time_hour"], start_date=day, end_date=day
    )
    whole = sandbox.truth(
        platform="tiktok", level="creative", account=advertiser, since=day, until=day
    )
    assert {**sums(rows), "rows": 0} == {**truth_sums(whole), "rows": 0}
    assert {row["stat_time_hour"] for row in rows} == {
        f"{day} {hour:02d}:00:00" for hour in range(24)
    }
    hours = sandbox.truth(
        platform="tiktok", level="creative", account=advertiser, since=day, until=day,
        breakdown="stat_time_hour",
    )  # fmt: skip
    assert len(hours["rows"]) == len(rows)


def test_reach_is_that_of_the_truth_once_it_is_known(sandbox: Sandbox, tiktok: TikTok) -> None:
    advertiser = tiktok.accounts()["EUR"]
    days = {"start_date": "2026-11-19", "end_date": "2026-11-21"}
    rows = tiktok.report(advertiser, "campaign", metrics=["reach", "cash_spend"], **days)
    truth = sandbox.truth(
        platform="tiktok", level="campaign", account=advertiser,
        since=days["start_date"], until=days["end_date"],
    )["rows"]  # fmt: skip
    people = {(row["campaign_id"], row["date"]): str(row["reach"]) for row in truth}
    for row in rows:
        day = row["stat_time_day"][:10]
        known = day == "2026-11-19"  # it is noon in Berlin; people are counted after 16 hours
        assert row["reach"] == (people[row["campaign_id"], day] if known else "-")
        assert (row["cash_spend"] == "-") is not known


def test_recent_days_grow_and_a_task_shows_what_was_known_when_it_began(own: Sandbox) -> None:
    tiktok = TikTok(own)
    advertiser = tiktok.accounts()["EUR"]
    task = tiktok.task(advertiser, "account", start_date="2026-11-20", end_date="2026-11-20")
    before = own.clock.now().isoformat()
    own.clock.advance(3 * 86_400)
    day = {"platform": "tiktok", "level": "account", "account": advertiser}
    day |= {"since": "2026-11-20", "until": "2026-11-20"}
    old, new = own.truth(as_of=before, **day), own.truth(**day)
    assert sums(tiktok.file(advertiser, task)) == truth_sums(old)
    rows = tiktok.report(advertiser, "account", start_date="2026-11-20", end_date="2026-11-20")
    assert sums(rows) == truth_sums(new)
    assert new["sums"]["conversions"] > old["sums"]["conversions"]
    tiktok.http.close()


def test_a_row_lost_in_a_handler_shows(
    sandbox: Sandbox, tiktok: TikTok, monkeypatch: pytest.MonkeyPatch
) -> None:
    advertiser = tiktok.accounts()["USD"]
    gathered = reports.gathered
    monkeypatch.setattr(reports, "gathered", lambda scene: gathered(scene)[1:])
    truth = sandbox.truth(platform="tiktok", level="creative", account=advertiser, **DAYS)
    assert sums(tiktok.report(advertiser)) != truth_sums(truth)


def test_entities_are_those_of_the_truth(sandbox: Sandbox, tiktok: TikTok) -> None:
    streams = {
        "campaigns": ("campaign/get/", "campaign"),
        "ad_groups": ("adgroup/get/", "adgroup"),
        "ads": ("ad/get/", "ad"),
    }
    for advertiser in tiktok.accounts().values():
        for stream, (path, noun) in streams.items():
            truth = sandbox.truth(platform="tiktok", stream=stream, account=advertiser)["rows"]
            rows = tiktok.rows(path, advertiser_id=advertiser, page_size=7)
            assert {row[f"{noun}_id"]: row[f"{noun}_name"] for row in rows} == {
                row["id"]: row["name"] for row in truth if not row["deleted"]
            }
            all_of_them = tiktok.rows(
                path, advertiser_id=advertiser, filtering={"primary_status": "STATUS_ALL"}
            )
            assert Counter(row[f"{noun}_id"] for row in all_of_them) == Counter(
                row["id"] for row in truth
            )
            gone = {
                r[f"{noun}_id"] for r in all_of_them if r["secondary_status"].endswith("DELETE")
            }
            assert gone == {row["id"] for row in truth if row["deleted"]}


def test_creatives_and_audiences_are_those_of_the_truth(sandbox: Sandbox, tiktok: TikTok) -> None:
    advertiser = tiktok.accounts()["EUR"]
    creatives = sandbox.truth(platform="tiktok", stream="creatives", account=advertiser)["rows"]
    files = [
        row
        for kind in ("video", "image")
        for row in tiktok.rows(f"file/{kind}/ad/search/", advertiser_id=advertiser)
    ]
    assert {row["material_id"] for row in files} == {row["id"] for row in creatives}
    audiences = sandbox.truth(platform="tiktok", stream="audiences", account=advertiser)["rows"]
    listed = tiktok.rows("dmp/custom_audience/list/", advertiser_id=advertiser, page_size=5)
    assert {row["audience_id"] for row in listed} == {
        row["id"] for row in audiences if not row["deleted"]
    }


def test_ads_of_smart_campaigns_are_counted_once_with_all_their_creatives(
    sandbox: Sandbox, tiktok: TikTok
) -> None:
    advertiser = tiktok.accounts()["EUR"]
    truth = sandbox.truth(platform="tiktok", level="ad", account=advertiser, **DAYS)
    rows = tiktok.report(advertiser, dimensions=["ad_id_v2", "stat_time_day"])
    assert sums(rows) == truth_sums(truth)
    assert {(row["ad_id_v2"], row["stat_time_day"][:10]) for row in rows} == {
        (row["ad_id"], row["date"]) for row in truth["rows"]
    }
    parts = sandbox.truth(platform="tiktok", level="creative", account=advertiser, **DAYS)
    assert len(parts["rows"]) > len(truth["rows"])
    assert parts["sums"] | {"rows": 0} == truth["sums"] | {"rows": 0}


def test_ids_have_nineteen_digits(tiktok: TikTok) -> None:
    advertiser = tiktok.accounts()["EUR"]
    row = tiktok.report(advertiser, metrics=["campaign_id", "adgroup_id"])[0]
    ids = (advertiser, row["ad_id"], row["adgroup_id"], row["campaign_id"])
    assert all(len(one) == 19 and one != str(int(float(one))) for one in ids)


def test_money_has_the_decimals_of_its_currency(tiktok: TikTok) -> None:
    for currency, advertiser in tiktok.accounts().items():
        for row in tiktok.report(advertiser, "account"):
            assert -Decimal(row["spend"]).as_tuple().exponent == (0 if currency == "JPY" else 2)
