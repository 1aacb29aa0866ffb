from __future__ import annotations

import json

import httpx2
import pytest

from airflow_provider_liftos.sandbox import Sandbox
from airflow_provider_liftos.sandbox.faults import KINDS, UnknownFaultError
from tests.sandbox.client import Wire, span

WEEK = span("2026-11-13", "2026-11-19")
DAILY = {"level": "ad", "time_increment": "1", "time_range": WEEK, "limit": 50}


@pytest.fixture
def act(wire: Wire) -> str:
    return wire.accounts()["EUR"]


def order(sandbox: Sandbox, kind: str, **more: object) -> int:
    return sandbox.faults.add(kind=kind, platform="meta", **more)


def test_a_fault_strikes_as_often_as_ordered_where_it_matches(
    sandbox: Sandbox, wire: Wire, act: str
) -> None:
    order(sandbox, "http_500", match="campaigns", times=2)
    assert wire.send("GET", f"{act}/ads").status_code == 200
    assert [wire.send("GET", f"{act}/campaigns").status_code for _ in range(3)] == [500, 500, 200]


def test_a_fault_matches_by_pattern_and_account(sandbox: Sandbox, wire: Wire, act: str) -> None:
    order(sandbox, "http_500", match=r"^POST .*/insights$", account=act)
    assert wire.send("POST", f"{wire.accounts()['USD']}/insights").status_code == 200
    assert wire.send("GET", f"{act}/insights").status_code == 200
    assert wire.send("POST", f"{act}/insights").status_code == 500
    sandbox.faults.clear()
    assert wire.send("POST", f"{act}/insights").status_code == 200


def test_chance_strikes_the_same_requests_again(wire: Wire, act: str) -> None:
    def strikes() -> list[int]:
        with Sandbox() as sandbox:
            order(sandbox, "http_500", probability=0.5)
            client = Wire(sandbox)
            found = [client.send("GET", "me").status_code for _ in range(30)]
            client.http.close()
            return found

    first = strikes()
    assert first == strikes()
    assert 5 < first.count(500) < 25


def test_failures_of_the_line(sandbox: Sandbox, wire: Wire, act: str) -> None:
    order(sandbox, "http_500", times=1)
    error = wire.error(act)
    assert (error["code"], error["is_transient"]) == (2, True)
    order(sandbox, "http_500", times=1, bare=True)
    assert wire.send("GET", act).json() == {"message": "Internal Server Error"}
    order(sandbox, "http_502_html", times=1)
    reply = wire.send("GET", act)
    assert reply.status_code == 502
    assert reply.headers["content-type"] == "text/html"
    order(sandbox, "reset", times=1)
    with pytest.raises(httpx2.ReadError):
        wire.send("GET", act)
    order(sandbox, "truncated_body", times=1)
    with pytest.raises(httpx2.RemoteProtocolError):
        wire.send("GET", act)
    order(sandbox, "timeout", times=1)
    with pytest.raises(httpx2.ReadTimeout):
        wire.http.get("/meta/v26.0/me", timeout=1.5)
    order(sandbox, "slow", times=1, seconds=0.01)
    assert wire.get(act)["id"] == act
    kinds = [entry["fault"] for entry in sandbox.journal.entries("meta") if entry["fault"]]
    assert kinds == [
        "http_500", "http_500", "http_502_html", "reset", "truncated_body", "timeout", "slow",
    ]  # fmt: skip


def test_a_rate_limit_tells_in_the_headers_when_access_returns(
    own: Sandbox, own_wire: Wire
) -> None:
    act = own_wire.accounts()["EUR"]
    order(own, "rate_limit", account=act, regain=300)
    for path, code in ((f"{act}/insights", 80000), (f"{act}/ads", 80004)):
        reply = own_wire.send("GET", path)
        assert reply.json()["error"]["code"] == code
        cases = json.loads(reply.headers["x-business-use-case-usage"])[act.removeprefix("act_")]
        assert cases[1]["estimated_time_to_regain_access"] == 5
        assert cases[1]["call_count"] == 100
    assert own_wire.get(own_wire.accounts()["USD"])["id"]
    own.clock.advance(301)
    assert own_wire.get(act)["id"] == act


