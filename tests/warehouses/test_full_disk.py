"""A temporary folder without room: one line, nothing changed, and the same load later."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import duckdb
import pytest

from airflow_provider_liftos.model.errors import StagingError
from airflow_provider_liftos.warehouses.full_disk import folder_for_files, is_full
from tests.warehouses.staging import DAY1, Lab, manifest, performance_row, report_slice

SMALL = 65_536


@contextmanager
def short_files(place: Path) -> Iterator[None]:
    """No file may grow beyond some bytes, which is EFBIG and needs no rights."""
    place.mkdir()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def small_disk(place: Path, size: int = SMALL) -> Iterator[None]:
    """A file system of its own of so many bytes, which says ENOSPC as a full disk does."""
    place.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if not mount or not umount or os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    made = [mount, "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    if subprocess.run(made, check=False, capture_output=True).returncode:
        pytest.skip("nothing may be mounted here")
    try:
        yield
    finally:
        subprocess.run([umount, "--lazy", str(place)], check=True)


@pytest.mark.parametrize("engine", ["snowflake", "databricks"])
@pytest.mark.parametrize("disk", [short_files, small_disk])
def test_a_full_temporary_folder_is_one_line_and_what_people_read_stays(
    lab: Lab,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    disk: Callable[[Path], AbstractContextManager[None]],
) -> None:
    lab.publish(report_slice(), [performance_row(DAY1)])
    before = lab.warehouse.checksum("performance")
    rows = [performance_row(DAY1, campaign_name=os.urandom(9000).hex(), campaign_id=str(n))
            for n in range(20)]  # fmt: skip
    done = lab.staged(report_slice(), rows, load_id="2")
    place = tmp_path / "full"
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    with disk(place), pytest.raises(StagingError) as caught:
        lab.warehouse.load(manifest(done, load_id="2"))
    said = str(caught.value)
    assert said.startswith("no room for a copy of files on their way to the warehouse: ")
    assert f" ({place}). Nothing that was published has changed. " in said
    assert "let TMPDIR of the workers name a larger folder; the task starts again" in said
    assert "\n" not in said
    assert lab.warehouse.checksum("performance") == before
    assert lab.warehouse.query("SELECT count(*) FROM liftos_audit.performance") == [(0,)]
    assert lab.warehouse.load(manifest(done, load_id="2")) == 20


def test_no_place_for_a_temporary_folder_is_the_same_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    with (
        pytest.raises(StagingError, match=r"no room .*: No such file.* \(/nowhere\).*TMPDIR"),
        folder_for_files(),
    ):
        pytest.fail("it was made")


def test_other_errors_pass_as_they_are() -> None:
    for error in (PermissionError(13, "Permission denied"), duckdb.BinderException("no column")):
        assert not is_full(error)
        with pytest.raises(type(error)), folder_for_files():
            raise error
