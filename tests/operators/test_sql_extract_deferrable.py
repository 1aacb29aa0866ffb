"""Statements that Snowflake and Databricks run by themselves while no slot is held."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.operators import sql_extract
from airflow_provider_liftos.operators.outcome import TaskFailed
from airflow_provider_liftos.state.ledger import Ledger
from airflow_provider_liftos.state.tables import statements
from tests.operators.deferred import Databricks, Snowflake, Stints, fill, fired, staged
from tests.operators.sources import COLUMNS, Run, day, row
from tests.warehouses import snowflake_server

ROWS = [row(0), row(0, "bü🛒 it's", cost="123456789012.123456"), row(1, cost="0.000001"),
        row(2, "b", changed=f"{day(2)} 08:00:00.123456")]  # fmt: skip
Warehouse = Snowflake | Databricks


@pytest.fixture(scope="module")
def emulator() -> Iterator[dict[str, Any]]:
    with snowflake_server.snowflake_server() as given:
        yield given


@pytest.fixture(scope="module")
def key() -> str:
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    kinds = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    locked = serialization.BestAvailableEncryption(b"s3cret-password")
    return made.private_bytes(*kinds, locked).decode()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    made = Run(tmp_path, monkeypatch)
    made.set("MIN_DEFER_SECONDS", "0")
    made.set("POLL_SECONDS", "0.01")
    monkeypatch.setattr(sql_extract, "_PATIENCE", 0)
    return made


@pytest.fixture(params=["snowflake", "databricks"])
def warehouse(request: pytest.FixtureRequest, run: Run) -> Iterator[Warehouse]:
    if request.param == "snowflake":
        given = request.getfixturevalue("emulator")
        made: Any = Snowflake(run, given, request.getfixturevalue("key"))
    else:
        made = Databricks(run)
    with made.served():
        fill(made, ROWS)
        yield made


one = pytest.mark.parametrize("warehouse", ["databricks"], indirect=True)
"""For what no engine has a say in."""


def kept() -> list[Any]:
    with config.state_store().read() as connection:
        return list(connection.execute(statements.select()).mappings())


def noted() -> Any:
    newest = Ledger(config.state_store(), "default").rows(phase="extract")[0]
    return newest.detail["source"]


WAYS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "days": ({}, {"since": day(0), "until": day(1)}),
    "everything": ({"cursor": "changed"}, {}),
    "parameters": (
        {"sql": "SELECT * FROM spend WHERE shop <> {} AND '?' <> '%%' /* ? */"}, {"lifetime": True},
    ),
    "entities": (
        {"stream": "campaigns", "account": "chain", "columns": {"campaign_id": "shop", "name": "cost"}},
        {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
async def test_what_is_staged_is_what_waiting_would_have_staged(
    warehouse: Warehouse, run: Run, way: str
) -> None:
    options, run.params = WAYS[way]
    if way == "parameters":
        mark = "%s" if isinstance(warehouse, Snowflake) else "?"
        sql = options["sql"].format(mark)
        options = {"sql": sql, "parameters": ["b"]}
    run.options |= options
    blocking = run.extract(deferrable=False)
    reached = noted()
    run.number += 1
    warehouse.busy(2)
    stints = Stints(run)
    waited = await stints.whole()
    assert staged(waited) == staged(blocking)
    assert waited["rows"] == blocking["rows"] > 0
    assert (noted() or {}).get("reached") == (reached or {}).get("reached")
    assert len(stints.triggers) == len(warehouse.texts) == len(set(warehouse.texts)) > 1
    assert kept() == []


async def test_a_cursor_goes_on_where_it_was_and_asks_for_nothing_twice(
    warehouse: Warehouse, run: Run
) -> None:
    run.options["cursor"] = "changed"
    warehouse.busy(1)
    run.rest(await Stints(run).whole())
    run.number += 1
    fill(warehouse, [row(9, "late")])
    before = len(warehouse.texts)
    again = await Stints(run).whole()
    run.rest(again)
    assert (again["rows"], again["since"], again["until"]) == (2, day(2), day(9))
    asked = warehouse.texts[before:]
    assert len(asked) == len(set(asked)) == 4
    assert len(run.seen()) == 5


@one
async def test_what_is_done_soon_is_not_deferred(
    warehouse: Warehouse, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_extract, "_PATIENCE", 5)
    run.params = {"since": day(0), "until": day(1)}
    stints = Stints(run)
    assert (await stints.whole())["rows"] == 3
    assert stints.triggers == []


async def test_a_trigger_carries_names_only_and_polls_beside_others(
    warehouse: Warehouse, run: Run
) -> None:
    warehouse.busy(3)
    trigger = Stints(run).stint()
    path, given = trigger.serialize()
    assert path.endswith("triggers.statement.StatementTrigger")
    assert set(given) == {"platform", "conn_id", "statement_id", "poll_seconds", "fire_after"}
    assert "s3cret" not in str(given)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.001)

    other = asyncio.create_task(tick())
    begun, event = time.monotonic(), await fired(trigger)
    other.cancel()
    assert event == {"status": "done", "statement_id": given["statement_id"]}
    assert ticks > 50 * (time.monotonic() - begun)


@pytest.mark.parametrize("final", [True, False])
async def test_a_statement_that_failed_ends_in_one_line(
    warehouse: Warehouse, run: Run, *, final: bool
) -> None:
    warehouse.breaks(final=final)
    warehouse.busy(1)
    kind = AirflowFailException if final else TaskFailed
    with pytest.raises(kind, match="refuses the query" if final else "failed: ") as failed:
        await Stints(run).whole()
    assert "\n" not in str(failed.value)
    assert ("Correct the query." if final else "next try submits it again") in str(failed.value)


async def test_a_cancelled_statement_fails_the_try_and_the_next_one_submits_it_again(
    warehouse: Warehouse, run: Run
) -> None:
    run.params = {"since": day(0), "until": day(1)}
    warehouse.busy(5)
    stints = Stints(run)
    trigger = stints.stint()
    warehouse.cancel_all()
    warehouse.busy(0)
    event = await fired(trigger)
    assert event["status"] == "cancelled"
    with pytest.raises(TaskFailed, match="was cancelled there"):
        stints.stint(event)
    stints.try_number = 2
    assert (await stints.whole())["rows"] == 3


async def test_an_expired_result_is_told_and_the_next_try_submits_the_query_again(
    warehouse: Warehouse, run: Run
) -> None:
    run.params = {"since": day(0), "until": day(1)}
    stints = Stints(run)
    warehouse.busy(1)
    done = stints.stint()
    while "cost" not in warehouse.texts[-1].partition(" FROM ")[0].lower():  # days are asked first
        done = stints.stint(await fired(done))
    event = await fired(done)
    warehouse.forget()
    with pytest.raises(TaskFailed, match="has no result any more; results are kept for"):
        stints.stint(event)
    before = len(warehouse.texts)
    stints.try_number = 2
    assert (await stints.whole())["rows"] == 3
    # The small answers before it are kept, and asked for no more.
    assert warehouse.texts[before:] == [warehouse.texts[before - 1]]


async def test_a_retry_goes_on_with_what_runs(warehouse: Warehouse, run: Run) -> None:
    run.params = {"since": day(0), "until": day(1)}
    warehouse.busy(4)
    stints = Stints(run)
    first = stints.stint()
    stints.try_number = 2
    assert stints.stint().statement_id == first.statement_id
    assert len(warehouse.texts) == 1
    assert (await stints.whole())["rows"] == 3
    assert len(warehouse.texts) == len(set(warehouse.texts))


async def test_what_was_ended_since_an_earlier_try_is_submitted_again(
    warehouse: Warehouse, run: Run
) -> None:
    run.params = {"since": day(0), "until": day(1)}
    warehouse.busy(9)
    stints = Stints(run)
    stints.stint()
    warehouse.cancel_all()
    warehouse.busy(0)
    stints.try_number = 2
    assert stints.stint()["rows"] == 3
    assert len(warehouse.texts) == len(set(warehouse.texts)) + 1


async def test_a_clear_ends_what_runs_and_begins_anew(warehouse: Warehouse, run: Run) -> None:
    run.params = {"since": day(0), "until": day(1)}
    warehouse.busy(9)
    stints = Stints(run)
    first = stints.stint()
    stints.try_number, stints.max_tries = 2, 3
    again = stints.stint()
    assert warehouse.cancelled == [first.statement_id]
    assert again.statement_id != first.statement_id


async def test_whoever_ends_the_waiting_task_ends_the_statement(
    warehouse: Warehouse, run: Run
) -> None:
    warehouse.busy(9)
    trigger = Stints(run).stint()
    await trigger.on_kill()
    assert warehouse.cancelled == [trigger.statement_id]
    assert (await fired(trigger))["status"] == "cancelled"


@one
async def test_whoever_ends_the_working_task_ends_the_statement(
    warehouse: Warehouse, run: Run
) -> None:
    warehouse.busy(9)
    stints = Stints(run)
    task = stints.task()
    trigger = stints.stint(task=task)
    task.on_kill()
    assert warehouse.cancelled == [trigger.statement_id]


async def test_a_token_that_ends_meanwhile_is_made_anew(warehouse: Warehouse, run: Run) -> None:
    run.params = {"since": day(0), "until": day(1)}
    warehouse.busy(3)
    stints = Stints(run)
    trigger = stints.stint()
    waiting = asyncio.create_task(fired(trigger))
    while warehouse.busy_looks() >= 3:
        await asyncio.sleep(0.01)
    warehouse.new_token()
    await waiting
    assert (await stints.whole())["rows"] == 3


@one
async def test_a_query_that_is_another_one_after_each_wait_is_refused(
    warehouse: Warehouse, run: Run
) -> None:
    warehouse.busy(1)
    stints = Stints(run)
    event = None
    for number in range(2):
        stints.options["sql"] = f"SELECT * FROM spend -- {number}"
        event = await fired(stints.stint(event))
    stints.options["sql"] = "SELECT * FROM spend -- 2"
    with pytest.raises(AirflowFailException, match="another one after each wait"):
        stints.stint(event)


async def test_secrets_and_rows_are_in_no_log(
    warehouse: Warehouse, run: Run, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture
) -> None:
    caplog.set_level("INFO")
    run.params = {"since": day(0), "until": day(1)}
    warehouse.busy(1)
    await Stints(run).whole()
    said = caplog.text + "".join(capfd.readouterr())
    assert "deferring: statement" in said
    for hidden in ("s3cret", "X-Signature", "bü🛒", "BEGIN PRIVATE", "123456789012"):
        assert hidden not in said


def test_files_and_other_databases_are_not_deferred(run: Run) -> None:
    run.sqlite([row(0)])
    run.params = {"since": day(0), "until": day(0)}
    with pytest.raises(AirflowException, match="'sqlite', which runs no statements by itself"):
        run.extract(deferrable=True)
    with pytest.raises(AirflowException, match="files are read at once"):
        run.extract(deferrable=True, sql="", path="/x.csv", conn_id=None)
    run._environment.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", "True")
    assert run.extract()["rows"] == 1


DAG = """
from airflow_provider_liftos.operators import sql_extract
from airflow_provider_liftos.operators.sql_pipeline import SqlPipeline
sql_extract._PATIENCE = 0
dag = SqlPipeline(conn_id="shop", sql="SELECT * FROM spend", columns={columns}, currency="EUR",
                  cursor="changed", deferrable=True).dag("shop", schedule=None)
