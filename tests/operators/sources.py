"""A source of one's own in a test: its database, and a run of all tasks from it to what is seen."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.hooks.warehouse import open_warehouse
from airflow_provider_liftos.operators.load import LiftosLoadOperator
from airflow_provider_liftos.operators.normalize import LiftosNormalizeOperator
from airflow_provider_liftos.operators.publish import LiftosPublishOperator
from airflow_provider_liftos.operators.quality_gate import LiftosQualityGateOperator
from airflow_provider_liftos.operators.sql_extract import LiftosSqlExtractOperator

FIRST = datetime.now(tz=UTC).date() - timedelta(days=40)
COLUMNS = {
    "date": "day", "account_id": "shop", "spend": "cost", "conversions": "orders",
    "conversions_value": "revenue", "impressions": "seen",
}  # fmt: skip
TABLE = (
    "CREATE TABLE spend (day {date}, shop {text}, cost {money}, orders {money}, revenue {money},"
    " seen {int}, changed {moment})"
)
SQLITE = dict.fromkeys(("date", "text", "money", "int", "moment"), "TEXT")


def day(number: int) -> str:
    return str(FIRST + timedelta(days=number))


def row(number: int, shop: str = "a", cost: str = "10.5", changed: str = "", **parts: Any) -> tuple:
    """One row of the table ``spend``; by default it was changed at noon of its day."""
    values = {"orders": "2", "revenue": "99.99", "seen": "1000", **parts}
    return (day(number), shop, cost, *values.values(), changed or f"{day(number)} 12:00:00")


class Run:
    """Runs of one DAG of a source; every ``whole`` is a dag run of its own."""

    def __init__(self, folder: Path, environment: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._environment = environment
        self.number = 0
        self.kind = "scheduled"
        self.dag_id, self.task_id, self.map_index = "source", "extract", -1
        self.params: dict[str, Any] = {}
        for name, value in {
            "STATE_URL": f"sqlite:///{folder / 'state.db'}",
            "STAGING_URL": str(folder / "staging"),
            "DUCKDB_PATH": str(folder / "warehouse.duckdb"),
        }.items():
            self.set(name, value)
        self.options: dict[str, Any] = {
            "conn_id": "shop", "sql": "SELECT * FROM spend", "columns": COLUMNS, "currency": "EUR",
        }  # fmt: skip

    def set(self, option: str, value: str) -> None:
        self._environment.setenv(f"AIRFLOW__LIFTOS__{option}", value)

    def connect(self, conn_type: str, conn_id: str = "shop", **parts: Any) -> None:
        value = json.dumps({"conn_type": conn_type, **parts})
        self._environment.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", value)

    def sqlite(self, rows: Iterable[tuple] = ()) -> sqlite3.Connection:
        """The connection ``shop`` leads to a SQLite file with these rows."""
        path = self.folder / "shop.db"
        self.connect("sqlite", host=str(path))
        made = sqlite3.connect(path, isolation_level=None)
        made.execute(TABLE.format(**SQLITE))
        self.insert(made, rows)
        return made

    @staticmethod
    def insert(made: Any, rows: Iterable[tuple], mark: str = "?") -> None:
        for one in rows:
            made.execute(f"INSERT INTO spend VALUES ({', '.join([mark] * len(one))})", one)

    def context(self, task_id: str) -> dict[str, Any]:
        ti = SimpleNamespace(
            dag_id=self.dag_id, run_id=f"run{self.number}", task_id=task_id,
            map_index=self.map_index, try_number=1, max_tries=2,
        )  # fmt: skip
        dag_run = SimpleNamespace(run_type=self.kind)
        return {"ti": ti, "params": self.params, "dag_run": dag_run}

    @property
    def common(self) -> dict[str, Any]:
        return {"platform": self.options.get("platform", "internal"),
                "conn_id": self.options.get("conn_id")}  # fmt: skip

    def extract(self, **options: Any) -> dict[str, Any]:
        task = LiftosSqlExtractOperator(task_id="extract", **{**self.options, **options})
        return task.execute(self.context(self.task_id))

    def rest(self, extracted: dict[str, Any]) -> dict[str, Any]:
        """All tasks that follow, as they follow a platform's extract tasks."""
        target = {"warehouse_conn_id": self.options.get("warehouse_conn_id"), **self.common}
        normalized = LiftosNormalizeOperator(
            task_id="normalize", extracted=extracted, **self.common
        ).execute(self.context("normalize"))
        loaded = LiftosLoadOperator(task_id="load", normalized=normalized, **target).execute(
            self.context("load")
        )
        audited = LiftosQualityGateOperator(task_id="audit", loaded=loaded, **target).execute(
            self.context("audit")
        )
        return LiftosPublishOperator(
            task_id="publish", audited=audited, on_partial="warn", **target
        ).execute(self.context("publish"))

    def whole(self, **options: Any) -> dict[str, Any]:
        self.number += 1
        return self.rest(self.extract(**options))

    def seen(self, columns: str = "account_id, date, spend", table: str = "performance") -> list:
        """What people see."""
        warehouse = open_warehouse(
            self.options.get("warehouse_conn_id"), "default", config.state_store()
        )
        found = warehouse.query(f"SELECT {columns} FROM liftos.{table} ORDER BY 1, 2")
        return [tuple(map(_plain, one)) for one in found]


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, date) else value


