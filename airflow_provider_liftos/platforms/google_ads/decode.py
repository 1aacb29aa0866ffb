"""Answers of Google Ads into flat rows: ``{"campaign.id": 7, "metrics.clicks": 3, ...}``.

One way for both transports: whether rows came as protobufs or as JSON, values are read column by
column along the same paths, so that either gives exactly the same rows. What Google did not send is
what its messages mean by that: 0, false, an empty text, the first name of an enum; only shares and
the like, which Google leaves out when it does not know them, are null.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any

import msgspec

from airflow_provider_liftos.model.wire import BrokenStream
from airflow_provider_liftos.platforms.google_ads import errors, schema
from airflow_provider_liftos.platforms.google_ads.schema import Leaf, Shape

_MAY_BE_UNKNOWN = re.compile(r"[\w.]+(_share|_percentage|_quality_score)|metrics\.benchmark_\w+")

_AT_ONCE = 64
"""Rows that are looked at together: Python's views of more messages do not fit into the caches, and
reading them takes more than twice as long (measured)."""

Columns = list[Sequence[Any]]


class _Names(dict[Any, str]):
    """Names of an enum by number and by name; what is newer than the library is UNKNOWN."""

    def __init__(self, names: Mapping[int, str]) -> None:
        super().__init__(names)
        self.update({name: name for name in names.values()})

    def __missing__(self, _key: Any) -> str:
        return "UNKNOWN"


def _unknowable(leaf: Leaf) -> bool:
    return leaf.shape is not Shape.MESSAGE and bool(_MAY_BE_UNKNOWN.fullmatch(leaf.name))


def _sent(name: str) -> Callable[[Any], Any]:
    """A value, or None if it was not sent."""

    def read(message: Any) -> Any:
        if isinstance(message, msgspec.Struct):
            return getattr(message, name)
        return getattr(message, name) if message.HasField(name) else None

    return read


class Reader:
    """Reads rows of one query; ``leaves`` in the order of its columns."""

    def __init__(self, leaves: Sequence[Leaf]) -> None:
        parents = dict.fromkeys(leaf.parent for leaf in leaves)
        self._groups = [
            (
                attrgetter(".".join(parent)),
                [place for place, leaf in enumerate(leaves) if leaf.parent == parent],
            )
            for parent in parents
        ]
        self._leaves = tuple(leaves)
        self._getters = [
            _sent(one.path[-1]) if _unknowable(one) else attrgetter(one.path[-1]) for one in leaves
        ]
        self._make = [_maker(one) for one in leaves]
        fields = [(f"f{n}", Any) for n in range(len(leaves))]
        names = {f"f{n}": leaf.name for n, leaf in enumerate(leaves)}
        self._row: Any = msgspec.defstruct("Row", fields, rename=names, gc=False)
        self._encode = msgspec.json.Encoder().encode

    def columns(self, rows: Sequence[Any]) -> Columns:
        """Values of each field, over all rows. No step of it is taken row by row in Python."""
        found: Columns = [()] * len(self._leaves)
        for parent, places in self._groups:
            messages = list(map(parent, rows))
            for place in places:
                values: Any = map(self._getters[place], messages)
                make = self._make[place]
                found[place] = list(map(make, values) if make else values)
        return found

    def lines(self, rows: Sequence[Any]) -> list[bytes]:
        """Each row as JSON."""
        found: list[bytes] = []
        for start in range(0, len(rows), _AT_ONCE):
            columns = self.columns(rows[start : start + _AT_ONCE])
            found += map(self._encode, map(self._row, *columns))
        return found


def _maker(leaf: Leaf) -> Callable[[Any], Any] | None:
    """What makes a plain value of a message's, where that is not one already."""
    names = _Names(leaf.names)
    if leaf.shape is Shape.ENUM:
        if leaf.repeated:
            return lambda values: [names[value] for value in values]
        return names.__getitem__
    return list if leaf.repeated else None


Take = Callable[[Sequence[Any]], Sequence[Any]]
"""What is made of the rows of one batch."""


class Messages:
    """A stream of protobufs, a batch each."""

    def __init__(self, version: str, leaves: tuple[Leaf, ...], take: Take) -> None:
        self._parse = schema.narrow(version, "SearchGoogleAdsStreamResponse", leaves).FromString
        self._take = take

    def feed(self, piece: bytes) -> Sequence[Any]:
        """Rows of one message; ValueError when it is none."""
        return self._take(parsed(self._parse, piece).results)

    def end(self) -> Sequence[Any]:
        """Nothing is left over: the transport knows where a stream ends."""
        return ()


