"""Statements by the SQL API of the sandbox: requests that may have arrived, names, refusals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_liftos.engine.source_query import Statement
from airflow_provider_liftos.hooks import source
from airflow_provider_liftos.model.errors import ConfigurationError, Missing, Unavailable
from airflow_provider_liftos.sandbox.snowflake_api import SnowflakeApi

ONE = Statement(text="SELECT 1 AS a", parameters=None)


@pytest.fixture
def api() -> Iterator[SnowflakeApi]:
    with SnowflakeApi() as running:
        yield running


def connect(api: SnowflakeApi, monkeypatch: pytest.MonkeyPatch, **extra: Any) -> Any:
    """By a program's token; the names are as people type them."""
    given = {"authenticator": "programmatic_access_token", "database": "ads", "role": '"Loader"',
             "warehouse": "My_WH", **api.extra, **extra}  # fmt: skip
    value = {"conn_type": "snowflake", "login": "me", "password": "s3cret-pat", "extra": given}
    monkeypatch.setenv("AIRFLOW_CONN_FLAKE", json.dumps(value))
    return source.statements("flake", "internal")[0]


def test_a_request_that_may_have_arrived_runs_nothing_twice(
    api: SnowflakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = connect(api, monkeypatch)
    first = remote.submit(ONE, "b9e5", again=False)
    assert remote.submit(ONE, "b9e5", again=True) == first
    assert len(api.seen) == 1
    assert remote.submit(ONE, "another", again=True) != first


def test_a_statement_runs_as_in_a_session_of_the_connection(
    api: SnowflakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = connect(api, monkeypatch, session_parameters={"TIMEZONE": "UTC"})
    remote.submit(ONE, "b9e5", again=False)
    [body] = api.seen
    assert (body["database"], body["warehouse"], body["role"]) == ("ADS", "MY_WH", "Loader")
    assert "schema" not in body
    assert body["parameters"] == {"MULTI_STATEMENT_COUNT": "1", "TIMEZONE": "UTC"}


def test_a_result_is_read_by_its_handle(api: SnowflakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []

    def rows(statement: Statement) -> Any:
        texts.append(statement.text)
        return iter([[(1,)]])

    monkeypatch.setattr(source, "_door", lambda *_: SimpleNamespace(rows=rows, close=lambda: None))
    remote = connect(api, monkeypatch)
    handle = remote.submit(ONE, "b9e5", again=False)
    assert list(remote.rows(handle)) == [[(1,)]]
    assert texts == [f"SELECT * FROM TABLE(RESULT_SCAN('{handle}'))"]
    with pytest.raises(Unavailable, match="no handle of a statement"):
        list(remote.rows("x') --"))


def test_a_password_alone_is_refused_in_one_line(
    api: SnowflakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigurationError, match="takes no passwords") as failed:
        connect(api, monkeypatch, authenticator="snowflake")
    assert "s3cret" not in str(failed.value)
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize(
    ("status", "said"),
    [(401, "is refused by the SQL API"), (500, "is not answered by the SQL API")],
)
def test_what_the_api_answers_instead_is_one_line(
    api: SnowflakeApi, monkeypatch: pytest.MonkeyPatch, status: int, said: str
) -> None:
    remote = connect(api, monkeypatch)
    api.busy = [status]
    with pytest.raises(Unavailable, match=said):
        remote.submit(ONE, "b9e5", again=False)


def test_what_is_not_known_any_more_is_told_apart(
    api: SnowflakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = connect(api, monkeypatch)
    handle = remote.submit(ONE, "b9e5", again=False)
    assert remote.look(handle).columns == ("a",)
    api.forget()
    assert remote.look(handle).state == "gone"
    with pytest.raises(Missing):
        remote.cancel(handle)
