"""The Databricks of the sandbox, spoken to by the vendor's own connector."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_liftos.sandbox.databricks import DatabricksSandbox

T = "`liftos`.`t`"
HASTY = {"_retry_stop_after_attempts_count": 1, "_retry_stop_after_attempts_duration": 1.0}


@pytest.fixture(scope="module")
def server() -> Iterator[DatabricksSandbox]:
    with DatabricksSandbox(page_rows=3) as running:
        yield running


@pytest.fixture
def cursor(server: DatabricksSandbox, tmp_path: Path) -> Iterator[Any]:
    server.revive()
    server.service.polls = 0
    with connected(server, staging_allowed_local_path=str(tmp_path)) as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE SCHEMA IF NOT EXISTS `liftos`")
        cursor.execute(f"CREATE OR REPLACE TABLE {T} (`a` string, `n` bigint, `m` decimal(18,6))")
        yield cursor


def connected(server: DatabricksSandbox, **options: Any) -> Any:
    from databricks import sql

    logging.getLogger("databricks.sql.unsafe").disabled = True
    extra = {name: value for name, value in server.extra.items() if name != "http_path"}
    token = options.pop("token", server.token)
    return sql.connect(server.host, server.http_path, token, **{**extra, **options})


def rows(cursor: Any, sql: str, *params: object) -> list[tuple]:
    cursor.execute(sql, list(params) or None)
    return [tuple(row) for row in cursor.fetchall()]


def file(folder: Path, name: str, **columns: Any) -> Path:
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table(columns), folder / name)
    return folder / name


def test_other_parts_of_the_sandbox_need_neither_the_connector_nor_sqlglot():
    code = (
        "import sys, airflow_provider_liftos.sandbox, airflow_provider_liftos.sandbox.databricks;"
        "print([m for m in ('databricks', 'thrift', 'sqlglot', 'duckdb') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_parameters_and_values_keep_their_types(cursor):
    moment = datetime(2026, 10, 25, 0, 30, 0, 123456, tzinfo=UTC)
    given = (
        "it's \\ 🦩\x00",
        2**53 + 1,
        Decimal("1.250000"),
        date(2026, 1, 2),
        moment,
        True,
        None,
        0.5,
    )
    assert rows(cursor, "SELECT ?, ?, ?, ?, ?, ?, CAST(? AS string), ?", *given) == [given]


def test_rows_come_in_pages_and_all_of_them(cursor):
    cursor.execute(
        f"INSERT INTO {T} SELECT CAST(n AS string), n, NULL FROM (SELECT explode(sequence(1, 10)) AS n) AS q"
    )
    assert rows(cursor, f"SELECT n FROM {T} ORDER BY n") == [(n,) for n in range(1, 11)]


def test_a_statement_that_runs_on_is_waited_for(server, cursor):
    server.service.polls = 3
    assert rows(cursor, "SELECT 1 AS x") == [(1,)]


def test_what_is_wrong_is_said_as_the_vendor_says_it(cursor):
    from databricks.sql.exc import ServerOperationError

    for sql, said in (
        ("SELECT * FROM `liftos`.`nowhere`", "TABLE_OR_VIEW_NOT_FOUND"),
        ("SELEC 1", "PARSE_SYNTAX_ERROR"),
        ("SELECT CAST('x' AS bigint)", "CAST_INVALID_INPUT"),
    ):
        with pytest.raises(ServerOperationError, match=said):
            cursor.execute(sql)


def test_replace_where_replaces_by_position_and_refuses_what_lies_outside(cursor):
    from databricks.sql.exc import ServerOperationError

    cursor.execute(f"INSERT INTO {T} VALUES ('x', 1, NULL), ('y', 2, NULL)")
    cursor.execute(
        f"INSERT INTO {T} REPLACE WHERE `a` = ? SELECT ?, 7, CAST(1 AS decimal(18,6))", ["x", "x"]
    )
    assert rows(cursor, f"SELECT * FROM {T} ORDER BY n") == [("y", 2, None), ("x", 7, Decimal(1))]
    for query in ("SELECT 'y', 1, NULL", "SELECT NULL, 1, NULL", "SELECT 'x', 1"):
        with pytest.raises(ServerOperationError, match=r"REPLACE_WHERE|ARITY"):
            cursor.execute(f"INSERT INTO {T} REPLACE WHERE `a` = 'x' {query}")
    assert len(rows(cursor, f"SELECT * FROM {T}")) == 2
    cursor.execute(f"INSERT INTO {T} REPLACE WHERE `a` = 'x' SELECT * FROM {T} WHERE false")
    assert rows(cursor, f"SELECT `a` FROM {T}") == [("y",)]


def test_copy_leaves_out_what_it_loaded_before_changed_or_not(server, cursor, tmp_path):
    volume = "/Volumes/workspace/liftos/v/one"
    copy = f"COPY INTO {T} FROM (SELECT `a`, `n` FROM '{volume}/') FILEFORMAT = PARQUET"
    for n in (1, 2):
        path = file(tmp_path, "x.parquet", a=["p"], n=[n])
        cursor.execute(f"PUT '{path}' INTO '{volume}/x.parquet' OVERWRITE")
        assert server.volumes == [f"{volume}/x.parquet"]
        assert rows(cursor, copy) == [(2 - n,)]
    assert rows(cursor, f"SELECT n FROM {T}") == [(1,)]
    assert rows(cursor, f"{copy} COPY_OPTIONS ('force' = 'true')") == [(1,)]
    cursor.execute(f"REMOVE '{volume}/x.parquet'")
    assert server.volumes == []


def test_files_are_sent_only_where_they_may(server, cursor, tmp_path):
    from databricks.sql.exc import Error

    path = file(tmp_path, "x.parquet", a=["p"])
    place = "/Volumes/workspace/liftos/v/two/x.parquet"
    cursor.execute(f"PUT '{path}' INTO '{place}'")
    with pytest.raises(Error, match="ALREADY_EXISTS"):
        cursor.execute(f"PUT '{path}' INTO '{place}'")
    with pytest.raises(Error, match="restricted"):
        cursor.execute(f"PUT '/etc/hostname' INTO '{place}' OVERWRITE")
    for target in ("/tmp/x", "/Volumes/a/b/c/../../x"):
        with pytest.raises(Error, match="INVALID_VOLUME_PATH"):
            cursor.execute(f"PUT '{path}' INTO '{target}' OVERWRITE")
    unsigned = urllib.request.Request(f"{server.url}/_files{place}", b"", method="PUT")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(unsigned)


def test_a_wrong_token_opens_nothing(server):
    from databricks.sql.exc import Error

    with pytest.raises(Error):
        connected(server, token="dapi-of-somebody-else", **HASTY)


def test_a_dead_server_carries_out_what_it_was_told_and_no_more(server, cursor):
    with connected(server, **HASTY) as hasty:
        other = hasty.cursor()
        server.die(1, answered=False)
        with pytest.raises(Exception, match=r".*"):
            other.execute(f"INSERT INTO {T} VALUES ('x', 1, NULL)")
        server.revive()
    assert rows(cursor, f"SELECT count(*) FROM {T}") == [(1,)]


def test_statements_over_rest_are_waited_for_and_may_be_cancelled(server, cursor):
    def call(method: str, path: str, body: Any = None) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{server.url}/api/2.0/sql/statements{path}",
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {server.token}"},
            method=method,
        )
        with urllib.request.urlopen(request) as answer:
            return json.loads(answer.read())

    def submit(sql: str) -> dict[str, Any]:
        return call("POST", "/", {"statement": sql, "warehouse_id": "sandbox"})

    server.statements.polls = 2
    told = submit(f"INSERT INTO {T} VALUES ('x', 1, NULL)")
    states = [told["status"]["state"]]
    states += [call("GET", f"/{told['statement_id']}")["status"]["state"] for _ in range(2)]
    assert states == ["RUNNING", "RUNNING", "SUCCEEDED"]
    cancelled = submit("SELECT 1")["statement_id"]
    call("POST", f"/{cancelled}/cancel", {})
    assert call("GET", f"/{cancelled}")["status"]["state"] == "CANCELED"
    server.statements.polls = 0
    failed = submit("SELECT * FROM nowhere")["status"]
    assert failed["state"] == "FAILED"
    assert "TABLE_OR_VIEW_NOT_FOUND" in failed["error"]["message"]
