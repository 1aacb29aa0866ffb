"""Files of the user's as something to query: DuckDB reads copies of them, in bounded memory.

Every file is copied whole to the temporary folder of the host (``TMPDIR``) before its first row is
read, and all files of a run are there at once: JSON as Parquet, others as they are. Clients of
object stores read from one end to the other, DuckDB looks at a file more than once.
"""

from __future__ import annotations

import gzip
import io
import shutil
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from airflow_provider_liftos.engine.source_door import BATCH, Door, translated
from airflow_provider_liftos.engine.source_query import DUCKDB, Query
from airflow_provider_liftos.engine.temporary import room, temporary_folder
from airflow_provider_liftos.model.errors import ConfigurationError, LiftosError
from airflow_provider_liftos.model.sql import literal
from airflow_provider_liftos.transforms.duckdb import connect

if TYPE_CHECKING:
    import duckdb

Opener = Callable[[], IO[bytes]]

FORMATS = {
    "parquet": "parquet", "pq": "parquet", "csv": "csv", "tsv": "csv",
    "jsonl": "jsonl", "ndjson": "jsonl", "json": "jsonl",
}  # fmt: skip
_PACKED = {".gz", ".zst"}
_CSV_BYTES = 8 << 20  # of a file that each thread has read ahead; four times the longest line
_BATCH_BYTES = 8 << 20  # of JSON that are held at once, however long its lines are


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A file by its name, and how to open it."""

    name: str
    open: Opener


def format_of(name: str, given: str = "") -> str:
    """``parquet``, ``csv`` or ``jsonl``; ConfigurationError where a name does not tell."""
    found = given or _by_suffix(name)
    if found not in FORMATS.values():
        raise ConfigurationError(
            f"the format of {Path(name).name!r} is not known",
            hint="Give file_format: parquet, csv or jsonl (one object per line).",
        )
    return found


def belongs(name: str) -> bool:
    """Whether a file of a folder is one of its data: not half written, hidden or a checksum."""
    own = Path(name).name
    return not own.startswith((".", "_")) and bool(_by_suffix(own))


def _by_suffix(name: str) -> str:
    path = Path(name.lower())
    suffix = Path(path.stem).suffix if path.suffix in _PACKED else path.suffix
    return FORMATS.get(suffix.lstrip("."), "")


@contextmanager
def opened(
    files: Sequence[SourceFile],
    *,
    platform: str,
    title: str,
    file_format: str = "",
    cursor: str = "",
) -> Iterator[tuple[Door, Query]]:
    """The files as a query, all of them together.

    Values of CSV and JSON are texts, exactly as they are written; those of ``cursor`` are compared
    as numbers where all of them are.

    Raises:
        ConfigurationError: a format is not known, formats differ, or a file is not of its format.
        StagingError: this host has no room for the copies.
        Unavailable: a file cannot be read for now.
    """
    formats = {format_of(file.name, file_format) for file in files}
    if len(formats) != 1:
        raise ConfigurationError(f"files are of several formats: {', '.join(sorted(formats))}")
    kind = formats.pop()
    with temporary_folder() as folder:
        paths = [
            path
            for number, file in enumerate(files)
            for path in _copied(file, folder, kind, number, (title, platform))
        ]
        connection = _connect(folder)
        door = Door(connection=connection, dialect=DUCKDB, title=title, platform=platform)
        try:
            query = Query(sql=_reading(kind, paths), dialect=DUCKDB)
            yield door, replace(query, order=_order(door, query, cursor))
        finally:
            door.close()


def _connect(folder: str) -> duckdb.DuckDBPyConnection:
    connection = connect()
    connection.execute(f"SET temp_directory={literal(folder + '/spill')}")
    return connection


def _reading(kind: str, paths: Sequence[str]) -> str:
    if not paths:
        return 'SELECT NULL AS "no rows" WHERE false'
    files = "[" + ", ".join(map(literal, paths)) + "]"
    if kind != "csv":
        return f"SELECT * FROM read_parquet({files}, union_by_name=true)"
    # A field in quotes is a text, also an empty one; only a bare one is null.
    return (
        f"SELECT * FROM read_csv({files}, header=true, all_varchar=true, union_by_name=true,"
        f" allow_quoted_nulls=false, buffer_size={_CSV_BYTES})"
    )


def _order(door: Door, query: Query, cursor: str) -> str:
    """What compares texts of numbers by their size; nothing for all others, or no such column.

    Digits behind the tenth are rounded, which brings some rows twice and misses none.
    """
    if not cursor:
        return ""
    names = door.names(query.select("q.*", lambda _mark: "1 = 0"))
    written = {name.casefold(): name for name in reversed(names)} | {name: name for name in names}
    if not (name := written.get(cursor) or written.get(cursor.casefold())):
        return ""
    text = f"trim({query.column(name)}::VARCHAR)"
    number = f"TRY_CAST({text} AS DECIMAL(38, 10))"
    texts, numbers = door.one(
        query.select(
            f"count(*), count({number})",
            lambda _mark: f"typeof({query.column(name)}) = 'VARCHAR' AND {text} <> ''",
        )
    )
    return number if texts and texts == numbers else ""


def _copied(
    file: SourceFile, folder: str, kind: str, number: int, whose: tuple[str, str]
) -> list[str]:
    """Copies on this host; of JSON, texts in Parquet: DuckDB would round its numbers."""
    path = Path(folder) / f"{number}-{Path(file.name).name.lower()}"
    try:
        with file.open() as source, room(folder, of=Path(file.name).name):
            if kind == "jsonl":
                return _texts(_unpacked(file.name, source), path, file.name)
            with path.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
            return [str(path)]
    except LiftosError:
        raise
    except Exception as error:  # noqa: BLE001  each store's client has its own
        title, platform = whose
        raise translated(error, f"{title} ({Path(file.name).name})", platform) from None


def _unpacked(name: str, source: IO[bytes]) -> Any:
    if name.lower().endswith(".gz"):
        return gzip.GzipFile(fileobj=source)
    if name.lower().endswith(".zst"):
        import pyarrow as pa

        return io.BufferedReader(pa.CompressedInputStream(source, "zstd"))
    return source


def _texts(source: Any, path: Path, name: str) -> list[str]:
    """Lines as rows of texts; where keys come that were not there before, another file begins."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    keys: dict[str, None] = {}
    paths: list[str] = []
    writer = None
    try:
        for rows in _lines(source, name):
            found = dict.fromkeys(key for row in rows for key in row)
            if writer is None or not found.keys() <= keys.keys():
                if writer:
                    writer.close()
                keys |= found
                paths.append(f"{path}.{len(paths)}.parquet")
                schema = pa.schema([(key, pa.string()) for key in keys])
                writer = pq.ParquetWriter(paths[-1], schema, use_dictionary=False)
            columns = [_column([row.get(key) for row in rows]) for key in keys]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
    finally:
        if writer:
            writer.close()
        pa.default_memory_pool().release_unused()
    return paths


