"""Connecting through the plugin's routes: the way that works, and every way that must not."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest
from airflow.api_fastapi.core_api.security import get_user
from fastapi import FastAPI, HTTPException
from fastapi.testclient import TestClient
from sqlalchemy import select

from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.hooks.consent import ASKED, CONNECTED, FAILED, REFUSED, Connected
from airflow_provider_liftos.hooks.stored import Stored
from airflow_provider_liftos.platforms import get
from airflow_provider_liftos.plugins import oauth, oauth_pages
from airflow_provider_liftos.plugins.api import create_app
from airflow_provider_liftos.sandbox import Sandbox
from airflow_provider_liftos.state.audit_log import AuditLog
from airflow_provider_liftos.state.keyring import new_key
from airflow_provider_liftos.state.tables import oauth_states
from tests.airflow_metadata import APPS, Connections, add_unconnected

BASE = "http://127.0.0.1:8080/air"
SAME_SITE = {"sec-fetch-site": "same-origin"}
SCOPES = {
    "meta": ("ads_read",),
    "google_ads": ("https://www.googleapis.com/auth/adwords",),
    "tiktok": ("1", "2", "4", "6", "15"),
}


class User:
    def __init__(self, name: str) -> None:
        self.name = name

    def get_id(self) -> str:
        return f"id-{self.name}"

    def get_name(self) -> str:
        return self.name


class Scene:
    """Airflow around our application: who is logged in, who may edit which connection."""

    def __init__(self, sandbox: Sandbox, connections: Connections) -> None:
        self.sandbox = sandbox
        self.connections = connections
        self.user: str | None = "anna"
        self.editable: set[str] | None = None
        self.asked_about: list[str | None] = []
        app = create_app()
        app.dependency_overrides[get_user] = self._who
        above = FastAPI()
        above.mount("/air/liftos", app)
        self.scopes: list[dict] = []

        async def server(scope, receive, send):
            await above(scope, receive, send)
            self.scopes.append(scope)

        self.http = TestClient(server, base_url="http://127.0.0.1:8080", follow_redirects=False)

    def _who(self) -> User:
        if self.user is None:
            raise HTTPException(401, "Not authenticated")
        return User(self.user)

    def is_authorized_connection(self, *, method, details, user) -> bool:
        assert method == "PUT"
        self.asked_about.append(details.conn_id)
        if user.name == "viewer":
            return False
        return self.editable is None or details.conn_id in {None, *self.editable}

    # --- what people do --------------------------------------------------------------------------

    def press(self, platform: str = "meta", headers=SAME_SITE, conn_id: str | None = None):
        data = {"connection_id": conn_id or f"liftos_{platform}_default"}
        return self.http.post("/air/liftos/oauth/start", data=data, headers=headers)

    def decide(self, url: str, platform: str = "meta", decision: str = "allow") -> str:
        """The address that the platform sends the browser to, below the server."""
        form = {"decision": decision, **{f"scope:{one}": "on" for one in SCOPES[platform]}}
        reply = httpx2.post(url, data=form, trust_env=False)
        assert reply.status_code == 303, reply.text
        location = reply.headers["location"]
        assert location.startswith(f"{BASE}/liftos/oauth/callback?"), location
        return location.removeprefix("http://127.0.0.1:8080").partition("#")[0]

    def answer(self, platform: str = "meta", decision: str = "allow") -> str:
        return self.decide(self.press(platform).headers["location"], platform, decision)

    def entries(self):
        """Steps of connecting, oldest first."""
        found = AuditLog(config.state_store(), "default").entries()
        return [one for one in reversed(found) if one.action in (ASKED, CONNECTED, FAILED)]

    def token(self, platform: str = "meta") -> str | None:
        extra = self.connections.extra(f"liftos_{platform}_default")
        return extra.get("access_token") or extra.get("refresh_token")


@pytest.fixture
def scene(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__LIFTOS__STATE_URL", f"sqlite:///{tmp_path / 'state.db'}")
    monkeypatch.setenv("AIRFLOW__LIFTOS__CREDENTIAL_KEYS", new_key())
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", f"{BASE}/")
    with Sandbox() as sandbox:
        connections = Connections(tmp_path, monkeypatch)
        for platform in APPS:
            add_unconnected(connections, platform, sandbox.url)
        made = Scene(sandbox, connections)
        monkeypatch.setattr(oauth, "get_auth_manager", lambda: made)
        yield made


@pytest.mark.parametrize("platform", sorted(APPS))
def test_from_the_button_to_the_page_that_says_connected(scene, platform):
    page = scene.http.get("/air/liftos/connect")
    assert page.status_code == 200
    conn_id = f"liftos_{platform}_default"
    assert f"value='{conn_id}'" in page.text
    assert "action='/air/liftos/oauth/start'" in page.text
    back = scene.http.get(scene.answer(platform))
    assert back.status_code == 303
    shown = scene.http.get(back.headers["location"])
    assert shown.status_code == 200
    assert f"Connected: {conn_id}" in shown.text
    assert scene.sandbox.world.dataset(platform).accounts[0].id in shown.text
    assert scene.token(platform)
    assert [(e.actor, e.action) for e in scene.entries()] == [
        ("anna", "asked_consent"),
        ("anna", "connected"),
    ]


def test_neither_code_nor_token_is_in_a_page_an_address_or_the_audit_log(scene):
    address = scene.answer()
    code = dict(parse_qsl(urlsplit(address).query))["code"]
    back = scene.http.get(address)
    shown = scene.http.get(back.headers["location"])
    told = [shown.text, back.text, str(dict(back.headers)), str(dict(shown.headers))]
    told += [json.dumps([e.detail for e in scene.entries()], default=str)]
    secrets = [*scene.sandbox.secrets(), scene.token(), code]
    assert not [secret for secret in secrets for text in told if secret in text]


def test_servers_around_us_find_no_code_in_what_they_log(scene):
    scene.http.get(scene.answer())
    seen = [one for one in scene.scopes if one["path"].endswith("/oauth/callback")]
    assert [one["query_string"] for one in seen] == [b"hidden"]
    scene.http.get("/air/liftos/connect?a=1")
    assert scene.scopes[-1]["query_string"] == b"a=1"


def test_an_answer_serves_once(scene):
    address = scene.answer()
    scene.http.get(address)
    token = scene.token()
    again = scene.http.get(address)
    assert again.status_code == 400
    assert "used already" in again.text
    assert scene.token() == token
    assert [e.action for e in scene.entries()][-1] == "failed_consent"


def test_another_users_answer_is_refused_and_written_down(scene):
    """An attacker's own account must not end up in a connection of ours."""
    scene.user = "mallory"
    address = scene.answer()
    scene.user = "anna"
    reply = scene.http.get(address)
    assert (reply.status_code, "another user" in reply.text) == (400, True)
    assert scene.token() is None
    last = scene.entries()[-1]
    assert (last.actor, last.action, last.detail["asked_by"]) == (
        "anna", "failed_consent", "id-mallory",
    )  # fmt: skip


