from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_liftos.state.leases import Leases
from airflow_provider_liftos.state.store import StateStore
from airflow_provider_liftos.warehouses.duckdb import DuckDbWarehouse
from tests.warehouses.staging import ORG, Lab


@pytest.fixture
def leases(tmp_path: Path) -> Iterator[Leases]:
    store = StateStore(f"sqlite:///{tmp_path / 'state.db'}")
    yield Leases(store, ORG)
    store.close()


@pytest.fixture(params=["duckdb"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> object:
    """Every warehouse in turn: the contract tests know no engine."""
    made = {"duckdb": lambda: DuckDbWarehouse(tmp_path / "warehouse.duckdb", None, wait=20)}
    return made[request.param]()


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with all tables in it; copying it is faster than creating them for every test."""
    path = tmp_path_factory.mktemp("prepared") / "warehouse.duckdb"
    DuckDbWarehouse(path, None).prepare()
    return path


@pytest.fixture
def lab(tmp_path: Path, warehouse: object, prepared: Path) -> Lab:
    if isinstance(warehouse, DuckDbWarehouse):
        shutil.copy(prepared, tmp_path)
    return Lab(tmp_path, warehouse)
