"""Sources to read from, and what lands of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from airflow_provider_liftos.engine.source import SourceReader
from airflow_provider_liftos.engine.source_door import Door
from airflow_provider_liftos.engine.source_query import DUCKDB, Query
from airflow_provider_liftos.engine.staging import Staging
from airflow_provider_liftos.model.secret import Secret
from airflow_provider_liftos.model.source import Source

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()
PLAIN: dict[str, Any] = {"account": "shop", "currency": "EUR"}


class Bench:
    """Sources over a DuckDB in memory, and what lands of them."""

    def __init__(self, folder: Path) -> None:
        self.staging = Staging(str(folder / "staging"))
        self.connection = duckdb.connect()
        self.connection.execute("SET TimeZone='UTC'")
        self.door = Door(
            connection=self.connection, dialect=DUCKDB, title="shop",
            platform="internal", secrets=[Secret("hunter22")],
        )  # fmt: skip

    def reader(self, sql: str, columns: dict[str, str], **parts: Any) -> SourceReader:
        parameters = parts.pop("parameters", None)
        door = parts.pop("door", self.door)
        return SourceReader(
            source=Source(columns=columns, **{**PLAIN, **parts}), door=door,
            query=Query(sql=sql, parameters=parameters, dialect=door.dialect),
            staging=self.staging, platform="internal", load_id="load", as_of=NOW,
        )  # fmt: skip

    def rows(self, sql: str, columns: dict[str, str], **parts: Any) -> list[dict[str, Any]]:
        return self.landed(self.reader(sql, columns, **parts).everything())

    def landed(self, read: Any) -> list[dict[str, Any]]:
        files = [file.path for cut in read.slices for file in cut.raw]
        self.staging.verify([file for cut in read.slices for file in cut.raw])
        found = []
        for path in files:
            with pa.CompressedInputStream(pa.OSFile(path), "zstd") as stream:
                found += [json.loads(line) for line in stream.read().splitlines()]
        return found
