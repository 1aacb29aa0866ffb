"""Every kind of trouble, as TikTok would tell of it."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from airflow_provider_liftos.sandbox import Sandbox
from tests.sandbox.tiktok_client import TikTok, question

CREATE, CHECK, DOWNLOAD = "report/task/create/", "report/task/check/", "report/task/download/"
REPORT = "report/integrated/get/"


@pytest.fixture
def eur(tiktok: TikTok) -> str:
    return tiktok.accounts()["EUR"]


def order(sandbox: Sandbox, kind: str, **more: object) -> int:
    return sandbox.faults.add(kind=kind, platform="tiktok", **more)


def test_a_bad_moment_is_a_code_under_http_200_or_a_page(
    sandbox: Sandbox, tiktok: TikTok, eur: str
) -> None:
    order(sandbox, "http_500", times=1)
    assert tiktok.refusal("ad/get/", advertiser_id=eur)[0] == 50000
    order(sandbox, "http_500", times=1, status=503, code=51010)
    reply = tiktok.send("GET", "ad/get/", advertiser_id=eur)
    assert (reply.status_code, reply.json()["code"]) == (503, 51010)
    order(sandbox, "http_500", times=1, bare=True)
    reply = tiktok.send("GET", "ad/get/", advertiser_id=eur)
    assert (reply.status_code, reply.headers["content-type"]) == (500, "text/html")
    order(sandbox, "http_502_html", times=1)
    assert tiktok.send("GET", "ad/get/", advertiser_id=eur).status_code == 502
    assert tiktok.get("ad/get/", advertiser_id=eur)["list"]


def test_the_line_can_fail(sandbox: Sandbox, tiktok: TikTok, eur: str) -> None:
    order(sandbox, "reset", times=1)
    with pytest.raises(httpx2.ReadError):
        tiktok.send("GET", REPORT, **question(eur))
    order(sandbox, "truncated_body", times=1)
    with pytest.raises(httpx2.RemoteProtocolError):
        tiktok.send("GET", REPORT, **question(eur))
    order(sandbox, "timeout", times=1)
    with pytest.raises(httpx2.ReadTimeout):
        tiktok.http.get("user/info/", timeout=1.5)
    order(sandbox, "slow", times=1, seconds=0.01)
    assert tiktok.get("user/info/")


def test_limits_are_refused_without_a_word_of_when_they_end(
    own: Sandbox, own_tiktok: TikTok
) -> None:
    accounts = own_tiktok.accounts()
    order(own, "rate_limit", account=accounts["EUR"], regain=300)
    reply = own_tiktok.send("GET", REPORT, **question(accounts["EUR"]))
    assert reply.json()["code"] == 40100
    assert reply.json()["message"] == "Too many requests. Please retry in some time."
    assert "retry-after" not in reply.headers
    assert own_tiktok.get(REPORT, **question(accounts["USD"]))["list"]
    own.clock.advance(301)
    assert own_tiktok.get(REPORT, **question(accounts["EUR"]))["list"]
    order(own, "lockout", account=accounts["EUR"], regain=600)
    assert own_tiktok.refusal(CREATE, method="POST", **question(accounts["EUR"]))[0] == 40100
    own.clock.advance(600)
    assert own_tiktok.task(accounts["EUR"])
    order(own, "rate_limit", times=1, code=40132, match=CREATE)
    assert own_tiktok.refusal(CREATE, method="POST", **question(accounts["EUR"]))[0] == 40132


def test_a_token_can_end_until_somebody_connects_again(own: Sandbox, own_tiktok: TikTok) -> None:
    order(own, "token_expired")
    assert own_tiktok.refusal("user/info/")[0] == 40102
    own.clock.advance(1)
    asked = {"app_id": "1001", "secret": "sandbox-secret", "auth_code": "sandbox-auth-code"}
    fresh = own_tiktok.post("oauth2/access_token/", **asked)["access_token"]
    assert own_tiktok.get("user/info/", token=fresh)
    own.faults.clear()
    order(own, "token_revoked", token=fresh)
    assert own_tiktok.refusal("user/info/", token=fresh)[0] == 40105
    assert own_tiktok.get("user/info/")


def test_a_version_can_die(sandbox: Sandbox, tiktok: TikTok, eur: str) -> None:
    order(sandbox, "version_dead", version="v1.3", match="report")
    assert tiktok.refusal(REPORT, **question(eur))[0] == 40006
    assert tiktok.get("user/info/")


def test_a_field_can_leave_and_is_named(sandbox: Sandbox, tiktok: TikTok, eur: str) -> None:
    order(sandbox, "field_gone", field="total_complete_payment_rate")
    order(sandbox, "field_gone", field="objective_type")
    refusal = (40002, "Invalid metric fields: ['total_complete_payment_rate']")
    assert tiktok.refusal(REPORT, **question(eur)) == refusal
    assert tiktok.refusal(CREATE, method="POST", **question(eur)) == refusal
    assert tiktok.get(REPORT, **question(eur, metrics=["spend"]))["list"]
    asked = {"advertiser_id": eur, "fields": ["campaign_name", "objective_type"]}
    assert tiktok.refusal("campaign/get/", **asked) == (
        40002, "Invalid response fields: ['objective_type']",
    )  # fmt: skip
    assert tiktok.get("campaign/get/", advertiser_id=eur, fields=["campaign_name"])["list"]


def test_answers_can_be_too_large_until_pages_or_days_are_fewer(
    sandbox: Sandbox, tiktok: TikTok, eur: str
) -> None:
    order(sandbox, "too_much_data", max_limit=50)
    assert tiktok.refusal(REPORT, page_size=51, **question(eur))[0] == 50002
    assert tiktok.refusal("ad/get/", page_size=51, advertiser_id=eur)[0] == 50002
    assert tiktok.get(REPORT, page_size=50, **question(eur))["list"]
    sandbox.faults.clear()
    order(sandbox, "too_much_data", max_days=3, code=51010)
    assert tiktok.refusal(REPORT, **question(eur))[0] == 51010
    assert tiktok.get(REPORT, **question(eur, end_date="2026-11-15"))["list"]
    about = {"advertiser_id": eur, "task_id": tiktok.task(eur)}
    assert tiktok.get(CHECK, **about) == {"status": "FAILED", "message": "query timeout"}
    assert tiktok.file(eur, tiktok.task(eur, end_date="2026-11-15"))


@pytest.mark.parametrize(
    ("condition", "fails", "passes"),
    [
        ({"max_days": 3}, {}, {"end_date": "2026-11-15"}),
        ({"date": "2026-11-15"}, {}, {"start_date": "2026-11-16"}),
        ({"field": "clicks"}, {}, {"metrics": ["spend"]}),
        ({"max_ids": 10}, {}, {"level": "campaign"}),
    ],
    ids=str,
)
def test_a_task_can_fail_under_a_condition(
    sandbox: Sandbox,
    tiktok: TikTok,
    eur: str,
    condition: dict[str, Any],
    fails: dict[str, Any],
    passes: dict[str, Any],
) -> None:
    order(sandbox, "job_failed", **condition)
    assert tiktok.status(eur, tiktok.task(eur, **fails)) == "FAILED"
    assert tiktok.status(eur, tiktok.task(eur, **passes)) == "SUCCESS"


def test_a_task_can_fail_for_one_ad(sandbox: Sandbox, tiktok: TikTok, eur: str) -> None:
    ads = [row["ad_id"] for row in tiktok.rows("ad/get/", advertiser_id=eur)]
    order(sandbox, "job_failed", ad_ids=[ads[5]])

    def outcome(ids: list[str]) -> str:
        text = str(ids).replace("'", '"')
        only = [{"field_name": "ad_ids", "filter_type": "IN", "filter_value": text}]
        return tiktok.status(eur, tiktok.task(eur, filtering=only))

    assert (outcome(ads[:5]), outcome(ads[5:6])) == ("SUCCESS", "FAILED")


def test_a_task_can_fail_be_cancelled_or_hang(own: Sandbox, own_tiktok: TikTok) -> None:
    eur = own_tiktok.accounts()["EUR"]
    for kind in ("job_failed", "job_skipped", "job_stuck"):
        order(own, kind, times=1)
    order(own, "job_failed", times=1, bare=True)
    tasks = [own_tiktok.task(eur) for _ in range(5)]
    own.clock.advance(3600)
    found = [own_tiktok.get(CHECK, advertiser_id=eur, task_id=task) for task in tasks]
    assert [(one["status"], one["message"]) for one in found] == [
        ("FAILED", "internal error"), ("CANCELED", ""), ("PROCESSING", ""), ("FAILED", ""),
        ("SUCCESS", ""),
    ]  # fmt: skip
    codes = [own_tiktok.refusal(DOWNLOAD, advertiser_id=eur, task_id=task)[0] for task in tasks[:4]]
    assert codes == [40200, 40200, 40201, 40200]


def test_a_running_task_can_still_be_struck(own: Sandbox, own_tiktok: TikTok) -> None:
    eur = own_tiktok.accounts()["EUR"]
    task = own_tiktok.task(eur)
    order(own, "job_failed", match=CHECK, times=1)
    assert own_tiktok.status(eur, task) == "QUEUING"
    own.clock.advance(60)
    assert own_tiktok.status(eur, task) == "FAILED"


def test_a_file_may_not_be_readable_yet(sandbox: Sandbox, tiktok: TikTok, eur: str) -> None:
    task = tiktok.task(eur)
    order(sandbox, "result_not_ready", times=2)
    for _ in range(2):
        assert tiktok.status(eur, task) == "SUCCESS"
        assert tiktok.refusal(DOWNLOAD, advertiser_id=eur, task_id=task)[0] == 40201
    assert tiktok.file(eur, task)


def test_an_application_may_not_be_allowed_to_create_tasks(
    sandbox: Sandbox, tiktok: TikTok, eur: str
) -> None:
    order(sandbox, "async_refused")
    assert tiktok.refusal(CREATE, method="POST", **question(eur)) == (
        40118, "The app is not in the allowlist of this API: /report/task/create/",
    )  # fmt: skip
    assert tiktok.report(eur)
    sandbox.faults.clear()
    order(sandbox, "async_refused", code=40001, account=eur)
    assert tiktok.refusal(CREATE, method="POST", **question(eur))[0] == 40001
    assert tiktok.task(tiktok.accounts()["USD"])


@pytest.mark.parametrize("path", [REPORT, "ad/get/"])
@pytest.mark.parametrize("number", [1, 2])
def test_an_empty_page_loses_nothing_and_a_doubled_one_repeats(
    sandbox: Sandbox, tiktok: TikTok, eur: str, path: str, number: int
) -> None:
    asked = question(eur) if path == REPORT else {"advertiser_id": eur}
    whole = tiktok.pages(path, **asked)
    total = sum(map(len, whole))
    last = len(whole) + 1
    for kind in ("empty_page_mid_stream", "duplicate_page"):
        first = [tiktok.get(path, page=1, **asked)] if number == 2 else []
        order(sandbox, kind, times=1)
        data = first + [tiktok.get(path, page=at, **asked) for at in range(number, last + 1)]
        pages = [one["list"] for one in data]
        assert data[-1]["page_info"]["total_page"] == last
        assert data[-1]["page_info"]["page"] == last
        if kind == "empty_page_mid_stream":
            assert pages[number - 1] == []
            assert pages[: number - 1] + pages[number:] == whole
            assert data[-1]["page_info"]["total_number"] == total
        else:
            doubled = max(number, 2) - 1
            assert pages[doubled] == pages[doubled - 1] == whole[doubled - 1]
            assert pages[:doubled] + pages[doubled + 1 :] == whole
            assert data[-1]["page_info"]["total_number"] == total + 10
    assert tiktok.pages(path, **asked) == whole
