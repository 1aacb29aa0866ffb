"""Younger access tokens for those of users, in time.

Facts: "Get long-lived tokens" (v26.0): there is no refresh token; a token that is still good is
exchanged for one of about 60 days, one that has ended is not. System users' tokens without an end
are left alone.
"""

from __future__ import annotations

import json
import math

from airflow_provider_liftos.model.platform import Credentials, Grant, Granted
from airflow_provider_liftos.model.secret import Secret
from airflow_provider_liftos.platforms.meta.consent import lengthen

_EARLY = 30 * 86_400.0
"""Half of a token's life: a month of failing exchanges can be noticed and mended."""


def _read(body: bytes) -> Granted:
    answer = json.loads(body)
    if not isinstance(answer, dict) or not answer.get("access_token"):
        raise ValueError("no access token")
    seconds = answer.get("expires_in")
    return Granted(
        token=Secret(str(answer["access_token"])), lifetime=float(seconds) if seconds else math.inf
    )


def _has_app(credentials: Credentials) -> bool:
    return bool(credentials.options.get("app_id") and credentials.secrets.get("app_secret"))


GRANT = Grant(
    request=lengthen,
    read=_read,
    credential=("access_token", "app_id"),
    early=_EARLY,
    applies=_has_app,
)
