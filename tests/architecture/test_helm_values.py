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
FOLDER = ROOT / "include" / "helm"
TEXT = (FOLDER / "values.yaml").read_text()
VALUES: dict[str, Any] = yaml.safe_load(TEXT)
PODS: dict[str, Any] = yaml.safe_load((FOLDER / "kubernetes-executor.yaml").read_text())


def merged(below: Any, above: Any) -> Any:
    """As Helm does with a second file: maps are merged, all else is replaced."""
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    return below | {
        key: merged(below[key], value) if key in below else value for key, value in above.items()
    }


KUBERNETES = merged(VALUES, PODS)
FILES = {"values.yaml": VALUES, "kubernetes-executor.yaml": PODS}
BOTH = pytest.mark.parametrize("values", [VALUES, KUBERNETES], ids=["celery", "kubernetes"])

CHART = frozenset(
    line
    for line in (ROOT / "tests" / "data" / "airflow_chart_keys.txt").read_text().splitlines()
    if not line.startswith("#")
)
OPEN = frozenset(key.removesuffix(".*") for key in CHART if key.endswith(".*"))
"""Below these stands what their users or Kubernetes name."""


def paths(value: Any, path: str = "") -> Iterator[str]:
    """Every key down to a value, or to where the chart knows no more."""
    if path in OPEN:
        yield f"{path}.*"
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from paths(inner, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list):
        for inner in value:
            yield from paths(inner, path)
    else:
        yield path


@pytest.mark.parametrize("name", FILES)
def test_the_chart_knows_every_key(name: str) -> None:
    assert [path for path in paths(FILES[name]) if path not in CHART] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"triggerer": {"persistance": {"enabled": False}}},
        {"workers": {"replicas": 2}},  # the chart calls it deprecated
        {"workers": {"kubernetes": {"persistence": {"enabled": False}}}},
        {"jwtSecretKeySecretName": "liftos-jwt-secret"},
        {"secret": [{"name": "AIRFLOW__LIFTOS__STATE_URL"}]},
    ],
)
def test_a_key_that_the_chart_does_not_know_is_found(wrong: dict[str, Any]) -> None:
    assert [path for path in paths(wrong) if path not in CHART]


KUBERNETES_OPTIONS = {"worker_pods_creation_batch_size"}
"""Of apache-airflow-providers-cncf-kubernetes 10.25, which is not installed here."""


def test_airflow_knows_every_option() -> None:
    celery = pytest.importorskip("airflow.providers.celery.get_provider_info")
    sections = {**retrieve_configuration_description(), **celery.get_provider_info()["config"]}
    known = {name: set(section["options"]) for name, section in sections.items()}
    known["liftos"] = {option.name for option in OPTIONS}
    known["kubernetes_executor"] = KUBERNETES_OPTIONS
    for section, options in KUBERNETES["config"].items():
        assert set(options) <= known[section], section


def test_it_is_the_pinned_airflow() -> None:
    (pinned,) = re.findall(
        r"^apache-airflow==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE
    )
    assert VALUES["airflowVersion"] == VALUES["images"]["airflow"]["tag"] == pinned
    assert f"apache/airflow:{pinned}-python3.11" in TEXT


@BOTH
def test_what_it_sets_holds_on_several_hosts(
    values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", values["executor"])
    for section, options in values["config"].items():
        for name, value in options.items():
            monkeypatch.setenv(f"AIRFLOW__{section}__{name}".upper(), str(value))
    for one in values["secret"]:
        monkeypatch.setenv(one["envName"], "postgresql://liftos:x@db/liftos")
    config.refuse_one_host(duckdb=False)
    assert config.text("warehouse_conn_id")
    assert {one["envName"].rpartition("__")[2].lower() for one in values["secret"]} == {
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


def names(value: Any) -> Iterator[str]:
    """Every secret that a file names."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key.endswith("SecretName") or key in {"secretName", "jwtSecretName"}:
                yield inner
            else:
                yield from names(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from names(inner)


def test_no_secret_has_a_name_that_the_chart_gives_to_its_own() -> None:
    """The chart's begin with the release's name; it deletes those that it no longer renders."""
    found = set(names(VALUES))
    assert len(found) == 7
    assert [name for name in found if not name.startswith("liftos")] == []


def test_nobody_is_admin_with_the_password_admin() -> None:
    assert VALUES["createUserJob"]["enabled"] is False


@BOTH
def test_no_disk_is_asked_for_by_default_and_logs_outlive_their_pods(
    values: dict[str, Any],
) -> None:
    """The chart's default is a volume of 100 GiB for each worker and each triggerer."""
    for who in (values["triggerer"], values["workers"]["celery"], values["logs"], values["dags"]):
        assert who["persistence"]["enabled"] is False
    logging = values["config"]["logging"]
    assert logging["remote_logging"] == "True"
    assert logging["remote_base_log_folder"].startswith("s3://")
    staging = values["config"]["liftos"]["staging_url"]
    assert staging.startswith(f"s3://{logging['remote_log_conn_id']}@")


def test_a_pod_per_task_has_room_for_copies_and_needs_no_queue() -> None:
    assert KUBERNETES["redis"]["enabled"] is False
    pod = KUBERNETES["workers"]["kubernetes"]
    [volume], [mount] = pod["extraVolumes"], pod["extraVolumeMounts"]
    assert volume["name"] == mount["name"]
    assert {"name": "TMPDIR", "value": mount["mountPath"]} in pod["env"]
    assert {"requests", "limits"} <= set(pod["resources"])
    assert (
        pod["terminationGracePeriodSeconds"]
        == KUBERNETES["workers"]["celery"]["terminationGracePeriodSeconds"]
    )
