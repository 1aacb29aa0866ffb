"""Tokens between a connection, the store, the log and the API server."""

from __future__ import annotations

import json
import logging
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import airflow.sdk.log
import pytest
from airflow.api_fastapi.core_api.datamodels.connections import ConnectionBody, ConnectionResponse
from airflow.api_fastapi.core_api.services.public.connections import update_orm_from_pydantic
from airflow.models.connection import Connection

from airflow_provider_liftos.hooks import masking
from airflow_provider_liftos.hooks.google_ads import GoogleAdsHook
from airflow_provider_liftos.hooks.liftos import open_session
from airflow_provider_liftos.hooks.meta import MetaHook
from airflow_provider_liftos.model.errors import ConfigurationError, NotAuthorized
from airflow_provider_liftos.sandbox.wire.google_ads.oauth import ROTATING
from airflow_provider_liftos.state.audit_log import AuditLog
from airflow_provider_liftos.state.keyring import new_key
from airflow_provider_liftos.transport.client import AsyncHttpSender, HttpSender
from airflow_provider_liftos.transport.flow import arun, run
from airflow_provider_liftos.transport.redact import redact
from tests.airflow_metadata import Connections

GOOGLE = "liftos_google_ads_default"


def add_google(liftos, refresh: str = "sandbox-refresh-token", **extra: Any) -> None:
    base = f"{liftos.sandbox.url}/google_ads"
    fields = {
        "client_id": "sandbox-client", "client_secret": "sandbox-secret", "transport": "rest",
        "refresh_token": refresh, "token_uri": f"{base}/token", "access_token": None,
        "app_id": None, "app_secret": None, **extra,
    }  # fmt: skip
    liftos.connect(GOOGLE, conn_type="liftosgoogleads", host=base, extra=fields)


def exchanges(liftos, platform: str = "google_ads") -> int:
    paths = [entry["path"] for entry in liftos.sandbox.journal.entries(platform)]
    return sum(path.endswith(("/token", "/oauth/access_token")) for path in paths)


@pytest.fixture
def keyed(liftos):
    liftos.set("credential_keys", new_key())
    return liftos


@pytest.fixture
def masked(monkeypatch) -> list[str]:
    told: list[str] = []

    def take(value: Any) -> None:
        if isinstance(value, str):  # Airflow itself masks whole documents
            told.append(value)

    monkeypatch.setattr(airflow.sdk.log, "mask_secret", take)
    monkeypatch.setattr(masking, "_told", set())
    return told


# --- sharing -------------------------------------------------------------------------------------


def test_hooks_of_all_processes_share_an_access_token(keyed):
    add_google(keyed)
    assert len(GoogleAdsHook().accounts()) == len(GoogleAdsHook().accounts()) > 0
    assert exchanges(keyed) == 1


def test_without_a_key_each_asks_for_its_own(liftos):
    add_google(liftos)
    GoogleAdsHook().accounts()
    GoogleAdsHook().accounts()
    assert exchanges(liftos) == 2


async def test_a_trigger_shares_with_workers(keyed):
    add_google(keyed)
    hook = GoogleAdsHook()
    credentials = await hook.acredentials()
    session = hook.session(credentials)
    async with AsyncHttpSender() as sender:
        mine = await arun(session.ready(), sender)
    assert GoogleAdsHook().current().secrets == mine.secrets
    assert exchanges(keyed) == 1


def test_a_test_of_the_connection_uses_what_is_shared(keyed):
    add_google(keyed, ROTATING)
    GoogleAdsHook().accounts()
    for _ in range(2):
        worked, words = GoogleAdsHook().test_connection()
        assert worked, words
    assert exchanges(keyed) == 1


def test_a_rotating_refresh_token_is_followed(keyed):
    add_google(keyed, ROTATING)
    GoogleAdsHook().accounts()
    for number in (1, 2, 3):
        keyed.sandbox.faults.add(
            kind="token_expired", platform="google_ads", match="customers", times=1
        )
        assert GoogleAdsHook().accounts()
        assert exchanges(keyed) == number + 1


def test_a_refresh_token_that_is_gone_is_said_once_and_not_sent_again(keyed):
    add_google(keyed, "sandbox-refresh-token-revoked")
    for _ in range(3):
        with pytest.raises(NotAuthorized, match=r"re-authorize.*Consent again"):
            GoogleAdsHook().accounts()
    assert exchanges(keyed) == 1
    worked, words = GoogleAdsHook().test_connection()
    assert (worked, "re-authorize" in words) == (False, True)
    assert exchanges(keyed) == 2  # a person asked
    add_google(keyed)
    assert GoogleAdsHook().accounts()


