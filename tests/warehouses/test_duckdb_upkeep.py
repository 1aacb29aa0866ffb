"""A copy for readers, and a smaller file: whole or not at all, and nobody in the way."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest

from airflow_provider_liftos.model.errors import WarehouseError
from airflow_provider_liftos.warehouses import duckdb_file, duckdb_upkeep
from airflow_provider_liftos.warehouses.duckdb import DuckDbWarehouse
from airflow_provider_liftos.warehouses.duckdb_file import DuckDbFile
from tests.warehouses.staging import (
    DAY1,
    DAY2,
    NOON,
    ORG,
    Lab,
    manifest,
    performance_row,
    report_slice,
    result,
    stage_many,
)
from tests.warehouses.test_duckdb_file import COUNT_UP, REPOSITORY, full_disk

QUESTION = "SELECT date, spend FROM liftos.performance ORDER BY date"


@pytest.fixture
def engine() -> str:
    return "duckdb"


@pytest.fixture
def copied(lab: Lab) -> Lab:
    """A warehouse with a day in it and a read copy of that."""
    lab.warehouse = DuckDbWarehouse(
        lab.warehouse._file.path, None, wait=120, read_copy=lab.folder / "bi" / "copy.duckdb"
    )
    lab.publish(report_slice(), [performance_row(DAY1)])
    lab.warehouse.after_run()
    return lab


def at(path: Path, sql: str) -> list[tuple]:
    with duckdb.connect(path, read_only=True) as con:
        return con.execute(sql).fetchall()


def target(lab: Lab) -> Path:
    return lab.warehouse._read_copy


# --- the copy ------------------------------------------------------------------------------------


def test_the_copy_has_all_tables_views_and_comments(copied):
    with copied.warehouse._write() as session:
        session.execute("COMMENT ON VIEW liftos.ad_report IS 'for Ann'")
    copied.warehouse.after_run()
    assert target(copied).read_bytes() == copied.warehouse._file.path.read_bytes()
    assert at(target(copied), "SELECT spend FROM liftos.campaign_report") == [(5,)]
    comments = "SELECT comment FROM duckdb_views() WHERE view_name = 'ad_report'"
    assert at(target(copied), comments) == [("for Ann",)]


def test_publishing_changes_no_copy_and_the_end_of_a_run_does(copied):
    before = target(copied).stat()
    copied.publish(report_slice(), [performance_row(DAY1, spend="9")], load_id="2", as_of=NOON + 1)
    assert os.path.samestat(target(copied).stat(), before)
    assert at(target(copied), QUESTION) == [(DAY1, 5)]
    copied.warehouse.after_run()
    assert at(target(copied), QUESTION) == [(DAY1, 9)]


def test_a_copy_cannot_be_written_to_and_keeps_the_rights_it_was_given(copied):
    assert not stat.S_IMODE(target(copied).stat().st_mode) & 0o222
    target(copied).chmod(0o440)
    copied.warehouse.after_run()
    assert stat.S_IMODE(target(copied).stat().st_mode) == 0o440


def test_who_reads_the_copy_blocks_no_load_and_reads_on_what_it_opened(copied):
    with duckdb.connect(target(copied), read_only=True) as reader:
        impatient = DuckDbWarehouse(
            copied.warehouse._file.path, None, wait=0, read_copy=target(copied)
        )
        copied.warehouse = impatient
        copied.publish(
            report_slice(), [performance_row(DAY1, spend="9")], load_id="2", as_of=NOON + 1
        )
        impatient.after_run()
        assert reader.execute(QUESTION).fetchall() == [(DAY1, 5)]
    assert at(target(copied), QUESTION) == [(DAY1, 9)]


def test_a_kill_amid_the_copy_leaves_the_former_one_and_no_growing_litter(copied, monkeypatch):
    before = target(copied).read_bytes()
    copied.publish(report_slice(), [performance_row(DAY1, spend="9")], load_id="2", as_of=NOON + 1)

    def killed(source: int, sink: int, size: int) -> None:
        os.write(sink, os.pread(source, size // 2, 0))
        os.kill(os.getpid(), signal.SIGKILL)

    for _ in range(2):
        child = os.fork()
        if child == 0:
            monkeypatch.setattr(duckdb_upkeep, "_copy", killed)
            copied.warehouse.after_run()
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        assert target(copied).read_bytes() == before
    assert len(list(target(copied).parent.iterdir())) == 2
    copied.warehouse.after_run()
    assert at(target(copied), QUESTION) == [(DAY1, 9)]
    assert list(target(copied).parent.iterdir()) == [target(copied)]


def test_no_room_for_a_copy_is_one_line_and_the_former_one_stays(copied):
    before = target(copied).read_bytes()
    copied.publish(report_slice(), [performance_row(DAY1, spend="9")], load_id="2", as_of=NOON + 1)
    with full_disk(len(before) // 2), pytest.raises(WarehouseError, match="is as it was") as told:
        copied.warehouse.after_run()
    assert str(target(copied)) in str(told.value)
    assert len(str(told.value).splitlines()) == 1
    assert target(copied).read_bytes() == before
    assert list(target(copied).parent.iterdir()) == [target(copied)]


def test_what_a_tool_wrote_into_a_copy_does_not_get_into_the_next(copied):
    target(copied).chmod(0o644)
    with duckdb.connect(target(copied)) as tool:
        tool.execute("PRAGMA disable_checkpoint_on_shutdown; CREATE TABLE mine AS SELECT 1 AS n")
        assert Path(f"{target(copied)}.wal").exists()
        copied.warehouse.after_run()
    with pytest.raises(duckdb.CatalogException):
        at(target(copied), "SELECT n FROM mine")


def test_copying_is_the_same_where_the_kernel_does_not_do_it(copied, monkeypatch):
    def refused(*_: Any) -> int:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "copy_file_range", refused)
    monkeypatch.setattr(duckdb_upkeep, "_PIECE", 10_000)
    copied.publish(report_slice(), [performance_row(DAY1, spend="9")], load_id="2", as_of=NOON + 1)
    copied.warehouse.after_run()
    assert target(copied).read_bytes() == copied.warehouse._file.path.read_bytes()


def test_without_a_place_for_it_there_is_no_copy(lab):
    before = sorted(lab.folder.iterdir())
    lab.warehouse.after_run()
    assert sorted(lab.folder.iterdir()) == before


# --- compaction ----------------------------------------------------------------------------------


@pytest.fixture
def hollow(lab: Lab) -> Lab:
    """A file that is mostly free space, in front of what is kept."""
    with lab.warehouse._write() as session:
        session.execute("CREATE TABLE notes AS SELECT md5(i::VARCHAR) AS t FROM range(200000) r(i)")
    file = stage_many(lab.path(), ads=3_000, first=DAY1, days=2, load_id="load-1")
    done = result(report_slice(level="ad"), file)
    lab.warehouse.load(manifest(done))
    lab.warehouse.publish(done, "load-1", ORG, NOON)
    with lab.warehouse._write() as session:
        session.execute("COMMENT ON COLUMN liftos.performance.spend IS 'money'")
        session.execute("DROP TABLE notes")
    return lab


def test_a_hollow_file_is_rewritten_and_says_the_same(hollow, monkeypatch):
    monkeypatch.setattr(duckdb_upkeep.compact, "__kwdefaults__", {"worth": 0})
    path = hollow.warehouse._file.path
    path.chmod(0o640)
    before, sums = path.stat().st_size, hollow.warehouse.checksum("performance")
    found = hollow.warehouse.compact()
    assert found == {"before": before, "after": path.stat().st_size}
    assert found["after"] * 2 < before
    assert hollow.warehouse.checksum("performance") == sums
    assert len(hollow.warehouse.query("SELECT * FROM liftos.ad_report LIMIT 7")) == 7
    comment = "SELECT comment FROM duckdb_columns() WHERE comment IS NOT NULL"
    assert hollow.warehouse.query(comment) == [("money",)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert hollow.warehouse.compact() == {}
    hollow.publish(report_slice(DAY2, DAY2), [performance_row(DAY2)], load_id="2")


def test_a_file_that_is_small_or_full_is_left_alone(hollow):
    path = hollow.warehouse._file.path
    before = path.stat().st_ino
    assert hollow.warehouse.compact() == {}
    assert path.stat().st_ino == before


def test_a_kill_amid_compaction_leaves_the_file_as_it_was(hollow, monkeypatch):
    monkeypatch.setattr(duckdb_upkeep.compact, "__kwdefaults__", {"worth": 0})
    sums = hollow.warehouse.checksum("performance")
    rewrite = duckdb_upkeep._rewrite

    def killed(connection: duckdb.DuckDBPyConnection, new: Path) -> None:
        rewrite(connection, new)
        os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        monkeypatch.setattr(duckdb_upkeep, "_rewrite", killed)
        hollow.warehouse.compact()
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert hollow.warehouse.checksum("performance") == sums
    assert list(hollow.folder.glob("*.replacement"))
    monkeypatch.setattr(duckdb_upkeep.compact, "__kwdefaults__", {"worth": 10**12})
    assert hollow.warehouse.compact() == {}
    assert not list(hollow.folder.glob("*.replacement*"))


def test_who_opens_a_file_just_before_it_is_replaced_opens_the_new_one(tmp_path, monkeypatch):
    path, connect, opened = tmp_path / "w.duckdb", duckdb.connect, []
    for name, n in (("w.duckdb", 1), ("new.duckdb", 2)):
        with connect(tmp_path / name) as con:
            con.execute(f"CREATE TABLE t AS SELECT {n} AS n")

    def late(*args: Any, **kwargs: Any) -> duckdb.DuckDBPyConnection:
        opened.append(connect(*args, **kwargs))
        if len(opened) == 1:
            (tmp_path / "new.duckdb").replace(path)
        return opened[-1]

    monkeypatch.setattr(duckdb, "connect", late)
    with DuckDbFile(path=path, sleep=lambda _: None).open(read_only=False) as con:
        assert con.execute("SELECT n FROM t").fetchall() == [(2,)]
    assert len(opened) == 2


def test_processes_that_write_while_the_file_is_replaced_lose_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(duckdb_upkeep, "_is_half_free", lambda _: True)
    path = tmp_path / "w.duckdb"
    command = [sys.executable, "-c", COUNT_UP, str(path), "12"]
    rounds = replaced = 0
    while replaced <= 3 and rounds < 10:  # a busy machine may give us few turns among the writers
        children = [subprocess.Popen(command, cwd=REPOSITORY) for _ in range(3)]
        while any(child.poll() is None for child in children):
            if path.exists():
                duckdb_upkeep.compact(DuckDbFile(path=path), worth=0)
                replaced += 1
        assert [child.wait(180) for child in children] == [0] * 3
        rounds += 1
    assert replaced > 3
    assert at(path, "SELECT count(*) FROM t") == [(36 * rounds,)]
    assert [found.name for found in tmp_path.iterdir()] == ["w.duckdb"]


def test_the_log_of_another_is_not_taken_away_behind_a_replaced_file(tmp_path, monkeypatch):
    monkeypatch.setattr(duckdb_upkeep, "_is_half_free", lambda _: True)
    path = tmp_path / "w.duckdb"
    with duckdb.connect(path) as con:
        con.execute("CREATE TABLE t AS SELECT 1 AS n")
    theirs = Path(f"{path}.wal")
    with DuckDbFile(path=path).held() as (connection, _):
        with duckdb_upkeep._replacing(path) as new:
            duckdb_upkeep._rewrite(connection, new)
        theirs.write_text("of who has opened the new file meanwhile")
    assert theirs.exists()


# --- turns ---------------------------------------------------------------------------------------


def test_who_waits_for_the_file_says_so_once(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(duckdb_file, "PATIENCE", 0.05)
    path = tmp_path / "w.duckdb"
    DuckDbFile(path=path)._create()
    hold = "import duckdb, sys, time\nwith duckdb.connect(sys.argv[1]): print(1, flush=True); time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-c", hold, str(path)], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        child.stdout.readline()
        with (
            caplog.at_level("INFO"),
            pytest.raises(WarehouseError),
            DuckDbFile(path=path, wait=3).open(read_only=False),
        ):
            pytest.fail("opened")
    finally:
        child.kill()
        child.communicate()
    lines = [one.getMessage() for one in caplog.records if "waiting for our turn" in one.message]
    assert len(lines) == 1
    assert f"held by process {child.pid}" in lines[0]


def test_who_waits_for_the_lease_says_so_once(tmp_path, leases, monkeypatch, caplog):
    monkeypatch.setattr(duckdb_file, "PATIENCE", 0.05)
    house = DuckDbWarehouse(tmp_path / "w.duckdb", leases, wait=2)
    with (
        leases.held(f"duckdb:{house._file.path}", ttl=600, wait=1, holder="another task"),
        caplog.at_level("INFO"),
        pytest.raises(WarehouseError, match="another task"),
    ):
        house.prepare()
    lines = [one.getMessage() for one in caplog.records if "waiting for our turn" in one.message]
    assert len(lines) == 1
    assert "held by another task" in lines[0]