def parsed(parse: Callable[[bytes], Any], piece: bytes) -> Any:
    """A message; ValueError when it is none."""
    from google.protobuf.message import DecodeError

    try:
        return parse(piece)
    except DecodeError as error:
        raise ValueError(f"not a message of Google Ads: {error}") from None


LONGEST_BATCH = 256 * 1024 * 1024
"""Bytes of JSON held at once; Google's batches of 10,000 rows are at most 64 MiB as messages."""

_MARKS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|["{}]', re.DOTALL)


class Batches:
    """A stream of JSON: an array of batches, in pieces that may begin and end anywhere."""

    def __init__(self, leaves: tuple[Leaf, ...], take: Take) -> None:
        self._decode = answers(leaves)
        self._take = take
        self._text = b""
        self._at = self._depth = self._begin = 0

    def feed(self, piece: bytes) -> Sequence[Any]:
        """Rows of the batches that are whole by now; BrokenStream when one is an error."""
        self._text += piece
        if len(self._text) > LONGEST_BATCH:
            raise ValueError(f"a batch of more than {LONGEST_BATCH >> 20} MiB")
        return [row for batch in self._batches() for row in self._rows(batch)]

    def end(self) -> Sequence[Any]:
        """ValueError unless the array was closed."""
        if self._depth or not self._text.rstrip().endswith(b"]"):
            raise ValueError("the stream ends amid its answer")
        return ()

    def _batches(self) -> Iterator[bytes]:
        for mark in _MARKS.finditer(self._text, self._at):
            self._at = mark.end()
            token = self._text[mark.start()]
            if token == ord("{"):
                self._begin = self._begin if self._depth else mark.start()
                self._depth += 1
            elif token == ord("}"):
                self._depth -= 1
                if not self._depth:
                    yield self._text[self._begin : self._at]
            elif mark.end() - mark.start() == 1:  # a text that goes on in the next piece
                self._at = mark.start()
                break
        kept = self._begin if self._depth else self._at
        self._text, self._at, self._begin = self._text[kept:], self._at - kept, 0

    def _rows(self, batch: bytes) -> Sequence[Any]:
        answer = self._decode(batch)
        if answer.error is not None:
            body = msgspec.json.encode({"error": answer.error})
            said, status = errors.of_json(body)
            raise BrokenStream(said, status)
        return self._take(answer.results)


@lru_cache(maxsize=64)
def answers(leaves: tuple[Leaf, ...]) -> Callable[[bytes], Any]:
    """Reads JSON with ``results`` into objects that have the attributes of Google's messages."""
    row = _struct("Row", [(one.path, one) for one in leaves])
    answer = msgspec.defstruct(
        "Answer",
        [
            ("results", list[row], msgspec.field(default_factory=list)),  # type: ignore[valid-type]
            ("next_page_token", str, msgspec.field(default="")),
            ("error", Any, msgspec.field(default=None)),
        ],
        rename="camel",
    )
    decode = msgspec.json.Decoder(answer, strict=False).decode

    def read(body: bytes) -> Any:
        try:
            return decode(body)
        except msgspec.MsgspecError as error:
            raise ValueError(f"not an answer of Google Ads: {error}") from None

    return read


def _struct(name: str, leaves: Sequence[tuple[tuple[str, ...], Leaf]]) -> Any:
    fields: list[tuple[str, Any, Any]] = []
    for step in dict.fromkeys(path[0] for path, _ in leaves):
        below = [(path[1:], leaf) for path, leaf in leaves if path[0] == step]
        if len(below[0][0]):
            kind = _struct(f"{name}_{step}", below)
            fields.append((step, kind, msgspec.field(name=camel(step), default_factory=kind)))
        else:
            fields.append((step, *_typed(step, below[0][1])))
    return msgspec.defstruct(name, fields, gc=False)


_PLAIN: dict[Shape, tuple[Any, Any]] = {
    Shape.INT: (int, 0),
    Shape.FLOAT: (float, 0.0),
    Shape.BOOL: (bool, False),
    Shape.TEXT: (str, ""),
    Shape.ENUM: (str | int, 0),
}


def _typed(step: str, leaf: Leaf) -> tuple[Any, Any]:
    kind: Any
    kind, unsent = _PLAIN[leaf.shape]
    if leaf.repeated:
        return list[kind], msgspec.field(name=camel(step), default_factory=list)
    if _unknowable(leaf):
        return kind | None, msgspec.field(name=camel(step), default=None)
    return kind, msgspec.field(name=camel(step), default=unsent)


def camel(name: str) -> str:
    """``cost_micros`` as JSON writes it."""
    first, *rest = name.removesuffix("_").split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)