def test_a_lockout_shuts_one_account_until_its_time_is_over(own: Sandbox, own_wire: Wire) -> None:
    act = own_wire.accounts()["EUR"]
    order(own, "lockout", account=act)
    error = own_wire.error(f"{act}/insights", method="POST")
    assert (error["code"], error["error_subcode"]) == (17, 2446079)
    own.clock.advance(1800)
    reply = own_wire.send("GET", act)
    assert json.loads(reply.headers["x-ad-account-usage"])["reset_time_duration"] == 1800
    own.clock.advance(1800)
    assert own_wire.get(act)["id"] == act


def test_codes_and_statuses_can_be_chosen(sandbox: Sandbox, wire: Wire, act: str) -> None:
    order(sandbox, "rate_limit", times=1, code=613, subcode=1996, status=403)
    reply = wire.send("GET", act)
    assert reply.status_code == 403
    error = reply.json()["error"]
    assert (error["code"], error["error_subcode"]) == (613, 1996)


def test_token_faults_end_with_a_new_token(own: Sandbox, own_wire: Wire) -> None:
    act = own_wire.accounts()["EUR"]
    order(own, "token_expired")
    error = own_wire.error(act)
    assert (error["code"], error["error_subcode"]) == (190, 463)
    own.clock.advance(1)
    fresh = own_wire.get(
        "oauth/access_token", token=None, grant_type="fb_exchange_token", client_id="1001",
        client_secret="sandbox-secret", fb_exchange_token="sandbox-token",
    )["access_token"]  # fmt: skip
    assert own_wire.get(act, token=fresh)["id"] == act
    own.faults.clear()
    order(own, "token_revoked", token=fresh)
    assert own_wire.error(act, token=fresh)["error_subcode"] == 458
    assert own_wire.get(act)["id"] == act


def test_a_version_can_die_today(sandbox: Sandbox, wire: Wire, act: str) -> None:
    order(sandbox, "version_dead", version="v25.0")
    assert wire.error(f"{act}/ads", version="v25.0")["code"] == 2635
    assert wire.get(f"{act}/ads")["data"]


def test_a_field_can_leave_every_stream(sandbox: Sandbox, wire: Wire, act: str) -> None:
    order(sandbox, "field_gone", field="cpp")
    order(sandbox, "field_gone", field="objective", match="campaigns")
    for method in ("GET", "POST"):
        error = wire.error(f"{act}/insights", method=method, fields="spend,cpp")
        assert error["code"] == 100
        assert "cpp is not valid for fields param" in error["message"]
    assert wire.get(f"{act}/insights", fields="spend,objective")["data"]
    error = wire.error(f"{act}/campaigns", fields="name,objective")
    assert "nonexisting field (objective)" in error["message"]
    assert wire.get(f"{act}/campaigns", fields="name")["data"]


def test_pages_can_be_too_heavy(sandbox: Sandbox, wire: Wire, act: str) -> None:
    order(sandbox, "too_much_data", max_limit=20)
    run = wire.submit(act, **DAILY)
    for path, ask in (
        (f"{act}/insights", DAILY),
        (f"{run}/insights", {"limit": "50"}),
        (f"{act}/ads", {}),
    ):
        reply = wire.send("GET", path, **ask)
        error = reply.json()["error"]
        assert (reply.status_code, error["code"], error["error_subcode"]) == (500, 1, 99)
        assert "reduce the amount of data" in error["message"]
    assert len(wire.rows(f"{run}/insights", limit="20")) == len(
        wire.sandbox.truth(level="ad", account=act, since="2026-11-13", until="2026-11-19")["rows"]
    )


def test_queries_can_be_too_large_until_they_are_halved(
    sandbox: Sandbox, wire: Wire, act: str
) -> None:
    order(sandbox, "too_much_data", max_days=3)
    error = wire.error(f"{act}/insights", **DAILY)
    assert (error["code"], error["error_subcode"]) == (100, 1487534)
    status = wire.get(wire.submit(act, **DAILY))
    assert status["async_status"] == "Job Failed"
    assert (status["error_code"], status["error_subcode"]) == (2, 1504038)
    short = {**DAILY, "time_range": span("2026-11-13", "2026-11-15")}
    assert wire.get(wire.submit(act, **short))["async_status"] == "Job Completed"
    assert wire.get(f"{act}/insights", **short)["data"]


