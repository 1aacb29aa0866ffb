"""A service account: its key for the client, and the check of what the key signed."""

from __future__ import annotations

import base64
import binascii
import json
import threading
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_provider_liftos.sandbox.world import World

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

EMAIL = "sandbox@liftos-sandbox.iam.gserviceaccount.com"
_KEY_ID = "sandbox-key"
_LONGEST = 3600


class ServiceAccount:
    """One account; its key is made when it is first asked for."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._lock = threading.Lock()

    @cached_property
    def _key(self) -> RSAPrivateKey:
        from cryptography.hazmat.primitives.asymmetric import rsa

        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def key_file(self, token_uri: str) -> dict[str, str]:
        """Return the key file, as a console hands it out once."""
        from cryptography.hazmat.primitives.serialization import (
            Encoding,
            NoEncryption,
            PrivateFormat,
        )

        with self._lock:
            raw = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        private = raw.decode()
        self._world.keep_secret(private)
        return {
            "type": "service_account",
            "project_id": "liftos-sandbox",
            "private_key_id": _KEY_ID,
            "private_key": private,
            "client_email": EMAIL,
            "client_id": "100000000000000000001",
            "token_uri": token_uri,
        }

    def check(self, assertion: str) -> str:
        """Return the scopes that a signed assertion asks for; raises OAuthError."""
        from .oauth import OAuthError

        try:
            head, body, signature = assertion.split(".")
            claims: dict[str, Any] = json.loads(_decoded(body))
            self._verify(f"{head}.{body}".encode(), _decoded(signature))
        except (ValueError, binascii.Error):
            raise OAuthError("invalid_grant", "Invalid JWT Signature.") from None
        if claims.get("iss") != EMAIL:
            raise OAuthError("invalid_grant", "Invalid grant: account not found")
        begun, ends = float(claims.get("iat", 0)), float(claims.get("exp", 0))
        # A client goes by its own clock, and the sandbox may be days ahead: only the span counts.
        if not 0 < ends - begun <= _LONGEST:
            raise OAuthError(
                "invalid_grant",
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a "
                "reasonable timeframe. Check your iat and exp values in the JWT claim.",
            )
        if not str(claims.get("aud", "")).endswith("/token"):
            raise OAuthError("invalid_grant", "Invalid JWT: wrong audience")
        scope = str(claims.get("scope", ""))
        if not scope:
            raise OAuthError("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
        return scope

    def _verify(self, signed: bytes, signature: bytes) -> None:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.hashes import SHA256

        try:
            with self._lock:
                self._key.public_key().verify(signature, signed, PKCS1v15(), SHA256())
        except InvalidSignature:
            raise ValueError("signature") from None


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
