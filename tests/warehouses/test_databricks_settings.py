"""What a session is opened with: tags that tell costs apart, and what results depend on."""

from __future__ import annotations

import json

import pytest

from airflow_provider_liftos.warehouses.databricks_settings import refuses_tags, settings

FIXED = {"TIMEZONE": "UTC", "ANSI_MODE": "true"}
RUN = "scheduled__2026-01-01T00:00:00+00:00"


@pytest.fixture(autouse=True)
def _no_task(monkeypatch):
    for name in ("DAG_ID", "TASK_ID", "DAG_RUN_ID"):
        monkeypatch.delenv(f"AIRFLOW_CTX_{name}", raising=False)


@pytest.fixture
def task(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CTX_DAG_ID", "meta_daily")
    monkeypatch.setenv("AIRFLOW_CTX_TASK_ID", "meta.publish")
    monkeypatch.setenv("AIRFLOW_CTX_DAG_RUN_ID", RUN)


def test_outside_of_tasks_statements_are_ours_at_least():
    assert settings(None) == FIXED | {"QUERY_TAGS": "app:liftos"}


@pytest.mark.usefixtures("task")
def test_costs_are_told_apart_by_dag_task_and_run():
    assert settings({})["QUERY_TAGS"] == (
        "app:liftos,airflow_dag_id:meta_daily,airflow_task_id:meta.publish,"
        r"airflow_run_id:scheduled__2026-01-01T00\:00\:00+00\:00"
    )


@pytest.mark.usefixtures("task")
def test_tags_of_the_connection_go_first_and_win():
    made = settings({"QUERY_TAGS": r"team:a\,b, airflow_run_id:mine,cheap"})["QUERY_TAGS"]
    assert made == (
        r"team:a\,b, airflow_run_id:mine,cheap,"
        "app:liftos,airflow_dag_id:meta_daily,airflow_task_id:meta.publish"
    )


def test_values_are_escaped_and_of_a_bounded_length(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CTX_DAG_ID", "a,b:c\\" + "x" * 200)
    assert settings({})["QUERY_TAGS"] == r"app:liftos,airflow_dag_id:a\,b\:c\\" + "x" * 122


@pytest.mark.usefixtures("task")
@pytest.mark.parametrize("given", ['{"QUERY_TAGS": null}', '{"query_tags": ""}'])
def test_a_connection_may_do_without_tags(given):
    assert settings(json.loads(given)) == FIXED


def test_without_tags_there_are_none_whatever_the_connection_says():
    given = {"QUERY_TAGS": "team:a", "STATEMENT_TIMEOUT": "900"}
    assert settings(given, tags=False) == FIXED | {"STATEMENT_TIMEOUT": "900"}


def test_what_results_depend_on_is_nobodys_choice_in_whichever_case():
    given = {"timezone": "Europe/Berlin", "Ansi_Mode": "false", "statement_timeout": 900}
    assert settings(given, tags=False) == FIXED | {"statement_timeout": "900"}


@pytest.mark.parametrize(
    ("said", "them"),
    [
        (
            "[CONFIG_NOT_AVAILABLE.WITHOUT_SUGGESTION] Configuration query_tags is not available.",
            True,
        ),
        ("[CONFIG_NOT_AVAILABLE] Configuration\nQUERY_TAGS is not available.", True),
        ("[CONFIG_NOT_AVAILABLE] Configuration TIMEZONE is not available.", False),
        ("QUERY_TAGS: Invalid access token", False),
    ],
)
def test_only_who_knows_no_tags_refuses_them(said, them):
    assert refuses_tags(OSError(said)) is them
