"""Tokens, versions, entities, headers and batches on Meta's wire."""

from __future__ import annotations

import hashlib
import hmac
import json
import re

import pytest

from airflow_provider_liftos.sandbox import Sandbox
from tests.sandbox.client import TOKEN, Wire

PROOF = "c6208da06586686d043faadcb9b2c10245787c54801d6e95226f5e35bb67bdbc"
EDGES = ("campaigns", "adsets", "ads", "adcreatives", "customaudiences")


@pytest.fixture
def act(wire: Wire) -> str:
    return wire.accounts()["EUR"]


def test_a_token_may_come_in_header_query_or_form(wire: Wire, act: str) -> None:
    assert wire.get(act)["id"] == act
    assert wire.get(act, token=None, access_token=TOKEN)["id"] == act
    reply = wire.send("POST", f"{act}/insights", token=None, access_token=TOKEN)
    assert "report_run_id" in reply.json()
    body = {
        "level": "ad",
        "fields": ["spend"],
        "time_range": {"since": "2026-11-01", "until": "2026-11-02"},
    }
    sent = wire.http.post(
        f"/meta/v26.0/{act}/insights", json=body, headers={"Authorization": f"Bearer {TOKEN}"}
    )
    assert "report_run_id" in sent.json()


@pytest.mark.parametrize(
    ("token", "code", "subcode"),
    [
        (None, 104, None),
        ("nonsense", 190, None),
        ("sandbox-token-expired", 190, 463),
        ("sandbox-token-noread", 200, None),
    ],
)
def test_a_token_without_right_is_refused(
    wire: Wire, act: str, token: str | None, code: int, subcode: int | None
) -> None:
    error = wire.error(act, token=token)
    assert (error["code"], error.get("error_subcode")) == (code, subcode)
    assert error["type"] == "OAuthException"


def test_a_token_sees_only_the_accounts_assigned_to_it(wire: Wire) -> None:
    every = wire.rows("me/adaccounts")
    some = wire.rows("me/adaccounts", token="sandbox-token-some")
    assert (len(every), len(some)) == (6, 2)
    hidden = next(row["id"] for row in every if row not in some)
    ad = wire.rows(f"{hidden}/ads")[0]["id"]
    run = wire.submit(hidden)
    for node in (hidden, f"{hidden}/insights", ad, run, "act_999", "12345"):
        error = wire.error(node, token="sandbox-token-some")
        assert (error["code"], error["error_subcode"]) == (100, 33)
        assert error["type"] == "GraphMethodException"


def test_the_proof_of_the_secret_is_checked(wire: Wire, act: str) -> None:
    assert hmac.new(b"sandbox-secret", TOKEN.encode(), hashlib.sha256).hexdigest() == PROOF
    assert wire.get(act, appsecret_proof=PROOF)["id"] == act
    assert "Invalid appsecret_proof" in wire.error(act, appsecret_proof="0" * 64)["message"]
    wire.sandbox.faults.add(kind="proof_required", platform="meta", account=act)
    assert "require an appsecret_proof" in wire.error(act)["message"]
    assert wire.get(act, appsecret_proof=PROOF)["id"] == act


def test_proof_can_be_required_of_everybody() -> None:
    with Sandbox(require_proof=True) as sandbox:
        wire = Wire(sandbox)
        assert "require an appsecret_proof" in wire.error("me/adaccounts")["message"]
        assert wire.get("me/adaccounts", appsecret_proof=PROOF)["data"]
        wire.http.close()


def test_a_live_token_is_exchanged_for_a_long_lived_one(wire: Wire, act: str) -> None:
    ask = {
        "grant_type": "fb_exchange_token",
        "client_id": "1001",
        "client_secret": "sandbox-secret",
    }
    got = wire.get("oauth/access_token", token=None, fb_exchange_token="sandbox-token-short", **ask)
    assert (got["token_type"], got["expires_in"]) == ("bearer", 5_183_944)
    assert wire.get(act, token=got["access_token"])["id"] == act
    assert got["access_token"] in wire.sandbox.secrets()
    wrong = {**ask, "client_secret": "guess"}
    error = wire.error("oauth/access_token", token=None, fb_exchange_token=TOKEN, **wrong)
    assert "client secret" in error["message"]
    error = wire.error(
        "oauth/access_token", token=None, fb_exchange_token="sandbox-token-expired", **ask
    )
    assert (error["code"], error["error_subcode"]) == (190, 463)


