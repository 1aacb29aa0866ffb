"""Google's consent page and token endpoint: refresh tokens, codes with PKCE, service accounts.

Known here: client ``sandbox-client`` with ``sandbox-secret``; refresh tokens
``sandbox-refresh-token``, ``sandbox-refresh-token-some`` (sees the agency only),
``sandbox-refresh-token-revoked``, and, which Google itself does not have,
``sandbox-refresh-token-rotating``, good for one exchange that brings the next; access token
``sandbox-token``, which does not expire.
``GET service_account.json`` hands out the key of a service account, as a console would.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from airflow_provider_liftos.sandbox.consent import Codes, consent, refusal, registered
from airflow_provider_liftos.sandbox.dataset.chance import digest
from airflow_provider_liftos.sandbox.faults import Fault
from airflow_provider_liftos.sandbox.wire import WireRequest, WireResponse
from airflow_provider_liftos.sandbox.world import World

from .errors import AdsError, unauthenticated
from .hierarchy import AGENCY
from .service_account import ServiceAccount

PLATFORM = "google_ads"
CLIENT_ID = "sandbox-client"
CLIENT_SECRET = "sandbox-secret"  # noqa: S105  # the sandbox's own, documented
SCOPE = "https://www.googleapis.com/auth/adwords"
ROTATING = "sandbox-refresh-token-rotating"
_LIFETIME = 3599
_JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class OAuthError(Exception):
    """A refusal of the token endpoint."""

    def __init__(self, error: str, description: str, *, status: int = 400) -> None:
        super().__init__(description)
        self.status = status
        self.body = {"error": error, "error_description": description}


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An access token. ``roots`` are the customers its user has access to."""

    value: str
    roots: tuple[str, ...]
    scope: str
    issued_at: datetime
    expires_at: datetime | None


