"""Where ``[liftos] staging_url`` leads."""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow.sdk.io.store import _STORE_CACHE, ObjectStore
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.model.errors import ConfigurationError


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    return lambda value: monkeypatch.setenv("AIRFLOW__LIFTOS__STAGING_URL", value)


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> MemoryFileSystem:
    """A store as Airflow makes one of a connection."""
    monkeypatch.setenv("AIRFLOW_CONN_MY_STORE", "generic://")
    fs = MemoryFileSystem(global_store=False, skip_instance_cache=True)
    monkeypatch.setitem(_STORE_CACHE, "memory-my_store", ObjectStore("memory", "my_store", fs=fs))
    return fs


@pytest.mark.parametrize("scheme", ["", "file://", "FILE://", "local://", "shared://"])
def test_a_folder_is_used_as_it_is(url, tmp_path: Path, scheme: str) -> None:
    url(f"{scheme}{tmp_path}/staging")
    staging = config.staging()
    assert staging.is_local
    assert Path(staging.write_json(staging.folder("a"), {})).parent == tmp_path / "staging" / "a"


def test_a_store_is_reached_by_the_connection_in_its_url(url, memory: MemoryFileSystem) -> None:
    url("memory://my_store@bucket/liftos")
    staging = config.staging()
    assert not staging.is_local
    path = staging.write_json(staging.folder("manifests"), {"a": 1})
    assert path.startswith("memory:///bucket/liftos/manifests/")
    assert "my_store" not in path
    assert memory.find("") == [path.removeprefix("memory://")]
    assert staging.read_json(path) == {"a": 1}


def test_s3_without_its_connection_is_one_clear_line(url) -> None:
    url("s3://nobody_made_it@bucket/liftos")
    with pytest.raises(ConfigurationError, match=r"s3:// cannot be used: .*nobody_made_it"):
        config.staging()


def test_a_scheme_that_no_provider_knows_is_one_clear_line(url) -> None:
    url("gs://my_google@bucket/liftos")
    with pytest.raises(ConfigurationError, match=r"gs:// cannot be used: .*gs:// \[gcs\]"):
        config.staging()
    url("nosuch://user:password@bucket/liftos")
    with pytest.raises(ConfigurationError) as caught:
        config.staging()
    assert "password" not in str(caught.value)
