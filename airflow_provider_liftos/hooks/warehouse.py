"""Which warehouse a task writes to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.model.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow_provider_liftos.state.store import StateStore
    from airflow_provider_liftos.warehouses.contract import Warehouse


MOCK_SCHEMA = "liftos_mock"


def open_warehouse(
    conn_id: str | None, org_id: str, store: StateStore, *, mock: bool = False
) -> Warehouse:
    """The warehouse of a connection, or the DuckDB file of ``[liftos] duckdb_path`` without one.

    A connection of type ``duckdb`` names its file as host. ``mock`` is for rows that are marked as
    invented: they have tables and views of their own, under audit and published.
    """
    from airflow_provider_liftos.state.leases import Leases
    from airflow_provider_liftos.warehouses.duckdb import DuckDbWarehouse
    from airflow_provider_liftos.warehouses.views import ViewSettings

    views = ViewSettings(reporting_currency=config.reporting_currency())
    path = config.duckdb_path()
    if conn_id:
        from airflow.sdk import BaseHook

        connection = BaseHook.get_connection(conn_id)
        if connection.conn_type != "duckdb":
            raise ConfigurationError(
                f"connection {conn_id!r} is of type {connection.conn_type!r}; the warehouse can be"
                " of type duckdb so far"
            )
        path = connection.host or path
    schema = MOCK_SCHEMA if mock else "liftos"
    return DuckDbWarehouse(
        path, Leases(store, org_id), schema=schema, audit_schema=f"{schema}_audit", views=views
    )
