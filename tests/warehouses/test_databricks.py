"""Databricks: what is sent in which order, and what is left when a process dies in between."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_liftos.hooks.warehouse import open_warehouse
from airflow_provider_liftos.model.errors import ConfigurationError, WarehouseError
from airflow_provider_liftos.sandbox.databricks import DatabricksSandbox
from airflow_provider_liftos.state.leases import Leases
from airflow_provider_liftos.state.store import StateStore
from airflow_provider_liftos.warehouses.sql import Turn
from tests.warehouses import databricks_server
from tests.warehouses.databricks_server import Asked, warehouse_at
from tests.warehouses.staging import (
    DAY1,
    DAY2,
    NOON,
    ORG,
    Lab,
    entity_row,
    manifest,
    performance_row,
    report_slice,
    result,
    stream_slice,
)

HOUR = 3600.0
HASTY = {"_retry_stop_after_attempts_count": 1, "_retry_stop_after_attempts_duration": 1.0}


@pytest.fixture
def engine() -> str:
    return "databricks"


@pytest.fixture
def sandbox(warehouse: Asked) -> Iterator[DatabricksSandbox]:
    yield warehouse.sandbox
    warehouse.sandbox.revive()
    warehouse.sandbox.lakehouse.watch = None


def spend(warehouse: Any) -> list[tuple]:
    return warehouse.query("SELECT date, spend, load_id FROM liftos.performance ORDER BY date")


def both(amount: str) -> list[dict[str, Any]]:
    return [performance_row(day, spend=amount) for day in (DAY1, DAY2)]


def entities(lab: Lab, load: int, *rows: tuple[str, str]) -> Any:
    done = lab.staged(
        stream_slice(), [entity_row(*row, budget_remaining=str(load)) for row in rows],
        load_id=f"e{load}", as_of=NOON + HOUR * load, table="campaigns",
    )  # fmt: skip
    lab.warehouse.load(manifest(done, load_id=f"e{load}"))
    return done


def _report(lab: Lab) -> tuple[Any, Callable[[], Any], Callable[[], list]]:
    lab.publish(report_slice(), both("5"))
    done = lab.staged(report_slice(), both("6"), load_id="b", as_of=NOON + HOUR)
    lab.warehouse.load(manifest(done, load_id="b"))
    return (
        done,
        lambda: lab.warehouse.query("SELECT * FROM liftos.loads ORDER BY date"),
        lambda: spend(lab.warehouse),
    )


@pytest.mark.parametrize("answered", [True, False], ids=["between", "unheard"])
def test_a_report_may_die_after_any_statement(lab, sandbox, answered):
    """Also when a statement was carried out and nobody heard of it."""
    hasty = warehouse_at(sandbox, retries=HASTY)
    hasty._prepared = True
    old = [(day, 5, "load-1") for day in (DAY1, DAY2)]
    new = [(day, 6, "b") for day in (DAY1, DAY2)]
    seen, statement = [], 0
    while True:
        statement += 1
        lab.warehouse = databricks_server.emptied(sandbox)
        done, loads, rows = _report(lab)
        told: list[Any] = []
        sandbox.die(statement, answered=answered)
        try:
            hasty.publish(done, "b", ORG, NOON, note=told.append)
        except WarehouseError:
            pass
        else:
            break
        finally:
            sandbox.revive()
        seen.append(rows() == new)
        assert rows() in (old, new)
        lab.warehouse.publish(done, "b", ORG, NOON, note=told.append)
        assert rows() == new
        assert {row[-2] for row in loads()} == {"b"}
        assert lab.warehouse.query("SELECT count(*) FROM liftos_audit.performance") == [(0,)]
        assert len({tuple(one) for one in told}) == 1, "the same is told again, at most"
    assert seen == sorted(seen), "once new, always new"
    assert {True, False} == set(seen)
    assert statement > 7


def test_a_snapshot_may_die_after_any_statement(lab, sandbox):
    hasty = warehouse_at(sandbox, retries=HASTY)
    hasty._prepared = True
    texts = "SELECT campaign_id, row_hash, valid_from, valid_to, is_deleted FROM liftos.campaigns ORDER BY 1, 3, 4"
    outcomes, statement = set(), 0
    while True:
        statement += 1
        lab.warehouse = databricks_server.emptied(sandbox)
        lab.warehouse.publish(entities(lab, 1, ("a", "x"), ("b", "y"), ("c", "z")), "e1", ORG, NOON)
        old = lab.warehouse.query(texts)
        done = entities(lab, 2, ("a", "x2"), ("c", "z"), ("d", "n"))
        sandbox.die(statement, answered=bool(statement % 2))
        try:
            hasty.publish(done, "e2", ORG, NOON)
        except WarehouseError:
            sandbox.revive()
        else:
            break
        found = lab.warehouse.query(texts)
        lab.warehouse.publish(done, "e2", ORG, NOON)
        new = lab.warehouse.query(texts)
        assert found in (old, new)
        outcomes.add(found == new)
        assert [row[0] for row in new] == ["a", "a", "b", "b", "c", "d"]
        assert lab.warehouse.query("SELECT count(*) FROM liftos.loads") == [(1,)]
    assert outcomes == {True, False}


def test_nobody_ever_finds_a_slice_empty(lab, sandbox):
    lab.publish(report_slice(), both("5"))
    found = []

    def look(_: str) -> None:
        found.append(sandbox.lakehouse.ask("SELECT count(*) FROM liftos.performance"))

    sandbox.lakehouse.watch = look
    lab.publish(report_slice(), both("6"), load_id="b", as_of=NOON + HOUR)
    assert set(found) == {2}
    assert len(found) > 9


def test_an_older_load_does_not_replace_what_a_newer_one_left_when_it_died(lab, sandbox):
    done = lab.staged(report_slice(), both("7"), load_id="new", as_of=NOON + HOUR)
    lab.warehouse.load(manifest(done, load_id="new"))
    sandbox.fail("INSERT INTO `liftos`.`loads`", "[INTERNAL_ERROR] dies here")
    with pytest.raises(WarehouseError, match="dies here"):
        lab.warehouse.publish(done, "new", ORG, NOON)
    snapshot = entities(lab, 5, ("a", "x"))
    with pytest.raises(WarehouseError, match="dies here"):
        lab.warehouse.publish(snapshot, "e5", ORG, NOON)
    sandbox.revive()
    older = lab.publish(report_slice(), both("5"), load_id="old", as_of=NOON)
    assert older.dates_skipped == (DAY1, DAY2)
    assert lab.warehouse.publish(entities(lab, 4, ("a", "y")), "e4", ORG, NOON).outdated
    lab.warehouse.publish(done, "new", ORG, NOON)
    lab.warehouse.publish(snapshot, "e5", ORG, NOON)
    assert spend(lab.warehouse) == [(DAY1, 7, "new"), (DAY2, 7, "new")]
    assert lab.warehouse.query("SELECT row_hash FROM liftos.campaigns") == [("x",)]


def test_a_writer_that_another_got_ahead_of_tries_again(lab, sandbox):
    pauses: list[float] = []
    lab.warehouse._server.sleep = pauses.append
    lab.publish(report_slice(), both("5"))
    sandbox.conflict(3)
    lab.publish(report_slice(), both("6"), load_id="b", as_of=NOON + HOUR)
    assert spend(lab.warehouse)[0][1:] == (6, "b")
    assert len(pauses) == 3
    done = lab.staged(report_slice(), both("9"), load_id="c", as_of=NOON + 2 * HOUR)
    lab.warehouse.load(manifest(done, load_id="c"))
    sandbox.conflict(100)
    with pytest.raises(WarehouseError, match="ConcurrentAppend") as caught:
        lab.warehouse.publish(done, "c", ORG, NOON)
    assert "run the task again" in (caught.value.hint or "")
    sandbox.conflict(0)
    assert spend(lab.warehouse)[0][1:] == (6, "b")


def _unreachable(sandbox: DatabricksSandbox) -> Any:
    sandbox.die(0)
    return {}


def _token(sandbox: DatabricksSandbox) -> Any:
    return {"access_token": "dapi-of-somebody-else-0123456789"}


def _broken(sandbox: DatabricksSandbox) -> Any:
    sandbox.fail("REPLACE WHERE", "[INTERNAL_ERROR] the disk is full. SQLSTATE: XX000")
    return {}


def _busy(sandbox: DatabricksSandbox) -> Any:
    sandbox.be_busy(503, times=1_000, retry_after=3)
    return {}


@pytest.mark.parametrize(
    ("trouble", "said", "hint"),
    [
        (_unreachable, "refused", "run the task again"),
        (_token, "access token|403|request", "Nothing"),
        (_broken, "the disk is full", "Nothing that was published has changed"),
        (_busy, "503|[Rr]etry", "starts"),
    ],
    ids=["unreachable", "token", "statement", "503"],
)
def test_what_is_refused_is_one_clear_line_and_old_rows_stay(lab, sandbox, trouble, said, hint):
    lab.publish(report_slice(), both("5"))
    done = lab.staged(report_slice(), both("6"), load_id="b", as_of=NOON + HOUR)
    lab.warehouse.load(manifest(done, load_id="b"))
    hasty = warehouse_at(sandbox, retries=HASTY | trouble(sandbox))
    hasty._prepared = True
    with pytest.raises(WarehouseError, match=said) as caught:
        hasty.publish(done, "b", ORG, NOON)
    error = caught.value
    assert "\n" not in error.message
    assert hint in (error.hint or "")
    assert error.__cause__ is None, "the connector's own words may hold signatures"
    for secret in (sandbox.token, "somebody-else", "X-Signature"):
        assert secret not in f"{error} {error.hint}"
    sandbox.revive()
    assert spend(lab.warehouse) == [(DAY1, 5, "load-1"), (DAY2, 5, "load-1")]


def test_files_travel_through_a_place_of_the_attempt_and_are_gone_behind_it(lab, sandbox):
    done = lab.staged(report_slice(), both("5"))
    sandbox.fail("COPY INTO", "[INTERNAL_ERROR] no")
    with pytest.raises(WarehouseError):
        lab.warehouse.load(manifest(done))
    assert sandbox.volumes == []
    sandbox.revive()
    for _ in range(2):
        assert lab.warehouse.load(manifest(done)) == 2
    places = {re.search(r"load_files/(\w+)/", sql)[1] for sql in sandbox.seen if "PUT '" in sql}
    assert len(places) == 3
    assert sandbox.volumes == []
    assert lab.warehouse.query("SELECT count(*) FROM liftos_audit.performance") == [(2,)]


@pytest.mark.parametrize("volume", ["", "/Volumes/main/raw/landing"])
def test_files_that_killed_loads_left_are_removed_a_day_later(lab, sandbox, volume):
    now = NOON
    made = warehouse_at(sandbox, volume=volume, clock=lambda: now)
    done = lab.staged(report_slice(), both("5"))
    made.prepare()
    theirs = sandbox.lakehouse.file(f"{made._volume}/load_1_00/performance/performance.parquet")
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"not ours: the name is another one")
    sandbox.fail("COPY INTO", "[INTERNAL_ERROR] dies here")
    sandbox.fail("REMOVE", "[INTERNAL_ERROR] and is not able to clean up")
    with pytest.raises(WarehouseError, match="dies here"):
        made.load(manifest(done))
    sandbox.revive()
    assert len(sandbox.volumes) == 2
    now += 86_400
    assert made.compact() == {}
    now += 1
    assert made.compact() == {"files_removed": 1}
    assert [path.rpartition("/load_1_00/")[2] for path in sandbox.volumes] == [
        "performance/performance.parquet"
    ]
    assert made.compact() == {}
    theirs.unlink()


def test_a_volume_of_ones_own_is_used(lab, sandbox):
    made = warehouse_at(sandbox, volume="/Volumes/main/raw/landing/")
    done = lab.staged(report_slice(), both("5"))
    assert made.load(manifest(done)) == 2
    assert any("INTO '/Volumes/main/raw/landing/" in sql for sql in sandbox.seen)
    assert not any("CREATE VOLUME" in sql for sql in sandbox.seen)


def test_columns_that_a_newer_version_added_stay_and_are_null(own_databricks, tmp_path):
    made = warehouse_at(own_databricks)
    made.prepare()
    lab = Lab(tmp_path, made)
    own_databricks.lakehouse.run(
        "ALTER TABLE liftos.performance ADD COLUMN from_the_future VARCHAR"
    )
    own_databricks.lakehouse.run("ALTER TABLE liftos.loads ADD COLUMN later INTEGER")
    lab.publish(report_slice(), both("5"))
    assert spend(made) == [(DAY1, 5, "load-1"), (DAY2, 5, "load-1")]
    assert made.query("SELECT from_the_future FROM liftos.performance") == [(None,), (None,)]


def test_publishers_of_one_account_take_turns(lab, sandbox, tmp_path):
    store = StateStore(f"sqlite:///{tmp_path / 'state.db'}")
    leases = Leases(store, ORG)
    made = warehouse_at(sandbox, leases, wait=0.05)
    lab.publish(report_slice(), both("5"))
    done = lab.staged(report_slice(), both("6"), load_id="b", as_of=NOON + HOUR)
    made.load(manifest(done, load_id="b"))
    turn = "databricks|warehouse|liftos|performance|acme|meta|1001"
    with leases.held(turn, ttl=600), pytest.raises(WarehouseError, match="1001"):
        made.publish(done, "b", ORG, NOON)
    token = leases.acquire(turn, "x", 60)
    assert token is not None, "given back"
    leases.release(turn, token)

    made.publish(done, "b", ORG, NOON)
    assert spend(made)[0][1:] == (6, "b")
    store.close()


def test_who_has_lost_its_turn_writes_no_more(lab, sandbox, tmp_path, monkeypatch):
    store = StateStore(f"sqlite:///{tmp_path / 'state.db'}")
    leases = Leases(store, ORG)
    now = iter(range(1_000_000, 9_000_000, 31))
    made = warehouse_at(sandbox, leases, clock=lambda: float(next(now)))
    lab.publish(report_slice(), both("5"))
    done = lab.staged(report_slice(), both("6"), load_id="b", as_of=NOON + HOUR)
    made.load(manifest(done, load_id="b"))
    left = iter([True] * 8)
    monkeypatch.setattr(leases, "renew", lambda *_: next(left, False))
    with pytest.raises(WarehouseError, match="Another writer took the turn"):
        made.publish(done, "b", ORG, NOON)
    assert spend(made)[0][1:] == (5, "load-1")
    store.close()


def test_turns_that_have_just_been_renewed_are_not_renewed_again(lab, sandbox, leases, monkeypatch):
    now = NOON
    made = warehouse_at(sandbox, leases, clock=lambda: now)
    done = lab.staged(report_slice(), both("6"))
    renewed: list[str] = []
    renew = leases.renew
    monkeypatch.setattr(
        leases, "renew", lambda name, *rest: renewed.append(name) or renew(name, *rest)
    )
    made.load(manifest(done))
    made.publish(done, "load-1", ORG, NOON)
    assert renewed == []
    with made._turns(Turn(("liftos", "x"))) as keep:
        for passed, times in ((29.9, 0), (0.1, 1), (29.9, 1), (30, 2), (-3_600, 3)):
            now += passed
            keep()
            assert len(renewed) == times


def test_the_hook_of_airflow_opens_it(sandbox, lab, tmp_path, monkeypatch):
    extra = sandbox.extra | {"liftos_volume": "/Volumes/main/raw/landing"}
    given = {"conn_type": "databricks", "host": sandbox.host, "password": sandbox.token}
    monkeypatch.setenv("AIRFLOW_CONN_DATABRICKS_TEST", json.dumps(given | {"extra": extra}))
    store = StateStore(f"sqlite:///{tmp_path / 'state.db'}")
    made = open_warehouse("databricks_test", ORG, store)
    done = lab.staged(report_slice(), both("5"))
    made.load(manifest(done))
    assert made.publish(done, "load-1", ORG, NOON).rows_after == 2
    assert any("/Volumes/main/raw/landing/" in sql for sql in sandbox.seen)
    assert {"TIMEZONE": "UTC", "ANSI_MODE": "true"}.items() <= sandbox.service.last.items()
    monkeypatch.setenv("AIRFLOW_CONN_DATABRICKS_TEST", json.dumps(given))
    with pytest.raises(ConfigurationError, match="names no SQL warehouse"):
        open_warehouse("databricks_test", ORG, store)
    store.close()


def test_an_empty_slice_is_published_without_a_file(lab, sandbox):
    lab.publish(report_slice(), both("5"))
    empty = result(report_slice(), as_of=NOON + HOUR)
    lab.warehouse.load(manifest(empty, load_id="b"))
    lab.warehouse.publish(empty, "b", ORG, NOON)
    assert spend(lab.warehouse) == []
    assert sum("PUT " in sql for sql in sandbox.seen) == 1
