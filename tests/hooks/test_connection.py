"""How a connection is read, and what its test says."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from airflow_provider_liftos.hooks import probe
from airflow_provider_liftos.hooks.liftos import read_connection
from airflow_provider_liftos.hooks.meta import MetaHook
from airflow_provider_liftos.model.errors import ConfigurationError, LiftosError, NotAuthorized
from airflow_provider_liftos.platforms import get

META = get("meta")


def connection(extra=None, **parts):
    given = {"conn_id": "c", "host": "", "password": None, "schema": "", "port": None}
    return SimpleNamespace(**{**given, **parts}, extra_dejson=dict(extra or {}))


def base_url(host: str, **parts) -> str:
    return read_connection(META, connection(host=host, **parts)).base_url


# --- reading -------------------------------------------------------------------------------------


def test_secrets_are_kept_apart_from_options():
    found = read_connection(
        META,
        connection(
            {"access_token": "a-token", "app_secret": "a-secret", "app_id": "1", "org_id": "acme"}
        ),
    )
    assert (found.org_id, found.secret("access_token"), found.secret("app_secret")) == (
        "acme", "a-token", "a-secret",
    )  # fmt: skip
    assert found.options == {"app_id": "1"}
    assert "a-token" not in repr(found)
    assert "a-secret" not in repr(found)


def test_an_empty_field_is_named_when_it_is_needed():
    found = read_connection(META, connection({"access_token": None}))
    with pytest.raises(ConfigurationError, match=r"'c' has no access_token.*Fill in the field"):
        found.secret("access_token")


def test_a_connection_of_the_older_provider_is_taken_as_it_is(liftos):
    old = {
        "app_id": "1001",
        "app_secret": "sandbox-secret",
        "access_token": "sandbox-token",
        "account_id": "act_7",
    }
    found = read_connection(META, connection(old, conn_type="facebook_social"))
    assert found.base_url == "https://graph.facebook.com"
    assert found.version == META.newest()
    first = liftos.sandbox.world.dataset("meta").accounts[0].id
    liftos.connect(
        "facebook_default", conn_type="facebook_social", extra={"account_id": f"act_{first}"}
    )
    [account] = MetaHook("facebook_default").accounts()
    assert account.account_id == first


def test_the_token_may_be_the_password():
    assert read_connection(META, connection(password="tok-en")).secret("access_token") == "tok-en"


async def test_a_connection_that_is_not_there_is_named(liftos):
    with pytest.raises(LiftosError, match=r"'nowhere' is not defined.*of type liftosmeta"):
        MetaHook("nowhere").credentials()
    with pytest.raises(LiftosError, match="'nowhere' is not defined"):
        await MetaHook("nowhere").acredentials()


async def test_tasks_and_triggers_read_the_same(liftos):
    hook = MetaHook()
    assert hook.conn_id == "liftos_meta_default"
    assert await hook.acredentials() == hook.credentials()


# --- hosts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("", "https://graph.facebook.com"),
        ("graph.example.com", "https://graph.example.com"),
        ("https://proxy.example.com/meta/", "https://proxy.example.com/meta"),
        ("http://127.0.0.1:8650/meta", "http://127.0.0.1:8650/meta"),
        ("http://localhost:8650/meta", "http://localhost:8650/meta"),
        ("http://[::1]:8650/meta", "http://[::1]:8650/meta"),
    ],
)
def test_the_host_overrides_the_base_url(host, url):
    assert base_url(host) == url


def test_schema_and_port_of_a_connection_count():
    assert base_url("127.0.0.1", schema="http", port=8650) == "http://127.0.0.1:8650"
    assert base_url("https://proxy.example.com", port=8443) == "https://proxy.example.com:8443"


@pytest.mark.parametrize(
    "host",
    [
        "http://graph.facebook.com",
        "http://10.0.0.1",
        "http://127.0.0.1.evil.example",
    ],
)
def test_plain_http_is_for_loopback_only(host):
    with pytest.raises(ConfigurationError, match=r"plain http to .* would send the token in clear"):
        base_url(host)
    for on in (True, "true", 1):
        assert base_url(host, extra={"allow_insecure": on}) == host
    for off in (False, "false", None, ""):
        with pytest.raises(ConfigurationError):
            base_url(host, extra={"allow_insecure": off})


@pytest.mark.parametrize(
    "host", ["ftp://x.example", "https://user:pw@x.example", "https://", "file:///etc/passwd"]
)
def test_what_is_no_web_address_is_refused(host):
    with pytest.raises(ConfigurationError, match="host must be") as caught:
        base_url(host)
    assert "pw" not in str(caught.value)


# --- accounts ------------------------------------------------------------------------------------


def test_accounts_are_all_that_the_token_sees_or_those_named(liftos):
    everybody = [account.id for account in liftos.sandbox.world.dataset("meta").accounts]
    assert [a.account_id for a in MetaHook().accounts()] == everybody
    liftos.connect(
        "two", extra={"account_ids": f"act_{everybody[3]}, {everybody[1]},{everybody[3]}"}
    )
    assert [a.account_id for a in MetaHook("two").accounts()] == [everybody[3], everybody[1]]


def test_an_account_that_the_token_does_not_see_is_named(liftos):
    liftos.connect("wrong", extra={"account_ids": "404"})
    with pytest.raises(NotAuthorized, match="meta 404: the account does not exist"):
        MetaHook("wrong").accounts()
    [account, *_] = liftos.sandbox.world.dataset("meta").accounts
    liftos.connect("partly", extra={"account_ids": f"404,{account.id}"})
    assert [a.account_id for a in MetaHook("partly").accounts()] == [account.id]


# --- the test of a connection --------------------------------------------------------------------


def test_a_good_connection_says_accounts_scopes_expiry_and_version(liftos):
    worked, message = MetaHook().test_connection()
    assert worked
    assert message.startswith("6 accounts (")
    assert "scopes ads_read, ads_management" in message
    assert "token does not expire" in message
    assert f"API {META.newest()}, no sunset set" in message
    liftos.connect("short", token="sandbox-token-short")
    worked, message = MetaHook("short").test_connection()
    assert worked
    assert "token expires 20" in message


@pytest.mark.parametrize(
    ("token", "says"),
    [
        ("wrong-token", "the access token is not valid"),
        ("sandbox-token-noread", "the token lacks the scope ads_read"),
        ("sandbox-token-expired", "the access token is not valid"),
    ],
)
def test_a_bad_token_is_told_in_one_line_without_the_token(liftos, token, says):
    liftos.connect("bad", token=token)
    worked, message = MetaHook("bad").test_connection()
    assert not worked
    assert says in message
    assert "\n" not in message
    assert token not in message


def test_a_wrong_app_secret_is_told(liftos):
    liftos.connect("unsigned", extra={"app_secret": "not-the-secret"})
    worked, message = MetaHook("unsigned").test_connection()
    assert not worked
    assert "appsecret_proof" in message
    assert "not-the-secret" not in message


def test_a_host_where_nothing_answers_is_told(liftos):
    liftos.connect("closed", host="http://127.0.0.1:9")
    worked, message = MetaHook("closed").test_connection()
    assert (worked, "no whole answer came" in message) == (False, True)


def test_a_test_never_takes_longer_than_ten_seconds(liftos, monkeypatch):
    assert probe.TEST_SECONDS == 10.0
    monkeypatch.setattr(probe, "TEST_SECONDS", 0.3)
    liftos.sandbox.faults.add(kind="slow", platform="meta", seconds=60)
    began = time.monotonic()
    worked, message = MetaHook().test_connection()
    assert (worked, "no answer within" in message) == (False, True)
    assert time.monotonic() - began < 30.0, "it waited for the answer"


def test_the_test_uses_up_none_of_the_shared_limits(liftos):
    liftos.connect("capped", extra={"requests_per_hour": 1, "requests_per_minute": 1})
    for _ in range(3):
        assert MetaHook("capped").test_connection()[0]


# --- the official SDK ----------------------------------------------------------------------------


def test_the_sdk_is_bound_to_our_token_and_host_and_to_nothing_global(liftos):
    pytest.importorskip("facebook_business")
    from facebook_business.adobjects.adaccount import AdAccount
    from facebook_business.api import FacebookAdsApi, FacebookSession

    before = (FacebookAdsApi.get_default_api(), FacebookSession.GRAPH, FacebookAdsApi.API_VERSION)
    api = MetaHook().get_conn()
    first = liftos.sandbox.world.dataset("meta").accounts[0]
    found = AdAccount(f"act_{first.id}", api=api).api_get(fields=["currency"])
    assert found["currency"] == first.currency
    assert before == (
        FacebookAdsApi.get_default_api(),
        FacebookSession.GRAPH,
        FacebookAdsApi.API_VERSION,
    )
    [entry] = liftos.sandbox.journal.entries("meta")
    assert entry["path"].startswith(f"/{META.newest()}/") or META.newest() in str(entry)


def test_two_connections_make_two_independent_sdks(liftos):
    pytest.importorskip("facebook_business")
    liftos.connect("other", token="sandbox-token-some", extra={"api_version": "v25.0"})
    one, other = MetaHook().get_conn(), MetaHook("other").get_conn()
    assert one._session.access_token != other._session.access_token
    assert (one._api_version, other._api_version) == (META.newest(), "v25.0")


def test_a_report_comes_as_a_frame(liftos):
    import datetime as dt
    from decimal import Decimal

    from airflow_provider_liftos.model.report import Level

    first = liftos.sandbox.world.dataset("meta").accounts[0].id
    day = str(liftos.sandbox.clock.now().date() - dt.timedelta(days=40))
    report = META.preset("basic", Level.CAMPAIGN)
    frame = MetaHook().get_df(report, since=day, until=day, accounts=[first])
    truth = liftos.sandbox.truth(account=first, level="campaign", since=day, until=day)
    assert len(frame) == len(truth["rows"])
    assert sum(frame["spend"]) == sum(Decimal(str(row["spend"])) for row in truth["rows"])
