"""Reports as tasks on TikTok's wire: created, checked, downloaded, cancelled."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from airflow_provider_liftos.sandbox import Sandbox
from tests.sandbox.tiktok_client import TikTok, condition, question, read

CREATE, CHECK = "report/task/create/", "report/task/check/"
DOWNLOAD, CANCEL = "report/task/download/", "report/task/cancel/"


@pytest.fixture
def eur(own_tiktok: TikTok) -> str:
    return own_tiktok.accounts()["EUR"]


def test_a_task_is_queued_worked_on_and_done(own: Sandbox, own_tiktok: TikTok, eur: str) -> None:
    task = own_tiktok.task(eur)
    about = {"advertiser_id": eur, "task_id": task}
    seen = []
    for _ in range(4):
        seen.append(own_tiktok.status(eur, task))
        if seen[-1] != "SUCCESS":
            assert own_tiktok.refusal(DOWNLOAD, **about)[0] == 40201
        own.clock.advance(25)
    assert seen == ["QUEUING", "PROCESSING", "PROCESSING", "SUCCESS"]
    assert own_tiktok.get(CHECK, **about) == {"status": "SUCCESS", "message": ""}
    assert own_tiktok.file(eur, task)


def test_a_file_may_come_from_an_address_that_is_good_for_an_hour(
    own: Sandbox, own_tiktok: TikTok, eur: str
) -> None:
    task = own_tiktok.task(eur, output_format="CSV_DOWNLOAD", file_name="ads_20261120")
    own.clock.advance(60)
    about = {"advertiser_id": eur, "task_id": task}
    data = own_tiktok.get(DOWNLOAD, **about)
    assert (data["output_format"], data["file_name"]) == ("CSV_DOWNLOAD", "ads_20261120.csv")
    reply = httpx2.get(data["download_url"])
    assert reply.headers["content-type"].startswith("text/csv")
    rows = read(reply.text)
    assert list(rows[0]) == [
        "ad_id", "stat_time_day", "spend", "impressions", "clicks", "conversion",
        "total_complete_payment_rate",
    ]  # fmt: skip
    assert len(rows) == own.truth(
        platform="tiktok", level="creative", account=eur, since="2026-11-13", until="2026-11-19"
    )["sums"]["rows"]  # fmt: skip
    assert httpx2.get(data["download_url"] + "0").status_code == 403
    own.clock.advance(3600)
    assert httpx2.get(data["download_url"]).status_code == 403
    again = own_tiktok.get(DOWNLOAD, **about)["download_url"]
    assert again != data["download_url"]
    assert httpx2.get(again).text == reply.text
    # The signature opens the file without a token: it is a secret.
    shown = str(own.journal.entries("tiktok"))
    sign = urlsplit(again).query.rpartition("sign=")[2]
    assert sign in own.secrets()
    assert sign not in shown


def test_titles_are_those_of_the_ads_manager_unless_told_otherwise(
    own: Sandbox, own_tiktok: TikTok, eur: str
) -> None:
    asked = question(eur, "campaign", metrics=["spend", "campaign_name"])
    task = own_tiktok.post(CREATE, **asked)["task_id"]
    own.clock.advance(60)
    rows = own_tiktok.file(eur, task)
    assert list(rows[0]) == ["Campaign ID", "By Day", "Cost", "Campaign name"]
    names = {row["name"] for row in own.truth(
        platform="tiktok", stream="campaigns", account=eur)["rows"]}  # fmt: skip
    assert {row["Campaign name"] for row in rows} <= names


def test_a_country_code_is_a_country_name_in_files(
    own: Sandbox, own_tiktok: TikTok, eur: str
) -> None:
    task = own_tiktok.task(eur, breakdown=("country_code",))
    own.clock.advance(60)
    found = {row["country_code"] for row in own_tiktok.file(eur, task)}
    assert found == {"Germany", "Austria", "Switzerland", "France"}


def test_files_hold_the_deleted_and_any_number_of_days(
    own: Sandbox, own_tiktok: TikTok, eur: str
) -> None:
    task = own_tiktok.task(eur, start_date="2026-01-01", end_date="2026-11-20")
    own.clock.advance(60)
    rows = own_tiktok.file(eur, task)
    gone = [row["id"] for row in own.truth(
        platform="tiktok", stream="ads", account=eur)["rows"] if row["deleted"]]  # fmt: skip
    assert set(gone) <= {row["ad_id"] for row in rows}
    assert len({row["stat_time_day"] for row in rows}) == 60


def test_files_hold_hostile_names_unharmed(own: Sandbox, own_tiktok: TikTok, eur: str) -> None:
    task = own_tiktok.task(eur, metrics=["ad_name", "spend"])
    own.clock.advance(60)
    found = {row["ad_id"]: row["ad_name"] for row in own_tiktok.file(eur, task)}
    truth = own.truth(platform="tiktok", stream="ads", account=eur)["rows"]
    names = {row["id"]: row["name"] for row in truth}
    assert found == {identity: names[identity] for identity in found}
    assert any("\n" in name for name in found.values())


@pytest.mark.parametrize(
    ("asked", "code", "text"),
    [
        ({"output_format": "XLSX_DOWNLOAD"}, 40008, "XLSX_DOWNLOAD is not supported"),
        ({"output_format": "PDF"}, 40002, "output_format: Must be one of"),
        ({"report_type": "PLAYABLE_MATERIAL"}, 40002, "report_type: Must be one of"),
        ({"file_name": "x" * 256}, 40002, "maximum length 255"),
        ({"breakdown": ("age",), "metrics": ["spend", "reach"]}, 40002, "Conflict occurs."),
        ({"filtering": [condition("ad_status", "IN", ["STATUS_ALL"])]}, 40002, "Unsupported field"),
        ({"metrics": ["shoes"]}, 40002, "Invalid metric fields: ['shoes']"),
        ({"advertiser_id": "7"}, 40001, "No permission to operate advertiser 7."),
    ],
    ids=str,
)
def test_a_wrong_order_is_refused(
    own_tiktok: TikTok, eur: str, asked: dict[str, Any], code: int, text: str
) -> None:
    found, message = own_tiktok.refusal(CREATE, method="POST", **question(eur, **asked))
    assert found == code
    assert text in message


def test_files_may_be_narrowed_by_ids(own: Sandbox, own_tiktok: TikTok, eur: str) -> None:
    ads = [row["ad_id"] for row in own_tiktok.rows("ad/get/", advertiser_id=eur)]
    many = [*ads[:3], *map(str, range(500))]
    task = own_tiktok.task(eur, filtering=[condition("ad_ids", "IN", many)])
    own.clock.advance(60)
    assert {row["ad_id"] for row in own_tiktok.file(eur, task)} <= set(ads[:3])


def test_a_task_can_be_cancelled_while_it_runs(own: Sandbox, own_tiktok: TikTok, eur: str) -> None:
    running, done = own_tiktok.task(eur), own_tiktok.task(eur)
    about = {"advertiser_id": eur, "task_id": running}
    assert own_tiktok.post(CANCEL, **about) == {"status": "CANCELED", "message": ""}
    own.clock.advance(60)
    assert own_tiktok.status(eur, running) == "CANCELED"
    assert own_tiktok.refusal(DOWNLOAD, **about)[0] == 40200
    assert own_tiktok.post(CANCEL, advertiser_id=eur, task_id=done)["status"] == "SUCCESS"
    assert own_tiktok.file(eur, done)


def test_a_task_belongs_to_the_token_that_created_it(
    own: Sandbox, own_tiktok: TikTok, eur: str
) -> None:
    task = own_tiktok.task(eur)
    own.clock.advance(60)
    about = {"advertiser_id": eur, "task_id": task}
    for path in (CHECK, DOWNLOAD):
        assert own_tiktok.refusal(path, token="sandbox-token-some", **about)[0] == 40001
    other = own_tiktok.accounts()["USD"]
    assert own_tiktok.refusal(CHECK, advertiser_id=other, task_id=task)[0] == 40007
    assert own_tiktok.refusal(CHECK, advertiser_id=eur, task_id="1")[0] == 40007


def test_a_task_is_gone_after_thirty_days(own: Sandbox, own_tiktok: TikTok, eur: str) -> None:
    task = own_tiktok.task(eur)
    own.clock.advance(30 * 86_400 - 1)
    assert own_tiktok.file(eur, task)
    own.clock.advance(1)
    assert own_tiktok.refusal(CHECK, advertiser_id=eur, task_id=task)[0] == 40007
