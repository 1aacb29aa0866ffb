"""The Statement Execution API, spoken with the sandbox: chunks, addresses, values, refusals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_liftos.engine.source_query import Statement
from airflow_provider_liftos.hooks import source
from airflow_provider_liftos.model.errors import ConfigurationError, Unavailable
from airflow_provider_liftos.sandbox.databricks import DatabricksSandbox


@pytest.fixture
def server() -> Iterator[DatabricksSandbox]:
    with DatabricksSandbox() as running:
        yield running


@pytest.fixture
def remote(server: DatabricksSandbox, monkeypatch: pytest.MonkeyPatch) -> Any:
    connect(server, monkeypatch)
    return source.statements("bricks", "internal")[0]


def connect(server: DatabricksSandbox, monkeypatch: pytest.MonkeyPatch, **extra: Any) -> None:
    value = {
        "conn_type": "databricks", "host": server.host, "port": server.port, "schema": "http",
        "password": server.token, "extra": {**server.extra, **extra},
    }  # fmt: skip
    monkeypatch.setenv("AIRFLOW_CONN_BRICKS", json.dumps(value))


def asked(remote: Any, sql: str, values: Any = None) -> list[tuple]:
    statement_id = remote.submit(Statement(text=sql, parameters=values), "r", again=False)
    assert remote.look(statement_id).state == "done"
    return [row for batch in remote.rows(statement_id) for row in batch]


def numbers(rows: int) -> str:
    return f"SELECT n FROM (SELECT explode(sequence(1, {rows})) AS n) AS q ORDER BY n"


def test_chunks_come_one_after_the_other(server: DatabricksSandbox, remote: Any) -> None:
    server.statements.chunk_rows = 7
    assert asked(remote, numbers(50)) == [(n,) for n in range(1, 51)]
    assert asked(remote, f"SELECT * FROM ({numbers(3)}) AS z WHERE false") == []


def test_batches_are_small_however_large_a_chunk_is(server: DatabricksSandbox, remote: Any) -> None:
    server.statements.chunk_rows = 100_000
    statement_id = remote.submit(Statement(text=numbers(12_000), parameters=None), "r", again=False)
    sizes = [len(batch) for batch in remote.rows(statement_id)]
    assert sum(sizes) == 12_000
    assert max(sizes) <= 5_000


def test_an_address_that_ended_is_asked_for_anew(server: DatabricksSandbox, remote: Any) -> None:
    server.statements.chunk_rows = 5
    server.statements.stale = 2
    assert asked(remote, numbers(12)) == [(n,) for n in range(1, 13)]
    server.statements.stale = 3
    with pytest.raises(Unavailable, match=r"chunk 0 .* cannot be fetched \(HTTP 403\)") as failed:
        asked(remote, numbers(12))
    assert "X-Signature" not in str(failed.value)


def test_values_keep_their_types_by_place_and_by_name(remote: Any) -> None:
    moment = datetime(2026, 10, 25, 0, 30, 0, 123456, tzinfo=UTC)
    given = ("it's \\ 🦩", 2**53 + 1, Decimal("1.250000"), date(2026, 1, 2), moment, True, 0.5)
    text = "SELECT ?, ?, ?, ?, ?, ?, ?, 'is it?' /* ? */ -- ?"
    assert asked(remote, text, given) == [(*given, "is it?")]
    assert asked(remote, "SELECT :a, ':a', :b", {"a": 1, "b": None}) == [(1, ":a", None)]
    assert asked(remote, "SELECT CAST(1 AS INT) = ?", [1]) == [(True,)]


def test_a_statement_is_submitted_to_run_by_itself(server: DatabricksSandbox, remote: Any) -> None:
    remote.submit(Statement(text="SELECT 1", parameters=None), "r", again=False)
    [body] = server.statements.asked
    assert (body["wait_timeout"], body["disposition"]) == ("0s", "EXTERNAL_LINKS")
    assert (body["format"], body["warehouse_id"]) == ("ARROW_STREAM", "sandbox")
    assert "catalog" not in body


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"http_path": "/sql/protocolv1/o/0/0923-1"}, "leads to no SQL warehouse"),
        ({"session_configuration": {"ANSI_MODE": "false"}}, "know no session_configuration"),
    ],
)
def test_what_the_api_cannot_do_is_refused_before_anything_is_asked(
    server: DatabricksSandbox, monkeypatch: pytest.MonkeyPatch, extra: dict, said: str
) -> None:
    connect(server, monkeypatch, **extra)
    with pytest.raises(ConfigurationError, match=said):
        source.statements("bricks", "internal")


def test_a_refused_token_is_one_line_without_it(
    server: DatabricksSandbox, remote: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, server.token = server.token, "dapi-another"
    with pytest.raises(Unavailable, match="refused by Databricks") as failed:
        asked(remote, "SELECT 1")
    assert old not in str(failed.value)
    connect(server, monkeypatch)
    assert asked(remote, "SELECT 1 AS x") == [(1,)]