def _column(texts: Sequence[str | None]) -> Any:
    """A column of Arrow, put together from bytes: ``pa.array`` would import pandas, for 50 MB."""
    import pyarrow as pa

    cells = [None if text is None else text.encode() for text in texts]
    known = [cell for cell in cells if cell is not None]
    ends = array("i", accumulate((len(cell) if cell else 0 for cell in cells), initial=0))
    there = None
    if len(known) < len(cells):
        bits = "".join("0" if cell is None else "1" for cell in reversed(cells))
        there = pa.py_buffer(int(bits, 2).to_bytes((len(bits) + 7) // 8, "little"))
    return pa.StringArray.from_buffers(
        len(cells), pa.py_buffer(ends), pa.py_buffer(b"".join(known)), there
    )


def _lines(source: Any, name: str) -> Iterator[list[dict[str, str | None]]]:
    import msgspec

    read = msgspec.json.Decoder(dict[str, Any], float_hook=str).decode
    rows: list[dict[str, str | None]] = []
    size = 0
    for number, line in enumerate(source, start=1):
        if not line.strip():
            continue
        try:
            row = read(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise ConfigurationError(
                f"line {number} of {Path(name).name!r} is no JSON object",
                hint="Files of this format hold one object per line.",
            ) from None
        rows.append({key: _text(value) for key, value in row.items()})
        size += len(line)
        if len(rows) >= BATCH or size >= _BATCH_BYTES:
            yield rows
            rows, size = [], 0
    if rows:
        yield rows


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (bool, dict, list)):
        import msgspec

        return msgspec.json.encode(value).decode()
    return str(value)
