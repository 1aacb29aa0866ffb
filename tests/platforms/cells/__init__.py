"""What must come of each fault, platform by platform: one module each, named as the platform."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from airflow_provider_liftos.platforms import names

RIGHT, PARTIAL, REFUSED, GIVEN_UP = "right", "partial", "refused", "given up"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A fault and its end.

    ``extra`` requests are allowed beyond the platform's CALM, or beyond 2 where it refuses. With
    ``one_account`` the fault strikes the first account alone. ``duplicates`` are rows that came
    twice and are counted once, at most. ``options`` are of the
    connection, for platforms that have several ways.
    """

    kind: str
    verdict: str = RIGHT
    extra: int = 0
    order: Mapping[str, Any] = field(default_factory=dict)
    one_account: bool = False
    page_size: int | None = None
    name: str = ""
    dropped: tuple[str, ...] = ()
    told: str = ""
    duplicates: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name or self.kind


def cell(kind: str, verdict: str = RIGHT, extra: int = 0, **parts: Any) -> Cell:
    """A cell; what is none of its parts is an option of the fault."""
    own = {key: parts.pop(key) for key in tuple(parts) if key in Cell.__dataclass_fields__}
    return Cell(kind=kind, verdict=verdict, extra=extra, order=parts, **own)


def of(platform: str) -> ModuleType:
    """A module with CALM (requests when nothing goes wrong, at most), CELLS and DOES_NOT_APPLY."""
    return importlib.import_module(f"tests.platforms.cells.{platform}")


def all_cells() -> list[tuple[str, Cell]]:
    """Every cell of every platform."""
    return [(name, one) for name in names() for one in of(name).CELLS]


def one_of_each_kind() -> list[tuple[str, Cell]]:
    """The first cell of every kind of every platform."""
    found = {(name, one.kind): one for name, one in reversed(all_cells())}
    return [(name, one) for (name, _), one in reversed(found.items())]
