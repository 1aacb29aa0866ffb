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
_POSTGRES = frozenset({"postgres", "postgresql"})
_SNOWFLAKE = "snowflake"
_DATABRICKS = "databricks"
_PORT = 5432


def open_warehouse(
    conn_id: str | None, org_id: str, store: StateStore, *, mock: bool = False
) -> Warehouse:
    """The warehouse of a connection, or without one that of ``[liftos] warehouse_conn_id``.

    Where neither is named, it is the DuckDB file of ``[liftos] duckdb_path``.

    A connection of type ``duckdb`` names its file as host; those of types ``postgres``,
    ``snowflake`` and ``databricks`` are as Airflow's providers have them. ``mock`` is for rows that
    are marked as invented: they have tables and views of their own, under audit and published.

    Raises:
        ConfigurationError: the connection is of another type, or its driver is not installed.
    """
    from airflow_provider_liftos.warehouses.views import ViewSettings

    schema = MOCK_SCHEMA if mock else "liftos"
    views = ViewSettings(reporting_currency=config.reporting_currency())
    conn_id = conn_id or config.text("warehouse_conn_id") or None
    connection = _connection(conn_id) if conn_id else None
    if connection is None or (connection.conn_type == "duckdb" and not connection.host):
        config.refuse_one_host()
        return _duckdb(config.duckdb_path(), org_id, store, schema, views)
    if connection.conn_type == "duckdb":
        return _duckdb(config.duckdb_file(connection.host), org_id, store, schema, views)
    if connection.conn_type in _POSTGRES:
        return _postgres(connection, schema, views)
    if connection.conn_type == _SNOWFLAKE:
        return _snowflake(conn_id, schema, views)
    if connection.conn_type == _DATABRICKS:
        return _databricks(connection, org_id, store, schema, views)
    raise ConfigurationError(
        f"connection {conn_id!r} is of type {connection.conn_type!r}; no warehouse is of that type",
        hint="Name a connection of type postgres, snowflake or databricks, or of type duckdb with a"
        " file's path as host.",
    )


def lineage_of(conn_id: str | None) -> tuple[str, str]:
    """What OpenLineage calls the warehouse, and what stands before the names of its tables."""
    conn_id = conn_id or config.text("warehouse_conn_id") or None
    connection = _connection(conn_id) if conn_id else None
    if connection is not None and connection.conn_type == _SNOWFLAKE:
        extra = connection.extra_dejson
        place = ".".join(extra[name] for name in ("account", "region") if extra.get(name))
        return f"snowflake://{place}", f"{extra.get('database', '')}."
    if connection is not None and connection.conn_type == _DATABRICKS:
        catalog = connection.extra_dejson.get("catalog")
        return f"databricks://{_host(connection)}", f"{catalog}." if catalog else ""
    if connection is None or connection.conn_type not in _POSTGRES:
        path = connection.host if connection else ""
        return f"duckdb://{path or config.duckdb_path()}", ""
    place = f"{connection.host or 'localhost'}:{connection.port or _PORT}"
    return f"postgres://{place}", f"{connection.schema or connection.login}."


def _connection(conn_id: str) -> Any:
    from airflow.sdk import BaseHook

    return BaseHook.get_connection(conn_id)


def _duckdb(
    path: str, org_id: str, store: StateStore, schema: str, views: ViewSettings
) -> Warehouse:
    from airflow_provider_liftos.state.leases import Leases
    from airflow_provider_liftos.warehouses.duckdb import DuckDbWarehouse

    return DuckDbWarehouse(
        path,
        Leases(store, org_id),
        schema=schema,
        audit_schema=f"{schema}_audit",
        views=views,
        read_copy=config.duckdb_read_copy() if path == config.duckdb_path() else None,
    )


def _postgres(connection: Any, schema: str, views: ViewSettings) -> Warehouse:
    from airflow_provider_liftos.warehouses.postgres import PostgresWarehouse

    return PostgresWarehouse(
        _parameters(connection), schema=schema, audit_schema=f"{schema}_audit", views=views
    )


def _snowflake(conn_id: str | None, schema: str, views: ViewSettings) -> Warehouse:
    from airflow_provider_liftos.warehouses.snowflake import SnowflakeWarehouse

    try:
        from airflow_provider_liftos.hooks.snowflake import LiftosSnowflakeHook
    except ImportError as error:
        raise ConfigurationError(
            "Airflow's Snowflake provider is not installed.",
            hint="Install airflow-provider-liftos[snowflake].",
        ) from error
    hook = LiftosSnowflakeHook(snowflake_conn_id=conn_id)
    return SnowflakeWarehouse(
        hook.parameters, schema=schema, audit_schema=f"{schema}_audit", views=views
    )


def _databricks(
    connection: Any, org_id: str, store: StateStore, schema: str, views: ViewSettings
) -> Warehouse:
    from airflow_provider_liftos.hooks.databricks import VOLUME, connector
    from airflow_provider_liftos.state.leases import Leases
    from airflow_provider_liftos.warehouses.databricks import DatabricksWarehouse

    return DatabricksWarehouse(
        connector(connection),
        Leases(store, org_id),
        schema=schema,
        audit_schema=f"{schema}_audit",
        volume=connection.extra_dejson.get(VOLUME) or "",
        label="/".join(filter(None, (_host(connection), connection.extra_dejson.get("catalog")))),
        views=views,
    )


def _host(connection: Any) -> str:
    host = connection.extra_dejson.get("host") or connection.host or ""
    return str(host).removeprefix("https://").rstrip("/")


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
