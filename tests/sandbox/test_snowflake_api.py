"""The SQL API of the sandbox, and what waits for statements there: Airflow's hook and trigger."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from airflow_provider_liftos.hooks.snowflake import LiftosSnowflakeSqlApiHook
from airflow_provider_liftos.sandbox.snowflake_api import SnowflakeApi
from airflow_provider_liftos.triggers.snowflake import SnowflakeStatementTrigger

CONNECTION = "my_snowflake"


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[SnowflakeApi]:
    with SnowflakeApi() as running:
        _connect(monkeypatch, running, private_key_content=_key())
        yield running


def _connect(monkeypatch: pytest.MonkeyPatch, api: SnowflakeApi, **extra: str) -> None:
    value = {
        "conn_type": "snowflake", "login": "liftos",
        "extra": {"database": "ADS", "warehouse": "SMALL", "role": "LOADER", **api.extra, **extra},
    }  # fmt: skip
    monkeypatch.setenv(f"AIRFLOW_CONN_{CONNECTION.upper()}", json.dumps(value))


def _key() -> str:
    return (
        rsa.generate_private_key(public_exponent=65537, key_size=2048)
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        .decode()
    )


def _hook(**options) -> LiftosSnowflakeSqlApiHook:
    return LiftosSnowflakeSqlApiHook(CONNECTION, **options)


async def _event(handles: list[str]):
    trigger = SnowflakeStatementTrigger(handles, CONNECTION, poll_interval=0)
    return [event.payload async for event in trigger.run()]


async def test_a_statement_is_submitted_waited_for_and_read(api):
    api.looks = 2
    hook = _hook()
    handles = hook.execute_query("SELECT 1 AS a, 'x' AS b", statement_count=1, query_tag="liftos")
    [asked] = api.seen
    assert (asked["database"], asked["warehouse"], asked["role"]) == ("ADS", "SMALL", "LOADER")
    assert asked["parameters"]["query_tag"] == "liftos"
    assert hook.get_sql_api_query_status(handles[0])["status"] == "running"
    assert await _event(handles) == [{"status": "success", "statement_query_ids": handles}]
    assert hook.get_result_from_successful_sql_api_query(handles[0]) == [{"a": "1", "b": "x"}]
    assert set(api.kinds) == {"KEYPAIR_JWT"}


async def test_several_statements_have_a_handle_each(api):
    [first, second] = _hook().execute_query("SELECT 1; SELECT 2", statement_count=2)
    assert first != second
    assert [e["status"] for e in await _event([first, second])] == ["success"]


async def test_a_refused_statement_ends_in_one_event_with_the_reason(api):
    handles = _hook().execute_query("SELECT * FROM nowhere", statement_count=1)
    [told] = await _event(handles)
    assert told["status"] == "error"
    assert "nowhere does not exist" in told["message"]


async def test_a_busy_api_is_asked_again(api):
    hook = _hook(api_retry_args={"wait": lambda _: 0})
    [handle] = hook.execute_query("SELECT 1", statement_count=1)
    api.busy = [429, 503]
    assert hook.get_sql_api_query_status(handle)["status"] == "success"


async def test_whoever_ends_the_waiting_task_ends_the_statement(api):
    api.looks = 99
    handles = _hook().execute_query("SELECT 1", statement_count=1)
    await SnowflakeStatementTrigger(handles, CONNECTION).on_kill()
    assert api.cancelled == handles
    [told] = await _event(handles)
    assert (told["status"], "canceled" in told["message"]) == ("error", True)


async def test_a_token_that_does_not_belong_is_refused(api, monkeypatch):
    answer, _ = api.answer("GET", "/api/v2/statements/0", {}, b"")
    assert answer == 401


async def test_a_programs_token_is_sent_as_such(api, monkeypatch):
    value = {
        "conn_type": "snowflake", "login": "liftos", "password": "s3cret-pat",
        "extra": {**api.extra, "authenticator": "programmatic_access_token"},
    }  # fmt: skip
    monkeypatch.setenv(f"AIRFLOW_CONN_{CONNECTION.upper()}", json.dumps(value))
    assert _hook().execute_query("SELECT 1", statement_count=1)
    assert api.kinds == ["PROGRAMMATIC_ACCESS_TOKEN"]


@pytest.mark.parametrize("slow", ["get_headers", "get_connection"])
async def test_others_go_on_while_the_trigger_looks_its_connection_up(api, monkeypatch, slow):
    [handle] = _hook().execute_query("SELECT 1", statement_count=1)
    quick = getattr(LiftosSnowflakeSqlApiHook, slow)
    ticks = 0
    seen = []

    def slowly(*given):
        before = ticks
        time.sleep(0.3)
        seen.append(ticks - before)
        return quick(*given)

    async def tick():
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.005)

    stub = staticmethod(slowly) if slow == "get_connection" else slowly
    monkeypatch.setattr(LiftosSnowflakeSqlApiHook, slow, stub)
    other = asyncio.create_task(tick())
    trigger = SnowflakeStatementTrigger([handle], CONNECTION)
    assert (await trigger.get_query_status(handle))["status"] == "success"
    other.cancel()
    assert seen
    assert min(seen) > 0


async def test_the_trigger_survives_its_row_and_carries_no_secret(api):
    path, given = SnowflakeStatementTrigger(["h"], CONNECTION, 5.0).serialize()
    assert path.endswith("triggers.snowflake.SnowflakeStatementTrigger")
    assert SnowflakeStatementTrigger(**json.loads(json.dumps(given))).serialize() == (path, given)
    assert set(given) == {"query_ids", "snowflake_conn_id", "poll_interval", "cancel_on_kill"}


def test_without_a_host_of_its_own_the_accounts_is_asked(api, monkeypatch):
    value = {"conn_type": "snowflake", "extra": {"account": "acme-eu"}}
    monkeypatch.setenv(f"AIRFLOW_CONN_{CONNECTION.upper()}", json.dumps(value))
    url = "https://acme-eu.snowflakecomputing.com/api/v2/statements?x=1"
    assert _hook(token_life_time=timedelta(minutes=5)).at_host(url) == url
