"""Files on one host are refused where tasks run on several."""

from __future__ import annotations

import pytest
from airflow.sdk.definitions.context import _AIRFLOW_PARSING_CONTEXT_TASK_ID
from airflow.sdk.io.store import _STORE_CACHE, ObjectStore
from fsspec.implementations.local import LocalFileSystem

from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.model.errors import ConfigurationError

CELERY = "airflow.providers.celery.executors.celery_executor.CeleryExecutor"


def test_one_host_may_use_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")
    config.refuse_one_host()


@pytest.mark.parametrize("executor", [CELERY, "KubernetesExecutor", "CeleryExecutor"])
def test_several_hosts_refuse_a_state_store_in_a_file(
    monkeypatch: pytest.MonkeyPatch, executor: str
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", executor)
    monkeypatch.setenv("AIRFLOW__LIFTOS__STAGING_URL", "s3://bucket/staging")
    with pytest.raises(ConfigurationError, match="state store is a file"):
        config.refuse_one_host()


def test_several_hosts_refuse_staging_in_a_local_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", CELERY)
    monkeypatch.setenv("AIRFLOW__LIFTOS__STATE_URL", "postgresql://db/liftos")
    monkeypatch.setenv("AIRFLOW__LIFTOS__STAGING_URL", "/tmp/staging")
    with pytest.raises(ConfigurationError, match="staging is a folder"):
        config.refuse_one_host()


@pytest.mark.parametrize(
    "url", ["s3://bucket/staging", "shared:///mnt/staging", "SHARED:///mnt/staging"]
)
def test_several_hosts_take_what_all_of_them_reach(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", CELERY)
    monkeypatch.setenv("AIRFLOW__LIFTOS__STATE_URL", "postgresql://db/liftos")
    monkeypatch.setenv("AIRFLOW__LIFTOS__STAGING_URL", url)
    monkeypatch.setenv("AIRFLOW__LIFTOS__DUCKDB_PATH", "shared:///mnt/w.duckdb")
    config.refuse_one_host()
    assert config.duckdb_path() == "/mnt/w.duckdb"


def test_several_hosts_refuse_a_warehouse_in_a_local_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", CELERY)
    monkeypatch.setenv("AIRFLOW__LIFTOS__STATE_URL", "postgresql://db/liftos")
    monkeypatch.setenv("AIRFLOW__LIFTOS__STAGING_URL", "shared:///mnt/staging")
    with pytest.raises(ConfigurationError, match="DuckDB warehouse is a file on one"):
        config.refuse_one_host()


def test_several_hosts_refuse_a_store_that_is_a_folder_by_another_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only its file system tells, when a task asks for it: any scheme can be given to any."""
    store = ObjectStore("s3", "lake", fs=LocalFileSystem())
    monkeypatch.setitem(_STORE_CACHE, "s3-lake", store)
    monkeypatch.setenv("AIRFLOW_CONN_LAKE", "aws://")
    monkeypatch.setenv("AIRFLOW_CONN_LAKE", "aws://")
    monkeypatch.setenv("AIRFLOW__LIFTOS__STATE_URL", "postgresql://db/liftos")
    monkeypatch.setenv("AIRFLOW__LIFTOS__STAGING_URL", "s3://lake@bucket/staging")
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")
    assert config.staging().is_local
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", CELERY)
    with pytest.raises(ConfigurationError, match="staging is a folder on one"):
        config.staging()


@pytest.mark.parametrize("executor", ["LocalExecutor", CELERY])
@pytest.mark.parametrize("url", ["shared://", "shared:///", "shared://relative"])
def test_a_shared_place_has_a_whole_path(
    monkeypatch: pytest.MonkeyPatch, executor: str, url: str
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", executor)
    monkeypatch.setenv("AIRFLOW__LIFTOS__STATE_URL", "postgresql://db/liftos")
    monkeypatch.setenv("AIRFLOW__LIFTOS__STAGING_URL", url)
    monkeypatch.setenv("AIRFLOW__LIFTOS__DUCKDB_PATH", url)
    for place in (config.staging, config.duckdb_path, lambda: config.duckdb_file(url)):
        with pytest.raises(ConfigurationError, match="names no place below the root"):
            place()


def test_several_hosts_refuse_a_connection_to_a_state_store_in_a_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", CELERY)
    monkeypatch.setenv("AIRFLOW__LIFTOS__STATE_CONN_ID", "my_state")
    monkeypatch.setenv("AIRFLOW__LIFTOS__STAGING_URL", "shared:///mnt/staging")
    monkeypatch.setenv("AIRFLOW_CONN_MY_STATE", "sqlite:////tmp/state.db")
    with pytest.raises(ConfigurationError, match="state store is a file on one"):
        config.state_store()


def test_what_is_refused_where_a_file_is_read_is_left_to_the_task_where_a_task_reads_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", CELERY)
    with pytest.raises(ConfigurationError, match="CeleryExecutor runs tasks on several hosts"):
        config.refuse_at_parse()
    monkeypatch.setenv(_AIRFLOW_PARSING_CONTEXT_TASK_ID, "plan")
    config.refuse_at_parse()
    with pytest.raises(ConfigurationError):
        config.staging()
