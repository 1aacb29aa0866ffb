"""The connection form and its test, through Airflow's own API."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography.fernet import Fernet

from airflow_provider_liftos.hooks.meta import MetaHook
from airflow_provider_liftos.state.keyring import new_key
from tests.airflow_live.live import CAPS, Live

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


SHORT = "sandbox-token-short"


@pytest.fixture
def worker(live: Live, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Where this process reads connections as a task does, and writes them as that user."""
    extra = {"access_token": SHORT, "app_id": "1001", "app_secret": "sandbox-secret", **CAPS}
    ours = {"conn_type": "liftosmeta", "host": f"{live.sandbox.url}/meta", "extra": extra}
    live.api.create_connection("renewed", "liftosmeta", host=ours["host"], extra=extra)
    settings = {
        "AIRFLOW_CONN_RENEWED": json.dumps(ours),
        "AIRFLOW__LIFTOS__API_CONN_ID": "airflow_itself",
        "AIRFLOW__LIFTOS__STATE_URL": f"sqlite:///{tmp_path}/state.db",
        "AIRFLOW__LIFTOS__CREDENTIAL_KEYS": new_key(),
    }

    def as_user(name: str) -> None:
        api = {"conn_type": "http", "host": live.stack.base_url, "login": name, "password": name}
        monkeypatch.setenv("AIRFLOW_CONN_AIRFLOW_ITSELF", json.dumps(api))
        for key, value in settings.items():
            monkeypatch.setenv(key, value)

    return as_user


def kept(live: Live) -> dict[str, str]:
    """The connection's extra as Airflow keeps it."""
    keys = json.loads((live.stack.home / "secrets.json").read_text())
    engine = sa.create_engine(live.metadata_url)
    with engine.connect() as connection:
        sealed = connection.scalar(
            sa.text("SELECT extra FROM connection WHERE conn_id = 'renewed'")
        )
    engine.dispose()
    found: dict[str, str] = json.loads(Fernet(keys["fernet"]).decrypt(sealed.encode()))
    return found


def test_a_renewed_token_goes_into_the_connection_through_the_api(live, worker, caplog):
    worker("admin")
    before = kept(live)
    with caplog.at_level(logging.INFO):
        assert MetaHook("renewed").accounts()
    assert "Connection 'renewed' has the renewed access_token." in caplog.messages
    after = kept(live)
    assert before["access_token"] == SHORT
    assert after["access_token"].startswith("EAAL")
    assert {**after, "access_token": SHORT} == before, "all else is what it was"
    shown = live.api.get("connections/renewed")
    assert json.loads(shown["extra"])["access_token"] == "***"
    assert SHORT not in caplog.text


def test_a_user_who_may_not_edit_connections_changes_none(live, worker, caplog):
    worker("viewer")
    before = kept(live)
    with caplog.at_level(logging.WARNING):
        assert MetaHook("renewed").accounts()
    [line] = [text for text in caplog.messages if "keeps its former credential" in text]
    assert "HTTP 403" in line
    assert kept(live) == before
