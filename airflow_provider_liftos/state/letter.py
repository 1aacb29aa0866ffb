"""What a dead letter is: a request, a slice or a row that could not be processed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row

SLICE, ROW, REQUEST = "slice", "row", "request"
KINDS = (SLICE, ROW, REQUEST)

OPEN, REPLAYING = "open", "replaying"
REPLAYED, SUPERSEDED, DISCARDED = "replayed", "superseded", "discarded"
"""Closed: a replay went well, a later run brought it anyway, a person has let it go."""
STATES = (OPEN, REPLAYING, REPLAYED, SUPERSEDED, DISCARDED)

PLAIN, CUT, SEALED, LEFT_OUT = "plain", "cut", "sealed", "left_out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What is to become a letter.

    ``payload`` has no secrets any more; ``personal`` says that it holds personal data. ``spec`` is
    plain JSON without either. ``identity`` is what makes two letters one (default: the payload,
    from which nothing may be derived where it is personal).
    """

    kind: str
    platform: str
    account_id: str
    name: str
    reason: str
    payload: str = ""
    personal: bool = False
    identity: str = ""
    since: str = ""
    until: str = ""
    spec: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise ValueError for a personal payload without an identity."""
        if self.personal and not self.identity:
            raise ValueError("a letter with a personal payload needs an identity")

    @property
    def id(self) -> str:
        """Equal for letters that are one."""
        what = self.identity or f"{self.reason}\x1f{self.payload}"
        parts = (self.platform, self.account_id, self.kind, self.name, what)
        return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A letter as it is kept; moments are epoch seconds, ``days`` the days on which it was seen."""

    id: str
    platform: str
    account_id: str
    kind: str
    name: str
    reason: str
    since: str
    until: str
    state: str
    attempts: int
    created_at: float
    updated_at: float
    form: str
    payload: str | None = field(repr=False)
    spec: Mapping[str, Any]
    days: tuple[str, ...]
    load_id: str
    dag_id: str
    run_id: str
    closed_at: float | None
    closed_by: str
    claimed_by: str
    claimed_until: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which letters: those that match all of what is given."""

    ids: Sequence[str] | None = None
    platform: str | None = None
    account_id: str | None = None
    kind: str | None = None
    name: str | None = None
    states: Collection[str] | None = None


_WORDS = ("account_id", "name", "since", "until", "form", "load_id", "dag_id", "run_id",
          "closed_by", "claimed_by")  # fmt: skip


def read(row: Row[Any]) -> Letter:
    """The letter of a row of the table."""
    values: dict[str, Any] = dict(row._mapping)  # noqa: SLF001  the documented way to a row by name
    ways: dict[str, Callable[[Any], Any]] = {
        "spec": lambda text: json.loads(text or "{}"),
        "days": lambda text: tuple(json.loads(text or "[]")),
        **dict.fromkeys(_WORDS, lambda text: text or ""),
    }
    same: Callable[[Any], Any] = lambda value: value  # noqa: E731
    return Letter(**{n: ways.get(n, same)(values[n]) for n in Letter.__dataclass_fields__})
