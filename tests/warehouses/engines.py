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
from airflow_provider_liftos.warehouses.snowflake import SnowflakeWarehouse
from tests.warehouses import databricks_server, snowflake_server
from tests.warehouses.databricks_server import Asked

ENGINES = ("duckdb", "postgres", "snowflake", "databricks")


def parameters(url: str) -> dict[str, str]:
    """libpq's, of a URL."""
    import psycopg

    return {k: str(v) for k, v in psycopg.conninfo.conninfo_to_dict(url).items()}


def reopened(warehouse: Any, **options: Any) -> Any:
    """Another one at the same place, as a later task makes it."""
    if isinstance(warehouse, DuckDbWarehouse):
        return DuckDbWarehouse(warehouse._file.path, None, **options)
    if isinstance(warehouse, SnowflakeWarehouse):
        return snowflake_server.warehouse_at(warehouse._account.parameters(), **options)
    if isinstance(warehouse, Asked):
        return databricks_server.warehouse_at(warehouse.sandbox, **options)
    return PostgresWarehouse(warehouse._server.parameters, **options)


def narrower(warehouse: Any) -> dict[Kind, str]:
    """Types that an older version could have had, as the engine's catalogue prints them."""
    if isinstance(warehouse, DuckDbWarehouse):
        return {Kind.INT: "INTEGER", Kind.MONEY: "DECIMAL(12,2)"}
    if isinstance(warehouse, SnowflakeWarehouse):  # which widens no scale
        return {Kind.INT: "NUMBER(9,0)", Kind.MONEY: "NUMBER(12,6)"}
    if isinstance(warehouse, Asked):
        return {Kind.INT: "int", Kind.MONEY: "decimal(12,2)"}
    return {Kind.INT: "integer", Kind.MONEY: "numeric(12,2)"}


def emptied(warehouse: Any) -> Any:
    """Without rows, and without memory of its tables."""
    names = [warehouse.layout.published(name) for name in TABLES]
    names += [warehouse.layout.audit(table.name) for table in audit_tables()]
    administer(warehouse, "; ".join(f"DELETE FROM {name}" for name in names))
    return reopened(warehouse, wait=120)


def administer(warehouse: Any, *statements: str) -> None:
    """What a person types into a SQL shell."""
    if isinstance(warehouse, DuckDbWarehouse):
        with duckdb.connect(warehouse._file.path) as con:
            for statement in statements:
                con.execute(statement)
        return
    if isinstance(warehouse, SnowflakeWarehouse):
        for statement in "; ".join(statements).split("; "):
            snowflake_server.administer(warehouse._account.parameters(), statement)
        return
    if isinstance(warehouse, Asked):
        warehouse.sandbox.lakehouse.run("; ".join(statements))
        return
    import psycopg

    with psycopg.connect(**warehouse._server.parameters) as connection:
        for statement in statements:
            connection.execute(statement)


def columns(warehouse: Any, *, schema: str = "liftos", table: str = "") -> dict[tuple, str]:
    """(schema, table, column) and type, in order; of views, too."""
    kind = "full_data_type" if isinstance(warehouse, Asked) else "data_type"
    rows = warehouse.query(
        f"SELECT table_schema, table_name, column_name, {kind}"
        " FROM information_schema.columns WHERE table_schema = ? AND (? = '' OR table_name = ?)"
        " ORDER BY table_name, ordinal_position",
        [warehouse.layout.capabilities.kept(name) for name in (schema, table, table)],
    )
    shown = str.lower if warehouse.layout.capabilities.upper else str
    return {tuple(map(shown, row[:3])): row[3] for row in rows}


def digest(warehouse: Any, table: str, *, without: Collection[str] = ()) -> str:
    """Of all published rows, whatever their order and whatever the engine."""
    shown = [column for column in TABLES[table].columns if column.name not in without]
    names = ", ".join(warehouse.layout.capabilities.ident(column.name) for column in shown)
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
