"""A Postgres server and we, when one of us stands still or is gone."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from airflow_provider_liftos.model.errors import WarehouseCrowded, WarehouseError
from airflow_provider_liftos.state import engines as state
from airflow_provider_liftos.warehouses.postgres_session import PostgresServer
from tests.conftest import postgres_over_tcp
from tests.warehouses.engines import parameters, reopened
from tests.warehouses.staging import DAY1, NOON, ORG, manifest, performance_row, report_slice

REPOSITORY = Path(__file__).parents[2]
PATIENCE = 120.0


@pytest.fixture
def engine() -> str:
    return "postgres"


@pytest.fixture(scope="module")
def over_tcp() -> Iterator[dict[str, str]]:
    with postgres_over_tcp() as url:
        yield parameters(url)


def stopped(child: subprocess.Popen) -> None:
    """Wait until it has stopped itself, as a process of a frozen host stands still."""
    _, status = os.waitpid(child.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status), child.communicate()


def test_a_publisher_that_stands_still_loses_its_locks_and_can_do_it_again(lab):
    lab.publish(report_slice(DAY1, DAY1), [performance_row(DAY1)])
    loads = {
        load: lab.staged(
            report_slice(DAY1, DAY1), [performance_row(DAY1, spend=n)], load_id=load, as_of=NOON + n
        )
        for n, load in ((6, "frozen"), (7, "newer"))
    }
    for load, done in loads.items():
        lab.warehouse.load(manifest(done, load_id=load))
    path = lab.folder / "manifest.json"
    path.write_text(json.dumps(manifest(loads["frozen"], load_id="frozen").to_json()))
    given = json.dumps(dict(lab.warehouse._server.parameters))
    command = [sys.executable, "-m", "tests.warehouses.children", "freeze_in_postgres", given, path,
               'INSERT INTO "liftos"."performance"', "5"]  # fmt: skip
    with subprocess.Popen(
        command, cwd=REPOSITORY, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        try:
            stopped(child)
            reopened(lab.warehouse, wait=PATIENCE).publish(loads["newer"], "newer", ORG, NOON)
            child.send_signal(signal.SIGCONT)
            told, complaints = child.communicate(timeout=PATIENCE)
        finally:
            child.kill()
    [line, again] = json.loads(told or complaints)
    assert "idle-in-transaction timeout" in line
    assert line.endswith("Nothing that was published has changed; run the task again.")
    assert len(line.splitlines()) == 1
    assert again
    assert lab.warehouse.query("SELECT spend, load_id FROM liftos.performance") == [(7, "newer")]


def limits(server: PostgresServer) -> dict[str, str]:
    with server.transaction() as session:
        return dict(
            session.execute(
                "SELECT name, setting FROM pg_settings WHERE name LIKE 'tcp%keepalives%'"
                " OR name = 'idle_in_transaction_session_timeout'"
            )
        )


def test_the_server_ends_what_stands_still_and_looks_whether_we_are_there(over_tcp):
    assert limits(PostgresServer(parameters=over_tcp)) == {
        "idle_in_transaction_session_timeout": "300000",
        "tcp_keepalives_idle": "30",
        "tcp_keepalives_interval": "10",
        "tcp_keepalives_count": "3",
    }


def test_the_limits_are_of_the_transaction_and_leave_a_poolers_session_as_it_was(over_tcp):
    with PostgresServer(parameters=over_tcp).transactions() as begin:
        with begin() as session:
            connection = session.connection
        left = "SELECT current_setting('idle_in_transaction_session_timeout')"
        assert connection.execute(left).fetchone() == ("0",)


def of_the_socket(connection: psycopg.Connection) -> dict[str, int]:
    names = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
    with socket.socket(fileno=os.dup(connection.fileno())) as found:
        return {n: found.getsockopt(socket.IPPROTO_TCP, getattr(socket, n)) for n in names}


def test_we_look_whether_the_server_is_there(over_tcp):
    with PostgresServer(parameters=over_tcp).transaction() as session:
        assert of_the_socket(session.connection) == {
            "TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 120_000,
        }  # fmt: skip


def test_the_state_store_does_so_by_the_same_facts(over_tcp):
    url = "postgresql://{user}@{host}:{port}/{dbname}".format(**over_tcp)
    engine = state.build(state.parse(url))
    with engine.connect() as connection:
        found = of_the_socket(connection.connection.driver_connection)
    engine.dispose()
    assert list(found.values()) == [30, 10, 3, 30_000]


def test_a_connection_may_ask_for_other_patience(over_tcp):
    given = {**over_tcp, "keepalives_idle": "7"}
    with PostgresServer(parameters=given).transaction() as session:
        assert of_the_socket(session.connection)["TCP_KEEPIDLE"] == 7


@pytest.mark.parametrize(
    "said",
    [
        "FATAL:  sorry, too many clients already",
        'FATAL:  too many connections for role "ads"',
        "FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute",
        "FATAL:  no more connections allowed (max_client_conn)",  # PgBouncer
    ],
)
def test_a_server_that_is_full_is_told_from_others(said):
    server = PostgresServer(parameters={"dbname": "ads"})
    refused = server.refused(psycopg.OperationalError(f"connection failed: {said}"))
    assert type(refused) is WarehouseCrowded
    assert "connections, then run the task again" in str(refused)
    other = server.refused(psycopg.OperationalError("connection failed: FATAL:  the sky fell"))
    assert type(other) is WarehouseError