def test_a_job_can_fail_for_too_many_ids_for_one_ad_or_one_field(
    sandbox: Sandbox, wire: Wire, act: str
) -> None:
    ads = [row["id"] for row in wire.rows(f"{act}/ads")]

    def outcome(ids: list[str], fields: str = "spend,actions") -> str:
        rule = [{"field": "ad.id", "operator": "IN", "value": ids}]
        run = wire.submit(act, fields=fields, filtering=rule, **DAILY)
        return wire.get(run)["async_status"]

    order(sandbox, "job_failed", max_ids=8, code=2, subcode=1504038)
    assert outcome(ads[:9]) == "Job Failed"
    assert outcome(ads[:8]) == "Job Completed"
    sandbox.faults.clear()
    order(sandbox, "job_failed", ad_ids=[ads[5]], field="actions")
    assert outcome(ads[:5]) == "Job Completed"
    assert outcome(ads[5:6]) == "Job Failed"
    assert outcome(ads[5:6], fields="spend") == "Job Completed"
    assert wire.get(wire.submit(act, fields="actions", **DAILY))["async_status"] == "Job Failed"
    sandbox.faults.clear()
    order(sandbox, "job_failed", date="2026-11-15")
    day = {**DAILY, "time_range": span("2026-11-16", "2026-11-16")}
    assert wire.get(wire.submit(act, **day))["async_status"] == "Job Completed"
    assert wire.get(wire.submit(act, **DAILY))["async_status"] == "Job Failed"


def test_a_failed_job_says_why_or_does_not(sandbox: Sandbox, wire: Wire, act: str) -> None:
    order(sandbox, "job_failed", times=1)
    status = wire.get(wire.submit(act, **DAILY))
    assert (status["error_code"], status["error_subcode"]) == (-2, 2490547)
    assert status["async_percent_completion"] == 0
    order(sandbox, "job_failed", times=1, bare=True)
    run = wire.submit(act, **DAILY)
    status = wire.get(run)
    assert status["async_status"] == "Job Failed"
    assert "error_code" not in status
    assert wire.error(f"{run}/insights")["code"] == 2601
    assert wire.get(wire.submit(act, **DAILY))["async_status"] == "Job Completed"


def test_a_job_can_be_skipped_or_hang(own: Sandbox, own_wire: Wire) -> None:
    act = own_wire.accounts()["EUR"]
    order(own, "job_skipped", times=1)
    order(own, "job_stuck", times=1)
    order(own, "job_stuck", times=1, percent=100)
    runs = [own_wire.submit(act, **DAILY) for _ in range(4)]
    own.clock.advance(3600)
    found = [own_wire.get(run) for run in runs]
    assert [(s["async_status"], s["async_percent_completion"]) for s in found] == [
        ("Job Skipped", 0), ("Job Running", 40), ("Job Running", 100), ("Job Completed", 100),
    ]  # fmt: skip


def test_a_running_job_can_still_be_struck(own: Sandbox, own_wire: Wire) -> None:
    act = own_wire.accounts()["EUR"]
    run = own_wire.submit(act, **DAILY)
    order(own, "job_failed", match=f"GET /meta/v26.0/{run}", times=1)
    assert own_wire.get(run)["async_status"] == "Job Not Started"
    own.clock.advance(60)
    assert own_wire.get(run)["async_status"] == "Job Failed"


def test_a_result_may_not_be_readable_yet(sandbox: Sandbox, wire: Wire, act: str) -> None:
    run = wire.submit(act, **DAILY)
    order(sandbox, "result_not_ready", times=2)
    for _ in range(2):
        assert wire.get(run)["async_status"] == "Job Completed"
        error = wire.error(f"{run}/insights")
        assert (error["code"], error["error_subcode"], error["is_transient"]) == (
            2601,
            1815107,
            True,
        )
    assert wire.get(f"{run}/insights")["data"]


