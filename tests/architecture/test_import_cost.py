"""What Airflow pays for us in every process: at discovery, and at each reading of a DAG file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DAGS = sorted((ROOT / "dags").glob("*.py"))

HEAVY = {
    "duckdb", "facebook_business", "google", "great_expectations", "grpc", "httpx2", "numpy", "pandas", "phonenumbers", "pyarrow", "sqlalchemy", "uvicorn",
}  # fmt: skip

BARE_AIRFLOW = "import airflow.sdk; from airflow.sdk import BaseOperator, BaseHook, DAG, Asset"

_MEASURE = """
import json, os, sys
{before}
known = set(sys.modules)
roots = {{name.partition(".")[0] for name in known}}
for name, after in json.loads(sys.argv[1]).items():
    if os.fork() == 0:
        exec(after, {{"__name__": "fresh"}})
        new = {{name.partition(".")[0] for name in set(sys.modules) - known}}
        print("RESULT" + json.dumps([name, sorted(new - roots)]), flush=True)
        os._exit(0)
    assert os.wait()[1] == 0, name
"""


def newly_imported(
    tmp_path: Path, each: Mapping[str, str], before: str = ""
) -> dict[str, set[str]]:
    """Top-level modules that each text brings into a process that has done ``before`` and no more.

    The processes are forked from one that has done it, which takes Airflow two seconds.
    """
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW_", "PYTEST_"))}
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE.format(before=before), json.dumps(each)],
        env={**clean, "AIRFLOW_HOME": str(tmp_path)},
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    found = dict(json.loads(line.removeprefix("RESULT")) for line in lines)
    assert set(found) == set(each)
    return {name: set(new) for name, new in found.items()}


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """What our pipelines, and reading each DAG file, bring into a bare Airflow.

    Discovery runs inside it, so what Airflow itself loads for that does not count as ours.
    """
    texts = {file.stem: f"import runpy; runpy.run_path({str(file)!r})" for file in DAGS}
    texts["pipelines"] = "import airflow_provider_liftos.pipelines"
    return newly_imported(tmp_path_factory.mktemp("bare"), texts, before=BARE_AIRFLOW)


def test_discovery_imports_no_library_and_not_even_airflow(tmp_path: Path) -> None:
    ask = "from airflow_provider_liftos.provider_info import get_provider_info as info; info()"
    new = newly_imported(tmp_path, {"discovery": ask})["discovery"]
    assert "airflow_provider_liftos" in new
    assert new & (HEAVY | {"airflow"}) == set()


def test_command_line_group_imports_no_library(tmp_path: Path) -> None:
    ask = "from airflow_provider_liftos.cli.commands import get_cli_commands as get; get()"
    new = newly_imported(tmp_path, {"commands": ask}, before="import airflow.cli.cli_config")
    assert new["commands"] & HEAVY == set()


def test_pipelines_add_no_library_to_bare_airflow(read: dict[str, set[str]]) -> None:
    assert read["pipelines"] & HEAVY == set()


@pytest.mark.parametrize("file", DAGS, ids=lambda f: f.stem)
def test_reading_a_dag_file_adds_no_library_to_bare_airflow(
    read: dict[str, set[str]], file: Path
) -> None:
    assert read[file.stem] & HEAVY == set()
