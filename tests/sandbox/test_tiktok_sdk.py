"""TikTok's own SDK against the sandbox, unchanged but for the host."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("business_api_client")

import business_api_client as sdk
import httpx2
from business_api_client.tiktok_business.tiktok_exceptions import TiktokSDKError

from airflow_provider_liftos.sandbox import Sandbox
from tests.sandbox.tiktok_client import METRICS, WEEK, condition, read, sums, truth_sums

TOKEN = "sandbox-token"


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[sdk.ApiClient]:
    configuration = sdk.Configuration()
    configuration.host = f"{sandbox.url}/tiktok"
    client = sdk.ApiClient(configuration)
    yield client
    client.rest_client.pool_manager.clear()


@pytest.fixture
def advertiser(client: sdk.ApiClient) -> str:
    reply = sdk.AuthenticationApi(client).oauth2_advertiser_get("1001", "sandbox-secret", TOKEN)
    return reply["data"]["list"][0]["advertiser_id"]


def truth(sandbox: Sandbox, advertiser: str, **more: Any) -> dict[str, Any]:
    days = {"since": WEEK["start_date"], "until": WEEK["end_date"]}
    return sandbox.truth(platform="tiktok", account=advertiser, **{**days, **more})


def test_a_code_is_exchanged(client: sdk.ApiClient) -> None:
    body = sdk.Oauth2AccessTokenBody(
        app_id="1001", secret="sandbox-secret", auth_code="sandbox-auth-code-sdk"
    )
    data = sdk.AuthenticationApi(client).oauth2_access_token(body=body)["data"]
    assert len(data["advertiser_ids"]) == 6
    info = sdk.AccountManagementApi(client).advertiser_info(
        data["advertiser_ids"], data["access_token"], fields=["currency", "display_timezone"]
    )
    assert info["data"]["list"][0] == {"currency": "EUR", "display_timezone": "Europe/Berlin"}


def test_entities(sandbox: Sandbox, client: sdk.ApiClient, advertiser: str) -> None:
    everything = {"page_size": 1000}
    calls = {
        "campaigns": ("campaign_id", sdk.CampaignCreationApi(client).campaign_get,
                      sdk.FilteringCampaignGet(primary_status="STATUS_ALL")),
        "ad_groups": ("adgroup_id", sdk.AdgroupApi(client).adgroup_get,
                      sdk.FilteringAdgroupGet(primary_status="STATUS_ALL")),
        "ads": ("ad_id", sdk.AdApi(client).ad_get,
                sdk.FilteringAdGet(primary_status="STATUS_ALL")),
    }  # fmt: skip
    for stream, (name, call, filtering) in calls.items():
        found = call(advertiser, TOKEN, filtering=filtering, **everything)["data"]["list"]
        rows = truth(sandbox, advertiser, stream=stream)["rows"]
        assert {one[name] for one in found} == {row["id"] for row in rows}
    smart = sdk.AdApi(client).smart_plus_ad_get(advertiser, TOKEN)
    assert smart["data"]["list"]
    audiences = sdk.AudienceApi(client).dmp_custom_audience_list(advertiser, TOKEN, page_size=100)
    assert audiences["data"]["page_info"]["total_number"] == 11
    videos = sdk.FileApi(client).ad_video_search(advertiser, TOKEN)
    assert videos["data"]["list"]


@pytest.mark.parametrize("level", ["AD", "CAMPAIGN"])
def test_a_report_at_once(
    sandbox: Sandbox, client: sdk.ApiClient, advertiser: str, level: str
) -> None:
    api = sdk.ReportingApi(client)
    rows: list[dict[str, Any]] = []
    pages = page = 1
    while page <= pages:
        data = api.report_integrated_get(
            "BASIC",
            TOKEN,
            advertiser_id=advertiser,
            data_level=f"AUCTION_{level}",
            dimensions=[f"{level.lower()}_id", "stat_time_day"],
            metrics=METRICS,
            filtering=[condition(f"{level.lower()}_status", "IN", ["STATUS_ALL"])],
            page=page,
            page_size=50,
            **WEEK,
        )["data"]
        rows += [row["metrics"] for row in data["list"]]
        pages, page = data["page_info"]["total_page"], page + 1
    ours = "creative" if level == "AD" else level.lower()
    assert sums(rows) == truth_sums(truth(sandbox, advertiser, level=ours))


def test_a_report_as_a_task(sandbox: Sandbox, client: sdk.ApiClient, advertiser: str) -> None:
    api = sdk.ReportingApi(client)
    body = sdk.ReportTaskCreateBody(
        advertiser_id=advertiser,
        report_type="AUDIENCE",
        data_level="AUCTION_ADGROUP",
        dimensions=["adgroup_id", "stat_time_day", "age", "gender"],
        metrics=METRICS,
        output_format="CSV_DOWNLOAD",
        enable_report_title_translation=False,
        **WEEK,
    )
    task = api.report_task_create(TOKEN, body=body)["data"]["task_id"]
    assert api.report_task_check(task, advertiser, TOKEN)["data"]["status"] == "SUCCESS"
    # The SDK has no call for the download.
    link = httpx2.get(
        f"{client.configuration.host}/open_api/v1.3/report/task/download/",
        params={"advertiser_id": advertiser, "task_id": task},
        headers={"Access-Token": TOKEN},
    ).json()["data"]["download_url"]
    asked = truth(sandbox, advertiser, level="ad_group", breakdown="age,gender")
    assert sums(read(httpx2.get(link).text)) == truth_sums(asked)
    cancelled = api.report_task_cancel(
        TOKEN, body=sdk.TaskCancelBody(advertiser_id=advertiser, task_id=task)
    )
    assert cancelled["data"]["status"] == "SUCCESS"


def test_errors_are_read(sandbox: Sandbox, client: sdk.ApiClient, advertiser: str) -> None:
    with pytest.raises(TiktokSDKError, match="40105"):
        sdk.AdApi(client).ad_get(advertiser, "stolen")
    sandbox.faults.add(kind="rate_limit", platform="tiktok", times=1)
    with pytest.raises(TiktokSDKError, match=r"40100.*Too many requests"):
        sdk.AdApi(client).ad_get(advertiser, TOKEN)
    assert json.dumps(sandbox.journal.entries("tiktok")).count(TOKEN) == 0
