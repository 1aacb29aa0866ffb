"""DuckDB files and folders that may not be used: told at once, for a person, and nothing changed."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from airflow_provider_liftos.model.errors import WarehouseDenied
from airflow_provider_liftos.warehouses.duckdb import DuckDbWarehouse
from airflow_provider_liftos.warehouses.duckdb_file import DuckDbFile
from tests.warehouses.staging import DAY1, performance_row, report_slice
from tests.warehouses.test_bad_rights import ends_the_task, next_load, tried

_NOBODY = 65_534


def as_nobody(work: Callable[[], object]) -> str:
    """What refuses it when a user without rights does it, in a process of its own."""
    import duckdb  # noqa: F401  nobody may not read where it is

    out, into = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.setgroups([])
            os.setgid(_NOBODY)
            os.setuid(_NOBODY)
            work()
        except WarehouseDenied as error:
            os.write(into, str(error).encode())
        except BaseException as error:  # noqa: BLE001 - the child must not return into pytest
            os.write(into, f"NOT DENIED: {error!r}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(into)
    with os.fdopen(out) as said:
        return said.read()


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """Not pytest's own temporary folder: others could not enter it."""
    with tempfile.TemporaryDirectory(prefix="liftos-open-") as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


def _file_mode(path: Path) -> None:
    path.chmod(0o444)


def _folder_mode(path: Path) -> None:
    path.parent.chmod(0o555)


def _unreadable(path: Path) -> None:
    path.chmod(0o000)


@pytest.mark.parametrize("engine", ["duckdb"])
@pytest.mark.parametrize(
    ("spoilt", "verb", "said"),
    [
        (_file_mode, "write", "its file may not be written"),
        (_folder_mode, "write", "its folder may not be written"),
        (_unreadable, "read", "ermission denied"),
    ],
)
def test_a_duckdb_file_that_its_user_may_not_use(lab, open_to_all, spoilt, verb, said):
    """Root may do anything: another user tries."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    lab.publish(report_slice(), [performance_row(DAY1)])
    path = open_to_all / "warehouse.duckdb"
    path.write_bytes(lab.warehouse._file.path.read_bytes())
    path.chmod(0o666)
    before = path.read_bytes()
    spoilt(path)
    own = DuckDbWarehouse(path, None, wait=1)
    work = {"write": own.prepare, "read": lambda: own.query("SELECT 1")}
    line = as_nobody(work[verb])
    assert "\n" not in line
    assert f"{path} cannot be opened by user {_NOBODY}" in line
    assert said in line
    assert "whether that user may write it" in line
    assert path.read_bytes() == before


@contextmanager
def mounted_read_only(folder: Path) -> Iterator[None]:
    """The folder as a disk that is mounted for reading only, where this machine lets us."""
    for options in (["--bind"], ["-o", "remount,bind,ro"]):
        done = subprocess.run(
            ["mount", *options, str(folder), str(folder)], check=False, capture_output=True
        )
        if done.returncode:
            pytest.skip("this machine lets nobody mount anything")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("engine", ["duckdb"])
def test_a_duckdb_file_on_a_disk_for_reading_only(lab):
    lab.publish(report_slice(), [performance_row(DAY1)])
    before, done = lab.warehouse.checksum("performance"), next_load(lab)
    folder = lab.folder / "own"
    folder.mkdir()
    (folder / "w.duckdb").write_bytes(lab.warehouse._file.path.read_bytes())
    own = DuckDbWarehouse(folder / "w.duckdb", None, wait=1)
    tried(own, done, "load")
    with mounted_read_only(folder):
        for moment in ("load", "publish"):
            with pytest.raises(WarehouseDenied) as caught:
                tried(own, done, moment)
            assert "may not be written" in ends_the_task(caught.value)
        assert own.checksum("performance") == before
        with pytest.raises(WarehouseDenied):
            DuckDbWarehouse(folder / "new.duckdb", None).prepare()
    tried(own, done, "publish")
    assert own.checksum("performance") != before


def _folder(path: Path) -> None:
    path.mkdir()


def _something_else(path: Path) -> None:
    path.write_bytes(b"not a database" * 2000)


@pytest.mark.parametrize("spoilt", [_folder, _something_else])
@pytest.mark.parametrize("read_only", [True, False], ids=["read", "write"])
def test_what_is_no_duckdb_file_ends_the_task(
    tmp_path, spoilt: Callable[[Path], None], read_only: bool
):
    path = tmp_path / "w.duckdb"
    spoilt(path)
    file = DuckDbFile(path=path, sleep=lambda _: pytest.fail("waited"))
    with pytest.raises(WarehouseDenied) as caught, file.open(read_only=read_only):
        pytest.fail("opened")
    assert str(path) in ends_the_task(caught.value)


def test_a_folder_of_which_a_part_is_a_file_ends_the_task(tmp_path):
    (tmp_path / "a").write_text("")
    file = DuckDbFile(path=tmp_path / "a" / "b" / "w.duckdb")
    with pytest.raises(WarehouseDenied) as caught, file.open(read_only=False):
        pytest.fail("opened")
    ends_the_task(caught.value)
