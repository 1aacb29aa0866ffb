"""Written-down statements: compared, and never written unasked."""

from __future__ import annotations

import pytest

from tests.warehouses.snapshots import REWRITE, check_snapshot


def test_what_is_not_written_down_fails_and_is_not_written(tmp_path, monkeypatch):
    monkeypatch.delenv(REWRITE, raising=False)
    path = tmp_path / "statements.sql"
    with pytest.raises(AssertionError, match=r"statements\.sql is missing"):
        check_snapshot(path, "SELECT 1;\n")
    assert not path.exists()


def test_what_differs_fails_and_shows_where(tmp_path, monkeypatch):
    monkeypatch.delenv(REWRITE, raising=False)
    path = tmp_path / "statements.sql"
    path.write_text("SELECT 1;\n")
    check_snapshot(path, "SELECT 1;\n")
    with pytest.raises(AssertionError, match=r"-SELECT 1;\n\+SELECT 2;"):
        check_snapshot(path, "SELECT 2;\n")
    with pytest.raises(AssertionError, match="differs"):
        check_snapshot(path, "SELECT 1;")
    assert path.read_text() == "SELECT 1;\n"


def test_who_asks_for_it_has_it_written(tmp_path, monkeypatch):
    monkeypatch.setenv(REWRITE, "1")
    path = tmp_path / "statements.sql"
    check_snapshot(path, "SELECT 2;\n")
    assert path.read_text() == "SELECT 2;\n"
