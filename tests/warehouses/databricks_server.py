"""A Databricks for tests: the vendor's connector against the sandbox's server."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from typing import Any

from airflow_provider_liftos.model.unified import TABLES
from airflow_provider_liftos.sandbox.databricks import DatabricksSandbox
from airflow_provider_liftos.warehouses.databricks import DatabricksWarehouse
from airflow_provider_liftos.warehouses.databricks_settings import settings
from airflow_provider_liftos.warehouses.ddl import audit_tables


class Asked(DatabricksWarehouse):
    """Takes a test's questions, which are written as DuckDB understands them."""

    sandbox: DatabricksSandbox

    def query(self, sql: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return super().query(sql if "`" in sql else translated(sql), params)

    def checksum(self, table: str, where: str = "", params: Sequence[object] = ()) -> str:
        return super().checksum(table, translated(where) if where else "", params)


@cache
def translated(sql: str) -> str:
    import sqlglot

    return sqlglot.transpile(sql, read="duckdb", write="databricks")[0]


def connector(sandbox: DatabricksSandbox, **options: Any) -> Any:
    """As the hook connects, without asking Airflow for a connection."""

    # It takes down every message in full.
    logging.getLogger("databricks.sql.unsafe").disabled = True

    def connect(folder: str, *, tags: bool = True) -> Any:
        from databricks import sql

        extra = {k: v for k, v in sandbox.extra.items() if k != "http_path"}
        given = {"staging_allowed_local_path": folder, "access_token": sandbox.token}
        given |= extra | options
        return sql.connect(
            sandbox.host,
            sandbox.http_path,
            session_configuration=settings(None, tags=tags),
            **given,
        )

    return connect


def warehouse_at(
    sandbox: DatabricksSandbox,
    leases: Any = None,
    retries: dict[str, Any] | None = None,
    **options: Any,
) -> Asked:
    made = Asked(connector(sandbox, **(retries or {})), leases, **{"wait": 20, **options})
    made.sandbox = sandbox
    return made


def emptied(sandbox: DatabricksSandbox) -> Asked:
    """Without rows, and without memory of its tables; behind the server, which takes less time."""
    sandbox.revive()
    sandbox.lakehouse.seen.clear()
    names = [f'"liftos"."{name}"' for name in TABLES]
    names += [f'"liftos_audit"."{table.name}"' for table in audit_tables()]
    sandbox.lakehouse.run("; ".join(f"DELETE FROM {name}" for name in names))
    return warehouse_at(sandbox)
