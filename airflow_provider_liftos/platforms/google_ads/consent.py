"""Consent to Google: a refresh token, which the session makes access tokens of.

Facts: "Using OAuth 2.0 for web server applications". Google gives a refresh token only for offline
access, and to an app that has one already only where the person is made to consent again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from airflow_provider_liftos.model.consent import Code, Consent, Granted
from airflow_provider_liftos.model.errors import ConfigurationError, NotAuthorized
from airflow_provider_liftos.model.platform import Credentials
from airflow_provider_liftos.model.secret import Secret
from airflow_provider_liftos.model.wire import Request
from airflow_provider_liftos.platforms.google_ads import wire

_API, _ACCOUNTS = "https://googleads.googleapis.com", "https://accounts.google.com"


def _page(credentials: Credentials) -> str:
    """Google's page for accounts; a connection's other host has that, too."""
    if wire.key(credentials):
        raise ConfigurationError(
            f"connection {credentials.conn_id!r} has the key of a service account, which needs no"
            " consent",
            hint="Empty keyfile_dict to connect as a user instead.",
        )
    base = credentials.base_url
    return f"{_ACCOUNTS if base == _API else base}/o/oauth2/v2/auth"


def _parameters(credentials: Credentials) -> Mapping[str, str]:
    return {
        "client_id": str(credentials.options["client_id"]),
        "response_type": "code",
        "scope": wire.SCOPE,
        "access_type": "offline",
        "prompt": "consent",
    }


def _exchange(credentials: Credentials, code: Code) -> Request:
    form = {
        "grant_type": "authorization_code",
        "client_id": str(credentials.options["client_id"]),
        "client_secret": credentials.secret("client_secret"),
        "code": code.value.reveal(),
        "redirect_uri": code.redirect_uri,
        **({"code_verifier": code.verifier.reveal()} if code.verifier else {}),
    }
    return wire.to_token_uri(credentials, form)


def _read(body: bytes) -> Granted:
    answer = json.loads(body)
    if not isinstance(answer, dict) or not answer.get("access_token"):
        raise ValueError("no access token")
    if not answer.get("refresh_token"):
        raise NotAuthorized(
            "Google gave an access token for an hour and no refresh token",
            platform="google_ads",
            hint="Remove the app's access at myaccount.google.com/permissions and connect again.",
        )
    return Granted(
        secrets={"refresh_token": Secret(str(answer["refresh_token"]))},
        scopes=tuple(str(answer.get("scope") or "").split()),
    )


CONSENT = Consent(
    page=_page,
    parameters=_parameters,
    needs=("client_id", "client_secret"),
    exchange=_exchange,
    read=_read,
    pkce=True,
)
