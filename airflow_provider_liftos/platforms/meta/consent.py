"""Consent to Meta: its login dialog, and a long-lived token of the short one that comes of it.

Facts: Facebook Login, "Manually build a login flow", and "Get long-lived tokens" (v26.0). Meta's
PKCE belongs to its OpenID flow, where the verifier stands in for the app's secret; with the secret
there is none. The token lasts about 60 days; it can be exchanged for a younger one until then.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from airflow_provider_liftos.model.consent import Code, Consent, Granted
from airflow_provider_liftos.model.platform import Credentials
from airflow_provider_liftos.model.secret import Secret
from airflow_provider_liftos.model.wire import Request

SCOPES = ("ads_read",)
_GRAPH, _DIALOG = "https://graph.facebook.com", "https://www.facebook.com"


def _page(credentials: Credentials) -> str:
    """The dialog has a host of its own; a connection's other host has both."""
    base = credentials.base_url
    return f"{_DIALOG if base == _GRAPH else base}/{credentials.version}/dialog/oauth"


def _parameters(credentials: Credentials) -> Mapping[str, str]:
    return {
        "client_id": str(credentials.options["app_id"]),
        "response_type": "code",
        "scope": ",".join(SCOPES),
        # Without it, what was once declined is not asked about again.
        "auth_type": "rerequest",
    }


def _token(credentials: Credentials, **form: str) -> Request:
    """In the body, although the documentation shows a query: addresses end up in logs."""
    client = {
        "client_id": str(credentials.options["app_id"]),
        "client_secret": credentials.secret("app_secret"),
    }
    return Request(
        method="POST", path="oauth/access_token", form={**client, **form}, repeatable=False
    )


def _exchange(credentials: Credentials, code: Code) -> Request:
    return _token(credentials, redirect_uri=code.redirect_uri, code=code.value.reveal())


def lengthen(credentials: Credentials) -> Request:
    """A token of the same user that lasts about 60 days, for one that is still good."""
    return _token(
        credentials,
        grant_type="fb_exchange_token",
        fb_exchange_token=credentials.secret("access_token"),
    )


def _read(body: bytes) -> Granted:
    answer = json.loads(body)
    if not isinstance(answer, dict) or not answer.get("access_token"):
        raise ValueError("no access token")
    return Granted(secrets={"access_token": Secret(str(answer["access_token"]))})


CONSENT = Consent(
    page=_page,
    parameters=_parameters,
    needs=("app_id", "app_secret"),
    exchange=_exchange,
    read=_read,
    lengthen=lengthen,
)
