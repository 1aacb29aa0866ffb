"""Every request that was served, without its secrets."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from typing import Any

_SECRET = ("token", "secret", "proof", "password", "sign", "code_verifier", "assertion")
_SECRET_NAMES = ("code", "auth_code")  # of consent: whoever has one has the account
_KEPT = 200_000
_HIDDEN = "***"


class Journal:
    """The last requests, oldest first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: deque[dict[str, Any]] = deque(maxlen=_KEPT)

    def add(self, **entry: Any) -> None:
        """Write one request down."""
        with self._lock:
            self._entries.append(entry)

    def entries(self, platform: str | None = None, *, contains: str = "") -> list[dict[str, Any]]:
        """Return the requests of a platform whose ``METHOD path`` contains a text."""
        with self._lock:
            entries = list(self._entries)
        return [
            entry
            for entry in entries
            if platform in (None, entry["platform"])
            and contains in f"{entry['method']} {entry['path']}"
        ]

    def clear(self) -> int:
        """Forget everything; returns how much there was."""
        with self._lock:
            gone = len(self._entries)
            self._entries.clear()
            return gone


def without_secrets(params: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters with the values of credentials hidden and long ones cut."""
    return {name: _shown(name, value) for name, value in params.items()}


def _shown(name: str, value: str) -> str:
    if name.lower() in _SECRET_NAMES or any(word in name.lower() for word in _SECRET):
        return _HIDDEN
    if name == "batch":  # its items may carry tokens, and are written down one by one
        return f"({len(value)} characters)"
    return value[:2000]
