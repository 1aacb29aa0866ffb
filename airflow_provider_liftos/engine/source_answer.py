"""The answer of a statement that has few rows, as plain JSON and back, types and all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Self
from uuid import UUID

_WRITTEN: Mapping[type, tuple[str, Callable[[Any], str]]] = {
    Decimal: ("decimal", str),
    float: ("float", repr),
    datetime: ("datetime", datetime.isoformat),
    date: ("date", date.isoformat),
    time: ("time", time.isoformat),
    UUID: ("uuid", str),
}
_READ: Mapping[str, Callable[[str], Any]] = {
    "decimal": Decimal,
    "float": float,
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "uuid": UUID,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Names of its columns, and its rows as the driver gave them."""

    columns: Sequence[str]
    rows: list[tuple[Any, ...]]

    def encoded(self) -> dict[str, Any]:
        """Plain JSON; TypeError for a value that has no text."""
        rows = [[_encoded(value) for value in row] for row in self.rows]
        return {"columns": list(self.columns), "rows": rows}

    @classmethod
    def decoded(cls, value: Mapping[str, Any]) -> Self:
        """What was encoded."""
        rows = [tuple(_decoded(one) for one in row) for row in value["rows"]]
        return cls(columns=value["columns"], rows=rows)


def _encoded(value: Any) -> Any:
    if value is None or type(value) in {bool, int, str}:
        return value
    name, written = next(
        (how for kind, how in _WRITTEN.items() if isinstance(value, kind)), ("", str)
    )
    if not name:
        raise TypeError(type(value).__name__)
    return [name, written(value)]


def _decoded(value: Any) -> Any:
    return _READ[value[0]](value[1]) if isinstance(value, list) else value
