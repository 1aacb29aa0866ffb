"""The import contracts of ``pyproject.toml`` hold, and they catch what they are there to catch."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = "airflow_provider_liftos"

# What goes wrong: the module that does it, what it imports, the contract that says so.
PLANTED = {
    "an engine imports a hook": ("engine/plan.py", f"{PACKAGE}.hooks.config", "Each layer"),
    "a hook imports an operator": ("hooks/frame.py", f"{PACKAGE}.operators.task", "Each layer"),
    "the model imports the state": ("model/secret.py", f"{PACKAGE}.state.clock", "Each layer"),
    "quality imports warehouses": ("quality/score.py", f"{PACKAGE}.warehouses.ddl", "Each layer"),
    "an engine names a platform": ("engine/plan.py", f"{PACKAGE}.platforms.meta", "Engines are"),
    "a platform imports another": ("platforms/other.py", f"{PACKAGE}.platforms.meta", "Platforms"),
    "an engine imports Airflow": ("engine/split.py", "airflow", "Everything below the hooks"),
    "the sandbox reads declarations": (
        "sandbox/world.py", f"{PACKAGE}.platforms.meta", "The sandbox is evidence"),
    "somebody imports the sandbox": ("cli/demo.py", f"{PACKAGE}.sandbox.world", "Nobody imports"),
    "a platform uses its vendor's SDK": ("platforms/meta/wire.py", "facebook_business", "Meta's"),
    "a second door to the checks": ("quality/score.py", "great_expectations", "Great Expect"),
    "HTTP beside the client": ("engine/fetch.py", "httpx2", "HTTP goes"),
    "a neutral layer reads Google's messages": (
        "engine/fetch.py", "google", "Google's libraries"),
    "procedures beside the client": ("transport/session.py", "grpc", "Google's libraries"),
}  # fmt: skip


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [str(program), "--no-cache", "--no-logo"],
        cwd=folder, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / PACKAGE, tmp_path / PACKAGE, ignore=shutil.ignore_patterns("*.pyc"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_contracts_hold() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("what", PLANTED)
def test_planted_violation_is_caught(copy: Path, what: str) -> None:
    module, imported, contract = PLANTED[what]
    with (copy / PACKAGE / module).open("a") as source:
        source.write(f"\nimport {imported}\n")
    done = lint(copy)
    broken = [line for line in done.stdout.splitlines() if line.endswith("BROKEN")]
    importer = f"{PACKAGE}.{module.removesuffix('.py').replace('/', '.')}"
    assert done.returncode == 1, done.stdout + done.stderr
    assert contract in " ".join(done.stdout.split("Broken contracts")[1].split()), broken
    assert f"{importer} -> {imported}" in " ".join(done.stdout.split())


def test_package_without_a_place_is_caught(copy: Path) -> None:
    (copy / PACKAGE / "helpers").mkdir()
    (copy / PACKAGE / "helpers" / "__init__.py").touch()
    done = lint(copy)
    assert done.returncode == 1
    assert f"{PACKAGE}.helpers" in done.stdout
