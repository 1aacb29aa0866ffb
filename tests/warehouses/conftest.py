from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_liftos.sandbox.databricks import DatabricksSandbox
from airflow_provider_liftos.state.leases import Leases
from airflow_provider_liftos.state.store import StateStore
from airflow_provider_liftos.warehouses.duckdb import DuckDbWarehouse
from airflow_provider_liftos.warehouses.postgres import PostgresWarehouse
from airflow_provider_liftos.warehouses.snowflake import SnowflakeWarehouse
from tests.warehouses import databricks_server, snowflake_server
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
    if reason := snowflake_server.FALLS_SHORT.get(request.node.name):
        request.applymarker(pytest.mark.xfail(strict=True, reason=reason))
    return request.param


@pytest.fixture
def bare(request: pytest.FixtureRequest, engine: str, tmp_path: Path) -> Any:
    """A warehouse of nobody else's, without any table."""
    if engine == "duckdb":
        return DuckDbWarehouse(tmp_path / "bare.duckdb", None, wait=120)
    if engine == "snowflake":
        given = request.getfixturevalue("snowflake")
        return snowflake_server.warehouse_at(snowflake_server.new_database(given))
    if engine == "databricks":
        return databricks_server.warehouse_at(request.getfixturevalue("own_databricks"))
    return PostgresWarehouse(parameters(request.getfixturevalue("new_postgres_database")()))


@pytest.fixture
def warehouse(request: pytest.FixtureRequest, engine: str, tmp_path: Path) -> Any:
    """A warehouse with all tables and no rows."""
    if engine == "duckdb":
        shutil.copy(request.getfixturevalue("prepared"), tmp_path / "warehouse.duckdb")
        return DuckDbWarehouse(tmp_path / "warehouse.duckdb", None, wait=120)
    if engine == "snowflake":
        return snowflake_server.emptied(request.getfixturevalue("prepared_snowflake"))
    if engine == "databricks":
        return databricks_server.emptied(request.getfixturevalue("prepared_databricks"))
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
    made = PostgresWarehouse(parameters(new_postgres_database()), wait=120)
    made.prepare()
    return made


@pytest.fixture(scope="session")
def snowflake() -> Iterator[dict[str, Any]]:
    """What the client connects to an emulator with."""
    with snowflake_server.snowflake_server() as given:
        yield given


@pytest.fixture(scope="session")
def prepared_snowflake(snowflake: dict[str, Any]) -> SnowflakeWarehouse:
    """One database for the session; taking rows away is faster than making tables."""
    made = snowflake_server.warehouse_at(snowflake_server.new_database(snowflake))
    made.prepare()
    return made


@pytest.fixture
def own_databricks() -> Iterator[DatabricksSandbox]:
    with DatabricksSandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def prepared_databricks() -> Iterator[DatabricksSandbox]:
    """One server for the session; taking rows away is faster than making tables."""
    with DatabricksSandbox() as sandbox:
        databricks_server.warehouse_at(sandbox).prepare()
        yield sandbox


@pytest.fixture
def lab(request: pytest.FixtureRequest, tmp_path: Path, warehouse: Any) -> Lab:
    if isinstance(warehouse, DuckDbWarehouse) and not warehouse._file.path.exists():
        shutil.copy(request.getfixturevalue("prepared"), warehouse._file.path)
    return Lab(tmp_path, warehouse)
