"""Connections to Databricks SQL warehouses, as Airflow's own hook opens them.

Of the connection, the hook gives everything that the vendor's connector takes: tokens, service
principals, federation, proxies, and every key of the extra that it does not know itself.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.warehouses.databricks_settings import settings

if TYPE_CHECKING:
    from airflow_provider_liftos.warehouses.databricks_session import Connect

VOLUME = "liftos_volume"
"""Key of the connection's extra: the volume for files, as ``/Volumes/catalog/schema/volume``."""


def connector(connection: Any) -> Connect:
    """What opens a connection of the vendor's connector, which may send files of a folder.

    Raises:
        ConfigurationError: Airflow's provider is not installed, or no SQL warehouse is named.
    """
    try:
        from airflow.providers.databricks.hooks.databricks_sql import DatabricksSqlHook
    except ImportError as error:
        raise ConfigurationError(
            "Airflow's Databricks provider is not installed.",
            hint="Install airflow-provider-liftos[databricks].",
        ) from error
    extra = connection.extra_dejson
    if not extra.get("http_path"):
        raise ConfigurationError(
            f"connection {connection.conn_id!r} names no SQL warehouse",
            hint='Put its path into the extra: "http_path": "/sql/1.0/warehouses/…".',
        )
    _be_quiet()

    def connect(folder: str, *, tags: bool = True) -> Any:
        own: dict[str, Any] = {"staging_allowed_local_path": folder} if folder else {}
        own["enable_telemetry"] = extra.get("enable_telemetry", False)
        hook = DatabricksSqlHook(
            connection.conn_id,
            session_configuration=settings(extra.get("session_configuration"), tags=tags),
            caller="airflow-provider-liftos",
            **own,
        )
        return hook.get_conn()

    return connect


def _be_quiet() -> None:
    """The connector tells of every request; of a slice that is fifty lines."""
    log = logging.getLogger("databricks.sql")
    if log.level == logging.NOTSET:
        log.setLevel(logging.WARNING)
