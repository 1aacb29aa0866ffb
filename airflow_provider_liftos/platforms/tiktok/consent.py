"""Consent to TikTok: advertisers give an app a token that lasts until they take it back.

Facts: "Authorization" of the Business API (v1.3). Scopes are those of the app, by number; the page
takes none, and no challenge. Its answer is named ``auth_code`` and serves once, for an hour.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from airflow_provider_liftos.model.consent import Code, Consent, Granted
from airflow_provider_liftos.model.platform import Credentials
from airflow_provider_liftos.model.secret import Secret
from airflow_provider_liftos.model.wire import Request
from airflow_provider_liftos.platforms.tiktok import wire


def _page(credentials: Credentials) -> str:
    return f"{credentials.base_url.removesuffix('/open_api')}/portal/auth"


def _parameters(credentials: Credentials) -> Mapping[str, str]:
    return {"app_id": str(credentials.options["app_id"])}


def _exchange(credentials: Credentials, code: Code) -> Request:
    body = {
        "app_id": str(credentials.options["app_id"]),
        "secret": credentials.secret("secret"),
        "auth_code": code.value.reveal(),
    }
    return Request(
        method="POST",
        path="oauth2/access_token/",
        body=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
        repeatable=False,
    )


def _read(body: bytes) -> Granted:
    given = wire.data(body)
    if not given.get("access_token"):
        raise ValueError("no access token")
    return Granted(
        secrets={"access_token": Secret(str(given["access_token"]))},
        scopes=tuple(str(scope) for scope in given.get("scope") or ()),
    )


CONSENT = Consent(
    page=_page,
    parameters=_parameters,
    needs=("app_id", "secret"),
    exchange=_exchange,
    read=_read,
    code="auth_code",
)
