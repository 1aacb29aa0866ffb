from __future__ import annotations

import base64
import hashlib
import json
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from google.auth import crypt, jwt

from airflow_provider_liftos.sandbox import Sandbox
from tests.sandbox.google_client import AGENCY, GoogleWire

CLIENT = {"client_id": "sandbox-client", "client_secret": "sandbox-secret"}
REFRESH = {**CLIENT, "grant_type": "refresh_token", "refresh_token": "sandbox-refresh-token"}
SCOPE = "https://www.googleapis.com/auth/adwords"
QUERY = "SELECT customer.id FROM customer"


def exchange(wire: GoogleWire, **params: str) -> httpx2.Response:
    return wire.http.post("/token", data=params)


def test_a_refresh_token_gives_an_access_token_for_an_hour(
    own: Sandbox, own_google: GoogleWire
) -> None:
    body = exchange(own_google, **REFRESH).json()
    assert (body["expires_in"], body["token_type"], body["scope"]) == (3599, "Bearer", SCOPE)
    own_google.token = body["access_token"]
    assert own_google.grpc_stream(QUERY)
    own.clock.advance(3600)
    assert own_google.refusal(QUERY) == ("authenticationError", "OAUTH_TOKEN_EXPIRED")
    own_google.token = exchange(own_google, **REFRESH).json()["access_token"]
    assert own_google.rest_stream(QUERY)


@pytest.mark.parametrize(
    ("changed", "status", "error"),
    [
        ({"refresh_token": "sandbox-refresh-token-revoked"}, 400, "invalid_grant"),
        ({"refresh_token": "nonsense"}, 400, "invalid_grant"),
        ({"client_id": "nobody"}, 401, "invalid_client"),
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
    ],
)
def test_a_bad_grant_is_refused(
    google: GoogleWire, changed: dict[str, str], status: int, error: str
) -> None:
    reply = exchange(google, **{**REFRESH, **changed})
    assert (reply.status_code, reply.json()["error"]) == (status, error)


def test_a_user_sees_what_was_shared_with_them(google: GoogleWire) -> None:
    body = exchange(google, **{**REFRESH, "refresh_token": "sandbox-refresh-token-some"}).json()
    google.token = body["access_token"]
    names = google.http.get("/v26/customers:listAccessibleCustomers", headers=google.headers).json()
    assert names == {"resourceNames": [f"customers/{AGENCY}"]}
    assert google.refusal(QUERY) == ("authorizationError", "USER_PERMISSION_DENIED")
    google.login = AGENCY
    assert google.grpc_stream(QUERY)


@pytest.mark.parametrize(
    ("token", "code"), [("", "OAUTH_TOKEN_HEADER_INVALID"), ("nonsense", "OAUTH_TOKEN_INVALID")]
)
def test_a_bad_token_is_refused(google: GoogleWire, token: str, code: str) -> None:
    google.token = token
    assert google.refusal(QUERY) == ("authenticationError", code)
    assert google.search(QUERY).status_code == 401


def consent(wire: GoogleWire, **more: str) -> dict[str, list[str]]:
    params = {
        "client_id": CLIENT["client_id"],
        "redirect_uri": "http://127.0.0.1:8085/callback",
        "response_type": "code",
        "scope": SCOPE,
        "state": "s-1",
        **more,
    }
    allowed = {"decision": "allow", f"scope:{SCOPE}": "on"}
    reply = wire.http.post("/o/oauth2/v2/auth", params=params, data=allowed)
    assert reply.status_code == 303
    return parse_qs(urlsplit(reply.headers["location"]).query)


