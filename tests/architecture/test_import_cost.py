"""What Airflow pays for us in every process: at discovery, and at each reading of a DAG file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DAGS = sorted((ROOT / "dags").glob("*.py"))

HEAVY = {
    "duckdb", "facebook_business", "google", "great_expectations", "grpc", "httpx2", "numpy", "pandas", "phonenumbers", "pyarrow", "sqlalchemy", "uvicorn",
}  # fmt: skip

_MEASURE = """
import json, sys
{before}
known = set(sys.modules)
roots = {{name.partition(".")[0] for name in known}}
{after}
new = {{name.partition(".")[0] for name in set(sys.modules) - known}}
print("RESULT" + json.dumps(sorted(new - roots)))
"""


def newly_imported(tmp_path: Path, after: str, before: str = "") -> set[str]:
    """Top-level modules that ``after`` brings into a fresh process that has done ``before``."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW_", "PYTEST_"))}
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE.format(before=before, after=after)],
        env={**clean, "AIRFLOW_HOME": str(tmp_path)},
        cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    return set(json.loads(lines[-1].removeprefix("RESULT")))


def test_discovery_imports_no_library_and_not_even_airflow(tmp_path: Path) -> None:
    new = newly_imported(
        tmp_path,
        "from airflow_provider_liftos.provider_info import get_provider_info as info; info()",
    )
    assert "airflow_provider_liftos" in new
    assert new & (HEAVY | {"airflow"}) == set()


def test_command_line_group_imports_no_library(tmp_path: Path) -> None:
    new = newly_imported(
        tmp_path,
        "from airflow_provider_liftos.cli.commands import get_cli_commands as get; get()",
        before="import airflow.cli.cli_config",
    )
    assert new & HEAVY == set()


def test_pipelines_add_no_library_to_bare_airflow(tmp_path: Path) -> None:
    # Discovery runs inside, so what Airflow itself loads for it does not count as ours.
    new = newly_imported(
        tmp_path,
        "import airflow_provider_liftos.pipelines",
        before="import airflow.sdk; from airflow.sdk import BaseOperator, BaseHook, DAG, Asset",
    )
    assert new & HEAVY == set()


@pytest.mark.parametrize("file", DAGS, ids=lambda f: f.stem)
def test_reading_a_dag_file_adds_no_library_to_bare_airflow(tmp_path: Path, file: Path) -> None:
    new = newly_imported(
        tmp_path,
        f"import runpy; runpy.run_path({str(file)!r})",
        before="import airflow.sdk; from airflow.sdk import BaseOperator, BaseHook, DAG, Asset",
    )
    assert new & HEAVY == set()
