"""What a person may open in a spreadsheet does not begin to calculate."""

from __future__ import annotations

import ast
import csv
import io
from pathlib import Path

import pytest

import airflow_provider_liftos
from airflow_provider_liftos.cli.table import as_csv
from airflow_provider_liftos.sandbox.dataset.names import HOSTILE

PACKAGE = Path(airflow_provider_liftos.__file__).parent
WRITERS = {
    "cli/table.py": "the one way to a file for people; guarded, as tested below",
    "sandbox/wire/tiktok/files.py": "what TikTok writes, formulas and all",
    "sandbox/wire/tiktok/tasks.py": "what TikTok writes, formulas and all",
}
NAMES = {"to_csv", "write_csv", "to_excel", "to_clipboard", "DictWriter", "writer", "clipboard"}


def writes_tables(path: Path) -> bool:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and node.attr in NAMES - {"writer"}:
            return True
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "csv.writer":
            return True
        if isinstance(node, ast.Constant) and "text/csv" in str(node.value):
            return True
    return False


def test_every_writer_of_tables_is_known() -> None:
    found = {str(p.relative_to(PACKAGE)) for p in PACKAGE.rglob("*.py") if writes_tables(p)}
    assert found <= set(WRITERS)
    assert "cli/table.py" in found


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])  # noqa: RUF001
def test_no_cell_begins_like_a_formula(start: str) -> None:
    for value in (f"{start}1+1", f"  {start}cmd|' /C calc'!A0", f'{start}HYPERLINK("x","y")'):
        file = io.StringIO()
        as_csv([{"a": value, "b": "calm"}], ["a", "b"], file)
        _, (cell, calm) = csv.reader(io.StringIO(file.getvalue(), newline=""))
        assert cell.startswith("'") or not cell.lstrip().startswith(tuple("=+-@＝＋－＠"))  # noqa: RUF001
        assert cell.lstrip("'") == value or cell.endswith(value.lstrip())
        assert calm == "calm"


def test_hostile_names_stay_in_their_cells() -> None:
    file = io.StringIO()
    as_csv([{"a": name, "b": "x"} for name in HOSTILE], ["a", "b"], file)
    rows = list(csv.reader(io.StringIO(file.getvalue(), newline="")))
    assert len(rows) == len(HOSTILE) + 1
    assert all(len(row) == 2 for row in rows)
