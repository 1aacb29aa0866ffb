"""A DAG file is a few lines over ``PlatformPipeline`` that people copy and change."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "dags").rglob("*.py"))
PACKAGE = "airflow_provider_liftos"
ALLOWED = ("airflow", f"{PACKAGE}.pipelines", f"{PACKAGE}.operators", f"{PACKAGE}.model")
LINES = 20

each = pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)


def may_import(name: str) -> bool:
    return name in sys.stdlib_module_names or any(
        name == allowed or name.startswith(f"{allowed}.") for allowed in ALLOWED
    )


def test_there_is_one_per_platform() -> None:
    platforms = {
        folder.name
        for folder in (ROOT / PACKAGE / "platforms").iterdir()
        if (folder / "__init__.py").exists()
    }
    assert platforms <= {file.stem for file in FILES}


@each
def test_it_is_short(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= LINES


@each
def test_it_imports_only_what_dags_are_made_of(file: Path) -> None:
    names = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
    assert [
        name for name in names if not may_import(name.removeprefix("__future__") or "sys")
    ] == []


@each
def test_it_says_what_it_brings(file: Path) -> None:
    assert ast.get_docstring(ast.parse(file.read_text()))
