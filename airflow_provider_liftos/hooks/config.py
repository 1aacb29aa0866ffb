"""The ``[liftos]`` section of Airflow's configuration, as one table of options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_liftos.engine.staging import Staging
    from airflow_provider_liftos.state.store import StateStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option; ``default`` None means "computed", as the description says."""

    name: str
    kind: str
    default: str | None
    description: str


OPTIONS = (
    Option(name="state_url", kind="string", default=None,
           description="State store: sqlite:///path or postgresql://... "
           "Default: liftos/state.db under AIRFLOW_HOME. Several hosts need Postgres."),
    Option(name="state_conn_id", kind="string", default=None,
           description="Airflow connection (postgres) of the state store; wins over state_url."),
    Option(name="staging_url", kind="string", default=None,
           description="Where files wait between tasks: a folder or an object store, as "
           "ObjectStoragePath takes it. Default: liftos/staging under AIRFLOW_HOME. Several hosts "
           "need a location that all of them reach."),
    Option(name="duckdb_path", kind="string", default=None,
           description="File of the default warehouse. "
           "Default: liftos/warehouse.duckdb under AIRFLOW_HOME."),
    Option(name="accounts_per_task", kind="integer", default="10",
           description="Accounts that one mapped extract task carries."),
    Option(name="fetch_threads", kind="integer", default="4",
           description="Reports that one task reads at the same time."),
    Option(name="poll_seconds", kind="float", default="10",
           description="Pause between the first two looks at running reports; grows to a minute."),
    Option(name="min_defer_seconds", kind="float", default="10",
           description="Shortest deferral. Airflow 3.3 may fail a task whose trigger fires within "
           "seconds of the deferral; this keeps clear of it."),
    Option(name="report_timeout_seconds", kind="float", default="0",
           description="How long a report may run before it is submitted again. "
           "0: the platform's own default."),
    Option(name="memory_limit", kind="string", default="256MB",
           description="Memory DuckDB may use for normalizing; loading takes half of it."),
)  # fmt: skip


def _default(name: str) -> str | None:
    return next(option.default for option in OPTIONS if option.name == name)


def text(name: str) -> str:
    """A text option; empty when unset."""
    from airflow.sdk.configuration import conf

    return str(conf.get("liftos", name, fallback=None) or _default(name) or "")


def number(name: str) -> float:
    """A numeric option."""
    from airflow_provider_liftos.model.errors import ConfigurationError

    value = text(name)
    try:
        return float(value)
    except ValueError:
        raise ConfigurationError(f"[liftos] {name} is {value!r}, not a number") from None


def _home() -> str:
    import os
    from pathlib import Path

    return os.environ.get("AIRFLOW_HOME") or str(Path("~/airflow").expanduser())


def duckdb_path() -> str:
    """Path of the default warehouse."""
    return text("duckdb_path") or f"{_home()}/liftos/warehouse.duckdb"


def state_store() -> StateStore:
    """The state store of this deployment, one per process."""
    from airflow_provider_liftos.state.store import open_store

    conn_id = text("state_conn_id")
    if conn_id:
        from airflow.sdk import BaseHook

        connection: Any = BaseHook.get_connection(conn_id)
        return open_store(connection.get_uri().replace("postgres://", "postgresql://", 1))
    return open_store(text("state_url") or f"sqlite:///{_home()}/liftos/state.db")


def staging() -> Staging:
    """The staging area, on whatever file system its URL names."""
    from airflow_provider_liftos.engine.staging import Staging

    url = text("staging_url") or f"{_home()}/liftos/staging"
    if "://" not in url or url.startswith("file://"):
        return Staging(url.removeprefix("file://"))
    from airflow.sdk import ObjectStoragePath

    path = ObjectStoragePath(url)
    return Staging(str(path), path.fs)
