"""The pages on which people consent, and what their codes are worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from airflow_provider_liftos.sandbox import Sandbox

HERE = "http://127.0.0.1:8085/callback"
GOOGLE = "https://www.googleapis.com/auth/adwords"
META_APP = {"client_id": "1001", "client_secret": "sandbox-secret"}
GOOGLE_APP = {"client_id": "sandbox-client", "client_secret": "sandbox-secret"}
TIKTOK_APP = {"app_id": "1001", "secret": "sandbox-secret"}


@dataclass(frozen=True)
class Kind:
    """One platform's words for the same."""

    page: str
    asked: Mapping[str, str]
    scopes: tuple[str, ...]
    code: str = "code"


KINDS = {
    "meta": Kind("/v26.0/dialog/oauth", {"client_id": "1001", "scope": "ads_read"}, ("ads_read",)),
    "google_ads": Kind(
        "/o/oauth2/v2/auth",
        {"client_id": "sandbox-client", "response_type": "code", "scope": GOOGLE},
        (GOOGLE,),
    ),
    "tiktok": Kind("/portal/auth", {"app_id": "1001"}, ("1", "2", "4", "6", "15"), "auth_code"),
}


class Person:
    """Somebody with a browser."""

    def __init__(self, sandbox: Sandbox, platform: str) -> None:
        self.kind = KINDS[platform]
        self.platform = platform
        self.http = httpx2.Client(base_url=f"{sandbox.url}/{platform}", trust_env=False)

    def query(self, **more: str) -> dict[str, str]:
        return {**self.kind.asked, "redirect_uri": HERE, "state": "s-1", **more}

    def look(self, **more: str) -> httpx2.Response:
        return self.http.get(self.kind.page, params=self.query(**more))

    def decide(self, decision: str, *ticked: str, **more: str) -> dict[str, list[str]]:
        form = {"decision": decision, **{f"scope:{one}": "on" for one in ticked}}
        reply = self.http.post(self.kind.page, params=self.query(**more), data=form)
        assert reply.status_code == 303
        location = reply.headers["location"]
        assert location.startswith(f"{HERE}?")
        return parse_qs(urlsplit(location).query)

    def allow(self, **more: str) -> str:
        return self.decide("allow", *self.kind.scopes, **more)[self.kind.code][0]

    def exchange(self, code: str, **more: Any) -> httpx2.Response:
        if self.platform == "tiktok":
            body = {**TIKTOK_APP, "auth_code": code, **more}
            return self.http.post("/open_api/v1.3/oauth2/access_token/", json=body)
        app = META_APP if self.platform == "meta" else GOOGLE_APP
        form = {**app, "grant_type": "authorization_code", "redirect_uri": HERE, "code": code}
        path = "/v26.0/oauth/access_token" if self.platform == "meta" else "/token"
        return self.http.post(path, data={**form, **more})


@pytest.fixture(params=sorted(KINDS))
def person(request, sandbox):
    made = Person(sandbox, request.param)
    yield made
    made.http.close()


def works(reply: httpx2.Response) -> bool:
    said = reply.json()
    return "access_token" in (said.get("data") or said)


def test_the_page_shows_a_box_for_every_scope_and_both_ways_out(person):
    reply = person.look()
    assert (reply.status_code, reply.headers["content-type"]) == (200, "text/html; charset=utf-8")
    for scope in person.kind.scopes:
        assert f'name="scope:{scope}" checked' in reply.text
    assert 'value="allow"' in reply.text
    assert 'value="deny"' in reply.text


def test_a_code_serves_once(person):
    came = person.decide("allow", *person.kind.scopes)
    assert came["state"] == ["s-1"]
    code = came[person.kind.code][0]
    assert works(person.exchange(code))
    assert not works(person.exchange(code))


def test_who_declines_gives_no_code(person):
    came = person.decide("deny", *person.kind.scopes)
    assert person.kind.code not in came
    assert came["state"] == ["s-1"]
    assert came.get("error", ["access_denied"]) == ["access_denied"]


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/callback",
        "http://127.0.0.1.evil.example/callback",
        "http://127.0.0.1:8085@evil.example/callback",
        "http://127.0.0.1:8085/other",
        "//evil.example/callback",
        "",
    ],
)
def test_nobody_is_sent_where_the_application_is_not_registered(person, target):
    form = {"decision": "allow"}
    for reply in (
        person.look(redirect_uri=target),
        person.http.post(person.kind.page, params=person.query(redirect_uri=target), data=form),
    ):
        assert reply.status_code == 400
        assert "location" not in reply.headers


def test_an_unknown_application_is_refused_on_the_page(person):
    assert person.look(client_id="nobody", app_id="nobody").status_code == 400


@pytest.mark.parametrize(
    ("platform", "seconds"), [("meta", 600), ("google_ads", 600), ("tiktok", 3600)]
)
def test_a_code_does_not_last(own, platform, seconds):
    person = Person(own, platform)
    early, late = person.allow(), person.allow()
    own.clock.advance(seconds - 1)
    assert works(person.exchange(early))
    own.clock.advance(1)
    assert not works(person.exchange(late))


def test_metas_short_token_becomes_a_long_one(own):
    person = Person(own, "meta")
    short = person.exchange(person.allow()).json()
    assert short["expires_in"] == 3600
    form = {
        **META_APP,
        "grant_type": "fb_exchange_token",
        "fb_exchange_token": short["access_token"],
    }
    long = person.http.post("/v26.0/oauth/access_token", data=form).json()
    assert long["expires_in"] == 5_183_944
    own.clock.advance(7200)
    bearer = {"authorization": f"Bearer {long['access_token']}"}
    assert person.http.get("/v26.0/me/adaccounts", headers=bearer).status_code == 200
    expired = {"authorization": f"Bearer {short['access_token']}"}
    assert person.http.get("/v26.0/me/adaccounts", headers=expired).json()["error"]["code"] == 190


def test_metas_code_is_bound_to_its_redirect(sandbox):
    person = Person(sandbox, "meta")
    said = person.exchange(person.allow(), redirect_uri="http://127.0.0.1:1/callback").json()
    assert said["error"]["error_subcode"] == 36008


def test_a_scope_that_is_unticked_is_not_granted(sandbox):
    google = Person(sandbox, "google_ads")
    code = google.decide("allow")["code"][0]
    assert google.exchange(code).json()["scope"] == ""
    meta = Person(sandbox, "meta")
    token = meta.exchange(meta.decide("allow")["code"][0]).json()["access_token"]
    reply = meta.http.get("/v26.0/me/adaccounts", headers={"authorization": f"Bearer {token}"})
    assert reply.json()["error"]["code"] in range(200, 300)
    tiktok = Person(sandbox, "tiktok")
    granted = tiktok.exchange(tiktok.decide("allow", "1", "2")["auth_code"][0]).json()["data"]
    assert granted["scope"] == [1, 2]


def test_codes_are_among_the_secrets_and_not_in_the_journal(sandbox, person):
    code = person.allow()
    person.exchange(code)
    assert code in sandbox.secrets()
    assert code not in str(sandbox.journal.entries(person.platform))
