"""From rows to protobuf bytes, ten thousand at a time.

A message may be written in parts that lie one behind the other, and reads as their union. So
what a row is about is written once for each subject, its segments once for each value, and
only the metrics for every row.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Any, NamedTuple

from .numbers import METRICS, OF_SUBJECT, Found
from .schema import METRICS as METRIC
from .schema import SEGMENTS, Field, Schema
from .search import Search

BATCH = 10_000
_RESULTS = b"\x0a"  # field 1, length-delimited: the results of either response
_KEPT_SEGMENTS = 50_000


class Batch(NamedTuple):
    """Rows of one response, framed as its field ``results``."""

    data: bytes
    rows: int
    last: bool


def field_mask(search: Search) -> list[str]:
    """Return the paths of everything selected."""
    return list(search.plan.query.fields)


def batches(search: Search, schema: Schema) -> Iterator[Batch]:
    """Yield all rows; an empty result is one batch without rows."""
    write = _writer(search, schema)
    framed: list[bytes] = []
    for row in search.rows():
        if len(framed) == BATCH:
            yield Batch(b"".join(framed), BATCH, last=False)
            framed = []
        data = write(row)
        framed.append(b"".join((_RESULTS, _varint(len(data)), data)))
    yield Batch(b"".join(framed), len(framed), last=True)


def _varint(number: int) -> bytes:
    if number < 128:
        return bytes((number,))
    parts = []
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes((*parts, number))


def _writer(search: Search, schema: Schema) -> Callable[[Found], bytes]:
    plan, new = search.plan, schema.Row
    attributes = [*_attributes(search, schema), *_segments(search, own=True)]
    segments = _segments(search, own=False)
    metrics = [
        (field.path[-1], METRICS[field.path[-1]])
        for field in plan.selected(METRIC)
        if field.path[-1] in METRICS
    ]
    kept: dict[Hashable, bytes] = {}

    def written(row: Found, fields: list[Field]) -> bytes:
        message = new()
        for field in fields:
            put(message, field, search.value(row, field))
        encoded: bytes = message.SerializeToString()
        return encoded

    def write(row: Found) -> bytes:
        subject = row.subject
        if subject.prefix is None:
            subject.prefix = written(row, attributes)
        middle = kept.get((row.day, row.parts))
        if middle is None:
            if len(kept) > _KEPT_SEGMENTS:
                kept.clear()
            middle = kept[row.day, row.parts] = written(row, segments)
        message = new()
        numbers = message.metrics
        for name, getter in metrics:
            value = getter(row)
            if value:
                setattr(numbers, name, value)
        return b"".join((subject.prefix, middle, message.SerializeToString()))

    return write


def _attributes(search: Search, schema: Schema) -> list[Field]:
    """Return the selected attributes, and the names of the resources they belong to."""
    plan = search.plan
    found = [plan.fields[name] for name in plan.query.fields]
    found = [field for field in found if field.resource not in (METRIC, SEGMENTS)]
    if plan.query.parameters.get("omit_unselected_resource_names", "").lower() == "true":
        return found
    resources = dict.fromkeys((plan.query.resource, *(field.resource for field in found)))
    names = (schema.field(f"{resource}.resource_name") for resource in resources)
    return [*found, *(field for field in names if field is not None)]


def _segments(search: Search, *, own: bool) -> list[Field]:
    """Return the segments that depend on the subject (``own``), or the others."""
    return [
        field
        for field in search.plan.selected(SEGMENTS)
        if (field.name.split(".", 1)[1] in OF_SUBJECT) == own
    ]


def put(message: Any, field: Field, value: Any) -> None:
    """Write a value at the field's path; nothing is written for None.

    An enum's value is its name, or the number of a name that this version does not know.
    """
    if value is None:
        return
    for step in field.path[:-1]:
        message = getattr(message, step)
    last = field.path[-1]
    if field.repeated:
        getattr(message, last).extend(value)
    elif field.enum is not None and isinstance(value, str):
        known = field.enum.values_by_name.get(value)
        setattr(message, last, known.number if known else 1)
    else:
        setattr(message, last, value)