def test_debug_token_tells_what_a_token_may_do(wire: Wire) -> None:
    def of(token: str) -> dict[str, object]:
        return wire.get("debug_token", token="1001|sandbox-secret", input_token=token)["data"]

    good = of(TOKEN)
    assert good["is_valid"] is True
    assert good["expires_at"] == 0
    assert good["scopes"] == ["ads_read", "ads_management", "business_management"]
    expired = of("sandbox-token-expired")
    assert expired["is_valid"] is False
    assert expired["error"]["subcode"] == 463
    assert of("nonsense")["is_valid"] is False


def test_dead_versions_die_where_the_endpoint_changed_and_warn_elsewhere(
    wire: Wire, act: str
) -> None:
    for version in ("v26.0", "v25.0"):
        reply = wire.send("GET", f"{act}/insights", version=version)
        assert reply.json()["data"]
        assert reply.headers["facebook-api-version"] == version
    for version in ("v24.0", "v21.0"):
        assert wire.error(f"{act}/insights", version=version)["code"] == 2635
        assert wire.error(f"{act}/insights", version=version, method="POST")["code"] == 2635
        reply = wire.send("GET", f"{act}/campaigns", version=version)
        assert reply.json()["data"]
        assert "auto-upgraded" in reply.headers["x-ad-api-version-warning"]
    assert wire.error(f"{act}/insights", version="")["code"] == 2635
    assert wire.error(act, version="v99.0")["code"] == 2500


def test_every_answer_good_or_bad_tells_how_full_the_limits_are(wire: Wire, act: str) -> None:
    wire.sandbox.faults.add(kind="utilisation", percent=86, regain=120)
    for params, status in (({}, 200), ({"fields": "shoe_size"}, 400)):
        reply = wire.send("GET", f"{act}/insights", **params)
        assert reply.status_code == status
        assert json.loads(reply.headers["x-app-usage"])["call_count"] == 86
        account = json.loads(reply.headers["x-ad-account-usage"])
        assert (account["acc_id_util_pct"], account["reset_time_duration"]) == (86.0, 120)
        throttle = json.loads(reply.headers["x-fb-ads-insights-throttle"])
        assert throttle["acc_id_util_pct"] == 86.0
        cases = json.loads(reply.headers["x-business-use-case-usage"])[act.removeprefix("act_")]
        assert [case["call_count"] for case in cases] == [2, 86], "the full one is not the first"
        assert cases[1]["type"] == "ads_insights"
        assert cases[1]["estimated_time_to_regain_access"] == 2
        assert "x-fb-ads-insights-reach-throttle" in reply.headers
        assert reply.headers["x-fb-trace-id"]
    assert "retry-after" not in reply.headers


def test_utilisation_may_show_in_one_header_only(wire: Wire, act: str) -> None:
    wire.sandbox.faults.add(kind="utilisation", percent=96, header="X-Ad-Account-Usage", times=1)
    reply = wire.send("GET", act)
    assert json.loads(reply.headers["x-ad-account-usage"])["acc_id_util_pct"] == 96.0
    assert json.loads(reply.headers["x-app-usage"])["call_count"] < 5
    assert json.loads(wire.send("GET", act).headers["x-ad-account-usage"])["acc_id_util_pct"] < 5


def test_account_fields_have_their_kinds(wire: Wire) -> None:
    fields = (
        "id,account_id,name,account_status,currency,timezone_name,timezone_offset_hours_utc,"
        "min_daily_budget,amount_spent,business,attribution_spec,created_time,funding_source"
    )
    for currency, act in wire.accounts().items():
        row = wire.get(act, fields=fields)
        assert row["id"] == f"act_{row['account_id']}"
        assert isinstance(row["min_daily_budget"], int)
        assert row["min_daily_budget"] == (1 if currency == "JPY" else 100)
        assert isinstance(row["amount_spent"], str)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}", row["created_time"])
        assert "funding_source" not in row, "known, but without a value"
    zones = {
        row["timezone_name"]: row["timezone_offset_hours_utc"]
        for row in wire.rows("me/adaccounts", fields="timezone_name,timezone_offset_hours_utc")
    }
    assert zones["Asia/Kolkata"] == 5.5
    assert zones["America/Los_Angeles"] == -8.0


