"""How far a source was read: the greatest value of its cursor column, kept as text with its type.

The next run begins *at* that value, less the overlap, never behind it: rows that share it may have
been committed since. What is read twice is not there twice, because whole days are replaced.

Texts are compared as texts. Those of numbers are refused: ``10`` comes before ``9`` there, and
would never be read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from airflow_provider_liftos.model.errors import ConfigurationError

_DAY = 86_400
_READ: Mapping[str, Any] = {
    "int": int,
    "decimal": Decimal,
    "date": date.fromisoformat,
    "moment": datetime.fromisoformat,
    "clock": datetime.fromisoformat,
    "text": str,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """A value of a cursor column; ``kind`` is what it is."""

    kind: str
    text: str

    @classmethod
    def of(cls, value: Any, column: str) -> Reached:
        """A value as the driver gave it; ConfigurationError for what has no exact order."""
        kind = _kind(value)
        if not kind:
            raise ConfigurationError(
                f"the cursor column {column!r} holds {type(value).__name__} values",
                hint="A cursor is a timestamp, a date, a whole or decimal number, or text; cast it"
                " in your query.",
            )
        if isinstance(value, str) and _is_number(value):
            raise ConfigurationError(
                f"the cursor column {column!r} holds numbers as text, such as {value!r}, which do"
                " not sort by their size: rows would be missed",
                hint="Cast it to a number in your query; of files, all its values must be numbers.",
            )
        is_time = isinstance(value, date)
        return cls(kind=kind, text=value.isoformat() if is_time else str(value))

    @classmethod
    def between(cls, least: Any, most: Any, column: str) -> Reached:
        """The greatest value of a column whose least one is in the same order.

        Raises ConfigurationError where not all of its values are.
        """
        begun, found = cls.of(least, column), cls.of(most, column)
        if "text" in {begun.kind, found.kind} and begun.kind != found.kind:
            raise ConfigurationError(
                f"the cursor column {column!r} holds texts among other values",
                hint="Cast it to one type in your query.",
            )
        return found

    def bound(self, overlap: float, column: str) -> Any:
        """The value from which, itself included, the next run reads.

        Raises ConfigurationError where ``overlap`` cannot be taken from a text.
        """
        value = _READ[self.kind](self.text)
        if not overlap:
            return value
        if self.kind in {"int", "decimal"}:
            return value - math.ceil(overlap)
        if self.kind == "date":
            return value - timedelta(days=math.ceil(overlap / _DAY))
        if self.kind == "text":
            return _earlier(value, overlap, column)
        return value - timedelta(seconds=overlap)


def _kind(value: Any) -> str:
    if isinstance(value, datetime):
        return "moment" if value.tzinfo else "clock"
    if isinstance(value, bool):
        return ""
    kinds = {date: "date", int: "int", Decimal: "decimal", str: "text"}
    return next((kind for known, kind in kinds.items() if isinstance(value, known)), "")


def _is_number(text: str) -> bool:
    try:
        return Decimal(text.strip()).is_finite()
    except InvalidOperation:
        return False


def _earlier(text: str, overlap: float, column: str) -> str:
    """The same for moments as text, to the second: what is shorter sorts before what is longer."""
    try:
        moment = datetime.fromisoformat(text) - timedelta(seconds=math.ceil(overlap))
    except ValueError:
        raise ConfigurationError(
            f"the cursor column {column!r} holds texts that are no moments, so that no overlap can"
            " be taken from them",
            hint="Leave overlap out, or make the column a timestamp in your query.",
        ) from None
    if len(text) == len("2026-11-21"):
        return moment.date().isoformat()
    mark = "T" if "T" in text else " "
    return moment.replace(tzinfo=None).isoformat(sep=mark, timespec="seconds")
