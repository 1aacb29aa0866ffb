"""Which slices go together, which side by side, and what becomes of lines of work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_liftos.engine.manifest import File, SliceResult
from airflow_provider_liftos.model.errors import WarehouseCrowded, WarehouseError
from airflow_provider_liftos.warehouses import publications
from airflow_provider_liftos.warehouses.postgres import PostgresWarehouse
from airflow_provider_liftos.warehouses.postgres_session import PostgresServer
from airflow_provider_liftos.warehouses.publications import (
    Publication,
    Sizes,
    lanes,
    side_by_side,
    together,
)
from tests.warehouses.engines import administer, reopened
from tests.warehouses.staging import DAY1, DAY2, NOON, ORG, Lab, report_slice, result
from tests.warehouses.test_publishing_many import ACCOUNTS, loaded, published

SIZES = Sizes(rows=1_000, slices=3, together=100, at_once=3, lanes=2)
PATIENCE = 90.0


def publication(account: str, rows: int = 10, **parts: Any) -> Publication:
    cut = report_slice(DAY1, DAY2, account=account, **parts)
    found = result(cut, File(path="nowhere", rows=rows, bytes=1, sha256=""))
    return Publication(
        result=found, table="performance", load_id="l", org_id=ORG, now=lambda: NOON, note=None
    )


def accounts(some: Sequence[Publication]) -> list[str]:
    return [one.result.slice.account_id for one in some]


def test_what_fits_one_unit_goes_in_one_lane_in_its_order():
    some = [publication(name) for name in "cab"]
    assert [accounts(lane) for lane in lanes(some, SIZES)] == [["c", "a", "b"]]
    assert accounts(together(some, SIZES)) == ["c", "a", "b"]


def test_more_than_a_unit_goes_side_by_side():
    some = [publication(name) for name in "abcd"]
    assert [accounts(lane) for lane in lanes(some, SIZES)] == [["a", "c"], ["b", "d"]]


def test_an_accounts_slices_stay_in_one_lane_and_in_order():
    some = [publication(name, metrics=(f"m{n}",)) for n in range(5) for name in "ab"]
    found = lanes(some, SIZES)
    assert [accounts(lane) for lane in found] == [["a"] * 5, ["b"] * 5]
    assert [one.result.slice.report.metrics for one in found[0]] == [(f"m{n}",) for n in range(5)]


def test_one_account_is_one_lane_however_much_it_has():
    assert len(lanes([publication("a") for _ in range(50)], SIZES)) == 1


def test_nothing_to_publish_is_no_work():
    assert lanes([], SIZES) == []
    assert list(side_by_side([])) == []


def test_engines_of_one_lane_get_one():
    assert len(lanes([publication(str(n)) for n in range(50)], replace(SIZES, lanes=1))) == 1


def line(*found: int) -> Callable[[Callable[[], bool]], Iterator[int]]:
    return lambda _ended: iter(found)


def test_lines_give_all_they_have():
    assert sorted(side_by_side([line(1, 2, 3), line(4), line()])) == [1, 2, 3, 4]


def test_an_error_comes_after_what_all_gave_and_ends_the_others():
    asked, pause = threading.Event(), threading.Event()

    def goes_on(ended: Callable[[], bool]) -> Iterator[int]:
        yield 1
        asked.set()
        while not ended():
            pause.wait(0.01)
        yield 2

    def fails(_ended: Callable[[], bool]) -> Iterator[int]:
        yield 3
        assert asked.wait(PATIENCE)
        raise OSError("the line is down")

    given: list[int] = []
    with pytest.raises(OSError, match="the line is down"):
        given.extend(side_by_side([goes_on, fails]))
    assert sorted(given) == [1, 2, 3]


def test_who_wants_no_more_waits_for_nobody_left_behind():
    ended: list[bool] = []
    pause = threading.Event()

    def goes_on(told: Callable[[], bool]) -> Iterator[int]:
        yield 1
        while not told():
            pause.wait(0.01)
        ended.append(True)

    some = side_by_side([goes_on, goes_on])
    assert next(some) == 1
    some.close()
    assert ended == [True, True]


def fails_with(error: Exception, together: threading.Barrier) -> Callable[..., Iterator[int]]:
    def line(_ended: Callable[[], bool]) -> Iterator[int]:
        yield 1
        together.wait()
        raise error

    return line


def test_what_others_failed_with_is_told_in_the_log(caplog):
    both = threading.Barrier(2, timeout=PATIENCE)
    errors = (WarehouseError("this one"), WarehouseError("that one"))
    with pytest.raises(WarehouseError) as raised:
        list(side_by_side([fails_with(error, both) for error in errors]))
    [logged] = [record.getMessage() for record in caplog.records]
    assert {"this one", "that one"} == {str(raised.value), logged.rpartition(": ")[2]}


def test_what_others_failed_with_is_told_without_what_may_be_secret(caplog):
    both = threading.Barrier(2, timeout=PATIENCE)
    with pytest.raises(OSError, match="password"):
        list(side_by_side([fails_with(OSError("password"), both) for _ in range(2)]))
    assert "another one failed: OSError" in caplog.text
    assert "password" not in caplog.text


def test_who_wants_no_more_finds_in_the_log_what_failed(caplog):
    pause = threading.Event()

    def fails_at_the_end(ended: Callable[[], bool]) -> Iterator[int]:
        yield 1
        while not ended():
            pause.wait(0.01)
        raise WarehouseError("too late to raise it")

    some = side_by_side([fails_at_the_end, line()])
    assert next(some) == 1
    some.close()
    assert "too late to raise it" in caplog.text


def test_lines_know_what_the_caller_knows():
    who = ContextVar("who", default="nobody")
    who.set("caller")

    def tells(_ended: Callable[[], bool]) -> Iterator[str]:
        yield who.get()

    assert list(side_by_side([tells, tells])) == ["caller", "caller"]


@pytest.fixture
def narrow(lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab.warehouse, "_sizes", replace(lab.warehouse._sizes, together=1))


def each(lab: Any, cuts: Sequence[SliceResult], load: int, **parts: Any) -> list[str]:
    done = lab.warehouse.publish_each(cuts, f"load-{load}", ORG, lambda: NOON, **parts)
    return sorted(cut.slice.account_id for cut, _ in done)


@pytest.mark.parametrize("engine", ["postgres"])
def test_lanes_are_connections_that_work_at_the_same_time(lab, narrow):
    assert each(lab, loaded(lab), 1) == list(ACCOUNTS)
    both = threading.Barrier(2, timeout=PATIENCE)  # which a single lane would not pass
    first = {"a", "b"}

    def note(cut: SliceResult) -> Any:
        return lambda _moved: cut.slice.account_id in first and both.wait()

    assert each(lab, loaded(lab, spend="6", load=2), 2, note=note) == list(ACCOUNTS)
    assert published(lab.warehouse) == dict.fromkeys(ACCOUNTS, 6)
    assert lab.warehouse.query("SELECT count(*) FROM liftos_audit.performance") == [(0,)]


@pytest.mark.parametrize("engine", ["postgres"])
def test_a_bad_slice_ends_the_other_lane_and_loses_nothing(lab, narrow):
    cuts = loaded(lab)
    administer(lab.warehouse, "DELETE FROM liftos_audit.performance WHERE account_id = 'c'")
    told: list[str] = []
    with pytest.raises(Exception, match=r"meta c: .*0 of its 1 rows"):
        told.extend(
            cut.slice.account_id
            for cut, _ in lab.warehouse.publish_each(cuts, "load-1", ORG, lambda: NOON)
        )
    assert "a" in told  # which is in its lane, before it
    assert published(lab.warehouse) == dict.fromkeys(told, 5)
    assert each(lab, [cut for cut in cuts if cut.slice.account_id != "c"], 1) == ["a", "b", "d"]
    assert published(lab.warehouse) == {"a": 5, "b": 5, "d": 5}


@pytest.mark.parametrize("engine", ["postgres"])
def test_tables_are_looked_at_once_and_before_lanes_begin(lab, narrow, monkeypatch):
    cuts, prepare, looked = loaded(lab), PostgresWarehouse.prepare, []
    monkeypatch.setattr(PostgresWarehouse, "prepare", lambda w: (looked.append(w), prepare(w)))
    sizes = lab.warehouse._sizes
    lab.warehouse = reopened(lab.warehouse)
    lab.warehouse._sizes = sizes
    assert each(lab, cuts, 1) == list(ACCOUNTS)
    assert looked == [lab.warehouse]


def one_connection(bare: PostgresWarehouse) -> PostgresWarehouse:
    """As somebody to whom the server gives no second one."""
    role = f"few_{bare._server.parameters['dbname']}"
    administer(bare, f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 1")
    for schema in ("liftos", "liftos_audit"):
        administer(bare, f"CREATE SCHEMA {schema} AUTHORIZATION {role}")
    return PostgresWarehouse({**bare._server.parameters, "user": role}, wait=PATIENCE)


@pytest.mark.parametrize("engine", ["postgres"])
def test_a_lane_without_a_connection_leaves_its_slices_to_the_other(
    bare, tmp_path, caplog, monkeypatch
):
    caplog.set_level("INFO")
    lab = Lab(tmp_path, one_connection(bare))
    patiently(lambda: each(lab, patiently(lambda: loaded(lab)), 1))
    lab.warehouse._sizes = replace(lab.warehouse._sizes, together=1)
    pause = threading.Event()

    def note(_cut: SliceResult) -> Any:
        """The first lane keeps its connection until the other one was refused."""

        def hear(_moved: object) -> None:
            until = time.monotonic() + PATIENCE
            while "wait for another connection" not in caplog.text and time.monotonic() < until:
                pause.wait(0.01)

        return hear

    cuts = patiently(lambda: loaded(lab, spend="6", load=2))
    assert connections(bare) == 1  # which asks, so that none of the load's is left
    connect, asked = PostgresServer._connect, list[bool]()
    monkeypatch.setattr(
        PostgresServer, "_connect", lambda *own, **more: asked.append(True) or connect(*own, **more)
    )
    assert each(lab, cuts, 2, note=note) == list(ACCOUNTS)
    assert len(asked) == 2, "one connection, which is kept, and one refusal"
    assert "2 slices wait for another connection" in caplog.text
    assert "too many connections for role" in caplog.text
    assert published(bare) == dict.fromkeys(ACCOUNTS, 6)


def patiently(work: Callable[[], Any]) -> Any:
    """A server counts a connection for a moment after it was closed."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return work()
        except WarehouseCrowded:
            if time.monotonic() > until:
                raise


