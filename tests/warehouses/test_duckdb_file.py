"""A file that others change, create or hold while it is being opened."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest

from airflow_provider_liftos.model.errors import WarehouseError
from airflow_provider_liftos.warehouses.duckdb_file import DuckDbFile
from tests.warehouses.staging import (
    DAY1,
    NOON,
    ORG,
    Lab,
    manifest,
    performance_row,
    report_slice,
)

REPOSITORY = Path(__file__).parents[2]
COUNT_UP = """
import sys
from pathlib import Path
from airflow_provider_liftos.warehouses.duckdb_file import DuckDbFile
for _ in range(int(sys.argv[2])):
    with DuckDbFile(path=Path(sys.argv[1])).open(read_only=False) as con:
        con.execute("CREATE TABLE IF NOT EXISTS t (n INTEGER)")
        con.execute("INSERT INTO t SELECT 1")
"""


def test_a_file_that_changes_while_it_is_opened_is_opened_again(tmp_path, monkeypatch):
    path, connect, opened = tmp_path / "w.duckdb", duckdb.connect, []

    def interrupted(*args: Any, **kwargs: Any) -> duckdb.DuckDBPyConnection:
        if not opened:  # somebody commits and checkpoints just before we get the lock
            with connect(path) as other:
                other.execute("CREATE TABLE t AS SELECT 1 AS n")
        opened.append(connect(*args, **kwargs))
        return opened[-1]

    connect(path).close()
    monkeypatch.setattr(duckdb, "connect", interrupted)
    with DuckDbFile(path=path, sleep=lambda _: None).open(read_only=False) as con:
        assert con.execute("SELECT n FROM t").fetchall() == [(1,)]
    assert len(opened) == 2
    with pytest.raises(duckdb.ConnectionException):
        opened[0].execute("SELECT 1")


def test_processes_that_create_one_file_and_queue_for_it_lose_nothing(tmp_path):
    path = tmp_path / "new folder" / "w.duckdb"
    command = [sys.executable, "-c", COUNT_UP, str(path), "15"]
    children = [subprocess.Popen(command, cwd=REPOSITORY) for _ in range(4)]
    assert [child.wait(180) for child in children] == [0] * 4
    with DuckDbFile(path=path).open(read_only=True) as con:
        assert con.execute("SELECT count(*) FROM t").fetchall() == [(60,)]
    assert [found.name for found in path.parent.iterdir()] == ["w.duckdb"]


def test_a_file_created_by_somebody_else_in_the_meantime_is_kept(tmp_path):
    path = tmp_path / "w.duckdb"
    with duckdb.connect(path) as other:
        other.execute("CREATE TABLE t AS SELECT 1 AS n")
    file = DuckDbFile(path=path)
    file._create()
    with file.open(read_only=True) as con:
        assert con.execute("SELECT n FROM t").fetchall() == [(1,)]


@pytest.mark.parametrize("read_only", [True, False])
def test_a_file_that_is_no_database_is_an_error_at_once(tmp_path, read_only):
    path = tmp_path / "w.duckdb"
    path.write_bytes(b"not a database" * 2000)
    file = DuckDbFile(path=path, sleep=lambda _: pytest.fail("waited"))
    with pytest.raises(WarehouseError, match="cannot be opened"), file.open(read_only=read_only):
        pytest.fail("opened")


def test_no_handle_stays_open(tmp_path):
    file = DuckDbFile(path=tmp_path / "w.duckdb")
    for read_only in (False, True):
        with file.open(read_only=read_only):
            pass
    names = [os.path.realpath(handle) for handle in Path("/proc/self/fd").iterdir()]
    assert not [name for name in names if "w.duckdb" in name]


@pytest.fixture
def engine() -> str:
    return "duckdb"


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file may grow beyond so many bytes, as if there were no more room."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("moment", ["load", "publish"])
def test_a_full_disk_is_one_error_and_what_people_read_stays(lab: Lab, moment: str) -> None:
    lab.publish(report_slice(), [performance_row(DAY1)])
    before = lab.warehouse.checksum("performance")
    rows = [performance_row(DAY1, campaign_id=str(n), campaign_name=os.urandom(9000).hex())
            for n in range(60)]  # fmt: skip
    done = lab.staged(report_slice(), rows, load_id="2", as_of=NOON + 1)
    tasks = {
        "load": lambda: lab.warehouse.load(manifest(done, load_id="2")),
        "publish": lambda: lab.warehouse.publish(done, "2", ORG, NOON),
    }
    if moment == "publish":
        tasks["load"]()
    with (
        full_disk((lab.folder / "warehouse.duckdb").stat().st_size // 4),
        pytest.raises(WarehouseError, match=r"make room on its disk, then run the task again\.$"),
    ):
        tasks[moment]()
    assert lab.warehouse.checksum("performance") == before
    for task in tasks.values():
        task()
    assert lab.warehouse.query("SELECT count(*) FROM liftos.performance") == [(60,)]
