"""The protobufs of one API version: messages by name, fields of the query language by path.

Comes from the vendor's own library, imported when the first call of a version arrives: it
costs a second and 60 MB for the first version, 40 MB for each further one.
"""

from __future__ import annotations

import importlib
import threading
from functools import cached_property
from typing import Any, NamedTuple

from .errors import AdsError

VERSIONS = ("v26", "v25", "v24", "v23")
NEWEST = VERSIONS[0]
METRICS, SEGMENTS = "metrics", "segments"
_DATES = frozenset({"segments.date", "segments.week", "segments.month", "segments.quarter"})
_lock = threading.RLock()


class Field(NamedTuple):
    """A field of the query language. ``path`` are the attributes that lead to it in a row."""

    name: str
    path: tuple[str, ...]
    kind: str  # BOOLEAN, DATE, DOUBLE, ENUM, INT32, INT64, MESSAGE, RESOURCE_NAME, STRING
    repeated: bool
    enum: Any = None

    @property
    def resource(self) -> str:
        """Return what stands before the first dot."""
        return self.name.partition(".")[0]

    @property
    def date_like(self) -> bool:
        """Say whether its text is a date or a moment."""
        return self.kind == "DATE" or self.name.endswith(("date_time", ".date"))


class Schema:
    """One version."""

    def __init__(self, version: str) -> None:
        self.version = version
        self._root = f"google.ads.googleads.{version}"
        self._fields: dict[str, Field | None] = {}
        services = self._module("services.types.google_ads_service")
        self.Row: Any = services.GoogleAdsRow.pb()
        self.SearchRequest: Any = services.SearchGoogleAdsRequest.pb()
        self.SearchResponse: Any = services.SearchGoogleAdsResponse.pb()
        self.StreamRequest: Any = services.SearchGoogleAdsStreamRequest.pb()
        self.StreamResponse: Any = services.SearchGoogleAdsStreamResponse.pb()

    def _module(self, name: str) -> Any:
        return importlib.import_module(f"{self._root}.{name}")

    def message(self, module: str, name: str) -> Any:
        """Return another message class of this version, raw."""
        with _lock:
            return getattr(self._module(module), name).pb()

    @cached_property
    def failure(self) -> Any:
        """Return the message class of errors."""
        return self.message("errors.types.errors", "GoogleAdsFailure")

    @cached_property
    def resources(self) -> frozenset[str]:
        """Return everything that may stand behind FROM."""
        return frozenset(self.Row.DESCRIPTOR.fields_by_name) - {METRICS, SEGMENTS}

    def field(self, name: str) -> Field | None:
        """Return a field by its name in queries; None if this version has none."""
        if name not in self._fields:
            self._fields[name] = self._look_up(name)
        return self._fields[name]

    def names(self) -> list[str]:
        """Return the names of all resources, and of their fields, metrics and segments."""
        found: list[str] = []
        for part in self.Row.DESCRIPTOR.fields:
            if part.name in self.resources:
                found.append(part.name)
            found += (f"{part.name}.{word}" for word in _leaves(part.message_type, depth=3))
        return found

    def _look_up(self, name: str) -> Field | None:
        descriptor, path, leaf = self.Row.DESCRIPTOR, [], None
        for word in name.split("."):
            if descriptor is None:
                return None
            # Python keeps "type" for itself, so the library's fields carry an underscore.
            leaf = descriptor.fields_by_name.get(word) or descriptor.fields_by_name.get(f"{word}_")
            if leaf is None or word.endswith("_"):
                return None
            path.append(leaf.name)
            descriptor = leaf.message_type
        if leaf is None or len(path) < 2:
            return None
        kind = self._kind(name, leaf)
        return Field(name, tuple(path), kind, leaf.is_repeated, leaf.enum_type)

    def _kind(self, name: str, leaf: Any) -> str:
        if leaf.enum_type is not None:
            return "ENUM"
        if leaf.message_type is not None:
            return "MESSAGE"
        kinds = {
            leaf.TYPE_BOOL: "BOOLEAN", leaf.TYPE_INT32: "INT32", leaf.TYPE_INT64: "INT64",
            leaf.TYPE_DOUBLE: "DOUBLE", leaf.TYPE_FLOAT: "DOUBLE",
        }  # fmt: skip
        if leaf.type in kinds:
            return kinds[leaf.type]
        if name in _DATES:
            return "DATE"
        word = name.rpartition(".")[2]
        named = word == "resource_name" or word in self.resources or word == "client_customer"
        return "RESOURCE_NAME" if named else "STRING"


def _leaves(message: Any, *, depth: int) -> list[str]:
    found: list[str] = []
    for part in message.fields:
        name = part.name.rstrip("_")
        if part.message_type is None or part.is_repeated:
            found.append(name)
        elif depth:
            found += (f"{name}.{rest}" for rest in _leaves(part.message_type, depth=depth - 1))
    return found


_loaded: dict[str, Schema] = {}


def load(version: str) -> Schema:
    """Return a version's schema, importing it if need be.

    Raises AdsError UNIMPLEMENTED where the library is not installed: the sandbox still
    speaks the other platforms.
    """
    with _lock:
        if version not in _loaded:
            try:
                _loaded[version] = Schema(version)
            except ModuleNotFoundError as error:
                raise AdsError(
                    "",
                    "",
                    "The sandbox speaks Google Ads with the protobufs of the google-ads library, "
                    f"which is not installed here ({error.name}): "
                    "pip install 'airflow-provider-liftos[google-ads]'",
                    status="UNIMPLEMENTED",
                ) from error
        return _loaded[version]
