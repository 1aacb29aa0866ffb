"""Schemas, tables and views in a DuckDB file: what is there, and bringing it up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_liftos.warehouses import migration
from airflow_provider_liftos.warehouses.contract import Layout
from airflow_provider_liftos.warehouses.ddl import Catalogue
from airflow_provider_liftos.warehouses.duckdb_file import DuckDbSession
from airflow_provider_liftos.warehouses.schema_names import check_schemas
from airflow_provider_liftos.warehouses.views import ViewSettings

if TYPE_CHECKING:
    import duckdb

_LONGEST_NAME = 255  # DuckDB itself takes a megabyte, and shows it in every error


def migrate(connection: duckdb.DuckDBPyConnection, layout: Layout, settings: ViewSettings) -> None:
    """Add what is missing and bring the views up to date, in one transaction.

    Raises:
        ConfigurationError: a schema's name is too long, or holds what nobody can read.
        WarehouseError: a column has a type that cannot be widened to what the code needs, or a
            newer version owns the tables.
    """
    check_schemas(layout, _LONGEST_NAME)
    session = DuckDbSession(connection)
    connection.begin()
    try:
        migration.migrate(session, layout, settings, catalogue(session, layout))
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def catalogue(session: DuckDbSession, layout: Layout) -> Catalogue:
    """Tables and views by schema."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for schema, table, column, kind in session.execute(
        "SELECT schema_name, table_name, column_name, data_type FROM duckdb_columns()"
        " WHERE database_name = current_database() AND schema_name IN (?, ?)",
        (layout.schema, layout.audit_schema),
    ):
        found.setdefault((schema, table), {})[column] = kind
    return found