def test_businesses_own_some_accounts_and_manage_the_others(wire: Wire) -> None:
    business = wire.get(wire.accounts()["EUR"], fields="business")["business"]["id"]
    owned = {row["id"] for row in wire.rows(f"{business}/owned_ad_accounts")}
    client = {row["id"] for row in wire.rows(f"{business}/client_ad_accounts")}
    assert owned
    assert owned | client == set(wire.accounts().values())
    assert not owned & client


def test_gone_entities_are_listed_only_if_asked_for(wire: Wire, act: str) -> None:
    streams = {"campaigns": "campaigns", "adsets": "ad_groups", "ads": "ads"}
    for edge, stream in streams.items():
        truth = wire.sandbox.truth(stream=stream, account=act)["rows"]
        listed = wire.rows(f"{act}/{edge}", fields="name,effective_status")
        assert {r["id"] for r in listed} == {r["id"] for r in truth if not r["deleted"]}
        for status in ("DELETED", "ARCHIVED"):
            gone = {r["id"] for r in truth if r["status"] == status}
            asked = wire.rows(f"{act}/{edge}", effective_status=[status])
            assert {r["id"] for r in asked} == gone
            noun = edge.removesuffix("s")
            rule = [{"field": f"{noun}.effective_status", "operator": "IN", "value": [status]}]
            assert {r["id"] for r in wire.rows(f"{act}/{edge}", filtering=rule)} == gone
    assert wire.error(f"{act}/ads", effective_status=["SLEEPING"])["code"] == 100


def test_a_gone_entity_can_still_be_read_by_id(wire: Wire, act: str) -> None:
    gone = next(r for r in wire.sandbox.truth(stream="ads", account=act)["rows"] if r["deleted"])
    row = wire.get(f"{gone['id']}/", fields="name,effective_status")
    assert row == {"id": gone["id"], "name": gone["name"], "effective_status": gone["status"]}


def test_children_hang_below_their_parents(wire: Wire, act: str) -> None:
    campaign = wire.rows(f"{act}/campaigns")[-1]["id"]
    groups = wire.rows(f"{campaign}/adsets", fields="campaign_id")
    assert groups
    assert {row["campaign_id"] for row in groups} == {campaign}
    ads = wire.rows(
        f"{groups[0]['id']}/ads", fields="adset_id,campaign_id,adset{name},campaign{name}"
    )
    assert {(row["adset_id"], row["campaign_id"]) for row in ads} == {(groups[0]["id"], campaign)}
    assert all(row["adset"]["id"] == groups[0]["id"] and row["adset"]["name"] for row in ads)
    every = {row["id"] for row in wire.rows(f"{campaign}/ads")}
    assert {row["id"] for row in ads} < every
    rule = [{"field": "ad.adset_id", "operator": "EQUAL", "value": groups[0]["id"]}]
    assert "ad.adset_id" in wire.error(f"{act}/ads", filtering=rule)["message"]


def test_budgets_are_minor_units_in_texts_and_sit_in_one_place(wire: Wire) -> None:
    for currency in ("EUR", "JPY"):
        act = wire.accounts()[currency]
        status = ["ACTIVE", "PAUSED", "DELETED", "ARCHIVED", "WITH_ISSUES"]
        fields = "daily_budget,lifetime_budget,stop_time"
        campaigns = wire.rows(f"{act}/campaigns", fields=fields, effective_status=status)
        kinds = [("daily_budget" in row, "lifetime_budget" in row) for row in campaigns]
        assert set(kinds) == {(True, False), (False, True), (False, False)}
        budgets = [int(row["daily_budget"]) for row in campaigns if "daily_budget" in row]
        assert all(10 <= b <= 99 if currency == "JPY" else 1000 <= b <= 9999 for b in budgets)
        groups = wire.rows(f"{act}/adsets", fields="campaign_id,daily_budget,lifetime_budget")
        alone = {
            row["id"]
            for row in campaigns
            if len(set(row) & {"daily_budget", "lifetime_budget"}) == 0
        }
        for row in groups:
            has = row["daily_budget"] != "0" or row["lifetime_budget"] != "0"
            assert has is (row["campaign_id"] in alone)


