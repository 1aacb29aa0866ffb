"""Authorization, advertisers and lists of entities on TikTok's wire."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest

from airflow_provider_liftos.sandbox import Sandbox
from tests.sandbox.tiktok_client import APP, TikTok


@pytest.fixture
def eur(tiktok: TikTok) -> str:
    return tiktok.accounts()["EUR"]


def test_a_code_is_exchanged_once_for_a_token_that_lives_until_it_is_revoked(
    own: Sandbox, own_tiktok: TikTok
) -> None:
    asked = {**APP, "auth_code": "sandbox-auth-code"}
    made = own_tiktok.post("oauth2/access_token/", **asked)
    fresh = made["access_token"]
    assert set(made) == {"access_token", "scope", "advertiser_ids"}
    assert len(made["advertiser_ids"]) == 6
    assert own_tiktok.refusal("oauth2/access_token/", method="POST", **asked)[0] == 40110
    own.clock.advance(400 * 86_400)
    assert own_tiktok.get("user/info/", token=fresh)["core_user_id"]
    own_tiktok.post("oauth2/revoke_token/", **APP, access_token=fresh)
    assert own_tiktok.refusal("user/info/", token=fresh) == (
        40105, "Access token is incorrect or has been revoked.",
    )  # fmt: skip
    assert fresh in own.secrets()
    shown = json.dumps(own.journal.entries("tiktok"))
    assert not [secret for secret in own.secrets() if secret in shown]


def test_the_sandbox_names_credentials_that_work(sandbox: Sandbox, tiktok: TikTok) -> None:
    named = tiktok.http.get(f"{sandbox.url}/_sandbox/connections").json()["tiktok"]
    app = {name: named[name] for name in ("app_id", "secret")}
    listed = tiktok.get("oauth2/advertiser/get/", token=named["access_token"], **app)["list"]
    assert len(listed) == 6


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"app_id": "2"}, 40002),
        ({"secret": "wrong"}, 40002),
        ({"secret": ""}, 40002),
        ({"auth_code": "stolen"}, 40110),
        ({"auth_code": ""}, 40002),
    ],
    ids=str,
)
def test_a_wrong_exchange_is_refused(tiktok: TikTok, given: dict[str, str], code: int) -> None:
    asked = {**APP, "auth_code": "sandbox-auth-code-2", **given}
    assert tiktok.refusal("oauth2/access_token/", method="POST", **asked)[0] == code


@pytest.mark.parametrize(
    ("token", "code"),
    [("", 40104), ("stolen", 40105), ("sandbox-token-expired", 40102)],
)
def test_a_bad_token_is_refused_by_code_under_http_200(
    tiktok: TikTok, token: str, code: int
) -> None:
    assert tiktok.refusal("user/info/", token=token)[0] == code


def test_a_token_sees_its_advertisers_and_what_its_scopes_allow(tiktok: TikTok) -> None:
    accounts = list(tiktok.accounts().values())
    listed = tiktok.get("oauth2/advertiser/get/", token="sandbox-token-some", **APP)["list"]
    assert [one["advertiser_id"] for one in listed] == accounts[:2]
    asked = {"advertiser_id": accounts[2], "token": "sandbox-token-some"}
    assert tiktok.refusal("campaign/get/", **asked) == (
        40001, f"No permission to operate advertiser {accounts[2]}.",
    )  # fmt: skip
    asked = {"advertiser_id": accounts[0], "token": "sandbox-token-noread"}
    assert tiktok.get("campaign/get/", **asked)["list"]
    assert tiktok.refusal("report/integrated/get/", **asked)[0] == 40001


def test_only_the_display_zone_is_the_one_of_the_reports(tiktok: TikTok) -> None:
    ids = list(tiktok.accounts().values())
    found = tiktok.get("advertiser/info/", advertiser_ids=ids)["list"]
    zones = {one["currency"]: (one["timezone"], one["display_timezone"]) for one in found}
    assert zones["EUR"] == ("Europe/Berlin", "Europe/Berlin")
    assert zones["USD"] == ("Etc/GMT+8", "America/Los_Angeles")
    assert zones["JPY"] == ("Etc/GMT-9", "Asia/Tokyo")
    assert zones["INR"] == ("Asia/Kolkata", "Asia/Kolkata")
    some = tiktok.get("advertiser/info/", advertiser_ids=ids[:1], fields=["currency", "address"])
    assert some["list"] == [{"currency": "EUR", "address": None}]
    assert tiktok.refusal("advertiser/info/", advertiser_ids=["7"])[0] == 40001
    assert tiktok.refusal("advertiser/info/", advertiser_ids=["7"] * 101)[0] == 40011
    assert tiktok.refusal("advertiser/info/")[0] == 40002


@pytest.mark.parametrize(
    ("path", "usual", "most"),
    [
        ("campaign/get/", 10, 1000),
        ("adgroup/get/", 10, 1000),
        ("ad/get/", 10, 1000),
        ("smart_plus/ad/get/", 10, 1000),
        ("dmp/custom_audience/list/", 10, 100),
        ("file/video/ad/search/", 20, 100),
        ("file/image/ad/search/", 20, 100),
    ],
)
def test_lists_have_page_limits(tiktok: TikTok, eur: str, path: str, usual: int, most: int) -> None:
    data = tiktok.get(path, advertiser_id=eur)
    assert data["page_info"]["page_size"] == usual
    assert len(data["list"]) == min(usual, data["page_info"]["total_number"]) > 0
    assert tiktok.get(path, advertiser_id=eur, page_size=most)["list"]
    code, message = tiktok.refusal(path, advertiser_id=eur, page_size=most + 1)
    assert (code, message.partition(":")[0]) == (40002, "page_size")


def test_lists_are_ordered_by_id_newest_first(tiktok: TikTok, eur: str) -> None:
    ids = [int(row["ad_id"]) for row in tiktok.rows("ad/get/", advertiser_id=eur)]
    assert ids == sorted(ids, reverse=True)


def test_fields_are_chosen_and_nulls_can_be_left_out(tiktok: TikTok, eur: str) -> None:
    whole = tiktok.get("campaign/get/", advertiser_id=eur)["list"][0]
    assert None in whole.values()
    bare = tiktok.get(
        "campaign/get/", advertiser_id=eur, exclude_field_types_in_response=["NULL_FIELD"]
    )["list"][0]
    assert bare == {name: value for name, value in whole.items() if value is not None}
    some = tiktok.get("campaign/get/", advertiser_id=eur, fields=["budget", "rta_id"])["list"][0]
    assert set(some) == {"budget", "rta_id", "campaign_id"}
    assert isinstance(some["budget"], float)
    code, message = tiktok.refusal("campaign/get/", advertiser_id=eur, fields=["shoe"])
    assert (code, message) == (40002, "Invalid response fields: ['shoe']")


def test_times_are_written_in_utc_without_saying_so(tiktok: TikTok, eur: str) -> None:
    for row in tiktok.rows("adgroup/get/", advertiser_id=eur):
        for name in ("create_time", "modify_time", "schedule_start_time"):
            assert datetime.strptime(row[name], "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007


def test_lists_are_filtered(tiktok: TikTok, eur: str) -> None:
    ads = tiktok.rows("ad/get/", advertiser_id=eur)

    def chosen(**asked: Any) -> list[dict[str, Any]]:
        return tiktok.rows("ad/get/", advertiser_id=eur, filtering=asked)

    group = ads[0]["adgroup_id"]
    by_group = chosen(adgroup_ids=[group])
    assert [one["ad_id"] for one in by_group] == [
        one["ad_id"] for one in ads if one["adgroup_id"] == group
    ]
    assert chosen(ad_ids=[ads[3]["ad_id"]]) == [ads[3]]
    off = chosen(primary_status="STATUS_DISABLE")
    assert off
    assert all(one["secondary_status"].endswith("DISABLE") for one in off)
    moment = "2026-11-01 00:00:00"
    late = {one["ad_id"] for one in chosen(modified_after=moment)}
    known = [one for one in ads if one["modify_time"] is not None]
    assert {one["ad_id"] for one in known if one["modify_time"] >= moment} <= late
    assert not {one["ad_id"] for one in known if one["modify_time"] < moment} & late
    named = tiktok.rows("campaign/get/", advertiser_id=eur, filtering={"campaign_name": "always"})
    assert len(named) == 1
    smart = {"campaign_automation_type": "UPGRADED_SMART_PLUS"}
    campaigns = tiktok.rows("campaign/get/", advertiser_id=eur, filtering=smart)
    assert campaigns == tiktok.rows("smart_plus/campaign/get/", advertiser_id=eur)
    assert tiktok.rows("smart_plus/adgroup/get/", advertiser_id=eur)


@pytest.mark.parametrize(
    ("filtering", "code"),
    [
        ({"shoe": 1}, 40002),
        ({"primary_status": "ON"}, 40002),
        ({"campaign_ids": "1"}, 40002),
        ({"campaign_ids": list(map(str, range(101)))}, 40011),
        ([1], 40002),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_wrong_filter_is_refused(tiktok: TikTok, eur: str, filtering: Any, code: int) -> None:
    assert tiktok.refusal("campaign/get/", advertiser_id=eur, filtering=filtering)[0] == code


def test_ads_of_smart_plus_do_not_say_when_they_were_changed(tiktok: TikTok, eur: str) -> None:
    ads = tiktok.rows("ad/get/", advertiser_id=eur)
    smart = [one for one in ads if one["smart_plus_ad_id"]]
    assert smart
    assert all((one["modify_time"] is None) == bool(one["smart_plus_ad_id"]) for one in ads)
    owners = {
        one["smart_plus_ad_id"] for one in tiktok.rows("smart_plus/ad/get/", advertiser_id=eur)
    }
    assert {one["smart_plus_ad_id"] for one in smart} == owners


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/open_api/v1.3/user/info", 40400),
        ("/open_api/v1.3/shoes/get/", 40400),
        ("/open_api/v1.3/report/task/create/", 40400),
        ("/open_api/v1.2/user/info/", 40006),
        ("/user/info/", 40400),
        ("/v1.3/user/info/", 0),
        ("/open_api/v1.3/user/info/", 0),
    ],
)
def test_paths_have_a_version_and_end_with_a_slash(
    sandbox: Sandbox, tiktok: TikTok, path: str, code: int
) -> None:
    reply = tiktok.http.get(
        f"{sandbox.url}/tiktok{path}", headers={"Access-Token": "sandbox-token"}
    )
    assert reply.json()["code"] == code
    assert reply.json()["request_id"]


def test_a_body_must_be_json(tiktok: TikTok) -> None:
    for body in (b"{", b"[1]"):
        reply = tiktok.http.post(
            "report/task/create/", content=body, headers={"Access-Token": "sandbox-token"}
        )
        assert reply.json()["code"] == 40002
