"""Fields of Google Ads, as the protobufs of its library describe them, for every version it has.

Importing them takes more than a second and 75 MB, so it happens where rows are read or reports are
checked, never where a DAG is parsed. Of Google's large messages a query uses few fields: rows are
parsed into messages that hold those alone (others are skipped), which is several times faster.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cache, lru_cache
from typing import Any

from airflow_provider_liftos.model.errors import ConfigurationError

_SERVICE = "google.ads.googleads.{}.services.types.google_ads_service"
_DEEPEST = 4
_PACKAGE = "liftos"


class Shape(Enum):
    """What a field's value is."""

    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    TEXT = "text"
    ENUM = "enum"
    MESSAGE = "message"


@dataclass(frozen=True, slots=True)
class Leaf:
    """A field by its name in queries. ``path`` leads to it by the attributes of messages.

    ``names`` of an enum are by number.
    """

    name: str
    path: tuple[str, ...]
    shape: Shape
    repeated: bool
    names: Mapping[int, str] = field(compare=False)

    @property
    def parent(self) -> tuple[str, ...]:
        """The way to the message that holds it."""
        return self.path[:-1]


@cache
def service(version: str) -> Any:
    """The module of a version's search messages; ConfigurationError where it is not installed."""
    try:
        return importlib.import_module(_SERVICE.format(version))
    except ImportError:
        raise ConfigurationError(
            f"the library google-ads with API version {version} is not installed",
            platform="google_ads",
            hint="pip install 'airflow-provider-liftos[google-ads]', or set another api_version.",
        ) from None


def _row(version: str) -> Any:
    return service(version).GoogleAdsRow.pb().DESCRIPTOR


def _own(message: Any, name: str) -> Any:
    """A field by the name that queries use: Python's words carry an underscore (``type_``)."""
    return message.fields_by_name.get(name) or message.fields_by_name.get(f"{name}_")


@lru_cache(maxsize=4096)
def leaf(version: str, name: str) -> Leaf | None:
    """A field that can be selected, or None."""
    found, path = None, []
    message = _row(version)
    for part in name.split("."):
        found = _own(message, part) if message is not None else None
        if found is None:
            return None
        path.append(found.name)
        message = None if found.is_repeated else found.message_type
    if found is None or message is not None:
        return None
    return Leaf(name, tuple(path), _shape(found), bool(found.is_repeated), _names(found))


def _shape(field: Any) -> Shape:
    if field.message_type is not None:
        return Shape.MESSAGE
    if field.enum_type is not None:
        return Shape.ENUM
    return {
        field.CPPTYPE_BOOL: Shape.BOOL,
        field.CPPTYPE_STRING: Shape.TEXT,
        field.CPPTYPE_DOUBLE: Shape.FLOAT,
        field.CPPTYPE_FLOAT: Shape.FLOAT,
    }.get(field.cpp_type, Shape.INT)


def _names(field: Any) -> Mapping[int, str]:
    if field.enum_type is None:
        return {}
    return {value.number: value.name for value in field.enum_type.values}


def require(version: str, name: str) -> Leaf:
    """The field of that name; ConfigurationError names the nearest."""
    found = leaf(version, name)
    if found is None:
        near = difflib.get_close_matches(name, _all(version), n=1, cutoff=0.6)
        hint = f"did you mean {near[0]!r}?" if near else "see the reference of fields of Google Ads"
        raise ConfigurationError(f"Google Ads {version} has no field {name!r}; {hint}")
    if found.shape is Shape.MESSAGE:
        raise ConfigurationError(f"field {name!r} is a list of messages; they are not read here")
    return found


def is_resource(version: str, name: str) -> bool:
    """Whether a query may be FROM it."""
    return name not in {"metrics", "segments"} and _own(_row(version), name) is not None


@cache
def _all(version: str) -> tuple[str, ...]:
    return tuple(_walk(_row(version), "", _DEEPEST))


def _walk(message: Any, prefix: str, depth: int) -> Iterator[str]:
    for part in message.fields:
        name = prefix + part.name.removesuffix("_")
        if part.message_type is None or part.is_repeated:
            yield name
        elif depth:
            yield from _walk(part.message_type, f"{name}.", depth - 1)


@lru_cache(maxsize=64)
def narrow(version: str, kind: str, leaves: tuple[Leaf, ...]) -> Any:
    """The message class ``kind`` (an answer with ``results``), whose rows know only these fields.

    Enums are numbers in it, so that none is unknown; every field tells whether it was sent.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    full = getattr(service(version), kind).pb().DESCRIPTOR
    file = descriptor_pb2.FileDescriptorProto(
        name="narrow.proto", package=_PACKAGE, syntax="proto2"
    )
    answer = file.message_type.add(name="Answer")
    for part in full.fields:
        if part.message_type is None:
            _declare(answer, part, "")
    _declare(answer, full.fields_by_name["results"], "Row")
    _declare_messages(file, _row(version), "Row", [one.path for one in leaves])
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Answer"))


def _declare_messages(file: Any, full: Any, name: str, paths: Sequence[tuple[str, ...]]) -> None:
    """A message with the first steps of the paths, and those that lie below it."""
    message = file.message_type.add(name=name)
    for step in dict.fromkeys(path[0] for path in paths):
        field = full.fields_by_name[step]
        below = [path[1:] for path in paths if path[0] == step and len(path) > 1]
        _declare(message, field, f"{name}_{step}" if below else "")
        if below:
            _declare_messages(file, field.message_type, f"{name}_{step}", below)


def _declare(message: Any, field: Any, of: str) -> None:
    made = message.field.add(name=field.name, number=field.number)
    made.label = made.LABEL_REPEATED if field.is_repeated else made.LABEL_OPTIONAL
    made.type = made.TYPE_INT32 if field.type == field.TYPE_ENUM else field.type
    if of:
        made.type_name = f".{_PACKAGE}.{of}"
