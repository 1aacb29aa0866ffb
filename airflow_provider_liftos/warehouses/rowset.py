"""Rows of our own in a statement: lists where an engine takes them, or else one text of JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from airflow_provider_liftos.warehouses.contract import Capabilities


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A column: its type on the engine, and a list of values, or one value for all rows.

    ``name`` is what it is called, where that matters.
    """

    type: str
    name: str = ""
    values: Sequence[Any] | None = None
    value: Any = None


def rows_of(capabilities: Capabilities, columns: Sequence[Given]) -> tuple[str, list[object]]:
    """A SELECT of these columns in this order, with ``?`` placeholders, and its parameters.

    All lists are of one length; one of them at least is needed.
    """
    if capabilities.json_rows is None:
        many = capabilities.unnest
        shown = [
            _named(
                capabilities,
                one,
                f"CAST(? AS {one.type})" if one.values is None else many.format(type=one.type),
            )
            for one in columns
        ]
        params = [one.value if one.values is None else list(one.values) for one in columns]
        return f"SELECT {', '.join(shown)}", params
    return _from_json(capabilities, capabilities.json_rows, columns)


def _from_json(
    capabilities: Capabilities, rows: str, columns: Sequence[Given]
) -> tuple[str, list[object]]:
    shown: list[str] = []
    params: list[object] = []
    lists: list[list[str | None]] = []
    for one in columns:
        if one.values is None:
            shown.append(_named(capabilities, one, f"CAST(? AS {one.type})"))
            params.append(one.value)
            continue
        item = capabilities.json_item.format(i=len(lists))
        shown.append(_named(capabilities, one, f"CAST({item} AS {one.type})"))
        lists.append([_text(value) for value in one.values])
    text = json.dumps(list(zip(*lists, strict=True)), ensure_ascii=False, separators=(",", ":"))
    return f"SELECT {', '.join(shown)} FROM ({rows}) AS q", [*params, text]


def _named(capabilities: Capabilities, one: Given, sql: str) -> str:
    return f"{sql} AS {capabilities.ident(one.name)}" if one.name else sql


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, datetime | date) else str(value)