"""
TEST_RUN = """
import sys
from airflow.dag_processing.dagbag import DagBag
print(DagBag(sys.argv[1]).dags["shop"].test().state)
"""


@pytest.mark.full
def test_a_dag_of_airflows_own_waits_and_publishes(run: Run, tmp_path: Path) -> None:
    made = Databricks(run)
    with made.served():
        fill(made, ROWS)
        made.busy(1)
        dags = tmp_path / "dags"
        dags.mkdir()
        (dags / "shop.py").write_text(DAG.format(columns=COLUMNS))
        env = {
            **os.environ, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path / 'airflow.db'}",
        }  # fmt: skip
        airflow = ["-m", "airflow"]
        for command in (
            [*airflow, "db", "migrate"], [*airflow, "dags", "reserialize"],
            ["-c", TEST_RUN, str(dags)],
        ):  # fmt: skip
            done = subprocess.run(
                [sys.executable, *command], env=env, cwd=tmp_path, timeout=600,
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        assert done.stdout.strip().endswith("success"), done.stdout[-3000:]
        assert len(made.texts) == len(set(made.texts)) == 4
    assert len(run.seen()) == 4


@one
def test_what_the_deployment_defers_is_deferred(
    warehouse: Warehouse, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", "True")
    warehouse.busy(1)
    assert Stints(run, deferrable=None).stint().statement_id
    assert isinstance(Stints(run, deferrable=False).stint(), dict)