@pytest.mark.parametrize("edge", ["insights", "ads"])
def test_an_empty_page_loses_nothing_and_a_doubled_one_repeats(
    sandbox: Sandbox, wire: Wire, act: str, edge: str
) -> None:
    ask = {**DAILY, "fields": "ad_id,spend"} if edge == "insights" else {"fields": "id"}
    ask["limit"] = "10"
    whole = wire.rows(f"{act}/{edge}", **ask)
    order(sandbox, "empty_page_mid_stream", times=1)
    pages = wire.pages(f"{act}/{edge}", **ask)
    assert pages[0] == []
    assert [row for page in pages for row in page] == whole
    first = wire.get(f"{act}/{edge}", **ask)
    order(sandbox, "duplicate_page", times=1)
    after = first["paging"]["cursors"]["after"]
    rest = wire.pages(f"{act}/{edge}", **ask, after=after)
    assert rest[0] == first["data"]
    assert first["data"] + [row for page in rest[1:] for row in page] == whole


def test_transport_faults_leave_batch_items_undone(sandbox: Sandbox, wire: Wire, act: str) -> None:
    order(sandbox, "reset", match=f"/{act}", times=1)
    items = [{"method": "GET", "relative_url": path} for path in (act, "me")]
    answers = wire.send("POST", "", batch=items).json()
    assert answers[0] is None
    assert answers[1]["code"] == 200


def test_vendor_faults_reach_batch_items(sandbox: Sandbox, wire: Wire, act: str) -> None:
    order(sandbox, "rate_limit", match=f"/{act}", times=1)
    items = [{"method": "GET", "relative_url": path} for path in (act, "me")]
    answers = wire.send("POST", "", batch=items).json()
    assert json.loads(answers[0]["body"])["error"]["code"] == 80004
    assert answers[1]["code"] == 200


@pytest.mark.parametrize(
    "wrong",
    [{"kind": "earthquake"}, {}, {"kind": "reset", "times": 0}, {"kind": "reset", "times": "x"}],
    ids=str,
)
def test_an_order_that_makes_no_sense_is_refused(
    sandbox: Sandbox, wrong: dict[str, object]
) -> None:
    with pytest.raises(UnknownFaultError):
        sandbox.faults.add(**wrong)


def test_every_kind_that_is_promised_can_be_ordered(sandbox: Sandbox) -> None:
    promised = (
        "http_500 http_502_html timeout reset truncated_body slow rate_limit lockout token_expired "
        "token_revoked version_dead field_gone job_failed job_skipped job_stuck result_not_ready "
        "too_much_data empty_page_mid_stream duplicate_page"
    ).split()
    assert set(promised) <= KINDS
    for kind in promised:
        order(sandbox, kind)
    assert [one["kind"] for one in sandbox.faults.listed()] == promised


def test_rows_of_a_day_can_be_wrong(sandbox: Sandbox, wire: Wire, act: str) -> None:
    params = {**DAILY, "level": "account", "fields": "spend,clicks,account_id"}
    right = {row["date_start"]: row for row in wire.get(f"{act}/insights", **params)["data"]}
    day = "2026-11-18"
    order(sandbox, "rows_changed", account=act, date=day, multiply={"spend": -2},
          set={"clicks": "7", "account_id": None})  # fmt: skip
    wrong = {row["date_start"]: row for row in wire.get(f"{act}/insights", **params)["data"]}
    changed = wrong.pop(day)
    assert float(changed["spend"]) == -2 * float(right.pop(day)["spend"])
    assert (changed["clicks"], changed.get("account_id")) == ("7", None)
    assert wrong == right
    other = wire.accounts()["USD"]
    assert {"account_id"} <= wire.get(f"{other}/insights", **params)["data"][0].keys()


def test_a_wrong_row_may_come_beside_the_right_one(sandbox: Sandbox, wire: Wire, act: str) -> None:
    params = {**DAILY, "level": "account", "fields": "spend", "limit": 3}
    order(sandbox, "rows_changed", account=act, date="2026-11-14", again=True,
          multiply={"spend": 2})  # fmt: skip
    days = [row["date_start"] for row in wire.rows(f"{act}/insights", **params)]
    assert sorted(days).count("2026-11-14") == 2
    assert len(days) == 8
