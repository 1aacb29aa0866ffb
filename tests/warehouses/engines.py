"""What tests need to know of each engine, so that the contract tests need not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

import duckdb

from airflow_provider_liftos.model.unified import TABLES, Kind
from airflow_provider_liftos.warehouses.ddl import audit_tables
from airflow_provider_liftos.warehouses.duckdb import DuckDbWarehouse
from airflow_provider_liftos.warehouses.postgres import PostgresWarehouse

ENGINES = ("duckdb", "postgres")


def parameters(url: str) -> dict[str, str]:
    """libpq's, of a URL."""
    import psycopg

    return {k: str(v) for k, v in psycopg.conninfo.conninfo_to_dict(url).items()}


def reopened(warehouse: Any, **options: Any) -> Any:
    """Another one at the same place, as a later task makes it."""
    if isinstance(warehouse, DuckDbWarehouse):
        return DuckDbWarehouse(warehouse._file.path, None, **options)
    return PostgresWarehouse(warehouse._server.parameters, **options)


def narrower(warehouse: Any) -> dict[Kind, str]:
    """Types that an older version could have had, as the engine's catalogue prints them."""
    if isinstance(warehouse, DuckDbWarehouse):
        return {Kind.INT: "INTEGER", Kind.MONEY: "DECIMAL(12,2)"}
    return {Kind.INT: "integer", Kind.MONEY: "numeric(12,2)"}


def emptied(warehouse: PostgresWarehouse) -> PostgresWarehouse:
    """Without rows, and without memory of its tables."""
    names = [warehouse.layout.published(name) for name in TABLES]
    names += [warehouse.layout.audit(table.name) for table in audit_tables()]
    administer(warehouse, "; ".join(f"DELETE FROM {name}" for name in names))
    return reopened(warehouse, wait=20)


def administer(warehouse: Any, *statements: str) -> None:
    """What a person types into a SQL shell."""
    if isinstance(warehouse, DuckDbWarehouse):
        with duckdb.connect(warehouse._file.path) as con:
            for statement in statements:
                con.execute(statement)
        return
    import psycopg

    with psycopg.connect(**warehouse._server.parameters) as connection:
        for statement in statements:
            connection.execute(statement)


def columns(warehouse: Any, *, schema: str = "liftos", table: str = "") -> dict[tuple, str]:
    """(schema, table, column) and type, in order; of views, too."""
    rows = warehouse.query(
        "SELECT table_schema, table_name, column_name, data_type"
        " FROM information_schema.columns WHERE table_schema = ? AND (? = '' OR table_name = ?)"
        " ORDER BY table_name, ordinal_position",
        [schema, table, table],
    )
    return {tuple(row[:3]): row[3] for row in rows}


def digest(warehouse: Any, table: str, *, without: Collection[str] = ()) -> str:
    """Of all published rows, whatever their order and whatever the engine."""
    shown = [column for column in TABLES[table].columns if column.name not in without]
    names = ", ".join(f'"{column.name}"' for column in shown)
    rows = []
    for row in warehouse.query(f"SELECT {names} FROM liftos.{table}"):
        plain = [
            json.loads(value) if column.kind is Kind.JSON and value else value
            for column, value in zip(shown, row, strict=True)
        ]
        rows.append(json.dumps(plain, default=_text, sort_keys=True))
    return f"{len(rows)}-{hashlib.sha256(chr(10).join(sorted(rows)).encode()).hexdigest()}"


def _text(value: Any) -> str:
    return str(value.astimezone(UTC) if isinstance(value, datetime) else value)
