"""Which executors run tasks on several hosts, in every way to write them."""

from __future__ import annotations

import pytest

from airflow_provider_liftos.hooks.executors import of_several_hosts

CELERY = "airflow.providers.celery.executors.celery_executor.CeleryExecutor"
KUBERNETES = "airflow.providers.cncf.kubernetes.executors.kubernetes_executor.KubernetesExecutor"


@pytest.mark.parametrize(
    ("configured", "executor"),
    [
        ("CeleryExecutor", "CeleryExecutor"),
        (CELERY, "CeleryExecutor"),
        (KUBERNETES, "KubernetesExecutor"),
        ("CeleryKubernetesExecutor", "CeleryKubernetesExecutor"),
        ("LocalKubernetesExecutor", "LocalKubernetesExecutor"),
        ("airflow.providers.edge3.executors.EdgeExecutor", "EdgeExecutor"),
        ("airflow.providers.amazon.aws.executors.ecs.AwsEcsExecutor", "AwsEcsExecutor"),
        ("airflow.providers.amazon.aws.executors.batch.AwsBatchExecutor", "AwsBatchExecutor"),
        (
            "airflow.providers.amazon.aws.executors.aws_lambda.AwsLambdaExecutor",
            "AwsLambdaExecutor",
        ),
        ("LocalExecutor,CeleryExecutor", "CeleryExecutor"),
        (f"LocalExecutor, far:{KUBERNETES}", "KubernetesExecutor"),
        ("local:LocalExecutor,far:CeleryExecutor", "CeleryExecutor"),
        ("=LocalExecutor,CeleryExecutor", "CeleryExecutor"),
        ("LocalExecutor;=CeleryExecutor", "CeleryExecutor"),
        ("my.company.executors.FleetExecutor", "FleetExecutor"),
        ("airflow.executors.base_executor.BaseExecutor", "BaseExecutor"),
    ],
)
def test_who_runs_tasks_elsewhere_is_recognised(
    monkeypatch: pytest.MonkeyPatch, configured: str, executor: str
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", configured)
    assert of_several_hosts() == executor


@pytest.mark.parametrize(
    "configured",
    [
        "LocalExecutor",
        "airflow.executors.local_executor.LocalExecutor",
        "batch:LocalExecutor",
        "LocalExecutor,",
        "",
    ],
)
def test_who_runs_tasks_here_is_not_refused(
    monkeypatch: pytest.MonkeyPatch, configured: str
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", configured)
    assert of_several_hosts() == ""


def test_an_executor_of_somebodys_own_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pytest.TempPathFactory
) -> None:
    (tmp_path / "own_executors.py").write_text(
        "class Here:\n    is_local = True\nclass There:\n    is_local = False\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "own_executors.Here")
    assert of_several_hosts() == ""
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "own_executors.Here,own_executors.There")
    assert of_several_hosts() == "There"


@pytest.mark.parametrize(("enabled", "executor"), [("True", "CeleryExecutor"), ("False", "")])
def test_teams_count_where_airflow_heeds_them(
    monkeypatch: pytest.MonkeyPatch, enabled: str, executor: str
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__MULTI_TEAM", enabled)
    monkeypatch.setenv(
        "AIRFLOW__CORE__EXECUTOR",
        "LocalExecutor;batch=LocalExecutor;far=LocalExecutor,CeleryExecutor",
    )
    assert of_several_hosts() == executor


def test_the_pod_of_a_task_knows_what_the_chart_does_not_tell_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")
    monkeypatch.setenv("AIRFLOW_IS_K8S_EXECUTOR_POD", "True")
    assert of_several_hosts() == "KubernetesExecutor"
