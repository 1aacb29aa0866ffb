"""The connection form and its test, through Airflow's own API."""

from __future__ import annotations

import pytest

from tests.airflow_live.live import Live

pytestmark = pytest.mark.airflow


def test_the_form_shows_our_fields_and_hides_what_means_nothing(live):
    found = live.page("/ui/connections/hook_meta").json()
    [meta] = [one for one in found if one["connection_type"] == "liftosmeta"]
    assert meta["hook_name"] == "Meta Ads (liftos)"
    fields = meta["extra_fields"]
    assert {
        "access_token", "app_id", "app_secret", "account_ids", "requests_per_hour",
        "requests_per_minute", "conversion_actions", "org_id", "api_version", "allow_insecure",
        "is_mock", "fallback_version", "concurrent_requests",
        "concurrent_requests_per_account",
    } == set(fields)  # fmt: skip
    for name in ("access_token", "app_secret"):
        assert fields[name]["schema"]["format"] == "password"
    standard = meta["standard_fields"]
    assert standard["host"]["title"] == "Base URL"
    assert standard["host"]["placeholder"] == "https://graph.facebook.com"
    assert all(standard[name]["hidden"] for name in ("port", "url_schema", "login", "password"))


def test_secrets_of_a_connection_never_come_back_from_the_api(live):
    found = live.api.get("connections/liftos_meta_default")
    assert '"access_token": "***"' in found["extra"]
    assert '"app_secret": "***"' in found["extra"]


@pytest.mark.parametrize(
    ("token", "worked", "says"),
    [
        ("sandbox-token", True, "6 accounts"),
        ("sandbox-token-short", True, "token expires"),
        ("sandbox-token-noread", False, "lacks the scope ads_read"),
        ("sandbox-token-expired", False, "token"),
        ("EAAB-nobody-knows-it", False, "token is not valid"),
    ],
)
def test_the_test_button_tells_good_tokens_from_bad(live: Live, token, worked, says):
    payload = {
        "connection_id": "pressed",
        "conn_type": "liftosmeta",
        "host": f"{live.sandbox.url}/meta",
    }
    found, message = live.api.test_connection(
        {**payload, "extra": {"access_token": token, "app_secret": "sandbox-secret"}}
    )
    assert (found, says in message) == (worked, True), message
    assert token not in message
