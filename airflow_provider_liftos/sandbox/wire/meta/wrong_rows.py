"""Rows that are not true: what the fault ``rows_changed`` makes of a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from .query import Query


def concerns(options: Mapping[str, Any], query: Query) -> bool:
    """Say whether a report covers the day that is meant; without one, every report does."""
    day = options.get("date")
    return day is None or any(str(since) <= day <= str(until) for since, until in query.periods)


def changed(options: Mapping[str, Any], rows: Sequence[bytes]) -> list[bytes]:
    """Return the rows of a page with those of the day as ordered."""
    return [one for row in rows for one in _changed(options, row)]


def _changed(options: Mapping[str, Any], row: bytes) -> Iterator[bytes]:
    values: dict[str, Any] = msgspec.json.decode(row)
    if values.get("date_start") != options.get("date", values.get("date_start")):
        yield row
        return
    if options.get("again"):
        yield row
    for name, factor in (options.get("multiply") or {}).items():
        if name in values:
            values[name] = _times(str(values[name]), factor)
    values.update(options.get("set") or {})
    yield msgspec.json.encode({name: value for name, value in values.items() if value is not None})


def _times(number: str, factor: float) -> str:
    """Multiply a number in a text, and keep how many digits it has after the point."""
    value = Decimal(number)
    return str((value * Decimal(str(factor))).quantize(value))
