"""The key ring: what the store must keep secret is sealed with AES-256-GCM.

The first key seals, every key opens: to rotate, put a new key in front, seal everything again
(``airflow liftos rotate-keys``), then take the old one away. What is sealed is bound to a context,
such as the row it belongs to: put elsewhere, it does not open.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from dataclasses import dataclass, field

from airflow_provider_liftos.model.errors import ConfigurationError

_KEY_BYTES = 32
_NONCE_BYTES = 12  # what GCM is made for; a random one per sealing
_HINT = (
    "[liftos] credential_keys holds keys of 32 bytes in URL-safe base64, separated by commas, the"
    " newest first; `airflow liftos rotate-keys --new` prints one."
)


def new_key() -> str:
    """A fresh key, as the setting wants it."""
    return base64.urlsafe_b64encode(os.urandom(_KEY_BYTES)).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRing:
    """Keys by their id, which says nothing of them; the first one seals."""

    keys: dict[str, bytes] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, text: str) -> KeyRing:
        """The ring that the setting holds; an empty one where it is empty.

        Raises:
            ConfigurationError: a key is not one; the message does not quote it.
        """
        given = [part.strip() for part in text.split(",") if part.strip()]
        return cls(keys={_name(key): key for key in (_decoded(i, p) for i, p in enumerate(given))})

    def __bool__(self) -> bool:
        """Whether anything can be sealed."""
        return bool(self.keys)

    @property
    def newest(self) -> str:
        """Id of the key that seals; ConfigurationError without one."""
        if not self.keys:
            raise ConfigurationError(
                "There is no key to keep a secret with, and nothing is kept in plain text.",
                hint=_HINT,
            )
        return next(iter(self.keys))

    def seal(self, plain: bytes, context: str) -> str:
        """Text that only this ring opens, and only in the same context.

        Raises:
            ConfigurationError: the ring is empty.
        """
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        name = self.newest
        nonce = os.urandom(_NONCE_BYTES)
        sealed = AESGCM(self.keys[name]).encrypt(nonce, plain, _bound(name, context))
        return f"{name}.{base64.urlsafe_b64encode(nonce + sealed).decode()}"

    def open(self, sealed: str, context: str) -> bytes:
        """What was sealed in that context.

        Raises:
            ConfigurationError: its key is not on the ring, or it was changed or moved.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        name, _, body = sealed.partition(".")
        if name not in self.keys:
            raise ConfigurationError(
                f"A secret of the state store was sealed with key {name!r}, which is not on the"
                " key ring.",
                hint=f"Put that key back behind the others. {_HINT}",
            )
        try:
            raw = base64.urlsafe_b64decode(body)
            return AESGCM(self.keys[name]).decrypt(
                raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], _bound(name, context)
            )
        except (InvalidTag, ValueError, binascii.Error):
            raise ConfigurationError(
                f"A secret of the state store does not open: it was changed, or moved from the row"
                f" it belongs to (key {name!r}).",
                hint="Enter the credentials in the connection again; they replace what is stored.",
            ) from None

    def stale(self, sealed: str) -> bool:
        """Whether it was sealed with an older key than the newest."""
        return sealed.partition(".")[0] != self.newest


def _decoded(position: int, part: str) -> bytes:
    try:
        key = base64.b64decode(part.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _KEY_BYTES:
        raise ConfigurationError(f"Key {position + 1} of the key ring is no key.", hint=_HINT)
    return key


def _name(key: bytes) -> str:
    return hashlib.sha256(b"liftos key id" + key).hexdigest()[:8]


def _bound(name: str, context: str) -> bytes:
    return f"{name}\x1f{context}".encode()
