"""Which warehouse a task writes to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.model.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow_provider_liftos.state.store import StateStore
    from airflow_provider_liftos.warehouses.contract import Warehouse
    from airflow_provider_liftos.warehouses.views import ViewSettings


MOCK_SCHEMA = "liftos_mock"


def open_warehouse(
    conn_id: str | None, org_id: str, store: StateStore, *, mock: bool = False
) -> Warehouse:
    """The warehouse of a connection, or the DuckDB file of ``[liftos] duckdb_path`` without one.

    A connection of type ``duckdb`` names its file as host, one of type ``postgres`` is as Airflow's
    Postgres provider has it. ``mock`` is for rows that are marked as invented: they have tables and
    views of their own, under audit and published.

    Raises:
        ConfigurationError: the connection is of another type, or its driver is not installed.
    """
    from airflow_provider_liftos.warehouses.views import ViewSettings

    schema = MOCK_SCHEMA if mock else "liftos"
    views = ViewSettings(reporting_currency=config.reporting_currency())
    if not conn_id:
        return _duckdb(config.duckdb_path(), org_id, store, schema, views)
    from airflow.sdk import BaseHook

    connection: Any = BaseHook.get_connection(conn_id)
    if connection.conn_type == "duckdb":
        return _duckdb(connection.host or config.duckdb_path(), org_id, store, schema, views)
    if connection.conn_type in {"postgres", "postgresql"}:
        return _postgres(connection, schema, views)
    raise ConfigurationError(
        f"connection {conn_id!r} is of type {connection.conn_type!r}; no warehouse is of that type",
        hint="Name a connection of type postgres, or of type duckdb with a file's path as host.",
    )


def _duckdb(
    path: str, org_id: str, store: StateStore, schema: str, views: ViewSettings
) -> Warehouse:
    from airflow_provider_liftos.state.leases import Leases
    from airflow_provider_liftos.warehouses.duckdb import DuckDbWarehouse

    return DuckDbWarehouse(
        path, Leases(store, org_id), schema=schema, audit_schema=f"{schema}_audit", views=views
    )


def _postgres(connection: Any, schema: str, views: ViewSettings) -> Warehouse:
    from airflow_provider_liftos.warehouses.postgres import PostgresWarehouse

    return PostgresWarehouse(
        _parameters(connection), schema=schema, audit_schema=f"{schema}_audit", views=views
    )


def _parameters(connection: Any) -> dict[str, str]:
    """What libpq takes; the rest of the extra is for Airflow's own hook."""
    from airflow_provider_liftos.warehouses.postgres_session import known_parameters

    extra = connection.extra_dejson
    if extra.get("iam"):
        raise ConfigurationError(
            f"connection {connection.conn_id!r} asks AWS for its password (iam), which the"
            " warehouse cannot do",
            hint="Give the warehouse a role with a password, or with a certificate.",
        )
    known = known_parameters()
    fields = {
        "host": connection.host, "port": connection.port, "dbname": connection.schema,
        "user": connection.login, "password": connection.password,
    }  # fmt: skip
    given = {name: value for name, value in extra.items() if name in known}
    return {name: str(v) for name, v in {**given, **fields}.items() if v not in (None, "")}