class Tokens:
    """Every grant and every token ever issued."""

    def __init__(self, world: World, roots: tuple[str, ...]) -> None:
        self._world = world
        self._roots = roots
        self._numbers = count(1)
        self._lock = threading.Lock()
        self._access: dict[str, Token] = {}
        self._codes = Codes(world, "4/", timedelta(minutes=10))
        self._consented = False
        self._refresh: dict[str, tuple[tuple[str, ...], str] | None] = {
            "sandbox-refresh-token": (roots, SCOPE),
            "sandbox-refresh-token-some": ((AGENCY,), SCOPE),
            "sandbox-refresh-token-revoked": None,
            ROTATING: (roots, SCOPE),
        }
        self.service_account = ServiceAccount(world)
        self._keep(
            Token(
                value="sandbox-token",
                roots=roots,
                scope=SCOPE,
                issued_at=world.clock.now(),
                expires_at=None,
            )
        )
        world.keep_secret(CLIENT_SECRET, *self._refresh)

    def _keep(self, token: Token) -> Token:
        with self._lock:
            self._access[token.value] = token
        self._world.keep_secret(token.value)
        return token

    def authenticate(self, authorization: str, line: str, account: str | None) -> Token:
        """Return the token of a call from its ``authorization`` header; raises AdsError."""
        scheme, _, value = authorization.partition(" ")
        if scheme.lower() != "bearer" or not value:
            raise unauthenticated(
                "OAUTH_TOKEN_HEADER_INVALID",
                "OAuth token in the HTTP header is missing or has an invalid format.",
            )
        token = self._access.get(value.strip())
        if token is None or SCOPE not in token.scope.split():
            raise unauthenticated(
                "OAUTH_TOKEN_INVALID",
                "OAuth token could not be decoded, or it does not grant access to Google Ads.",
            )
        if token.expires_at and token.expires_at <= self._world.clock.now():
            raise unauthenticated("OAUTH_TOKEN_EXPIRED", "OAuth access token is expired.")
        self._strike(token, line, account)
        return token

    def _strike(self, token: Token, line: str, account: str | None) -> None:
        """Raise what faults say of the token; never of one issued after the fault was made."""

        def meant(fault: Fault) -> bool:
            named = fault.options.get("token")
            return named == token.value if named else token.issued_at <= fault.made_at

        fault = self._world.faults.take(
            ("token_expired", "token_revoked"),
            platform=PLATFORM,
            line=line,
            account=account,
            accept=meant,
        )
        if fault is None:
            return
        error: AdsError = unauthenticated("OAUTH_TOKEN_EXPIRED", "OAuth access token is expired.")
        if fault.kind == "token_revoked":
            error = unauthenticated("OAUTH_TOKEN_REVOKED", "OAuth access token was revoked.")
        raise error.override(fault.options)

    def grant(self, request: WireRequest) -> dict[str, Any]:
        """Serve ``POST token``; raises OAuthError."""
        if request.method != "POST":
            raise OAuthError("invalid_request", "Use POST", status=405)
        params = request.params
        revoked = self._world.faults.take(("token_revoked",), platform=PLATFORM, line=request.line)
        if revoked:
            raise OAuthError("invalid_grant", "Token has been expired or revoked.")
        kind = params.get("grant_type", "")
        if kind == _JWT_GRANT:
            scope = self.service_account.check(params.get("assertion", ""))
            return self._answer(self._roots, scope)
        grants = {"refresh_token": self._refreshed, "authorization_code": self._exchanged}
        if kind not in grants:
            raise OAuthError("unsupported_grant_type", f"Invalid grant_type: {kind}")
        _check_client(params)
        return grants[kind](params)

    def _refreshed(self, params: Mapping[str, str]) -> dict[str, Any]:
        value = params.get("refresh_token", "")
        with self._lock:
            given = self._refresh.get(value)
            if given is not None and value.startswith(ROTATING):
                self._refresh[value] = None
        if given is None:
            raise OAuthError("invalid_grant", "Token has been expired or revoked.")
        answer = self._answer(*given)
        if value.startswith(ROTATING):
            fresh = f"{ROTATING}-{next(self._numbers)}"
            self._refresh[fresh] = given
            self._world.keep_secret(fresh)
            answer["refresh_token"] = fresh
        return answer

    def _exchanged(self, params: Mapping[str, str]) -> dict[str, Any]:
        code = self._codes.spend(params.get("code", ""))
        if code is None or self._codes.too_old(code):
            raise OAuthError("invalid_grant", "Malformed auth code.")
        if code.redirect_uri != params.get("redirect_uri", ""):
            raise OAuthError("redirect_uri_mismatch", "Bad Request")
        if code.challenge:
            made = hashlib.sha256(params.get("code_verifier", "").encode()).digest()
            if not hmac.compare_digest(_base64url(made), code.challenge):
                raise OAuthError("invalid_grant", "Invalid code verifier.")
        scope = " ".join(code.scopes)
        answer = self._answer(self._roots, scope)
        if code.offline:
            fresh = "1//" + digest("refresh", next(self._numbers), params["code"], size=24).hex()
            self._refresh[fresh] = (self._roots, scope)
            self._world.keep_secret(fresh)
            answer["refresh_token"] = fresh
        return answer

    def _answer(self, roots: tuple[str, ...], scope: str) -> dict[str, Any]:
        now = self._world.clock.now()
        token = self._keep(
            Token(
                value="ya29." + digest(self._world.seed, now, next(self._numbers), size=32).hex(),
                roots=roots,
                scope=scope,
                issued_at=now,
                expires_at=now + timedelta(seconds=_LIFETIME),
            )
        )
        return {
            "access_token": token.value,
            "expires_in": _LIFETIME,
            "scope": scope,
            "token_type": "Bearer",
        }

    def authorize(self, request: WireRequest) -> WireResponse:
        """Serve the consent page."""
        params = request.params
        target = params.get("redirect_uri", "")
        if params.get("client_id") != CLIENT_ID:
            return refusal("invalid_client: The OAuth client was not found.")
        if not registered(target):
            return refusal("redirect_uri_mismatch")
        if params.get("response_type") != "code" or not params.get("scope"):
            return refusal("invalid_request: response_type and scope are required.")
        method = params.get("code_challenge_method", "plain")
        if params.get("code_challenge") and method != "S256":
            return refusal(f"invalid_request: Unsupported code_challenge_method: {method}")

        def agreed(kept: Sequence[str]) -> dict[str, str]:
            code = self._codes.issue(
                kept,
                target,
                challenge=params.get("code_challenge", ""),
                offline=params.get("access_type") == "offline" and self._asks_anew(params),
            )
            return {"code": code, "scope": " ".join(kept)}

        return consent(
            request,
            title="Sign in with Google",
            scopes={one: one for one in params["scope"].split()},
            agreed=agreed,
            declined={"error": "access_denied"},
        )

    def _asks_anew(self, params: Mapping[str, str]) -> bool:
        """Say whether a refresh token is due: the first time, and on ``prompt=consent``."""
        with self._lock:
            first, self._consented = not self._consented, True
        return first or "consent" in params.get("prompt", "").split()

    def revoke(self, params: Mapping[str, str]) -> dict[str, Any]:
        """Serve ``POST revoke``: of a refresh token, or of an access token."""
        value = params.get("token", "")
        with self._lock:
            if self._refresh.get(value) is not None:
                self._refresh[value] = None
            elif self._access.pop(value, None) is None:
                raise OAuthError("invalid_token", "Token expired or revoked")
        return {}


def _check_client(params: Mapping[str, str]) -> None:
    if params.get("client_id") != CLIENT_ID:
        raise OAuthError("invalid_client", "The OAuth client was not found.", status=401)
    if params.get("client_secret") != CLIENT_SECRET:
        raise OAuthError("invalid_client", "Unauthorized", status=401)


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