def test_an_expired_answer_is_refused(scene, monkeypatch):
    address = scene.answer()
    clock = config.state_store().clock
    monkeypatch.setattr(
        config.state_store(), "clock", SimpleNamespace(now=lambda: clock.now() + 600)
    )
    reply = scene.http.get(address)
    assert (reply.status_code, "after 10 minutes" in reply.text) == (400, True)
    assert scene.token() is None
    assert scene.entries()[-1].action == "failed_consent"


@pytest.mark.parametrize("query", ["", "code=x", "state=made-up&code=x", "state=&code=x"])
def test_an_answer_nobody_asked_for_is_refused(scene, query):
    reply = scene.http.get(f"/air/liftos/oauth/callback?{query}")
    assert (reply.status_code, "nobody here asked" in reply.text) == (400, True)
    assert scene.entries()[-1].action == "failed_consent"


def test_who_declines_is_told_in_the_platforms_words(scene):
    reply = scene.http.get(scene.answer(decision="deny"))
    assert reply.status_code == 400
    assert "declined: Permissions error" in reply.text
    assert "Nothing was changed" in reply.text
    assert scene.entries()[-1].detail["why"].startswith("the consent was declined")


def test_words_of_a_platform_are_text_not_markup(scene):
    address = scene.press().headers["location"]
    state = dict(parse_qsl(urlsplit(address).query))["state"]
    query = f"state={state}&error=x&error_description=%3Cscript%3Ealert(1)%3C/script%3E"
    reply = scene.http.get(f"/air/liftos/oauth/callback?{query}")
    assert "<script>" not in reply.text
    assert "&lt;script&gt;" in reply.text


