from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.model.report import Level
from airflow_provider_liftos.platforms import get
from airflow_provider_liftos.platforms.tiktok import entities
from airflow_provider_liftos.transport.flow import run
from tests.engine.harness import Harness, basic, last

TIKTOK = get("tiktok")


@pytest.mark.parametrize(
    ("row", "zone"),
    [
        ({"display_timezone": "America/Los_Angeles", "timezone": "Etc/GMT+8"}, "America/Los_Angeles"),
        ({"display_timezone": "", "timezone": "Etc/GMT+8"}, "Etc/GMT+8"),
        ({"timezone": None}, ""),
    ],
)  # fmt: skip
def test_days_are_those_of_the_zone_that_is_displayed(row: dict[str, Any], zone: str) -> None:
    account = entities.read_account({"advertiser_id": 7, "status": "STATUS_ENABLE", **row})
    assert (account.account_id, account.timezone, account.status) == ("7", zone, "active")


def test_a_fixed_offset_has_its_sign_turned_around() -> None:
    from datetime import datetime
    from zoneinfo import ZoneInfo

    assert datetime(2026, 1, 1, tzinfo=ZoneInfo("Etc/GMT+8")).utcoffset() == timedelta(hours=-8)


def discovered(tiktok: Harness, **parts: Any) -> list[str]:
    session = tiktok.session()
    options = dict(session.credentials.options) | parts
    session.credentials = replace(session.credentials, options=options)
    found = run(TIKTOK.accounts(session, session.credentials), tiktok.sender)
    return [account.account_id for account in found]


def test_advertisers_are_asked_for_or_named(tiktok: Harness) -> None:
    everybody = [one.id for one in tiktok.sandbox.world.dataset("tiktok").accounts]
    assert discovered(tiktok) == everybody
    assert "oauth2/advertiser/get" in tiktok.journal()[0]["path"]
    tiktok.sandbox.journal.clear()
    assert discovered(tiktok, app_id="", account_ids=f"{everybody[1]}, {everybody[0]}") == [
        everybody[1], everybody[0]
    ]  # fmt: skip
    assert not tiktok.journal("oauth2")
    with pytest.raises(ConfigurationError, match="does not say which advertisers"):
        discovered(tiktok, app_id="")


def test_an_advertiser_out_of_reach_does_not_hide_the_others(tiktok: Harness) -> None:
    one, two = [account.account_id for account in tiktok.accounts[:2]]
    named = f"{one},7150000000000000404,{two},x"
    assert discovered(tiktok, app_id="", account_ids=named) == [one, two]
    assert len(tiktok.journal()) <= 7
    assert discovered(tiktok, app_id="", account_ids=[one, "404"]) == [one]


def test_connections_of_other_tools_read_the_same() -> None:
    adopted = TIKTOK.adopt({"app_secret": "s", "advertiser_ids": ["1"], "x": 2})
    assert adopted == {"secret": "s", "account_ids": ["1"], "x": 2}


def test_entities_come_once_with_what_was_deleted(tiktok: Harness) -> None:
    names = [stream.name for stream in TIKTOK.streams]
    tiktok.how = replace(tiktok.how, page_size=7)
    done = tiktok.run_to_end(tiktok.slices([], accounts=range(6), streams=names))
    assert not done.failed
    assert not [warning for cut in done.slices for warning in cut.warnings]
    truth = {s: tiktok.sandbox.truth(platform="tiktok", stream=s)["rows"] for s in names}
    for stream, own in (("campaigns", "campaign_id"), ("ad_groups", "ad_group_id")):
        rows = tiktok.warehouse.query(f"SELECT {own}, name FROM liftos.{stream}")
        assert sorted(rows) == sorted((row["id"], row["name"]) for row in truth[stream])
    ads = {row[0] for row in tiktok.warehouse.query("SELECT ad_id FROM liftos.ads")}
    creatives = [r[0] for r in tiktok.warehouse.query("SELECT creative_id FROM liftos.creatives")]
    assert len(set(creatives)) == len(creatives)
    assert ads <= set(creatives)
    assert {row["id"] for row in truth["ads"]} <= set(creatives)
    told = tiktok.sandbox.truth(platform="tiktok", level="ad")["rows"]
    assert {row["ad_id"] for row in told} <= ads
    deleted = "SELECT count(*) FROM liftos.campaigns WHERE effective_status = 'DELETED'"
    assert tiktok.warehouse.query(deleted) == [(6,)]
    linked = (
        "SELECT count(*), count(c.body), count(c.link_url) FROM liftos.ads AS a"
        " JOIN liftos.creatives AS c USING (account_id, creative_id)"
    )
    ((total, bodies, links),) = tiktok.warehouse.query(linked)
    assert total == bodies == links == len(ads)


def test_what_the_campaign_record_needs_is_there(tiktok: Harness) -> None:
    report = basic(Level.CAMPAIGN, platform=TIKTOK)
    tiktok.run_to_end(tiktok.slices([report], last(7), streams=["campaigns"]))
    columns = (
        "campaign_id", "campaign_name", "objective", "status", "spend", "impressions", "clicks",
        "conversions", "ctr", "cpc", "cpm", "conversion_rate", "created_time", "updated_time",
    )  # fmt: skip
    counts = ", ".join(f"count({name})" for name in columns)
    (found,) = tiktok.warehouse.query(
        f"SELECT count(*), {counts} FROM liftos.tiktok_campaigns WHERE clicks > 0"
    )
    assert found[0] > 0
    assert set(found) == {found[0]}
    assert tiktok.warehouse.query("SELECT count(budget) > 0 FROM liftos.tiktok_campaigns") == [
        (True,)
    ]
