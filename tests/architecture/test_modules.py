"""Size and purity of modules."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "airflow_provider_liftos"
MODULES = sorted(PACKAGE.rglob("*.py"))

MODULE_LINES = 500
FUNCTION_LINES = 60
"""A ceiling, docstring not counted; the house builds functions of 25 lines."""

NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "helper", "common", "misc", "base"}


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            if body:
                yield node.name, (node.end_lineno or 0) - body[0].lineno + 1


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""


def test_modules_can_be_read_in_one_sitting() -> None:
    lengths = {relative(m): len(m.read_text().splitlines()) for m in MODULES}
    assert {m: n for m, n in lengths.items() if n > MODULE_LINES} == {}


def test_functions_fit_on_a_screen() -> None:
    long = {
        f"{relative(module)}:{name}": lines
        for module in MODULES
        for name, lines in functions(ast.parse(module.read_text()))
        if lines > FUNCTION_LINES
    }
    assert long == {}


def test_names_of_modules_mean_something() -> None:
    assert [relative(m) for m in MODULES if m.stem in NAMES_THAT_SAY_NOTHING] == []


@pytest.mark.parametrize("module", sorted((PACKAGE / "model").rglob("*.py")), ids=lambda m: m.stem)
def test_model_needs_the_standard_library_only(module: Path) -> None:
    allowed = sys.stdlib_module_names
    foreign = [
        name
        for name in imported(ast.parse(module.read_text()))
        if name.split(".")[0] not in allowed
        and not name.startswith("airflow_provider_liftos.model")
    ]
    assert foreign == []
