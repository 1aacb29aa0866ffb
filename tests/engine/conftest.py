from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest

from airflow_provider_liftos.sandbox import Sandbox
from airflow_provider_liftos.warehouses.duckdb import DuckDbWarehouse
from tests.engine.harness import Harness
from tests.engine.source_bench import Bench

NOON = datetime(2026, 11, 21, 11, 0, tzinfo=UTC)


@pytest.fixture(scope="session")
def still() -> Iterator[Sandbox]:
    """One sandbox for all tests that do not let days pass: its reports are ready at once."""
    with Sandbox(start=NOON, frozen=True) as sandbox:
        yield sandbox


@contextmanager
def lent(still: Sandbox) -> Iterator[Sandbox]:
    """A sandbox of many tests as if it were new."""
    still.faults.clear()
    still.faults._ids = count(1)  # chance depends on them
    still.journal.clear()
    offset = still.clock._offset
    yield still
    still.faults.clear()
    # Its clock only moves forward, but what one test waited for is no concern of the next.
    still.clock._offset = offset


@pytest.fixture
def sandbox(still: Sandbox) -> Iterator[Sandbox]:
    with lent(still) as sandbox:
        yield sandbox


@pytest.fixture
def own_sandbox() -> Iterator[Sandbox]:
    """A sandbox whose days a test may let pass; reports take a minute of them."""
    with Sandbox(start=NOON, frozen=True, report_seconds=60) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse with all its tables; copying it is faster than making it for every test."""
    path = tmp_path_factory.mktemp("prepared") / "warehouse.duckdb"
    DuckDbWarehouse(path, None).prepare()
    return path


@pytest.fixture
def harness(tmp_path: Path, sandbox: Sandbox, prepared: Path) -> Iterator[Harness]:
    shutil.copy(prepared, tmp_path)
    made = Harness(sandbox=sandbox, folder=tmp_path)
    yield made
    made.close()


@pytest.fixture
def own_harness(tmp_path: Path, own_sandbox: Sandbox, prepared: Path) -> Iterator[Harness]:
    shutil.copy(prepared, tmp_path)
    made = Harness(sandbox=own_sandbox, folder=tmp_path)
    yield made
    made.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.connection.close()
