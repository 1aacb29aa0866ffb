"""With an executor of several hosts, files on one are refused at parse and at the task's start."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from airflow.sdk.definitions.context import _AIRFLOW_PARSING_CONTEXT_TASK_ID
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.operators.maintenance import LiftosMaintenanceOperator
from airflow_provider_liftos.operators.plan import LiftosPlanOperator
from airflow_provider_liftos.pipelines import PlatformPipeline

DAGS = sorted((Path(__file__).parents[2] / "dags").glob("*.py"))
FIT = {"STATE_URL": "postgresql://db/liftos", "STAGING_URL": "s3://lake@bucket/staging"}
STATE_HERE = "CeleryExecutor runs tasks on several hosts, but the state store is a file on one"
STAGING_HERE = "CeleryExecutor runs tasks on several hosts, but staging is a folder on one"
NOWHERE = "names no place below the root"
UNFIT = [
    ({}, STATE_HERE),
    ({"STATE_URL": FIT["STATE_URL"]}, STAGING_HERE),
    ({**FIT, "STAGING_URL": "local:///tmp/x"}, STAGING_HERE),
    ({**FIT, "STAGING_URL": "shared://"}, NOWHERE),
]
WRITTEN = [
    *(({**FIT, "STATE_URL": url}, STATE_HERE) for url in (
        "sqlite:////tmp/state.db", "SQLite:////tmp/state.db", "sqlite+pysqlite:////tmp/state.db",
    )),
    *(({**FIT, "STAGING_URL": url}, STAGING_HERE) for url in (
        "here/staging", "/tmp/x", "file:///tmp/x", "FILE:///tmp/x", "file:/tmp/x",
        "local:///tmp/x", "Local:///tmp/x", " file:///tmp/x",
    )),
    *(({**FIT, "STAGING_URL": url}, NOWHERE) for url in (
        "shared://", "shared:///", "shared:////", "shared:///mnt/..", "shared://relative",
        "Shared://relative", "shared://./relative",
    )),
]  # fmt: skip


def settings(monkeypatch: pytest.MonkeyPatch, given: dict[str, str]) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor,CeleryExecutor")
    for name in ("STATE_URL", "STATE_CONN_ID", "STAGING_URL", "DUCKDB_PATH", "WAREHOUSE_CONN_ID"):
        monkeypatch.delenv(f"AIRFLOW__LIFTOS__{name}", raising=False)
    for name, value in given.items():
        monkeypatch.setenv(f"AIRFLOW__LIFTOS__{name}", value)


@pytest.mark.parametrize(("given", "said"), UNFIT)
@pytest.mark.parametrize("file", DAGS, ids=lambda file: file.stem)
def test_every_dag_file_is_refused_when_it_is_read(
    monkeypatch: pytest.MonkeyPatch, file: Path, given: dict[str, str], said: str
) -> None:
    settings(monkeypatch, given)
    with pytest.raises(ConfigurationError, match=said) as refused:
        runpy.run_path(str(file))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("given", "said"), WRITTEN)
def test_however_it_is_written_a_pipeline_is_refused_when_it_is_read_and_its_task_when_it_starts(
    monkeypatch: pytest.MonkeyPatch, liftos, given: dict[str, str], said: str
) -> None:
    settings(monkeypatch, given)
    with pytest.raises(ConfigurationError, match=said):
        PlatformPipeline("meta", warehouse_conn_id="warehouse")
    monkeypatch.setenv(_AIRFLOW_PARSING_CONTEXT_TASK_ID, "plan")
    task = LiftosPlanOperator(task_id="plan", platform="meta")
    with pytest.raises(AirflowFailException, match=said):
        task.execute(liftos.context(task.task_id))


@pytest.mark.parametrize("file", DAGS, ids=lambda file: file.stem)
def test_every_dag_file_is_read_where_all_hosts_reach_everything(
    monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    settings(monkeypatch, {**FIT, "WAREHOUSE_CONN_ID": "warehouse"})
    runpy.run_path(str(file))


def test_a_warehouse_in_a_local_file_is_refused_when_a_pipeline_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings(monkeypatch, FIT)
    with pytest.raises(ConfigurationError, match="DuckDB warehouse is a file on one"):
        PlatformPipeline("meta")
    PlatformPipeline("meta", warehouse_conn_id="warehouse")


@pytest.mark.parametrize(("given", "said"), UNFIT)
@pytest.mark.parametrize("make", [
    lambda: LiftosPlanOperator(task_id="plan", platform="meta"),
    lambda: LiftosMaintenanceOperator(task_id="clean"),
], ids=["plan", "maintenance"])  # fmt: skip
def test_a_task_that_starts_on_a_host_with_other_settings_says_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch, liftos, given: dict[str, str], said: str, make
) -> None:
    settings(monkeypatch, given)
    monkeypatch.setenv(_AIRFLOW_PARSING_CONTEXT_TASK_ID, "plan")
    task = make()
    with pytest.raises(AirflowFailException, match=said) as refused:
        task.execute(liftos.context(task.task_id))
    assert "\n" not in str(refused.value)
    assert "Nothing is retried" in str(refused.value)
