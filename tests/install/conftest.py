"""One wheel and one environment per Airflow release for all tests of this folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.install.environment import NEWEST, OLDEST, ROOT, Environment, Release

RELEASES = {"newest": NEWEST, "oldest": OLDEST}


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout; built without isolation, so that no network is needed."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=600)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session", params=RELEASES)
def release(request: pytest.FixtureRequest) -> Release:
    """Each supported end of Airflow's versions."""
    return RELEASES[request.param]


@pytest.fixture(scope="session")
def installed(
    release: Release, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> Environment:
    """A bare Airflow of that release with the wheel."""
    made = Environment(tmp_path_factory.mktemp("installed"))
    made.install(release, wheel)
    return made


@pytest.fixture(scope="session")
def scaffolded(installed: Environment) -> Path:
    """A DAG folder written by ``airflow liftos scaffold``."""
    folder = installed.folder / "dags"
    installed.run("airflow", "liftos", "scaffold", folder)
    return folder
