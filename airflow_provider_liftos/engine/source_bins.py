"""Rows on their way to many slices, in whatever order they come: what is too much waits on disk."""

from __future__ import annotations

import tempfile
from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import IO

from airflow_provider_liftos.engine.temporary import room

_HELD = 8 << 20
"""Bytes of rows that are held in memory, of all bins together."""


def _nowhere() -> array[int]:
    return array("Q")


@dataclass(slots=True, kw_only=True)
class Bins:
    """Lines by the numbers of their bins; within a bin they keep their order.

    Where they are more than ``held`` bytes, all go to one file, which has no name: when the process
    dies, nothing is left of it.
    """

    held: int = _HELD
    _lines: dict[int, list[bytes]] = field(default_factory=partial(defaultdict, list))
    _bytes: int = 0
    _file: IO[bytes] | None = None
    # Of each bin: where its lines begin in the file and how many bytes they are, in turn.
    _places: dict[int, array[int]] = field(
        default_factory=partial(defaultdict, partial(array, "Q"))
    )

    def add(self, number: int, lines: Sequence[bytes]) -> None:
        """Put lines, which have no ends, into a bin. StagingError when the disk is full."""
        if not lines:
            return
        self._lines[number] += lines
        self._bytes += sum(map(len, lines))
        if self._bytes > self.held:
            self._put_away()

    def numbers(self) -> list[int]:
        """The bins that hold anything."""
        return sorted({*self._places, *self._lines})

    def take(self, number: int) -> Iterator[list[bytes]]:
        """All lines of a bin, a few megabytes at a time. StagingError when they cannot be read."""
        places = self._places.pop(number, _nowhere())
        if self._file is not None:
            for start, size in zip(places[::2], places[1::2], strict=True):
                with room():
                    self._file.seek(start)
                    lines = self._file.read(size).split(b"\n")
                yield lines
        if number in self._lines:
            yield self._lines.pop(number)

    def close(self) -> None:
        """Let go of all that is left."""
        self._lines.clear()
        self._places.clear()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _put_away(self) -> None:
        with room():
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="liftos-")  # noqa: SIM115
            start = self._file.seek(0, 2)
            for number, lines in self._lines.items():
                size = self._file.write(b"\n".join(lines))
                self._places[number].extend((start, size))
                start += size
            self._file.flush()
        self._lines.clear()
        self._bytes = 0
