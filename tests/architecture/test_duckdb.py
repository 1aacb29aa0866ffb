"""DuckDB downloads nothing and takes no more memory than it is given, wherever it is opened."""

from __future__ import annotations

import ast
from pathlib import Path

import airflow_provider_liftos
from airflow_provider_liftos.transforms.duckdb import connect

PACKAGE = Path(airflow_provider_liftos.__file__).parent
OF_VENDORS = "sandbox"
"""It plays vendors' servers with DuckDB, and imports nothing of ours."""


def opens_duckdb(path: Path) -> bool:
    return any(
        isinstance(node, ast.Call) and ast.unparse(node.func) == "duckdb.connect"
        for node in ast.walk(ast.parse(path.read_text()))
    )


def test_one_module_opens_it() -> None:
    found = {str(p.relative_to(PACKAGE)) for p in PACKAGE.rglob("*.py") if opens_duckdb(p)}
    assert {one for one in found if not one.startswith(OF_VENDORS)} == {"transforms/duckdb.py"}


def test_extensions_are_neither_downloaded_nor_looked_for() -> None:
    with connect(memory_limit="64MiB", threads=1) as connection:
        settings = dict(connection.execute("SELECT name, value FROM duckdb_settings()").fetchall())
    assert settings["autoinstall_known_extensions"] == "false"
    assert settings["autoload_known_extensions"] == "false"
    assert (settings["memory_limit"], settings["threads"]) == ("64.0 MiB", "1")
    assert settings["TimeZone"] == "UTC"
