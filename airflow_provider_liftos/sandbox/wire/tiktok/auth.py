"""The application, its tokens, the page of its authorization and the three calls.

Tokens for advertisers live until they are revoked; there is nothing to refresh.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from airflow_provider_liftos.sandbox.consent import Codes, consent, refusal, registered
from airflow_provider_liftos.sandbox.dataset.chance import digest
from airflow_provider_liftos.sandbox.wire import WireRequest, WireResponse
from airflow_provider_liftos.sandbox.world import World

from .errors import TikTokError, bad_code, bad_token, empty_token, expired_token, invalid, lacking

APP_ID = "1001"
APP_SECRET = "sandbox-secret"  # noqa: S105  # the sandbox's own, documented
CODE = "sandbox-auth-code"
# Scopes are numbers that a person ticks; which is which is not documented. Here 4 is reporting.
ALL_SCOPES = (1, 2, 4, 6, 15)
REPORTING = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What a token may do; ``accounts`` is None for all."""

    value: str
    scopes: tuple[int, ...]
    issued_at: datetime
    accounts: frozenset[str] | None = None
    expires_at: datetime | None = None

    def sees(self, account: str) -> bool:
        """Say whether the advertiser gave access to this token."""
        return self.accounts is None or account in self.accounts


class Tokens:
    """Every token ever issued and not revoked."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._known: dict[str, Token] = {}
        self._used: set[str] = set()
        self._codes = Codes(world, "ac-", timedelta(hours=1))
        accounts = world.dataset("tiktok").accounts
        self._issue("sandbox-token")
        self._issue("sandbox-token-noread", scopes=(1,))
        self._issue("sandbox-token-expired", expires_at=world.clock.now() - timedelta(days=1))
        self._issue("sandbox-token-some", accounts=frozenset(one.id for one in accounts[:2]))
        world.keep_secret(APP_SECRET)

    def _issue(
        self,
        value: str,
        *,
        scopes: tuple[int, ...] = ALL_SCOPES,
        accounts: frozenset[str] | None = None,
        expires_at: datetime | None = None,
    ) -> Token:
        token = Token(
            value=value,
            scopes=scopes,
            issued_at=self._world.clock.now(),
            accounts=accounts,
            expires_at=expires_at,
        )
        with self._lock:
            self._known[value] = token
        self._world.keep_secret(value)
        return token

    def authenticate(self, request: WireRequest) -> Token:
        """Return the token in the header ``Access-Token``; raises TikTokError."""
        value = request.headers.get("access-token", "")
        if not value:
            raise empty_token()
        token = self._known.get(value)
        if token is None:
            raise bad_token()
        if token.expires_at and token.expires_at <= self._world.clock.now():
            raise expired_token()
        return token

    def exchange(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Serve ``oauth2/access_token/``: a code of the page, or one like CODE, serves once."""
        check_app(given)
        code = str(given.get("auth_code") or "")
        if not code:
            raise lacking("auth_code")
        scopes = self._spend(code)
        value = digest("token", code, next(self._numbers), size=20).hex()
        token = self._issue(value, scopes=scopes)
        self._world.keep_secret(code)
        accounts = self._world.dataset("tiktok").accounts
        return {
            "access_token": token.value,
            "scope": list(token.scopes),
            "advertiser_ids": [one.id for one in accounts if token.sees(one.id)],
        }

    def _spend(self, code: str) -> tuple[int, ...]:
        given = self._codes.spend(code)
        if given and not self._codes.too_old(given):
            return tuple(map(int, given.scopes))
        with self._lock:
            fresh = code.startswith(CODE) and code not in self._used
            self._used.add(code)
        if not fresh:
            raise bad_code()
        return ALL_SCOPES

    def portal(self, request: WireRequest) -> WireResponse:
        """Serve ``portal/auth``, where advertisers give an app access.

        What comes back when they decline is not documented: here it is the state alone.
        """
        target = request.params.get("redirect_uri", "")
        if request.params.get("app_id") != APP_ID:
            return refusal("The app does not exist.")
        if not registered(target):
            return refusal("The redirect_uri is not the one of the app.")

        def agreed(kept: Sequence[str]) -> dict[str, str]:
            code = self._codes.issue(kept, target)
            return {"auth_code": code, "code": code}

        return consent(
            request,
            title="TikTok for Business",
            scopes={str(one): f"Permission {one}" for one in ALL_SCOPES},
            agreed=agreed,
            declined={},
        )

    def revoke(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Serve ``oauth2/revoke_token/``."""
        check_app(given)
        with self._lock:
            gone = self._known.pop(str(given.get("access_token") or ""), None)
        if gone is None:
            raise bad_token()
        return {}


def check_app(given: Mapping[str, Any]) -> None:
    """Refuse an unknown application or a wrong secret."""
    for name in ("app_id", "secret"):
        if not given.get(name):
            raise lacking(name)
    if str(given["app_id"]) != APP_ID:
        raise invalid("app_id: The app does not exist.")
    if given["secret"] != APP_SECRET:
        raise TikTokError(40002, "The app_id and secret do not match.")
