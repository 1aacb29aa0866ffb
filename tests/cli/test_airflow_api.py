from __future__ import annotations

import httpx2
import pytest

from airflow_provider_liftos.cli.airflow_api import AirflowApi, AirflowApiError


def api(answers):
    """A client whose server answers by path; a list is answered item by item."""

    def handle(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/auth/token":
            return httpx2.Response(201, json={"access_token": "t"})
        answer = answers[request.url.path.removeprefix("/api/v2/")]
        status, body = answer.pop(0) if isinstance(answer, list) else answer
        return httpx2.Response(status, json=body)

    return AirflowApi("http://airflow", poll=0, transport=httpx2.MockTransport(handle))


def test_a_refused_body_is_not_echoed():
    detail = [{"loc": ["body", "port"], "msg": "not a number", "input": {"password": "hunter22"}}]
    with pytest.raises(AirflowApiError, match=r"body\.port: not a number") as caught:
        api({"connections": (422, {"detail": detail})}).create_connection("c", "http", port="x")
    assert "hunter22" not in str(caught.value)
    assert caught.value.status == 422


def test_an_expired_token_is_renewed_once():
    answers = {"dags/d/dagRuns/r": [(401, {}), (200, {"state": "success"})]}
    assert api(answers).dag_run("d", "r") == {"state": "success"}


def test_an_existing_connection_is_replaced():
    answers = {"connections": (409, {"detail": "there"}), "connections/c": (200, {})}
    api(answers).create_connection("c", "http", extra={"a": 1})


def test_waiting_for_a_dag_shows_why_its_file_cannot_be_imported():
    errors = [{"filename": "sub/d.py", "stack_trace": "ModuleNotFoundError: nope"}]
    answers = {"dags/d": (404, {}), "importErrors": (200, {"import_errors": errors})}
    with pytest.raises(AirflowApiError, match="ModuleNotFoundError: nope"):
        api(answers).wait_for_dag("d", timeout=60)


def test_waiting_too_long_for_a_run_names_the_states_of_its_tasks():
    tasks = {"task_instances": [{"task_id": "t", "state": "deferred"}], "total_entries": 1}
    answers = {
        "dags/d/dagRuns/r": (200, {"state": "running"}),
        "dags/d/dagRuns/r/taskInstances": (200, tasks),
    }
    with pytest.raises(AirflowApiError, match=r"still running after 0 s: \{'t': 'deferred'\}"):
        api(answers).wait_dag_run("d", "r", timeout=0)


def test_silence_is_an_error_that_names_the_server():
    def refuse(request):
        raise httpx2.ConnectError("refused")

    client = AirflowApi("http://airflow", transport=httpx2.MockTransport(refuse))
    with pytest.raises(AirflowApiError, match="http://airflow did not answer GET /auth/token"):
        client.dag_runs("d")