def test_names_of_connections_are_text_not_markup(scene, monkeypatch):
    strange = Stored(conn_id="<b>'x", platform=get("meta"), problem="<i>wrong")
    monkeypatch.setattr(oauth.stored, "listed", lambda: [strange])
    page = scene.http.get("/air/liftos/connect").text
    assert not [tag for tag in ("<b>", "<i>") if tag in page]
    assert "&lt;b&gt;&#x27;x" in page
    assert "&lt;i&gt;wrong" in page


def test_names_of_accounts_are_text_not_markup():
    found = Connected(
        conn_id="c",
        platform="meta",
        title="Meta Ads",
        count=3,
        accounts=[("<i>1", "<script>alert(1)</script>")],
        scopes=(),
        expires_at=0.0,
        token="<u>token",
        notes=["<b>note"],
    )
    text = oauth_pages.connected(found, "/liftos").body.decode()
    assert not [tag for tag in ("<script>", "<i>", "<u>", "<b>") if tag in text]
    assert "&lt;script&gt;" in text
    assert "and 2 more" in text


# --- who may --------------------------------------------------------------------------------------


def test_nobody_is_sent_to_the_login_and_comes_back(scene):
    scene.user = None
    reply = scene.http.get("/air/liftos/connect")
    assert reply.status_code == 303
    assert reply.headers["location"] == (
        "/air/api/v2/auth/login?next=http%3A//127.0.0.1%3A8080/air/liftos/connect"
    )
    assert scene.press().status_code == 401


@pytest.mark.parametrize("page", ["connect", "oauth/result/0123abcd"])
def test_nobody_finds_the_login_where_airflow_does_not_know_its_own_address(
    scene, monkeypatch, page
):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "")
    scene.user = None
    reply = scene.http.get(f"/air/liftos/{page}", headers={"Host": "evil.example"})
    assert reply.status_code == 303
    assert reply.headers["location"] == f"/air/api/v2/auth/login?next=/air/liftos/{page}"


def test_without_a_session_an_answer_goes_nowhere_and_its_code_with_it(scene):
    address = scene.answer()
    scene.user = None
    reply = scene.http.get(address)
    assert (reply.status_code, "connect again" in reply.text) == (401, True)
    assert "location" not in reply.headers
    assert scene.token() is None


def test_who_may_not_edit_connections_sees_and_starts_nothing(scene):
    scene.user = "viewer"
    for reply in (scene.http.get("/air/liftos/connect"), scene.press()):
        assert reply.status_code == 403
        assert "right to edit connections" in reply.text
    assert scene.entries() == []


def test_who_tries_without_the_right_is_written_down(scene):
    scene.user = "viewer"
    scene.http.get("/air/liftos/connect")
    scene.press()
    scene.press(conn_id="x" * 1000)
    found = AuditLog(config.state_store(), "default").entries(action=REFUSED)
    assert sorted((one.actor, one.subject, one.detail["what"]) for one in found) == [
        ("viewer", "", "connect"),
        ("viewer", "liftos_meta_default", "oauth/start"),
        ("viewer", "x" * 250, "oauth/start"),
    ]
    assert {one.detail["from"] for one in found} == {"testclient"}
    assert all(one.created_at > 0 for one in found)


def test_of_a_connection_of_another_organization_there(scene):
    scene.connections.add("theirs", "liftosmeta", "", {"org_id": "acme"})
    scene.editable = {"liftos_tiktok_default"}
    assert scene.press(conn_id="theirs").status_code == 403
    [one] = AuditLog(config.state_store(), "acme").entries()
    assert (one.actor, one.action, one.subject) == ("anna", REFUSED, "theirs")


def test_the_right_is_asked_for_by_connection(scene):
    scene.editable = {"liftos_tiktok_default"}
    page = scene.http.get("/air/liftos/connect").text
    assert re.findall(r"value='(\w+)'", page) == ["liftos_tiktok_default"]
    assert scene.press("meta").status_code == 403
    assert scene.press("tiktok").status_code == 303
    assert "liftos_meta_default" in scene.asked_about


