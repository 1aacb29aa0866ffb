"""DuckDB's file among many processes: queues, crashes, outsiders, readers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from airflow_provider_liftos.model.errors import WarehouseError
from airflow_provider_liftos.state.leases import Leases
from airflow_provider_liftos.warehouses import duckdb as duckdb_warehouse
from airflow_provider_liftos.warehouses.duckdb import DuckDbWarehouse
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
    stream_slice,
)

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def warehouse(tmp_path: Path, leases: Leases) -> DuckDbWarehouse:
    return DuckDbWarehouse(tmp_path / "warehouse.duckdb", leases, wait=120)


def start(verb: str, lab: Lab, *arguments: object, state: bool = True) -> subprocess.Popen[str]:
    url = f"sqlite:///{lab.folder / 'state.db'}" if state else ""
    command = [sys.executable, "-m", "tests.warehouses.children", verb]
    return subprocess.Popen(
        [*command, str(lab.warehouse._file.path), url, *map(str, arguments)],
        cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def finish(child: subprocess.Popen[str]) -> str:
    out, err = child.communicate(timeout=180)
    assert child.returncode == 0, err
    return out


def write_manifest(lab: Lab, spend: str, load: str, as_of: float, **parts: str) -> Path:
    rows = [performance_row(day, spend=spend, **parts) for day in (DAY1, DAY2)]
    part = report_slice(account=parts.get("account_id", "1001"))
    done = lab.staged(part, rows, load_id=load, as_of=as_of)
    path = lab.folder / f"{load}.json"
    path.write_text(json.dumps(manifest(done, load_id=load).to_json()))
    return path


def spends(lab: Lab) -> list[tuple]:
    return lab.warehouse.query("SELECT date, spend, load_id FROM liftos.performance ORDER BY date")


def test_a_unit_that_outlives_its_lease_is_waited_for_at_the_file(lab, leases, monkeypatch):
    """On a busy machine it may; the next one has the lease by then, and comes no further."""
    monkeypatch.setattr(duckdb_warehouse, "_LEASE_SECONDS", 0.05)
    done = lab.staged(report_slice(), [performance_row(DAY1)])
    other = DuckDbWarehouse(lab.warehouse._file.path, leases, wait=120)
    name = f"duckdb:{lab.warehouse._file.path}"
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with lab.warehouse._write() as session:
            session.execute("UPDATE liftos_audit.performance SET spend = 1")
            inside.set()
            leave.wait(90)
            session.execute("INSERT INTO liftos.performance (org_id) VALUES ('slow')")

    threads = [threading.Thread(target=run) for run in (hold, lambda: other.load(manifest(done)))]
    threads[0].start()
    assert inside.wait(60)
    first = leases.acquire(name, "who asks", 0.001)
    while first is None:  # its time is over, though it is at work
        first = leases.acquire(name, "who asks", 0.001)
    threads[1].start()
    threads[1].join(0.5)
    assert threads[1].is_alive(), "it waits for the file"
    leave.set()
    for thread in threads:
        thread.join(150)
    assert other.query("SELECT org_id FROM liftos.performance") == [("slow",)]
    assert other.query("SELECT count(*) FROM liftos_audit.performance") == [(1,)]


@pytest.mark.parametrize("leased", [True, False], ids=["leased", "by the file's lock alone"])
def test_racing_publishers_lose_nothing_and_the_newest_wins(lab, leased):
    children = []
    for worker in range(4):
        own = write_manifest(lab, "1", f"own-{worker}", NOON, account_id=f"a{worker}")
        shared = [
            write_manifest(lab, str(n), f"shared-{worker}-{n}", NOON + n)
            for n in range(worker, 8, 4)
        ]
        children.append(start("publish", lab, own, *shared, state=leased))
    for child in children:
        finish(child)
    found = lab.warehouse.query(
        "SELECT account_id, date, spend FROM liftos.performance ORDER BY 1, 2"
    )
    others = [(f"a{worker}", day, 1) for worker in range(4) for day in (DAY1, DAY2)]
    assert found == [("1001", DAY1, 7), ("1001", DAY2, 7), *others]
    waiting = "SELECT DISTINCT load_id FROM liftos_audit.performance"
    assert lab.warehouse.query(waiting) == []
    assert lab.warehouse.query("SELECT count(*) FROM liftos.loads") == [(10,)]


@pytest.mark.parametrize(
    "moment",
    ['INSERT INTO "liftos"."performance"', 'INSERT INTO "liftos"."loads"',
     'DELETE FROM "liftos_audit"."performance"'],
)  # fmt: skip
def test_a_kill_in_the_middle_of_publishing_leaves_the_old_rows(lab, moment):
    lab.publish(report_slice(), [performance_row(DAY1), performance_row(DAY2)])
    before = spends(lab)
    path = write_manifest(lab, "9", "load-2", NOON + 1)
    # Without the lease, which would have to run out first.
    child = start("die", lab, path, moment, state=False)
    child.communicate(timeout=180)
    assert child.returncode == -signal.SIGKILL
    assert spends(lab) == before
    finish(start("publish", lab, path, state=False))
    assert spends(lab) == [(day, 9, "load-2") for day in (DAY1, DAY2)]


@pytest.mark.parametrize(
    "moment",
    ['MERGE INTO "liftos"."campaigns"', 'INSERT INTO "liftos"."loads"',
     'DELETE FROM "liftos_audit"."campaigns"'],
)  # fmt: skip
def test_a_kill_in_the_middle_of_a_snapshot_leaves_the_old_versions(lab, moment):
    lab.publish(stream_slice(), [entity_row("a", "x")], table="campaigns")
    before = lab.warehouse.checksum("campaigns")
    done = lab.staged(
        stream_slice(), [entity_row("b", "y")], load_id="2", as_of=NOON + 1, table="campaigns"
    )
    path = lab.folder / "snapshot.json"
    path.write_text(json.dumps(manifest(done, load_id="2").to_json()))
    child = start("die", lab, path, moment, state=False)
    child.communicate(timeout=180)
    assert child.returncode == -signal.SIGKILL
    assert lab.warehouse.checksum("campaigns") == before


@contextmanager
def held(lab: Lab, seconds: float) -> Iterator[subprocess.Popen[str]]:
    child = start("hold", lab, seconds, state=False)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
        yield child
    finally:
        child.kill()
        child.communicate()


def test_a_file_that_an_outsider_keeps_open_ends_in_one_clear_error(lab, tmp_path):
    lab.publish(report_slice(), [performance_row(DAY1)])
    before = spends(lab)
    impatient = DuckDbWarehouse(lab.warehouse._file.path, lab.warehouse._leases, wait=0.3)
    done = lab.staged(report_slice(), [performance_row(DAY1, spend="9")], load_id="2")
    with held(lab, 600) as outsider, pytest.raises(WarehouseError) as caught:
        impatient.load(manifest(done, load_id="2"))
    text = str(caught.value)
    assert f"process {outsider.pid} (" in text
    assert "for 0.3 s" in text
    assert "Close what has the file open" in text
    assert spends(lab) == before


def test_a_file_that_an_outsider_lets_go_of_is_waited_for(lab):
    lab.publish(report_slice(), [performance_row(DAY1)])
    with held(lab, 0.5):
        lab.publish(report_slice(), [performance_row(DAY1, spend="9")], load_id="2")
    assert spends(lab) == [(DAY1, 9, "2")]


def test_a_lease_that_somebody_keeps_ends_in_a_clear_error(lab, leases: Leases):
    lab.warehouse.prepare()
    impatient = DuckDbWarehouse(lab.warehouse._file.path, leases, wait=0.1)
    name = f"duckdb:{lab.warehouse._file.path}"
    with (
        leases.held(name, ttl=600, wait=1, holder="another task"),
        pytest.raises(WarehouseError, match="another task"),
    ):
        impatient.prepare()
    impatient.prepare()


def test_a_reader_never_sees_a_half_state(lab):
    few = [performance_row(day, spend="0") for day in (DAY1, DAY2)]
    many = [performance_row(day, spend="1") for day in (DAY1, DAY2)] * 2
    made = [lab.staged(report_slice(), rows, load_id=f"l{n}") for n, rows in enumerate((few, many))]
    for n, done in enumerate(made):
        lab.warehouse.load(manifest(done, load_id=f"l{n}"))
    with duckdb.connect(lab.warehouse._file.path) as con:  # fifty loads of each, in no time
        con.execute(
            "INSERT INTO liftos_audit.performance SELECT a.* REPLACE (load_id || '-' || i AS load_id)"
            " FROM liftos_audit.performance AS a, range(50) r(i)"
        )
    lab.warehouse.publish(made[0], "l0", ORG, NOON)
    stop = lab.folder / "stop"
    sql = (
        "SELECT count(*), sum(spend), count(DISTINCT load_id),"
        ' (SELECT sum("rows") FROM liftos.loads) FROM liftos.performance'
    )
    child = start("watch", lab, sql, stop, state=False)
    assert child.stdout is not None
    assert child.stdout.readline() == "watching\n"
    for turn in range(100):
        lab.warehouse.publish(made[turn % 2], f"l{turn % 2}-{turn // 2}", ORG, NOON)
    stop.touch()
    seen, count = json.loads(finish(child))
    assert set(seen) <= {
        "[(2, Decimal('0.000000'), 1, 2)]",
        "[(4, Decimal('4.000000'), 1, 4)]",
    }
    assert count >= 3


def test_threads_of_one_process_take_turns(lab):
    lab.publish(report_slice(), [performance_row(DAY1)])
    made = [
        lab.staged(report_slice(account=f"t{n}"), [performance_row(DAY1, account_id=f"t{n}")], load_id=f"t{n}")
        for n in range(4)
    ]  # fmt: skip
    failures: list[Exception] = []

    def work(n: int) -> None:
        try:
            lab.warehouse.load(manifest(made[n], load_id=f"t{n}"))
            lab.warehouse.query("SELECT count(*) FROM liftos.performance")
            lab.warehouse.publish(made[n], f"t{n}", ORG, NOON)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert lab.warehouse.query("SELECT count(*) FROM liftos.performance") == [(5,)]


def test_a_warehouse_made_and_used_before_a_fork_works_in_the_child(lab):
    lab.publish(report_slice(), [performance_row(DAY1)])
    done = lab.staged(report_slice(), [performance_row(DAY1, spend="9")], load_id="2")
    child = os.fork()
    if child == 0:
        try:
            lab.warehouse.load(manifest(done, load_id="2"))
            lab.warehouse.publish(done, "2", ORG, NOON)
        except BaseException:  # noqa: BLE001 - the child must not return into pytest
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert spends(lab) == [(DAY1, 9, "2")]


def test_extensions_are_never_downloaded(lab):
    lab.warehouse.prepare()
    names = ("autoinstall_known_extensions", "autoload_known_extensions")
    for name in names:
        assert lab.warehouse.query("SELECT current_setting(?)", [name]) == [(False,)]


def test_importing_the_warehouse_does_not_import_duckdb():
    code = (
        "import sys, airflow_provider_liftos.warehouses.duckdb;"
        "sys.exit(bool({'duckdb', 'pandas', 'pyarrow', 'airflow'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
