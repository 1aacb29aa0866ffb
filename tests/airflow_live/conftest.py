"""One real Airflow for all tests of this folder: it takes half a minute to start."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_liftos.cli.airflow_api import AirflowApi
from airflow_provider_liftos.cli.stack import Stack

ROOT = Path(__file__).parents[2]
DAG_FOLDERS = (ROOT / "dags", Path(__file__).parent / "dags")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, AirflowApi]]:
    """A running Airflow with the repository's DAGs and this folder's, all paused, and its client.

    Further DAG files may be written to ``stack.dags_folder``; they are read within seconds.
    """
    base = tmp_path_factory.mktemp("airflow")
    dags = base / "dags"
    dags.mkdir()
    for folder in DAG_FOLDERS:
        for file in sorted(folder.glob("*.py")):
            shutil.copy(file, dags / file.name)
    with Stack(base / "home", dags) as running:
        yield running, running.api
