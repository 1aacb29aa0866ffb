"""Values for Airflow's official chart: keys that it knows, settings that hold on several hosts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.configuration import retrieve_configuration_description

from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.hooks.config import OPTIONS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "include" / "helm" / "values.yaml").read_text()
VALUES: dict[str, Any] = yaml.safe_load(TEXT)

KNOWN = {
    "executor", "airflowVersion", "images.airflow.repository", "images.airflow.tag",
    "fernetKeySecretName", "apiSecretKeySecretName", "jwtSecretName",
    "secret.envName", "secret.secretName", "secret.secretKey",
    "postgresql.enabled", "data.metadataSecretName", "data.brokerUrlSecretName",
    "redis.enabled", "redis.passwordSecretName", "redis.persistence.enabled",
    "apiServer.replicas", "scheduler.replicas", "dagProcessor.replicas",
    "triggerer.replicas", "triggerer.resources", "workers.celery.replicas",
    "workers.celery.terminationGracePeriodSeconds", "workers.celery.resources",
    "dags.persistence.enabled", "dags.gitSync.enabled", "logs.persistence.enabled",
}  # fmt: skip
"""Keys of the chart (values.schema.json; ``workers.celery`` since 1.20) that may stand here."""


def paths(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, dict) and not path.endswith("resources"):
        for key, inner in value.items():
            yield from paths(inner, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list):
        for inner in value:
            yield from paths(inner, path)
    else:
        yield path


def test_the_chart_knows_every_key() -> None:
    found = {path for path in paths(VALUES) if not path.startswith("config.")}
    assert found == KNOWN


def test_airflow_knows_every_option() -> None:
    celery = pytest.importorskip("airflow.providers.celery.get_provider_info")
    sections = {**retrieve_configuration_description(), **celery.get_provider_info()["config"]}
    known = {name: set(section["options"]) for name, section in sections.items()}
    known["liftos"] = {option.name for option in OPTIONS}
    for section, options in VALUES["config"].items():
        assert set(options) <= known[section], section


def test_it_is_the_pinned_airflow() -> None:
    (pinned,) = re.findall(
        r"^apache-airflow==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE
    )
    assert VALUES["airflowVersion"] == VALUES["images"]["airflow"]["tag"] == pinned
    assert f"apache/airflow:{pinned}-python3.11" in TEXT


def test_what_it_sets_holds_on_several_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", VALUES["executor"])
    for section, options in VALUES["config"].items():
        for name, value in options.items():
            monkeypatch.setenv(f"AIRFLOW__{section}__{name}".upper(), str(value))
    for one in VALUES["secret"]:
        monkeypatch.setenv(one["envName"], "postgresql://liftos:x@db/liftos")
    config.refuse_one_host(duckdb=False)
    assert config.text("warehouse_conn_id")
    assert {one["envName"].rpartition("__")[2].lower() for one in VALUES["secret"]} == {
        option.name for option in OPTIONS if option.secret
    }


def test_tasks_do_not_wait_in_the_queue_of_celery() -> None:
    slots = (
        VALUES["workers"]["celery"]["replicas"] * VALUES["config"]["celery"]["worker_concurrency"]
    )
    assert VALUES["config"]["core"]["parallelism"] == slots


def test_two_of_what_may_die_and_no_secret_in_the_file() -> None:
    for who in (VALUES["triggerer"], VALUES["workers"]["celery"], VALUES["scheduler"]):
        assert who["replicas"] >= 2
    given = [line.partition("#")[0] for line in TEXT.splitlines()]
    assert [line for line in given if re.search(r"(password|token|key)\s*:\s*\S", line)
            and "secretKey" not in line] == []  # fmt: skip
