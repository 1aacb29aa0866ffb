"""Rows that the set-based way cannot read are looked at one by one: the good ones go on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from airflow_provider_liftos.engine.manifest import File
from airflow_provider_liftos.engine.staging import RawWriter, Staging, unreadable


@dataclass(frozen=True, slots=True, kw_only=True)
class Sifted:
    """Files of readable rows, and (reason, line) of the others."""

    files: tuple[File, ...]
    letters: tuple[tuple[str, str], ...]


def sift(staging: Staging, file: File, folder: str, raw: Mapping[str, str]) -> Sifted:
    """Write the rows that are objects, with lists where ``raw`` wants lists, to a new file.

    Numbers keep their digits; of a name that occurs twice the last value counts.
    """
    lists = [name for name, kind in raw.items() if kind.endswith("[]")]
    writer = RawWriter(staging, folder)
    letters: list[tuple[str, str]] = []
    for line in lines(staging, file):
        reason, row = _read(line, lists)
        if reason:
            letters.append((reason, line.decode("utf-8", "replace")))
        else:
            writer.write([row])
    return Sifted(files=writer.close(), letters=tuple(letters))


def lines(staging: Staging, file: File) -> Iterator[bytes]:
    """The lines of a raw file, a block at a time; StagingError when it is damaged."""
    import pyarrow as pa

    rest = b""
    try:
        with (
            staging.open(file.path) as handle,
            pa.CompressedInputStream(pa.PythonFile(handle, mode="r"), "zstd") as stream,
        ):
            while block := stream.read(1 << 20):
                *whole, rest = (rest + block).split(b"\n")
                yield from whole
    except OSError as error:
        raise unreadable(file.path, type(error).__name__) from None
    if rest:
        yield rest


def _read(line: bytes, lists: list[str]) -> tuple[str, bytes]:
    """The reason to refuse a line, or the line as it can be read."""
    try:
        row = json.loads(line, parse_float=str, parse_int=str)
    except (ValueError, RecursionError):
        return "not JSON", b""
    if not isinstance(row, dict):
        return "not an object", b""
    for name in lists:
        items = row.get(name)
        if items is not None and not (
            isinstance(items, list)
            and all(item is None or isinstance(item, dict) for item in items)
        ):
            return f"{name} is not a list of objects", b""
    text = json.dumps(row, ensure_ascii=False)
    return "", text.encode("utf-8", "replace")
