"""A Postgres server whose disk is full while rows are loaded and published."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from airflow_provider_liftos.model.errors import WarehouseError
from airflow_provider_liftos.operators.retries import advice
from airflow_provider_liftos.warehouses.postgres import PostgresWarehouse
from tests.conftest import unprivileged_user
from tests.warehouses.engines import parameters
from tests.warehouses.staging import (
    DAY1,
    NOON,
    ORG,
    Lab,
    manifest,
    performance_row,
    report_slice,
)
from tests.warehouses.test_full_disk import small_disk

# Whoever connects may have to write half a megabyte before anything is asked: there is room for
# that, and none for the rows.
ROOM, SCARCE = 64 << 20, 2 << 20
ROWS = 400


@pytest.fixture
def engine() -> str:
    return "postgres"


@pytest.fixture
def disk() -> Iterator[Path]:
    """A small one, on which a server may put a database."""
    # Not pytest's own temporary folder, which the server's user could not enter.
    folder = Path(tempfile.mkdtemp(prefix="liftos-disk-"))
    folder.chmod(0o755)
    try:
        with small_disk(folder / "disk", ROOM):
            yield folder / "disk"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def small(disk: Path, postgres_server: str) -> Iterator[PostgresWarehouse]:
    """A warehouse on it."""
    place = disk / "tables"
    place.mkdir()
    shutil.chown(place, unprivileged_user())
    with psycopg.connect(postgres_server, autocommit=True) as server:
        server.execute(f"CREATE TABLESPACE small_disk LOCATION '{place}'")
        server.execute("CREATE DATABASE small_disk TABLESPACE small_disk")
        try:
            yield PostgresWarehouse(
                {**parameters(postgres_server), "dbname": "small_disk"}, wait=120
            )
        finally:
            server.execute("DROP DATABASE small_disk WITH (FORCE)")
            server.execute("DROP TABLESPACE small_disk")


def fill(disk: Path) -> Path:
    """Take all room but a little; the file that does."""
    stat = os.statvfs(disk)
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, stat.f_bavail * stat.f_frsize - SCARCE)
    return ballast


def refused(work: Callable[[], object]) -> WarehouseError:
    with pytest.raises(WarehouseError) as caught:
        work()
    return caught.value


@pytest.mark.parametrize("moment", ["load", "publish"])
def test_a_full_disk_is_one_line_and_what_people_read_stays(small, disk, tmp_path, moment):
    lab = Lab(tmp_path, small)
    lab.publish(report_slice(), [performance_row(DAY1)])
    before = small.checksum("performance")
    rows = [performance_row(DAY1, campaign_id=str(n), campaign_name=os.urandom(9000).hex())
            for n in range(ROWS)]  # fmt: skip
    done = lab.staged(report_slice(), rows, load_id="2", as_of=NOON + 1)
    tasks = {
        "load": lambda: small.load(manifest(done, load_id="2")),
        "publish": lambda: list(small.publish_each([done], "2", ORG, lambda: NOON)),
    }
    if moment == "publish":
        tasks["load"]()
    ballast = fill(disk)
    error = refused(tasks[moment])
    said = str(error)
    assert "No space left on device" in said
    assert said.endswith("make room on the server's disk, then run the task again.")
    assert "\n" not in said
    assert advice(error, 1)[0]
    os.truncate(ballast, ballast.stat().st_size - SCARCE)  # what was refused still takes room
    assert small.checksum("performance") == before
    ballast.unlink()
    for task in tasks.values():
        task()
    assert small.query("SELECT count(*) FROM liftos.performance") == [(ROWS,)]
    assert small.query("SELECT count(*) FROM liftos_audit.performance") == [(0,)]
