"""Many slices into Databricks: few statements, several connections, and 256 values in each."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import date, timedelta
from typing import Any

import pytest

from airflow_provider_liftos.engine.manifest import SliceResult
from airflow_provider_liftos.model.errors import WarehouseError
from airflow_provider_liftos.sandbox.databricks import DatabricksSandbox
from airflow_provider_liftos.state.clock import ManualClock
from airflow_provider_liftos.state.leases import Leases
from airflow_provider_liftos.state.store import StateStore
from airflow_provider_liftos.warehouses.sql import Turn
from tests.warehouses.databricks_server import warehouse_at
from tests.warehouses.staging import (
    DAY1,
    NOON,
    ORG,
    Lab,
    manifest,
    performance_row,
    report_slice,
    result,
)


@pytest.fixture
def engine() -> str:
    return "databricks"


@pytest.fixture
def sandbox(warehouse: Any) -> DatabricksSandbox:
    return warehouse.sandbox


def loaded(lab: Lab, many: int, *, spend: str = "5", load: int = 1) -> list[SliceResult]:
    cuts = [
        lab.staged(
            report_slice(DAY1, DAY1, account=f"a{i}"),
            [performance_row(DAY1, account_id=f"a{i}", spend=spend)],
            load_id=f"load-{load}",
            as_of=NOON + load,
        )
        for i in range(many)
    ]
    lab.warehouse.load(manifest(*cuts, load_id=f"load-{load}"))
    return cuts


def each(lab: Lab, cuts: Sequence[SliceResult], load: int = 1) -> int:
    return len(list(lab.warehouse.publish_each(cuts, f"load-{load}", ORG, lambda: NOON)))


def spent(lab: Lab) -> list[tuple]:
    return lab.warehouse.query("SELECT spend, count(*) FROM liftos.performance GROUP BY spend")


@pytest.mark.parametrize("many", [1, 2, 30])
def test_thirty_slices_take_as_many_statements_as_one(lab, sandbox, many):
    cuts = loaded(lab, many)
    list(lab.warehouse.publish_each(cuts[:1], "load-1", ORG, lambda: NOON))  # columns are known
    cuts = loaded(lab, many, spend="6", load=2)
    before = len(sandbox.seen)
    assert each(lab, cuts, 2) == many
    assert len(sandbox.seen) - before == 6
    assert spent(lab) == [(6, many)]


def test_no_statement_holds_more_values_than_databricks_takes(lab, sandbox):
    """Also where each slice has days of its own."""
    cuts = [
        lab.staged(
            report_slice(DAY1, DAY1 + timedelta(days=i), account=f"a{i}"),
            [performance_row(DAY1, account_id=f"a{i}")],
        )
        for i in range(30)
    ]
    lab.warehouse.load(manifest(*cuts))
    before = len(sandbox.seen)
    assert each(lab, cuts) == 30
    assert len(sandbox.seen) - before <= 8
    assert 200 < max(len(one.parameters) for one in sandbox.lakehouse.seen) <= 256


def test_slices_with_gaps_of_which_thirty_hold_too_many_values_go_one_by_one(lab, caplog):
    """Every second day holds newer rows, and is left out of what is replaced."""
    days = [DAY1 + timedelta(days=i) for i in range(8)]

    def cut(i: int, some: Sequence[date], load: int) -> SliceResult:
        rows = [performance_row(day, account_id=f"a{i}", spend=str(load)) for day in some]
        part = report_slice(some[0], some[-1], account=f"a{i}")
        return lab.staged(part, rows, load_id=f"load-{load}", as_of=NOON - load)

    newer = [cut(i, [day], 1) for i in range(30) for day in days[1::2]]
    lab.warehouse.load(manifest(*newer))
    each(lab, newer)
    older = [cut(i, days, 2) for i in range(30)]
    lab.warehouse.load(manifest(*older, load_id="load-2"))
    with caplog.at_level(logging.INFO, logger="airflow_provider_liftos.warehouses.sql"):
        assert each(lab, older, 2) == 30
    assert "30 slices go one by one" in caplog.text
    assert "the limit is 256" in caplog.text
    assert sorted(spent(lab)) == [(1, 120), (2, 120)]


def test_lanes_share_the_load_and_have_connections_of_their_own(lab, sandbox, leases):
    made = lab.warehouse = warehouse_at(sandbox, leases)
    made._server.sleep = lambda _: None
    cuts = loaded(lab, 70)
    opened = sandbox.service.opened
    other = warehouse_at(sandbox, leases, wait=0.0)
    told: list[str] = []

    def look(sql: str) -> None:
        if "REPLACE WHERE" in sql and not told:
            told.append(sql)
            with pytest.raises(WarehouseError, match="load-1"):
                other.discard("load-1")

    other.prepare()
    sandbox.lakehouse.watch = look
    try:
        assert each(lab, cuts) == 70
    finally:
        sandbox.lakehouse.watch = None
    assert told
    assert sandbox.service.opened - opened >= 3
    assert spent(lab) == [(5, 70)]
    other.discard("load-1")  # the load was given back
    assert made._shared == {}


def test_a_load_is_held_for_as_long_as_lanes_join_it(lab, sandbox, tmp_path):
    clock = ManualClock(NOON)
    store = StateStore(f"sqlite:///{tmp_path / 'lanes.db'}", clock)
    leases = Leases(store, ORG)
    made = warehouse_at(sandbox, leases)
    turn = Turn((made.layout.audit_schema, "load-1"), shared=True)
    with ExitStack() as lanes:
        for _ in range(4):
            lanes.enter_context(made._turns(turn))
            clock.advance(200)
            assert leases.acquire("databricks|warehouse|liftos_audit|load-1", "other", 60) is None
        clock.advance(200)
        assert leases.acquire("databricks|warehouse|liftos_audit|load-1", "other", 60)
        with pytest.raises(WarehouseError, match="Another writer took the turn"):
            lanes.enter_context(made._turns(turn))
    store.close()


def test_a_lane_that_fails_gives_the_load_back(lab, sandbox, leases):
    made = lab.warehouse = warehouse_at(sandbox, leases)
    made._server.sleep = lambda _: None
    cuts = loaded(lab, 50)
    sandbox.fail("`performance` REPLACE WHERE", "[INTERNAL_ERROR] the disk is full")
    with pytest.raises(WarehouseError, match="the disk is full"):
        each(lab, cuts)
    assert made._shared == {}
    sandbox.revive()
    assert each(lab, cuts) == 50
    assert spent(lab) == [(5, 50)]


def test_empty_slices_go_together_too(lab, sandbox):
    each(lab, loaded(lab, 3))
    empty = [result(one.slice, as_of=NOON + 9) for one in loaded(lab, 3, load=2)]
    lab.warehouse.load(manifest(*empty, load_id="load-3"))
    before = len(sandbox.seen)
    assert each(lab, empty, 3) == 3
    sent = sandbox.seen[before:]
    assert len([sql for sql in sent if re.search(r"`performance` REPLACE WHERE", sql)]) == 1
    assert spent(lab) == []
