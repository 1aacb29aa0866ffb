from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_liftos.state.leases import Leases
from airflow_provider_liftos.state.store import StateStore
from airflow_provider_liftos.warehouses.duckdb import DuckDbWarehouse
from airflow_provider_liftos.warehouses.postgres import PostgresWarehouse
from tests.warehouses.engines import ENGINES, emptied, parameters
from tests.warehouses.staging import ORG, Lab


@pytest.fixture
def leases(tmp_path: Path) -> Iterator[Leases]:
    store = StateStore(f"sqlite:///{tmp_path / 'state.db'}")
    yield Leases(store, ORG)
    store.close()


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Every engine in turn: the contract tests know none."""
    return request.param


@pytest.fixture
def bare(request: pytest.FixtureRequest, engine: str, tmp_path: Path) -> Any:
    """A warehouse of nobody else's, without any table."""
    if engine == "duckdb":
        return DuckDbWarehouse(tmp_path / "bare.duckdb", None, wait=20)
    return PostgresWarehouse(parameters(request.getfixturevalue("new_postgres_database")()))


@pytest.fixture
def warehouse(request: pytest.FixtureRequest, engine: str, tmp_path: Path) -> Any:
    """A warehouse with all tables and no rows."""
    if engine == "duckdb":
        shutil.copy(request.getfixturevalue("prepared"), tmp_path / "warehouse.duckdb")
        return DuckDbWarehouse(tmp_path / "warehouse.duckdb", None, wait=20)
    return emptied(request.getfixturevalue("prepared_database"))


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with all tables in it; copying it is faster than creating them for every test."""
    path = tmp_path_factory.mktemp("prepared") / "warehouse.duckdb"
    DuckDbWarehouse(path, None).prepare()
    return path


@pytest.fixture(scope="session")
def prepared_database(new_postgres_database: Callable[[], str]) -> PostgresWarehouse:
    """One database for the session; taking rows away is faster than making tables."""
    made = PostgresWarehouse(parameters(new_postgres_database()), wait=20)
    made.prepare()
    return made


@pytest.fixture
def lab(request: pytest.FixtureRequest, tmp_path: Path, warehouse: Any) -> Lab:
    if isinstance(warehouse, DuckDbWarehouse) and not warehouse._file.path.exists():
        shutil.copy(request.getfixturevalue("prepared"), warehouse._file.path)
    return Lab(tmp_path, warehouse)
