"""One call as the handlers see it, and what they answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airflow_provider_liftos.sandbox.wire import Headers, WireRequest

from .auth import Token
from .errors import GraphError, invalid

NEWEST = "v26.0"
LIVE = ("v26.0", "v25.0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """``segments`` is the path behind the version; ``now`` the moment of the call."""

    request: WireRequest
    version: str
    segments: tuple[str, ...]
    params: Mapping[str, str]
    token: Token
    now: datetime

    @property
    def node(self) -> str:
        """Return the id that the call is about."""
        return self.segments[0] if self.segments else ""

    def text(self, name: str) -> str:
        """Return a parameter, empty if absent."""
        return self.params.get(name, "")

    def flag(self, name: str) -> bool:
        """Return a parameter as yes or no."""
        return self.text(name).lower() in ("true", "1", "yes")

    def names(self, name: str) -> tuple[str, ...]:
        """Return a list of words, written as JSON or with commas."""
        value = self.json(name) if self.text(name).startswith("[") else self.text(name).split(",")
        if not isinstance(value, list):
            raise invalid(f"{name} must be a list")
        return tuple(str(one).strip() for one in value if str(one).strip())

    def json(self, name: str) -> Any:
        """Return a parameter that is written as JSON; None if absent."""
        text = self.text(name)
        if not text:
            return None
        try:
            return json.loads(text)
        except ValueError:
            raise invalid(f"param {name} must be valid JSON") from None

    def number(self, name: str, otherwise: int, *, least: int = 0) -> int:
        """Return a whole number."""
        text = self.text(name)
        if not text:
            return otherwise
        if not text.lstrip("-").isdigit() or int(text) < least:
            raise invalid(f"param {name} must be an integer of at least {least}")
        return int(text)


@dataclass(slots=True, kw_only=True)
class Reply:
    """An answer; ``payload`` is JSON to be, or bytes that are JSON already."""

    payload: Any
    rows: int = 0
    status: int = 200
    headers: Headers = field(default_factory=list)
    notes: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Selection:
    """A field that is asked for, with the fields asked of what it leads to."""

    name: str
    inner: tuple[Selection, ...] = ()


def select(text: str) -> tuple[Selection, ...]:
    """Read ``id,name,creative{id,title}``; a JSON list of names will do too."""
    if text.lstrip().startswith("["):
        try:
            return tuple(Selection(str(name)) for name in json.loads(text))
        except ValueError:
            raise invalid("param fields must be a list of names") from None
    found, rest = _selections(text, 0)
    if rest != len(text):
        raise _syntax_error(text, rest)
    return found


def _syntax_error(text: str, position: int) -> GraphError:
    return GraphError(
        f'Syntax error "Unexpected character" at character {position}: {text[:80]}', code=2500
    )


def _selections(text: str, at: int) -> tuple[tuple[Selection, ...], int]:
    found: list[Selection] = []
    name = ""
    inner: tuple[Selection, ...] = ()
    while at <= len(text):
        char = text[at] if at < len(text) else ""
        if char in (",", "}", ""):
            if name.strip():
                found.append(Selection(name.strip().partition(".")[0], inner))
            name, inner = "", ()
            if char != ",":
                return tuple(found), at
        elif char == "{":
            inner, at = _selections(text, at + 1)
            if text[at : at + 1] != "}":
                raise _syntax_error(text, at)
        else:
            name += char
        at += 1
    return tuple(found), at
