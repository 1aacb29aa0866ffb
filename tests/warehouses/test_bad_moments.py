"""Two publishers of one slice, and connections that end while files are loaded: nothing is lost.

What a task would try again is tried again here. That transactions wait for one another in Snowflake
is asserted by the order of statements elsewhere: its emulator refuses the second of two instead.
"""

from __future__ import annotations

import threading
from typing import Any

import pytest
from snowflake.connector import errors
from snowflake.connector.cursor import SnowflakeCursor

from airflow_provider_liftos.model.errors import WarehouseError
from airflow_provider_liftos.operators.retries import advice
from airflow_provider_liftos.state.leases import Leases
from airflow_provider_liftos.state.store import StateStore
from tests.warehouses.databricks_server import warehouse_at
from tests.warehouses.engines import reopened
from tests.warehouses.staging import (
    DAY1,
    DAY2,
    NOON,
    ORG,
    Lab,
    manifest,
    performance_row,
    report_slice,
)

TRIES = 20
HASTY = {"_retry_stop_after_attempts_count": 1, "_retry_stop_after_attempts_duration": 1.0}


def staged(lab: Lab, load: str, as_of: float, spend: str) -> Any:
    rows = [performance_row(day, spend=spend) for day in (DAY1, DAY2)]
    return lab.staged(report_slice(), rows, load_id=load, as_of=as_of)


def spends(lab: Lab) -> list[tuple]:
    return lab.warehouse.query("SELECT date, spend, load_id FROM liftos.performance ORDER BY date")


def as_a_task_does(work: Any, troubles: list[Exception]) -> None:
    for _ in range(TRIES):
        try:
            work()
        except WarehouseError as error:
            if not advice(error, 1)[0]:
                troubles.append(error)
                return
        except Exception as error:  # noqa: BLE001 - the test shows it
            troubles.append(error)
            return
        else:
            return
    troubles.append(TimeoutError("never got through"))


def test_of_two_publishers_of_one_slice_the_newer_one_wins(lab, engine, tmp_path):
    lab.publish(report_slice(), [performance_row(day) for day in (DAY1, DAY2)])
    loads = {"2": staged(lab, "2", NOON + 1, "6"), "3": staged(lab, "3", NOON + 2, "7")}
    for load, done in loads.items():
        lab.warehouse.load(manifest(done, load_id=load))
    leases = Leases(StateStore(f"sqlite:///{tmp_path / 'state.db'}"), ORG)
    troubles: list[Exception] = []
    threads = []
    for load, done in loads.items():
        # Where there are no transactions, turns are leases.
        turns = {"leases": leases} if engine == "databricks" else {}
        own = reopened(lab.warehouse, **turns)
        work = lambda own=own, done=done, load=load: own.publish(done, load, ORG, NOON)  # noqa: E731
        threads.append(threading.Thread(target=as_a_task_does, args=(work, troubles)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert troubles == []
    assert spends(lab) == [(DAY1, 7, "3"), (DAY2, 7, "3")]
    assert lab.warehouse.query("SELECT count(*) FROM liftos.loads") == [(2,)]


@pytest.mark.parametrize("engine", ["snowflake"])
@pytest.mark.parametrize("part", ["PUT ", "COPY INTO", 'INSERT INTO "LIFTOS_AUDIT"', "COMMIT"])
def test_a_connection_to_snowflake_that_ends_amid_loading(lab, monkeypatch, part):
    """After the statement was carried out, of which nobody hears."""
    lab.publish(report_slice(), [performance_row(DAY1)])
    before, done = lab.warehouse.checksum("performance"), staged(lab, "2", NOON + 1, "6")
    execute, broken = SnowflakeCursor.execute, []

    def cut(self: SnowflakeCursor, command: str, *given: Any, **more: Any) -> Any:
        found = execute(self, command, *given, **more)
        if command.startswith(part) and not broken:
            broken.append(command)
            raise errors.OperationalError("Connection aborted: reset by peer", 250003, "08006")
        return found

    monkeypatch.setattr(SnowflakeCursor, "execute", cut)
    with pytest.raises(WarehouseError, match="Connection aborted") as caught:
        lab.warehouse.load(manifest(done, load_id="2"))
    assert advice(caught.value, 1)[0]
    assert lab.warehouse.checksum("performance") == before
    assert lab.warehouse.load(manifest(done, load_id="2")) == 2
    assert lab.warehouse.query("SELECT count(*) FROM liftos_audit.performance") == [(2,)]
    lab.warehouse.publish(done, "2", ORG, NOON)
    assert spends(lab) == [(DAY1, 6, "2"), (DAY2, 6, "2")]


@pytest.mark.parametrize("engine", ["databricks"])
@pytest.mark.parametrize("answered", [True, False], ids=["between", "unheard"])
def test_a_connection_to_databricks_that_ends_amid_loading(lab, answered):
    lab.publish(report_slice(), [performance_row(DAY1)])
    sandbox, before = lab.warehouse.sandbox, lab.warehouse.checksum("performance")
    done, statement, refusals = staged(lab, "2", NOON + 1, "6"), 0, list[bool]()
    while True:
        statement += 1
        hasty = warehouse_at(sandbox, retries=HASTY, volume=lab.warehouse._volume)
        hasty._prepared = True
        sandbox.die(statement, answered=answered)
        try:
            hasty.load(manifest(done, load_id="2"))
        except WarehouseError as error:
            refusals.append(advice(error, 1)[0])
        else:
            break
        finally:
            sandbox.revive()
        assert lab.warehouse.checksum("performance") == before
        assert lab.warehouse.load(manifest(done, load_id="2")) == 2
        assert lab.warehouse.query("SELECT count(*) FROM liftos_audit.performance") == [(2,)]
    assert len(refusals) >= 2
    assert all(refusals), "all of them are tried again"
    lab.warehouse.publish(done, "2", ORG, NOON)
    assert spends(lab) == [(DAY1, 6, "2"), (DAY2, 6, "2")]