@pytest.mark.parametrize("engine", ["postgres"])
def test_where_no_lane_finds_a_connection_the_server_is_told_to_be_full(lab, narrow, monkeypatch):
    cuts = loaded(lab)

    def full(server: PostgresServer, **_: object) -> Any:
        raise WarehouseCrowded("Postgres refused: sorry, too many clients already.")

    with monkeypatch.context() as patch:
        patch.setattr(PostgresServer, "transactions", full)
        with pytest.raises(WarehouseCrowded, match="too many clients"):
            each(lab, cuts, 1)
    assert each(lab, cuts, 1) == list(ACCOUNTS)


@pytest.mark.parametrize("engine", ["postgres"])
def test_who_stops_midway_leaves_no_connection_and_no_thread(lab, monkeypatch):
    """What was published and not told of is found published when it is asked for again."""
    each(lab, loaded(lab), 1)
    sizes = replace(lab.warehouse._sizes, together=1, seconds=0.0)  # each is told of at once
    monkeypatch.setattr(lab.warehouse, "_sizes", sizes)
    cuts, before = loaded(lab, spend="6", load=2), set(threading.enumerate())
    stop = threading.Event()
    monkeypatch.setattr(publications, "Event", lambda: stop)

    def note(cut: SliceResult) -> Any:
        return lambda _moved: cut.slice.account_id == "a" or stop.wait(PATIENCE)

    some = lab.warehouse.publish_each(cuts, "load-2", ORG, lambda: NOON, note=note)
    told, _ = next(some)
    assert told.slice.account_id == "a"
    some.close()
    assert set(threading.enumerate()) == before
    assert connections(lab.warehouse) == 1  # which asks
    spends = published(lab.warehouse)
    new = {account for account, spend in spends.items() if spend == 6}
    assert new in ({"a", "b"}, {"a", "b", "c"})  # of which the last one is behind the first
    waiting = lab.warehouse.query("SELECT account_id FROM liftos_audit.performance")
    assert {account for (account,) in waiting} == set(ACCOUNTS) - new
    noted = lab.warehouse.query("SELECT account_id FROM liftos.loads WHERE load_id = 'load-2'")
    assert {account for (account,) in noted} == new
    stop.clear()
    left = [cut for cut in cuts if cut.slice.account_id not in new]
    assert each(lab, left, 2) == sorted(cut.slice.account_id for cut in left)
    assert published(lab.warehouse) == dict.fromkeys(ACCOUNTS, 6)


def connections(warehouse: PostgresWarehouse) -> int:
    """Of ours to its database; the server counts one for a moment after it was closed."""
    until = time.monotonic() + PATIENCE
    while True:
        [(found,)] = warehouse.query(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'liftos'"
        )
        if found == 1 or time.monotonic() > until:
            return int(found)