def test_a_right_that_was_taken_meanwhile_is_missed_on_the_way_back(scene):
    address = scene.answer()
    scene.editable = set()
    reply = scene.http.get(address)
    assert (reply.status_code, "may not edit" in reply.text) == (400, True)
    assert scene.token() is None


def test_what_came_of_it_is_for_who_did_it(scene):
    target = scene.http.get(scene.answer()).headers["location"]
    scene.user = "ben"
    assert scene.http.get(target).status_code == 404
    assert scene.http.get("/air/liftos/oauth/result/made-up").status_code == 404


# --- forms and addresses of strangers -------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:8081"},
        {},
    ],
)
def test_a_form_of_another_site_starts_nothing(scene, headers):
    reply = scene.press(headers=headers)
    assert (reply.status_code, "another site" in reply.text) == (403, True)


@pytest.mark.parametrize(
    "headers", [{"origin": "http://127.0.0.1:8080"}, {"authorization": "Bearer x"}]
)
def test_our_own_form_and_programs_with_a_token_are_let_in(scene, headers):
    assert scene.press(headers=headers).status_code == 303


def test_a_get_starts_nothing(scene):
    reply = scene.http.get("/air/liftos/oauth/start?connection_id=liftos_meta_default")
    assert reply.status_code == 405


def test_the_answer_comes_to_the_setting_whatever_the_request_says_of_its_host(scene):
    headers = {**SAME_SITE, "host": "evil.example", "x-forwarded-host": "evil.example"}
    asked = dict(parse_qsl(urlsplit(scene.press(headers=headers).headers["location"]).query))
    assert asked["redirect_uri"] == f"{BASE}/liftos/oauth/callback"


def test_a_request_cannot_name_where_to_go_afterwards(scene):
    address = scene.answer()
    reply = scene.http.get(f"{address}&next=https://evil.example&redirect_uri=https://evil.example")
    assert reply.headers["location"].startswith("/air/liftos/oauth/result/")


def test_a_host_that_is_not_in_the_setting_is_refused(scene, monkeypatch):
    monkeypatch.setenv("AIRFLOW__LIFTOS__OAUTH_REDIRECT_HOSTS", "air.example.com")
    reply = scene.press()
    assert reply.status_code == 400
    assert "oauth_redirect_hosts names air.example.com" in reply.text


def test_without_an_address_of_its_own_airflow_says_what_to_set(scene, monkeypatch):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "")
    reply = scene.press()
    assert (reply.status_code, "[api] base_url" in reply.text) == (400, True)


def test_a_connection_that_lacks_its_app_has_no_button(scene):
    scene.connections.add("bare", "liftostiktok", "", {})
    page = scene.http.get("/air/liftos/connect").text
    assert "first fill in app_id and secret" in page
    assert page.count("<button disabled>") == 1
    assert scene.press(conn_id="bare").status_code == 400


def test_pages_may_not_be_framed_kept_or_scripted(scene):
    for path in ("/connect", "/oauth/callback"):
        headers = scene.http.get(f"/air/liftos{path}").headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"


def test_a_platform_that_does_not_answer_is_said_and_can_be_tried_again(scene):
    address = scene.answer()
    scene.sandbox.faults.add(platform="meta", kind="reset", match="oauth/access_token")
    reply = scene.http.get(address)
    assert (reply.status_code, "Begin again" in reply.text) == (502, True)
    scene.sandbox.faults.clear()
    assert scene.http.get(scene.answer()).status_code == 303


def test_two_tabs_do_not_disturb_one_another(scene):
    first, second = scene.press("meta"), scene.press("tiktok")
    one = scene.decide(first.headers["location"], "meta")
    two = scene.decide(second.headers["location"], "tiktok")
    assert scene.http.get(two).status_code == 303
    assert scene.http.get(one).status_code == 303
    assert scene.token("meta")
    assert scene.token("tiktok")


def test_of_a_verifier_nothing_is_left(scene):
    scene.http.get(scene.answer("google_ads"))
    with config.state_store().read() as connection:
        assert connection.scalars(select(oauth_states.c.verifier)).all() == [None]
