"""One call as the handlers see it, and what they answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airflow_provider_liftos.sandbox.wire import Headers, WireRequest

from .auth import Token
from .errors import invalid, lacking, too_many_ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """``path`` is what follows the version; ``given`` the query, or the JSON of the body."""

    request: WireRequest
    path: str
    given: Mapping[str, Any]
    token: Token
    now: datetime

    def text(self, name: str, otherwise: str = "") -> str:
        """Return a parameter as text; a number in a body will do."""
        value = self.given.get(name)
        if value is None or value == "":
            return otherwise
        if isinstance(value, (list, dict)):
            raise invalid(f"{name}: Not a valid string.")
        return str(value)

    def required(self, name: str) -> str:
        """Return a parameter that must be there; raises 40002."""
        value = self.text(name)
        if not value:
            raise lacking(name)
        return value

    def flag(self, name: str, *, otherwise: bool = False) -> bool:
        """Return a parameter as yes or no."""
        value = self.text(name)
        return value.lower() in ("true", "1") if value else otherwise

    def number(self, name: str, otherwise: int, *, least: int = 1, most: int | None = None) -> int:
        """Return a whole number within bounds; raises 40002 beyond them."""
        value = self.text(name)
        if not value:
            return otherwise
        if not value.lstrip("-").isdigit():
            raise invalid(f"{name}: Not a valid integer.")
        found = int(value)
        if found < least or (most is not None and found > most):
            bound = f" and less than or equal to {most}" if most is not None else ""
            raise invalid(f"{name}: Must be greater than or equal to {least}{bound}.")
        return found

    def choice(self, name: str, options: tuple[str, ...], otherwise: str = "") -> str:
        """Return a parameter that is one of some words; raises 40002."""
        value = self.text(name, otherwise)
        if value not in options:
            raise invalid(f"{name}: Must be one of: {', '.join(options)}.")
        return value

    def structure(self, name: str) -> Any:
        """Return a list or object: JSON text in a query, the thing itself in a body."""
        value = self.given.get(name)
        if not isinstance(value, str):
            return value
        if not value:
            return None
        try:
            return json.loads(value)
        except ValueError:
            raise invalid(f"{name}: Not a valid JSON string.") from None

    def words(self, name: str, *, most: int | None = None) -> tuple[str, ...]:
        """Return a list of texts; raises 40002 for anything else, 40011 if it is too long."""
        value = self.structure(name)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise invalid(f"{name}: Not a valid list.")
        if most is not None and len(value) > most:
            raise too_many_ids(name, most)
        return tuple(map(str, value))


@dataclass(slots=True, kw_only=True)
class Reply:
    """An answer: ``data`` for the envelope, or ``raw`` bytes that are no envelope."""

    data: Any = None
    rows: int = 0
    headers: Headers = field(default_factory=list)
    notes: Mapping[str, object] = field(default_factory=dict)
    raw: bytes | None = None
    content_type: str = "application/json"
    status: int = 200