def test_a_code_is_exchanged_once_with_its_verifier(google: GoogleWire) -> None:
    verifier = "v" * 43
    digest = hashlib.sha256(verifier.encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    pkce = {
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        "access_type": "offline",
        "prompt": "consent",
    }
    asked = {
        **CLIENT,
        "grant_type": "authorization_code",
        "redirect_uri": "http://127.0.0.1:8085/callback",
    }
    came = consent(google, **pkce)
    assert came["state"] == ["s-1"]
    wrong = exchange(google, **asked, code=came["code"][0], code_verifier="x" * 43)
    assert (wrong.status_code, wrong.json()["error"]) == (400, "invalid_grant")
    code = consent(google, **pkce)["code"][0]
    body = exchange(google, **asked, code=code, code_verifier=verifier).json()
    again = exchange(google, **asked, code=code, code_verifier=verifier)
    assert again.json()["error"] == "invalid_grant"
    fresh = {**REFRESH, "refresh_token": body["refresh_token"]}
    google.token = exchange(google, **fresh).json()["access_token"]
    assert google.grpc_stream(QUERY)
    assert google.http.post("/revoke", data={"token": body["refresh_token"]}).status_code == 200
    assert exchange(google, **fresh).json()["error"] == "invalid_grant"


def test_without_offline_access_there_is_no_refresh_token(google: GoogleWire) -> None:
    asked = {
        **CLIENT,
        "grant_type": "authorization_code",
        "redirect_uri": "http://127.0.0.1:8085/callback",
    }
    online, again = consent(google, prompt="consent"), consent(google, access_type="offline")
    for came in (online, again):  # who has consented before is given none for being asked quietly
        assert "refresh_token" not in exchange(google, **asked, code=came["code"][0]).json()
    other = {**asked, "redirect_uri": "http://127.0.0.1:1/"}
    assert exchange(google, **other, code=consent(google)["code"][0]).json()["error"] == (
        "redirect_uri_mismatch"
    )


def signed(key: dict[str, Any], **claims: Any) -> str:
    now = int(time.time())
    body = {
        "iss": key["client_email"], "aud": key["token_uri"], "scope": SCOPE, "iat": now, "exp": now + 3600,
    }  # fmt: skip
    return jwt.encode(crypt.RSASigner.from_service_account_info(key), {**body, **claims}).decode()


def test_a_service_account_signs_for_itself(google: GoogleWire) -> None:
    key = google.http.get("/service_account.json").json()
    grant = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"}
    body = exchange(google, **grant, assertion=signed(key)).json()
    google.token = body["access_token"]
    assert google.grpc_stream(QUERY)
    forged = signed(key)[:-8] + "AAAAAAAA"
    for assertion, error in (
        (forged, "invalid_grant"),
        ("nonsense", "invalid_grant"),
        (signed(key, iss="other@example.com"), "invalid_grant"),
        (signed(key, exp=int(time.time()) + 9000), "invalid_grant"),
        (signed(key, aud="http://elsewhere/"), "invalid_grant"),
        (signed(key, scope=""), "invalid_scope"),
    ):
        reply = exchange(google, **grant, assertion=assertion)
        assert (reply.status_code, reply.json()["error"]) == (400, error)


def test_a_token_for_something_else_reads_no_ads(google: GoogleWire) -> None:
    key = google.http.get("/service_account.json").json()
    scope = "https://www.googleapis.com/auth/datamanager"
    grant = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"}
    google.token = exchange(google, **grant, assertion=signed(key, scope=scope)).json()[
        "access_token"
    ]
    assert google.refusal(QUERY) == ("authenticationError", "OAUTH_TOKEN_INVALID")


def test_the_journal_keeps_no_secret_of_google(sandbox: Sandbox, google: GoogleWire) -> None:
    key = google.http.get("/service_account.json").json()
    assertion = signed(key)
    exchange(google, grant_type="urn:ietf:params:oauth:grant-type:jwt-bearer", assertion=assertion)
    exchange(google, **REFRESH)
    code = consent(google)["code"][0]
    exchange(google, **CLIENT, grant_type="authorization_code", code=code, redirect_uri="x")
    google.grpc_stream(QUERY)
    text = json.dumps(sandbox.journal.entries("google_ads"))
    assert not [secret for secret in (*sandbox.secrets(), assertion) if secret in text]
    assert text.count("***") >= 4