def test_a_test_is_written_down(keyed):
    MetaHook().test_connection()
    keyed.connect("bad", token="wrong-token")
    MetaHook("bad").test_connection()
    entries = AuditLog(keyed.store, "default").entries(action="tested")
    assert {(e.subject, e.detail["worked"]) for e in entries} == {
        ("liftos_meta_default", True), ("bad", False),
    }  # fmt: skip


def test_metas_user_token_is_exchanged_in_time_and_the_sdk_gets_the_younger(keyed):
    pytest.importorskip("facebook_business")
    keyed.connect("user", token="sandbox-token-short")
    assert MetaHook("user").accounts()
    younger = MetaHook("user").get_conn()._session.access_token
    assert younger.startswith("EAAL")
    assert exchanges(keyed, "meta") == 1
    keyed.sandbox.clock.advance(7200)  # the connection's own has ended
    assert MetaHook("user").accounts()
    worked, words = MetaHook("user").test_connection()
    assert worked, words
    assert "token expires" in words


def test_metas_system_user_token_is_left_alone(keyed):
    for _ in range(2):
        assert MetaHook().current().secret("access_token") == "sandbox-token"
    assert exchanges(keyed, "meta") == 0


def test_a_key_that_is_none_stops_everything_in_one_line(liftos):
    liftos.set("credential_keys", "nonsense")
    with pytest.raises(ConfigurationError, match="Key 1 of the key ring is no key"):
        MetaHook().accounts()
    worked, words = MetaHook().test_connection()
    assert (worked, "is no key" in words, "nonsense" in words) == (False, True, False)


def test_a_lost_key_is_said_with_what_to_do(keyed):
    add_google(keyed)
    GoogleAdsHook().accounts()
    keyed.set("credential_keys", new_key())
    with pytest.raises(ConfigurationError, match=r"not on the key ring.*--drop-unreadable"):
        GoogleAdsHook().accounts()


# --- masking -------------------------------------------------------------------------------------


def test_every_secret_is_masked_also_those_that_come_later(keyed, masked):
    add_google(keyed, ROTATING)
    GoogleAdsHook().accounts()
    assert {ROTATING, f"{ROTATING}-2", "sandbox-secret"} <= set(masked)
    access = next(value for value in masked if value.startswith("ya29."))
    assert redact(f"a text with {access}") == "a text with ***"
    before = len(masked)
    GoogleAdsHook().accounts()
    assert len(masked) == before


def test_a_fork_tells_its_own_supervisor(keyed, masked, monkeypatch):
    MetaHook().credentials()
    before = len(masked)
    monkeypatch.setattr(masking.os, "getpid", lambda: -1)
    MetaHook().credentials()
    assert len(masked) == 2 * before


def test_the_key_within_a_service_accounts_document_is_masked_by_itself(keyed, masked):
    add_google(keyed, "", keyfile_dict=json.dumps({"private_key": "PEM-TEXT", "client_email": "x"}))
    GoogleAdsHook().credentials()
    assert "PEM-TEXT" in masked


async def test_a_trigger_masks_what_it_reads(keyed, masked):
    await MetaHook().acredentials()
    assert {"sandbox-token", "sandbox-secret"} <= set(masked)


def test_no_secret_lies_in_the_store_in_clear(keyed):
    add_google(keyed, ROTATING)
    GoogleAdsHook().accounts()
    keyed.store.close()
    files = [path.read_bytes() for path in keyed.folder.glob("state.db*")]
    secrets = keyed.sandbox.world.secrets()
    assert len(secrets) > 5
    assert [s for s in secrets if any(s.encode() in content for content in files)] == []


# --- into the connection -------------------------------------------------------------------------


class ApiServer:
    """Airflow's own models and its own way to change a connection, behind a door of ours."""

    def __init__(self) -> None:
        self.stored = Connection(conn_id="none")
        self.refuse = False
        self.asked: list[str] = []
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                good = json.loads(self._body()) == {"username": "liftos", "password": "pass-word"}
                self._answer(201 if good else 401, json.dumps({"access_token": "jwt"}))

            def do_GET(self) -> None:
                shown = ConnectionResponse.model_validate(api.stored)
                self._answer(200, shown.model_dump_json(by_alias=True))

            def do_PATCH(self) -> None:
                api.asked.append(self.path)
                body = self._body()
                if self.headers["authorization"] != "Bearer jwt" or api.refuse:
                    self._answer(403, "{}")
                    return
                mask = parse_qs(urlsplit(self.path).query)["update_mask"]
                given = ConnectionBody.model_validate_json(body)
                update_orm_from_pydantic(api.stored, given, mask)
                self._answer(200, "{}")

            def _body(self) -> bytes:
                return self.rfile.read(int(self.headers["content-length"]))

            def _answer(self, status: int, text: str) -> None:
                body = text.encode()
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def api(keyed):
    made = ApiServer()
    keyed.connect(
        "api", conn_type="http", host=f"http://127.0.0.1:{made.port}", login="liftos",
        password="pass-word", extra={"access_token": None, "app_id": None, "app_secret": None},
    )  # fmt: skip
    keyed.set("api_conn_id", "api")
    yield SimpleNamespace(liftos=keyed, server=made)
    made.close()