def test_creative_text_is_scattered(wire: Wire, act: str) -> None:
    rows = wire.rows(f"{act}/adcreatives", fields="object_story_spec,asset_feed_spec,body")
    shapes = {key for row in rows for key in row.get("object_story_spec", {})} - {"page_id"}
    assert shapes == {"link_data", "video_data", "photo_data", "template_data"}
    assert all(("asset_feed_spec" in row) != ("object_story_spec" in row) for row in rows)
    ad = wire.rows(f"{act}/ads", fields="creative{id,object_type}")[0]
    assert set(ad["creative"]) == {"id", "object_type"}


def test_audiences_are_custom_or_look_alike(wire: Wire, act: str) -> None:
    fields = (
        "name,subtype,lookalike_spec,time_updated,approximate_count_lower_bound,delivery_status"
    )
    rows = wire.rows(f"{act}/customaudiences", fields=fields)
    truth = wire.sandbox.truth(stream="audiences", account=act)["rows"]
    assert {row["id"] for row in rows} == {row["id"] for row in truth if not row["deleted"]}
    assert {row["subtype"] for row in rows} == {"CUSTOM", "WEBSITE", "LOOKALIKE"}
    ids = {row["id"] for row in truth}
    for row in rows:
        assert isinstance(row["time_updated"], int)
        assert ("lookalike_spec" in row) is (row["subtype"] == "LOOKALIKE")
        if "lookalike_spec" in row:
            assert row["lookalike_spec"]["origin"][0]["id"] in ids
    assert wire.rows(f"{wire.accounts()['KWD']}/customaudiences") == []


def test_an_audience_can_be_made_and_filled(wire: Wire, act: str) -> None:
    path = f"{act}/customaudiences"
    ask = {"name": "Buyers", "subtype": "CUSTOM", "customer_file_source": "USER_PROVIDED_ONLY"}
    made = wire.send("POST", path, **ask).json()["id"]
    hashed = hashlib.sha256(b"jane.roe@example.com").hexdigest()
    payload = {"schema": ["EMAIL", "PHONE"], "data": [[hashed, ""], ["jane@example.com", ""]]}
    got = wire.send("POST", f"{made}/users", payload=payload, session={"session_id": 42}).json()
    assert got == {
        "audience_id": made, "session_id": "42", "num_received": 2, "num_invalid_entries": 1,
        "invalid_entry_samples": {},
    }  # fmt: skip
    assert wire.send("DELETE", f"{made}/users", payload=payload).json()["num_received"] == 2
    assert wire.error(path, method="POST", name="x", customer_file_source="FOUND")["code"] == 100
    look = {"name": "Alike", "subtype": "LOOKALIKE", "origin_audience_id": made}
    spec = {"type": "similarity", "ratio": 0.01, "country": "DE"}
    assert wire.send("POST", path, lookalike_spec=spec, **look).json()["id"]
    assert wire.error(path, method="POST", **look)["code"] == 100


def test_lists_page_and_count(wire: Wire, act: str) -> None:
    for edge in EDGES:
        whole = wire.rows(f"{act}/{edge}", fields="id", limit=500)
        for limit in (2, 25, len(whole)):
            pages = wire.pages(f"{act}/{edge}", fields="id", limit=limit)
            assert [row for page in pages for row in page] == whole
        body = wire.get(f"{act}/{edge}", summary="true", limit=1)
        assert body["summary"]["total_count"] == len(whole)
        assert set(body["data"][0]) == {"id"}
    assert len(wire.get(f"{act}/ads")["data"]) == 25


def test_unknown_fields_are_refused_by_name(wire: Wire, act: str) -> None:
    for path in (act, f"{act}/campaigns", f"{act}/ads", wire.rows(f"{act}/ads")[0]["id"]):
        error = wire.error(path, fields="name,shoe_size")
        assert error["code"] == 100
        assert "nonexisting field (shoe_size)" in error["message"]
    empty = wire.accounts()["KWD"]
    assert "shoe_size" in wire.error(f"{empty}/customaudiences", fields="shoe_size")["message"]
    assert wire.error(act, fields="business{name")["code"] == 2500


