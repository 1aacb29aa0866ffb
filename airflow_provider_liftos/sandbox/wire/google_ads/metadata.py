"""GoogleAdsFieldService: which fields exist, of which type, and what goes with what."""

from __future__ import annotations

from typing import Any

from .catalogue import OF_CONVERSIONS, SOURCES, conversion_metric, source
from .conditions import test_of
from .errors import AdsError, unrecognized_field
from .gaql import Condition, parse
from .schema import METRICS, SEGMENTS, Field, Schema

_STRINGS = ("name", "resource_name", "type_url")


def search(schema: Schema, text: str) -> tuple[list[Any], tuple[str, ...]]:
    """Return the fields that a query without FROM asks for, and the words it selects.

    Raises AdsError for a query that cannot be read.
    """
    query = parse(text, has_from=False)
    new = schema.message("resources.types.google_ads_field", "GoogleAdsField")
    known = new.DESCRIPTOR.fields_by_name
    for word in (*query.fields, *(one.field for one in query.conditions)):
        if word not in known:
            raise unrecognized_field(word)
    enums = {name: known[name].enum_type for name in ("category", "data_type")}
    found = [
        one for one in map(_Known(schema).describe, schema.names()) if _meets(one, query.conditions)
    ]
    found = found[: query.limit]
    return [_message(new(), one, query.fields, enums) for one in found], query.fields


def get(schema: Schema, name: str) -> Any:
    """Return one field by its name; raises AdsError if there is none."""
    text = f"SELECT name, category, selectable, filterable, sortable, data_type, is_repeated, \
enum_values, selectable_with, attribute_resources, metrics, segments WHERE name = '{name}'"
    found, _ = search(schema, text)
    if not found:
        raise AdsError(
            "request_error",
            "RESOURCE_NOT_FOUND",
            f"Field '{name}' was not found.",
            status="NOT_FOUND",
        )
    return found[0]


def _meets(one: dict[str, Any], conditions: tuple[Condition, ...]) -> bool:
    for condition in conditions:
        value = one[condition.field]
        listed = isinstance(value, list)
        shown = str(value).lower() if isinstance(value, bool) else value
        kind = "STRING" if condition.field in _STRINGS else "RESOURCE_NAME"
        asked = condition
        if isinstance(value, bool):
            asked = Condition(condition.field, condition.operator,
                              tuple(text.lower() for text in condition.values))  # fmt: skip
        field = Field(f"field.{condition.field}", (condition.field,), kind, listed)
        if not test_of(asked, field)(shown):
            return False
    return True


def _message(message: Any, one: dict[str, Any], words: tuple[str, ...], enums: Any) -> Any:
    message.resource_name = one["resource_name"]
    for word in words:
        value = one[word]
        if isinstance(value, list):
            getattr(message, word).extend(value)
        elif word in enums:
            setattr(message, word, enums[word].values_by_name[value].number)
        else:
            setattr(message, word, value)
    return message


class _Known:
    """Describes fields; long lists are made once."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        descriptor = schema.Row.DESCRIPTOR.fields_by_name
        self._metrics = [one.name for one in descriptor[METRICS].message_type.fields]

    def describe(self, name: str) -> dict[str, Any]:
        """Return everything about a field or resource."""
        resource = name.partition(".")[0]
        field = self._schema.field(name)
        base: dict[str, Any] = {
            "resource_name": f"googleAdsFields/{name}",
            "name": name,
            "type_url": "",
            "enum_values": [],
            "attribute_resources": [],
            "metrics": [],
            "segments": [],
        }
        if field is None:
            return {**base, **self._resource(name)}
        category = {METRICS: "METRIC", SEGMENTS: "SEGMENT"}.get(resource, "ATTRIBUTE")
        message = field.kind == "MESSAGE"
        values = [v.name for v in field.enum.values] if field.enum is not None else []
        return {
            **base,
            "category": category,
            "selectable": True,
            "filterable": not message,
            "sortable": not field.repeated and not message,
            "data_type": field.kind,
            "is_repeated": field.repeated,
            "enum_values": values,
            "selectable_with": self._with(field, category),
        }

    def _resource(self, name: str) -> dict[str, Any]:
        known = source(name)
        metrics = self._metrics if known.metrics is None else sorted(known.metrics)
        return {
            "category": "RESOURCE",
            "selectable": False,
            "filterable": False,
            "sortable": False,
            "data_type": "MESSAGE",
            "is_repeated": False,
            "selectable_with": [],
            "attribute_resources": sorted(known.beside),
            "metrics": [f"metrics.{one}" for one in metrics],
            "segments": [f"segments.{one}" for one in sorted(known.segments)],
        }

    def _with(self, field: Field, category: str) -> list[str]:
        """Return the resources, segments and metrics that may stand beside a metric or segment."""
        word = field.name.split(".")[1]
        if category == "METRIC":
            plain = SOURCES["campaign"].segments
            kept = plain if conversion_metric(word) else plain - OF_CONVERSIONS
            offered = [
                name for name, one in SOURCES.items() if one.metrics is None or word in one.metrics
            ]
            return offered + [f"segments.{one}" for one in sorted(kept)]
        if category == "SEGMENT":
            about = word in OF_CONVERSIONS
            metrics = [one for one in self._metrics if conversion_metric(one) or not about]
            return [one for one in SOURCES if word in SOURCES[one].segments] + [
                f"metrics.{one}" for one in metrics
            ]
        return [one for one in SOURCES if field.resource in SOURCES[one].beside]
