"""What the concurrency tests run in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from airflow_provider_liftos.engine.manifest import Manifest
from airflow_provider_liftos.warehouses.duckdb import DuckDbWarehouse
from airflow_provider_liftos.warehouses.duckdb_file import DuckDbSession
from tests.warehouses.staging import NOON, ORG


def warehouse(path: str, state: str) -> DuckDbWarehouse:
    if not state:
        return DuckDbWarehouse(path, None, wait=120)
    from airflow_provider_liftos.state.leases import Leases
    from airflow_provider_liftos.state.store import StateStore

    return DuckDbWarehouse(path, Leases(StateStore(state), ORG), wait=120)


def publish(path: str, state: str, *manifests: str) -> None:
    """Load and publish each manifest."""
    house = warehouse(path, state)
    for text in manifests:
        manifest = Manifest.from_json(json.loads(Path(text).read_text()))
        house.load(manifest)
        for result in manifest.slices:
            house.publish(result, manifest.load_id, manifest.org_id, NOON)


def die(path: str, state: str, manifest: str, at: str) -> None:
    """Publish, but be killed before the statement that begins with ``at``."""
    execute = DuckDbSession.execute

    def fatal(self: DuckDbSession, sql: str, params: Any = ()) -> list[tuple[Any, ...]]:
        if sql.startswith(at):
            os.kill(os.getpid(), signal.SIGKILL)
        return execute(self, sql, params)

    house = warehouse(path, state)
    made = Manifest.from_json(json.loads(Path(manifest).read_text()))
    house.load(made)
    DuckDbSession.execute = fatal  # type: ignore[method-assign]
    house.publish(made.slices[0], made.load_id, made.org_id, NOON)


def die_in_postgres(parameters: str, manifest: str, at: str) -> None:
    """Publish what is loaded, but be killed before the statement that begins with ``at``."""
    from airflow_provider_liftos.warehouses.postgres import PostgresWarehouse
    from airflow_provider_liftos.warehouses.postgres_session import PostgresSession

    execute = PostgresSession.execute

    def fatal(self: PostgresSession, sql: str, params: Any = ()) -> list[tuple[Any, ...]]:
        if sql.startswith(at):
            os.kill(os.getpid(), signal.SIGKILL)
        return execute(self, sql, params)

    PostgresSession.execute = fatal  # type: ignore[method-assign]
    made = Manifest.from_json(json.loads(Path(manifest).read_text()))
    house = PostgresWarehouse(json.loads(parameters))
    house.publish(made.slices[0], made.load_id, made.org_id, NOON)


def freeze_in_postgres(parameters: str, manifest: str, at: str, limit: str) -> None:
    """Publish what is loaded, but stand still before the statement that begins with ``at``.

    ``limit`` (seconds) is how long a transaction may; what becomes of it is printed, and whether
    the task would be tried again.
    """
    from airflow_provider_liftos.model.errors import WarehouseError
    from airflow_provider_liftos.operators.retries import advice
    from airflow_provider_liftos.warehouses import postgres_session
    from airflow_provider_liftos.warehouses.postgres import PostgresWarehouse

    execute = postgres_session.PostgresSession.execute

    def frozen(self: Any, sql: str, params: Any = ()) -> list[tuple[Any, ...]]:
        if sql.startswith(at):
            os.kill(os.getpid(), signal.SIGSTOP)
        return execute(self, sql, params)

    postgres_session.IDLE_SECONDS = float(limit)
    postgres_session.PostgresSession.execute = frozen  # type: ignore[method-assign]
    made = Manifest.from_json(json.loads(Path(manifest).read_text()))
    try:
        PostgresWarehouse(json.loads(parameters)).publish(
            made.slices[0], made.load_id, made.org_id, NOON
        )
    except WarehouseError as error:
        print(json.dumps([str(error), advice(error, 1)[0]]))


def hold(path: str, state: str, seconds: str) -> None:
    """Keep the file open as a SQL shell would."""
    import duckdb

    with duckdb.connect(path, read_only=True):
        print("open", flush=True)
        time.sleep(float(seconds))


def watch(path: str, state: str, sql: str, stop: str, pause: str = "0.005") -> None:
    """Read until ``stop`` exists; print every different answer and how often there was one."""
    house, seen, count = warehouse(path, state), set(), 0
    while not Path(stop).exists():
        seen.add(repr(house.query(sql)))
        count += 1
        if count == 1:
            print("watching", flush=True)
        # The file's lock knows no queue: a reader without pauses starves writers.
        time.sleep(float(pause))
    print(json.dumps([sorted(seen), count]))


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
