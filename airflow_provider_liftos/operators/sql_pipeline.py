"""A source's whole way from its query to what people see, as one object to put into a DAG."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, CronDataIntervalTimetable, Param, TaskGroup

from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.operators.assets import platform_asset
from airflow_provider_liftos.operators.load import LiftosLoadOperator
from airflow_provider_liftos.operators.normalize import LiftosNormalizeOperator
from airflow_provider_liftos.operators.publish import LiftosPublishOperator
from airflow_provider_liftos.operators.quality_gate import LiftosQualityGateOperator
from airflow_provider_liftos.operators.sql_extract import LiftosSqlExtractOperator

DAILY = "0 6 * * *"


class SqlPipeline:
    """Extract, normalize, load, audit and publish one source of one's own.

    ``parts`` are arguments of ``LiftosSqlExtractOperator``; ``audit`` those of
    ``LiftosQualityGateOperator``, such as ``minimum_score``.
    """

    def __init__(
        self,
        platform: str = "internal",
        *,
        conn_id: str | None = None,
        warehouse_conn_id: str | None = None,
        audit: Mapping[str, Any] | None = None,
        **parts: Any,
    ) -> None:
        self.platform = platform
        self.conn_id = conn_id
        self.warehouse_conn_id = warehouse_conn_id
        self.audit = dict(audit or {})
        self.parts = parts

    @classmethod
    def from_yaml(cls, path: str | Path) -> dict[str, SqlPipeline]:
        """A pipeline for each source that a file describes under ``sources``, by name.

        Raises:
            ConfigurationError: the file is not there, or not of that form.
        """
        import yaml

        try:
            found = yaml.safe_load(Path(path).read_text())["sources"]
            return {name: cls(name, **parts) for name, parts in found.items()}
        except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(
                f"{path} describes no sources: {error}",
                hint="See include/config/internal_source.yaml.",
            ) from None

    def dag(self, dag_id: str | None = None, *, schedule: Any = DAILY, **kwargs: Any) -> DAG:
        """A DAG around the pipeline: daily, no catch-up, one run at a time.

        ``kwargs`` are arguments of ``DAG`` and go before what is said here; ``params`` are added.
        """
        if isinstance(schedule, str):
            schedule = CronDataIntervalTimetable(schedule, timezone="UTC")
        usual = {
            "description": "Rows of your own beside the platforms', checked before publishing",
            "start_date": datetime(2024, 1, 1),  # noqa: DTZ001  read in the timetable's zone
            "catchup": False,
            "tags": ["liftos", self.platform],
            "default_args": {"retry_delay": timedelta(seconds=30)},
            "max_active_runs": 1,
        }
        parts = {**usual, **kwargs, "params": {**_params(), **(kwargs.get("params") or {})}}
        with DAG(dag_id or f"liftos_{self.platform}", schedule=schedule, **parts) as dag:
            self.task_group()
        return dag

    def task_group(self, group_id: str | None = None) -> TaskGroup:
        """The tasks, for use in a DAG of your own."""
        common: dict[str, Any] = {"platform": self.platform, "conn_id": self.conn_id}
        target: dict[str, Any] = {"warehouse_conn_id": self.warehouse_conn_id}
        with TaskGroup(group_id or self.platform, prefix_group_id=bool(group_id)) as group:
            extract: Any = LiftosSqlExtractOperator(
                task_id="extract", doc_md=LiftosSqlExtractOperator.__doc__, **self.parts, **target,
                **common,
            )  # fmt: skip
            normalize = LiftosNormalizeOperator(
                task_id="normalize", extracted=extract.output, **common
            )
            load = LiftosLoadOperator(
                task_id="load", normalized=normalize.output, **target, **common
            )
            audit = LiftosQualityGateOperator(
                task_id="audit", loaded=load.output, **self.audit, **target, **common
            )
            LiftosPublishOperator(
                task_id="publish", audited=audit.output, outlets=[platform_asset(self.platform)],
                **target, **common,
            )  # fmt: skip
        return group


def _params() -> dict[str, Param]:
    """What a person may set when starting a run."""
    day: dict[str, Any] = {"type": ["string", "null"], "format": "date"}
    return {
        "since": Param(None, title="First day", description="Read again by date.", **day),
        "until": Param(None, title="Last day", description="Included.", **day),
        "last_n_days": Param(None, type=["integer", "null"], minimum=1, title="Last N days"),
        "lifetime": Param(False, type="boolean", title="All days there are"),
    }
