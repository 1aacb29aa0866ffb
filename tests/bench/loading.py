"""Loading and publishing beside the engine's own bulk path, and what a slice costs in a large table.

``python -m tests.bench.loading [ENGINE] [ROWS] [UNIT]``: an engine of ``ENGINES``, by default duckdb;
``UNIT`` is how many rows a unit of writing takes, if other than the warehouse does. Both
sides read the same Parquet in turns, in one process; rounds alternate, so that a busy machine is
busy for both. The bulk path is what a good engineer types: one statement from the files into a table
of the same columns. It checks nothing, replaces nothing and tells nothing. DuckDB keeps the rows in
their order meanwhile, unless it is told not to (ours does not need it): that is shown, too. What
others wait for is how long a unit holds DuckDB's file.
"""

from __future__ import annotations

import atexit
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any

import duckdb

from airflow_provider_liftos.engine.manifest import Manifest, SliceResult
from airflow_provider_liftos.model.unified import PERFORMANCE
from airflow_provider_liftos.warehouses.ddl import staged_columns
from airflow_provider_liftos.warehouses.duckdb import CAPABILITIES, DuckDbWarehouse
from airflow_provider_liftos.warehouses.duckdb_file import DuckDbFile
from airflow_provider_liftos.warehouses.postgres import PostgresWarehouse
from airflow_provider_liftos.warehouses.postgres_sql import CAPABILITIES as POSTGRES
from tests.conftest import PostgresServer, postgres_programs, unprivileged_user
from tests.warehouses.engines import parameters
from tests.warehouses.staging import (
    DAY1,
    NOON,
    ORG,
    manifest,
    report_slice,
    result,
    stage_many,
)

ROUNDS = 3
SLICES, DAYS = 20, 10
"""Slices of so many days, each of another account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """How to make a warehouse in a folder, and how its own bulk path loads files.

    ``bulk`` gets the folder and the files' paths and returns how many rows it made; ``unordered``
    does so without keeping their order.
    """

    warehouse: Callable[[Path], Any]
    bulk: Callable[[Path, list[str]], int]
    unordered: Callable[[Path, list[str]], int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched(DuckDbFile):
    """Notes for how many seconds it was open for writing, each time."""

    held_for: list[float] = field(default_factory=list)

    @contextmanager
    def open(self, *, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        with DuckDbFile.open(self, read_only=read_only) as connection:
            begun = time.perf_counter()
            yield connection
        if not read_only:
            self.held_for.append(time.perf_counter() - begun)


def _duckdb(folder: Path) -> DuckDbWarehouse:
    warehouse = DuckDbWarehouse(folder / "warehouse.duckdb", None)
    file = warehouse._file
    warehouse._file = Watched(path=file.path, memory_limit=file.memory_limit, threads=file.threads)
    return warehouse


def _duckdb_bulk(folder: Path, paths: list[str], *, ordered: bool = True) -> int:
    columns = staged_columns(PERFORMANCE)
    shapes = ", ".join(f'"{c.name}" {CAPABILITIES.types[c.kind]}' for c in columns)
    names = ", ".join(f'"{c.name}"' for c in columns)
    config = {"threads": 2, "preserve_insertion_order": ordered}
    with duckdb.connect(folder / f"bulk-{ordered}.duckdb", config=config) as con:
        con.execute(f"CREATE TABLE t ({shapes})")
        con.execute(f"INSERT INTO t SELECT {names} FROM read_parquet({paths!r})")
        [[rows]] = con.execute("SELECT count(*) FROM t").fetchall()
    return int(rows)


def _postgres_bulk(folder: Path, paths: list[str]) -> int:
    """CSV by DuckDB, then COPY, into a table that has the index by which slices are found."""
    import psycopg

    shapes = ", ".join(f'"{c.name}" {POSTGRES.types[c.kind]}' for c in staged_columns(PERFORMANCE))
    names = ", ".join(f'"{c.name}"' for c in staged_columns(PERFORMANCE))
    rows = folder / "rows.csv"
    with duckdb.connect(config={"threads": 2}) as con:
        con.execute("SET TimeZone = 'UTC'")
        select = f"SELECT {names} FROM read_parquet({paths!r})"
        con.execute(f"COPY ({select}) TO '{rows}' (FORMAT csv, HEADER false)")
    with psycopg.connect(**_database(folder), autocommit=True) as con:
        con.execute(f"CREATE TABLE t ({shapes})".encode())
        con.execute("CREATE INDEX ON t (account_id, report, level, date)")
        with con.cursor().copy("COPY t FROM STDIN (FORMAT csv)") as sink, rows.open("rb") as lines:
            while part := lines.read(1 << 20):
                sink.write(part)
        found = con.execute("SELECT count(*) FROM t").fetchone()
    return int(found[0]) if found else 0


def _database(folder: Path) -> dict[str, str]:
    """One for each folder, on a server of our own, which ends with this process."""
    import psycopg

    name = f"bench_{abs(hash(str(folder)))}"
    with psycopg.connect(_server(), autocommit=True) as con:
        if not con.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
            con.execute(f"CREATE DATABASE {name}".encode())
    return parameters(_server().replace("/postgres?", f"/{name}?"))


@cache
def _server() -> str:
    programs = postgres_programs()
    if programs is None:
        raise SystemExit("there is no Postgres server here (initdb, pg_ctl)")
    folder = Path(tempfile.mkdtemp(prefix="liftos-pg-"))
    if os.geteuid() == 0:
        shutil.chown(folder, unprivileged_user())
    server = PostgresServer(programs, folder)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    url = server.start()
    atexit.register(server.stop)
    return url


ENGINES = {
    "duckdb": Engine(
        warehouse=_duckdb, bulk=_duckdb_bulk, unordered=partial(_duckdb_bulk, ordered=False)
    ),
    "postgres": Engine(
        warehouse=lambda folder: PostgresWarehouse(_database(folder)), bulk=_postgres_bulk
    ),
}


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds, of the clock and of this process' CPU."""

    wall: float
    cpu: float


