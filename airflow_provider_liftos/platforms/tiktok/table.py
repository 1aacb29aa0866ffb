"""The file of a finished task: comma-separated, with titles, read while it comes in."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

_QUOTE, _LINE = b'"', b"\n"
LONGEST_ROW = 16 * 1024 * 1024
"""Bytes of a row that is not complete yet: no real one comes near it."""

_encode = msgspec.json.Encoder().encode


class Table:
    """Makes rows, as JSON objects by title, of pieces that begin and end anywhere.

    ``titles`` are those without which it is not the file that was asked for: TikTok answers with
    the names of its user interface, which it changes, unless it is told not to.
    """

    def __init__(self, titles: Sequence[str]) -> None:
        self._wanted = tuple(titles)
        self._titles: list[str] = []
        self._rest = b""

    def feed(self, piece: bytes) -> Sequence[Any]:
        """Rows that are complete by now; ValueError for what is not the file."""
        whole = self._rest + piece
        end = _end_of_rows(whole)
        self._rest = whole[end:]
        if len(self._rest) > LONGEST_ROW:
            raise ValueError(f"a row of more than {LONGEST_ROW >> 20} MiB")
        return list(self._rows(whole[:end]))

    def end(self) -> Sequence[Any]:
        """The last row, if the file does not end with a line break."""
        if self._rest.count(_QUOTE) % 2:
            raise ValueError("the file ends inside of a quoted value")
        rows = list(self._rows(self._rest))
        if not self._titles:
            raise ValueError("an empty file, without titles")
        return rows

    def _rows(self, block: bytes) -> Iterator[bytes]:
        for cells in self._cells(block):
            if not self._titles:
                self._read_titles(cells)
            elif len(cells) == len(self._titles):
                yield _encode(dict(zip(self._titles, cells, strict=True)))
            elif cells:
                raise ValueError(f"a row of {len(cells)} values under {len(self._titles)} titles")

    def _cells(self, block: bytes) -> Iterator[list[str]]:
        try:
            yield from csv.reader(io.StringIO(block.decode(), newline=""), strict=True)
        except csv.Error as error:
            raise ValueError(f"not comma-separated values: {error}") from None

    def _read_titles(self, cells: Sequence[str]) -> None:
        titles = [cell.removeprefix("\ufeff") for cell in cells]
        for name in self._wanted:
            if name not in titles:
                raise ValueError(f"the file has no column {name!r}")
        self._titles = titles


def _end_of_rows(data: bytes) -> int:
    """Where the last complete row ends: a line break that no quote holds."""
    end, quotes = len(data), data.count(_QUOTE)
    while True:
        found = data.rfind(_LINE, 0, end)
        if found < 0:
            return 0
        quotes -= data.count(_QUOTE, found, end)
        if quotes % 2 == 0:
            return found + 1
        end = found