def test_updated_since_follows_the_clock(own: Sandbox, own_wire: Wire) -> None:
    act = own_wire.accounts()["EUR"]
    now = int(own.clock.now().timestamp())
    assert own_wire.rows(f"{act}/ads", updated_since=str(now)) == []
    before = {r["id"]: r["name"] for r in own_wire.rows(f"{act}/ads", fields="name", limit=100)}
    own.clock.advance(10 * 86_400)
    fresh = own_wire.rows(f"{act}/ads", fields="name", updated_since=str(now), limit=100)
    assert 0 < len(fresh) < len(before)
    after = {r["id"]: r["name"] for r in own_wire.rows(f"{act}/ads", fields="name", limit=100)}
    changed = {i for i in after if before.get(i) != after[i]}
    assert changed <= {row["id"] for row in fresh}
    assert set(before) - set(after), "something was deleted meanwhile"


def test_ids_read_several_nodes_or_edges(wire: Wire, act: str) -> None:
    other = wire.accounts()["USD"]
    body = wire.get("", ids=f"{act},{other}", fields="name,currency")
    assert {k: v["currency"] for k, v in body.items()} == {act: "EUR", other: "USD"}
    body = wire.get("campaigns", ids=f"{act},{other}", fields="name", limit=1)
    assert all(len(one["data"]) == 1 for one in body.values())
    assert wire.error("", ids=",".join(["1"] * 51))["code"] == 100


def test_a_batch_answers_each_item(wire: Wire, act: str) -> None:
    run = wire.submit(act)
    items = [
        {"method": "GET", "relative_url": f"{act}?fields=name"},
        {"method": "GET", "relative_url": f"v25.0/{run}?fields=async_status"},
        {"method": "POST", "relative_url": f"{act}/insights", "body": "level=ad&fields=spend"},
        {"method": "GET", "relative_url": "act_999"},
        {"method": "GET", "relative_url": act, "body": ""},
    ]
    wire.sandbox.faults.add(
        kind="batch_null", platform="meta", match=f"GET /meta/v26.0/{act}$", times=1
    )
    wire.sandbox.faults.add(kind="batch_null", platform="meta", match="act_999", times=1)
    answers = wire.send("POST", "", batch=items).json()
    assert [a and a["code"] for a in answers] == [None, 200, 200, None, 200]
    assert json.loads(answers[1]["body"])["async_status"] == "Job Completed"
    assert "report_run_id" in json.loads(answers[2]["body"])
    names = {header["name"].lower() for header in answers[1]["headers"]}
    assert {"x-business-use-case-usage", "x-app-usage", "facebook-api-version"} <= names
    again = wire.send("POST", "", batch=[items[0], items[3]]).json()
    assert [a["code"] for a in again] == [200, 400]
    logged = [e for e in wire.sandbox.journal.entries("meta") if e["batch"]]
    assert len(logged) == 7
    assert [e["status"] for e in logged[:5]] == [None, 200, 200, None, 200]


def test_a_batch_has_at_most_fifty_items(wire: Wire, act: str) -> None:
    items = [{"method": "GET", "relative_url": act}] * 51
    assert wire.error("", method="POST", batch=items)["code"] == 100
    assert len(wire.send("POST", "", batch=items[:50]).json()) == 50
    assert wire.error("", method="POST", batch="rubbish")["code"] == 100
    assert wire.error("", method="POST", token=None, batch=items[:1])["code"] == 104


def test_unknown_paths_are_errors_in_the_platforms_words(wire: Wire, act: str) -> None:
    for path in (f"{act}/shoes", f"{act}/ads/1", "oauth/shoes", "me/shoes"):
        assert wire.error(path)["code"] == 2500
    assert wire.error(f"{act}/ads", method="POST")["code"] == 100
    assert wire.send("GET", "me/permissions").json()["data"]


def test_campaigns_can_be_narrowed_to_a_time_in_which_they_ran(wire: Wire, act: str) -> None:
    every = wire.rows(f"{act}/campaigns")
    now = '{"since": "2026-11-01", "until": "2026-11-20"}'
    assert wire.rows(f"{act}/campaigns", time_range=now) == every
    long_ago = '{"since": "2019-11-01", "until": "2019-11-20"}'
    assert wire.rows(f"{act}/campaigns", time_range=long_ago) == []
    assert wire.error(f"{act}/campaigns", time_range='{"since": "x"}')["code"] == 100


def test_the_journal_tells_where_the_token_was(wire: Wire, act: str) -> None:
    wire.sandbox.journal.clear()
    wire.get(act)
    wire.get(act, token=None, access_token=TOKEN)
    wire.get(act, token=None)
    found = [entry["auth"] for entry in wire.sandbox.journal.entries("meta")]
    assert found == ["header", "parameter", "none"]