def hold(api, conn_id: str, conn_type: str) -> None:
    given = json.loads(os.environ[f"AIRFLOW_CONN_{conn_id.upper()}"])
    made = Connection(conn_id=conn_id, conn_type=conn_type, host=given["host"])
    made.set_extra(json.dumps(given["extra"]))
    made.set_password(given.get("password"))
    api.server.stored = made


def test_a_renewed_credential_is_put_into_the_connection_and_the_rest_stays(api):
    add_google(api.liftos, ROTATING)
    hold(api, GOOGLE, "liftosgoogleads")
    before = api.server.stored.extra_dejson
    GoogleAdsHook().accounts()
    assert api.server.stored.extra_dejson == {**before, "refresh_token": f"{ROTATING}-2"}
    add_google(api.liftos, f"{ROTATING}-2")  # as a worker reads it from now on
    GoogleAdsHook().accounts()
    assert exchanges(api.liftos) == 1


def test_an_access_token_of_an_hour_is_not_put_there(api):
    add_google(api.liftos)
    hold(api, GOOGLE, "liftosgoogleads")
    GoogleAdsHook().accounts()
    assert api.server.asked == []


def test_a_token_kept_as_password_is_replaced_there(api):
    api.liftos.connect("user", password="sandbox-token-short", extra={"access_token": None})
    hold(api, "user", "liftosmeta")
    MetaHook("user").accounts()
    assert api.server.stored.password.startswith("EAAL")
    assert "access_token" not in api.server.stored.extra_dejson
    assert api.server.stored.extra_dejson["app_secret"] == "sandbox-secret"


@pytest.mark.parametrize("trouble", ["refused", "away", "undefined"])
def test_whatever_goes_wrong_there_is_a_line_and_no_more(api, trouble, caplog):
    add_google(api.liftos, ROTATING)
    hold(api, GOOGLE, "liftosgoogleads")
    if trouble == "refused":
        api.server.refuse = True
    elif trouble == "away":
        api.server.close()
    else:
        api.liftos.set("api_conn_id", "nowhere")
    with caplog.at_level(logging.WARNING):
        assert GoogleAdsHook().accounts()
    [line] = [
        r.getMessage() for r in caplog.records if "keeps its former credential" in r.getMessage()
    ]
    assert ROTATING not in line
    assert "pass-word" not in line


def test_a_connection_that_a_person_has_edited_meanwhile_is_left_as_it_is(api):
    add_google(api.liftos, ROTATING)
    hold(api, GOOGLE, "liftosgoogleads")
    hook = GoogleAdsHook()
    session = hook.session()
    add_google(api.liftos, "typed-in-by-a-person")
    run(session.ready(), HttpSender())
    assert api.server.asked == []


# --- what is read first --------------------------------------------------------------------------


def test_a_test_says_that_the_environment_is_read_instead_of_the_database(
    liftos, tmp_path, monkeypatch
):
    Connections(tmp_path, monkeypatch).add("liftos_meta_default", "liftosmeta", "", {})
    assert "which Airflow reads first" not in MetaHook().test_connection()[1]
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")
    worked, words = MetaHook().test_connection()
    assert worked
    assert (
        "'liftos_meta_default' is also defined by the environment variable"
        " AIRFLOW_CONN_LIFTOS_META_DEFAULT, which Airflow reads first" in words
    )


def test_where_the_database_alone_defines_it_nothing_is_said(liftos, tmp_path, monkeypatch):
    Connections(tmp_path, monkeypatch).add("liftos_meta_other", "liftosmeta", "", {})
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")
    assert "reads first" not in MetaHook().test_connection()[1]


def test_sessions_of_the_package_and_of_a_hook_are_the_same(keyed):
    hook = MetaHook()
    session = open_session(hook.platform, hook.credentials(), keyed.store)
    assert run(session.ready(), HttpSender()) == hook.current()
