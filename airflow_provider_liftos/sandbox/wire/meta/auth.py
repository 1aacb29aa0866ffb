"""Applications, tokens, permissions and the proof of the application's secret."""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from airflow_provider_liftos.sandbox.consent import Codes, consent, refusal, registered
from airflow_provider_liftos.sandbox.dataset.chance import digest
from airflow_provider_liftos.sandbox.wire import WireRequest, WireResponse
from airflow_provider_liftos.sandbox.world import World

from .errors import (
    GraphError,
    bad_token,
    expired_token,
    invalid,
    missing_permission,
    no_token,
)

APP_ID = "1001"
APP_SECRET = "sandbox-secret"  # noqa: S105  # the sandbox's own, documented
ALL_SCOPES = ("ads_read", "ads_management", "business_management")
SHORT_LIFE = timedelta(hours=1)
LONG_LIFE = timedelta(seconds=5_183_944)  # the vendor's own sample of about 60 days


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What a token may do. ``accounts`` is None for all; ``serial`` orders tokens by issue."""

    value: str
    kind: str
    scopes: tuple[str, ...]
    serial: int
    issued_at: datetime
    accounts: frozenset[str] | None = None
    expires_at: datetime | None = None

    def sees(self, account: str) -> bool:
        """Say whether the account was assigned to this token."""
        return self.accounts is None or account in self.accounts


class Tokens:
    """Every token ever issued."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._serials = count(1)
        self._lock = threading.Lock()
        self._known: dict[str, Token] = {}
        self._codes = Codes(world, "AQB", timedelta(minutes=10))
        first_two = frozenset(account.id for account in world.dataset("meta").accounts[:2])
        now = world.clock.now()
        app = f"{APP_ID}|{APP_SECRET}"
        self._issue("sandbox-token")
        self._issue("sandbox-token-noread", scopes=("business_management",))
        self._issue("sandbox-token-expired", kind="USER", expires_at=now - timedelta(days=1))
        self._issue("sandbox-token-some", accounts=first_two)
        self._issue("sandbox-token-short", kind="USER", expires_at=now + timedelta(hours=1))
        self._issue(app, kind="APP", scopes=())
        world.keep_secret(APP_SECRET, *map(_proof, self._known))

    def _issue(
        self,
        value: str,
        *,
        kind: str = "SYSTEM_USER",
        scopes: tuple[str, ...] = ALL_SCOPES,
        accounts: frozenset[str] | None = None,
        expires_at: datetime | None = None,
    ) -> Token:
        token = Token(
            value=value,
            kind=kind,
            scopes=scopes,
            serial=next(self._serials),
            issued_at=self._world.clock.now(),
            accounts=accounts,
            expires_at=expires_at,
        )
        with self._lock:
            self._known[value] = token
        self._world.keep_secret(value)
        return token

    def authenticate(self, request: WireRequest) -> Token:
        """Return the token of a request, from query, form or header; raises GraphError."""
        value = request.params.get("access_token") or _bearer(request)
        if not value:
            raise no_token()
        return self._valid(value)

    def _valid(self, value: str) -> Token:
        token = self._known.get(value)
        if token is None:
            raise bad_token(
                "Invalid OAuth access token - Cannot parse access token", None, status=401
            )
        if token.expires_at and token.expires_at <= self._world.clock.now():
            raise expired_token()
        return token

    def check_proof(self, request: WireRequest, token: Token, *, required: bool) -> None:
        """Refuse a wrong proof always, and a missing one where it is required."""
        proof = request.params.get("appsecret_proof")
        if proof is None:
            if required:
                raise GraphError(
                    "API calls from the server require an appsecret_proof argument",
                    code=100,
                    kind="GraphMethodException",
                )
            return
        if not hmac.compare_digest(proof.encode(), _proof(token.value).encode()):
            raise GraphError(
                "Invalid appsecret_proof provided in the API argument",
                code=100,
                kind="GraphMethodException",
            )

    def exchange(self, params: Mapping[str, str]) -> dict[str, Any]:
        """Serve ``oauth/access_token``: a token for a code, a long-lived one, or the app's."""
        _check_client(params)
        grant = params.get("grant_type", "")
        if "code" in params:
            return self._of_code(params)
        if grant == "client_credentials":
            return {"access_token": f"{APP_ID}|{APP_SECRET}", "token_type": "bearer"}
        if grant != "fb_exchange_token":
            raise invalid(f"Unsupported grant_type {grant!r}")
        old = self._valid(params.get("fb_exchange_token", ""))
        now = self._world.clock.now()
        fresh = "EAAL" + digest(old.value, old.serial, next(self._serials), now, size=30).hex()
        token = self._issue(fresh, kind=old.kind, scopes=old.scopes, accounts=old.accounts)
        with self._lock:
            self._known[fresh] = replace(token, expires_at=now + LONG_LIFE)
        self._world.keep_secret(_proof(fresh))
        return {
            "access_token": fresh,
            "token_type": "bearer",
            "expires_in": int(LONG_LIFE.total_seconds()),
        }

    def _of_code(self, params: Mapping[str, str]) -> dict[str, Any]:
        code = params["code"]
        given = self._codes.spend(code)
        if given is None and not self._codes.known(code):
            raise GraphError("Invalid verification code format.", code=100)
        if given is None:
            raise GraphError("This authorization code has been used.", code=100, subcode=36009)
        if self._codes.too_old(given):
            raise GraphError("This authorization code has expired.", code=100, subcode=36007)
        if given.redirect_uri != params.get("redirect_uri"):
            raise GraphError(
                "Error validating verification code. Please make sure your redirect_uri is "
                "identical to the one you used in the OAuth dialog request",
                code=100,
                subcode=36008,
            )
        value = "EAAS" + digest("short", code, next(self._serials), size=30).hex()
        expires_at = self._world.clock.now() + SHORT_LIFE
        self._issue(value, kind="USER", scopes=given.scopes, expires_at=expires_at)
        self._world.keep_secret(_proof(value))
        seconds = int(SHORT_LIFE.total_seconds())
        return {"access_token": value, "token_type": "bearer", "expires_in": seconds}

    def dialog(self, request: WireRequest) -> WireResponse:
        """Serve ``dialog/oauth``, the page on which a person consents."""
        params = request.params
        target = params.get("redirect_uri", "")
        if params.get("client_id") != APP_ID:
            return refusal("Invalid App ID: The provided app ID does not look like a valid app ID.")
        if not registered(target):
            return refusal("URL Blocked: the redirect URI is not whitelisted in the app's settings")
        if params.get("response_type", "code") != "code":
            return refusal("Unsupported response_type")
        asked = [one for one in params.get("scope", "").split(",") if one]
        if unknown := [one for one in asked if one not in ALL_SCOPES]:
            return refusal(f"Invalid Scopes: {', '.join(unknown)}")
        return consent(
            request,
            title="Log in with Facebook",
            scopes={one: one for one in asked},
            agreed=lambda kept: {"code": self._codes.issue(("public_profile", *kept), target)},
            declined={
                "error": "access_denied",
                "error_code": "200",
                "error_description": "Permissions error",
                "error_reason": "user_denied",
            },
            fragment="#_=_",
        )

    def describe(self, value: str) -> dict[str, Any]:
        """Serve ``debug_token``: what is known of a token, also of a dead one."""
        token = self._known.get(value)
        if token is None:
            error = {"code": 190, "message": "Invalid OAuth access token.", "subcode": 467}
            return {"data": {"error": error, "is_valid": False, "scopes": []}}
        now = self._world.clock.now()
        expires = int(token.expires_at.timestamp()) if token.expires_at else 0
        data: dict[str, Any] = {
            "app_id": APP_ID,
            "type": token.kind,
            "application": "liftos-sandbox",
            "is_valid": token.expires_at is None or token.expires_at > now,
            "expires_at": expires,
            "data_access_expires_at": 0,
            "issued_at": int(token.issued_at.timestamp()),
            "user_id": "122000000000001",
            "scopes": list(token.scopes),
            "granular_scopes": [_granular(scope, token) for scope in token.scopes],
        }
        if not data["is_valid"]:
            message = "Error validating access token: Session has expired."
            data["error"] = {"code": 190, "message": message, "subcode": 463}
        return {"data": data}


def require_ads_read(token: Token) -> None:
    """Refuse a token that may not read ads."""
    if not {"ads_read", "ads_management"} & set(token.scopes):
        raise missing_permission()


def how_authorized(request: WireRequest) -> str:
    """Say where the token of a request was, for the journal: addresses end up in logs."""
    if "access_token" in request.params:
        return "parameter"
    return "header" if _bearer(request) else "none"


def _granular(scope: str, token: Token) -> dict[str, Any]:
    if token.accounts is None:
        return {"scope": scope}
    return {"scope": scope, "target_ids": sorted(token.accounts)}


def _check_client(params: Mapping[str, str]) -> None:
    if params.get("client_id") != APP_ID:
        raise GraphError(
            "Error validating application. Cannot get application info due to a system error.",
            code=101,
        )
    if params.get("client_secret") != APP_SECRET:
        raise GraphError("Error validating client secret.", code=1)


def _bearer(request: WireRequest) -> str:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() in ("bearer", "oauth") else ""


def _proof(token: str) -> str:
    return hmac.new(APP_SECRET.encode(), token.encode(), hashlib.sha256).hexdigest()