def report(name: str = "duckdb", rows: int = 1_000_000, unit: int = 0) -> None:
    """Both measurements of an engine."""
    engine = in_units(ENGINES[name], unit) if unit else ENGINES[name]
    with _folder() as folder:
        load = staged(folder, rows)
        ours, theirs = race(engine, folder, load)
        for who, costs in (("load + publish", ours), ("bulk path", theirs)):
            wall, cpu = _median(costs)
            print(f"{name}: {who}, {rows:,} rows: {wall:.2f} s, {cpu:.2f} s CPU")
        ratios = [statistics.median(o.cpu / t.cpu for o, t in zip(ours, theirs, strict=True)),
                  statistics.median(o.wall / t.wall for o, t in zip(ours, theirs, strict=True))]  # fmt: skip
        print(f"{name}: ratio {ratios[1]:.2f} of the clock, {ratios[0]:.2f} of CPU")
        if engine.unordered:
            kept_in_no_order(name, engine.unordered, load)
    republishing(name)


def in_units(engine: Engine, unit: int) -> Engine:
    """The engine with units of so many rows."""

    def warehouse(folder: Path) -> Any:
        made = engine.warehouse(folder)
        made._sizes = replace(made._sizes, rows=unit, together=unit)
        return made

    return replace(engine, warehouse=warehouse)


def kept_in_no_order(name: str, bulk: Callable[[Path, list[str]], int], load: Manifest) -> None:
    """The bulk path that need not keep rows in their order."""
    costs: list[Cost] = []
    for _ in range(ROUNDS):
        with _folder() as folder, _costs(costs):
            bulk(folder, [file.path for cut in load.slices for file in cut.staged])
    wall, cpu = _median(costs)
    print(f"{name}: bulk path in any order: {wall:.2f} s, {cpu:.2f} s CPU")


def staged(folder: Path, rows: int, *, load_id: str = "load-1", first: int = 0) -> Manifest:
    """A load of so many rows."""
    ads = rows // SLICES // DAYS
    return manifest(
        *(_slice(folder, n, ads, load_id) for n in range(first, first + SLICES)), load_id=load_id
    )


def _slice(folder: Path, n: int, ads: int, load_id: str, *, as_of: float = NOON) -> SliceResult:
    account = f"{1000 + n}"
    path = folder / "staged" / f"{load_id}-{account}.parquet"
    file = stage_many(
        path, ads=ads, first=DAY1, days=DAYS, load_id=load_id, account=account, as_of=as_of, seed=n
    )
    last = DAY1 + timedelta(days=DAYS - 1)
    return result(report_slice(DAY1, last, level="ad", account=account), file, as_of=as_of)


def race(engine: Engine, folder: Path, load: Manifest) -> tuple[list[Cost], list[Cost]]:
    """Each in turn, into new warehouses."""
    paths = [file.path for cut in load.slices for file in cut.staged]
    rows = sum(cut.staged_rows for cut in load.slices)
    ours, theirs = [], []
    for n in range(ROUNDS):
        place = folder / str(n)
        place.mkdir()
        warehouse = engine.warehouse(place)
        warehouse.prepare()
        with _costs(theirs):
            assert engine.bulk(place, paths) == rows
        with _costs(ours):
            publish(warehouse, load)
        [(found,)] = warehouse.query("SELECT count(*) FROM liftos.performance")
        assert found == rows
        if isinstance(file := getattr(warehouse, "_file", None), Watched):  # first for its tables
            print(
                f"file held at most {max(file.held_for[1:]):.2f} s, {len(file.held_for) - 1} times"
            )
        shutil.rmtree(place, ignore_errors=True)
    return ours, theirs


def publish(warehouse: Any, load: Manifest) -> None:
    warehouse.load(load)
    for _ in warehouse.publish_each(load.slices, load.load_id, ORG, lambda: NOON):
        pass


def republishing(name: str, *, rows: int = 10_000, base: int = 100_000) -> None:
    """One slice again, in a table of one size and of ten times that."""
    for times in (1, 10):
        with _folder() as folder:
            warehouse = ENGINES[name].warehouse(folder)
            for n in range(times):
                publish(warehouse, staged(folder, base, load_id=f"base-{n}", first=n * SLICES))
            costs: list[Cost] = []
            for again in range(ROUNDS + 2):
                load_id = f"again-{again}"
                as_of = NOON + 1 + again
                cut = _slice(folder, 0, rows // DAYS, load_id, as_of=as_of)
                with _costs(costs):
                    publish(warehouse, manifest(cut, load_id=load_id))
            wall, cpu = _median(costs)
            print(
                f"{name}: a slice of {rows:,} rows again, in a table of {base * times:,}:"
                f" {wall:.2f} s, {cpu:.2f} s CPU"
            )


@contextmanager
def _costs(into: list[Cost]) -> Iterator[None]:
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    into.append(Cost(time.perf_counter() - wall, time.process_time() - cpu))


def _median(costs: list[Cost]) -> tuple[float, float]:
    return (
        statistics.median(cost.wall for cost in costs),
        statistics.median(cost.cpu for cost in costs),
    )


@contextmanager
def _folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="liftos-bench-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


if __name__ == "__main__":
    report(*sys.argv[1:2], *map(int, sys.argv[2:4]))