NATIVE = {"date": "DATE", "text": "VARCHAR", "money": "DECIMAL(24,8)", "int": "BIGINT",
          "moment": "TIMESTAMP"}  # fmt: skip
NAMES = ("day", "shop", "cost", "orders", "revenue", "seen", "changed")
KINDS = ("sqlite", "duckdb", "postgres", "parquet", "csv", "jsonl", "store")


def source_of(
    kind: str, run: Run, rows: list[tuple], request: pytest.FixtureRequest
) -> dict[str, Any]:
    """The rows in a source of that kind, and the operator's arguments for it."""
    if kind == "sqlite":
        run.sqlite(rows)
        return {}
    if kind == "duckdb":
        _duckdb(run.folder / "shop.duckdb", rows).close()
        run.connect("duckdb", host=str(run.folder / "shop.duckdb"))
        return {}
    if kind == "postgres":
        postgres(run, request, rows)
        return {}
    folder = run.folder / "files"
    folder.mkdir()
    _files("csv" if kind == "store" else kind, folder, rows)
    path = f"{folder}/*.{'csv' if kind == 'store' else kind}"
    if kind == "store":
        path = _stored(folder, request.getfixturevalue("monkeypatch"))
    return {"sql": "", "path": path, "conn_id": None}


def _duckdb(path: Path | str, rows: list[tuple]) -> Any:
    import duckdb

    made = duckdb.connect(path)
    made.execute(TABLE.format(**NATIVE))
    Run.insert(made, rows)
    return made


def postgres(run: Run, request: pytest.FixtureRequest, rows: list[tuple]) -> str:
    """The connection ``shop`` leads to a database of its own with these rows; its URL."""
    import psycopg

    from tests.warehouses.engines import parameters

    url = request.getfixturevalue("new_postgres_database")()
    given = parameters(url)
    run.connect("postgres", host=given["host"], schema=given["dbname"], login=given["user"])
    with psycopg.connect(url) as made:
        made.execute(TABLE.format(**NATIVE))
        Run.insert(made, rows, mark="%s")
    return url


def _files(kind: str, folder: Path, rows: list[tuple]) -> None:
    """Two files, each with half of the rows."""
    for number, some in enumerate((rows[::2], rows[1::2])):
        target = folder / f"{number}.{kind}"
        if kind == "jsonl":
            lines = (dict(zip(NAMES, one, strict=True)) for one in some)
            target.write_text("".join(json.dumps(line) + "\n" for line in lines))
            continue
        made = _duckdb(":memory:", some)
        made.execute(f"COPY spend TO '{target}' (FORMAT {kind})")
        made.close()


def _stored(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    from airflow.sdk.io.store import _STORE_CACHE, ObjectStore
    from fsspec.implementations.memory import MemoryFileSystem

    fs = MemoryFileSystem(global_store=False, skip_instance_cache=True)
    monkeypatch.setitem(_STORE_CACHE, "memory-shop", ObjectStore("memory", "shop", fs=fs))
    for file in folder.iterdir():
        fs.pipe(f"/bucket/files/{file.name}", file.read_bytes())
        file.unlink()
    return "memory://shop@bucket/files/*.csv"
