"""Rows that a warehouse gave, as files of the unified schema."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_liftos.engine.manifest import File
from airflow_provider_liftos.model.unified import Column, Kind

if TYPE_CHECKING:
    import pyarrow as pa

AT_ONCE = 20_000
"""Rows held at once, some 50 MB; a day of one account and report is never divided."""


def write(columns: Sequence[Column], rows: Sequence[tuple[Any, ...]], where: Path) -> File:
    """The rows as a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    values: Sequence[Collection[Any]] = list(zip(*rows, strict=True)) or [()] * len(columns)
    arrays = [_array(column, part) for column, part in zip(columns, values, strict=True)]
    table = pa.Table.from_arrays(arrays, names=[column.name for column in columns])
    pq.write_table(table, where, compression="zstd")
    return File(path=str(where), rows=table.num_rows, bytes=where.stat().st_size, sha256="")


def _array(column: Column, values: Collection[Any]) -> pa.Array:
    import pyarrow as pa

    if column.kind is Kind.JSON:  # some engines give objects
        values = [v if v is None or isinstance(v, str) else json.dumps(v) for v in values]
    kinds = {
        Kind.DATE: pa.date32(), Kind.TIMESTAMP: pa.timestamp("us", "UTC"), Kind.INT: pa.int64(),
        Kind.DECIMAL: pa.decimal128(18, 6), Kind.MONEY: pa.decimal128(18, 6), Kind.BOOL: pa.bool_(),
    }  # fmt: skip
    return pa.array(list(values), kinds.get(column.kind, pa.string()))
