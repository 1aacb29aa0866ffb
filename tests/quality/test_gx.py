from __future__ import annotations

import gc
import json
import re
import weakref
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_liftos.model.unified import PERFORMANCE, TABLES, Table
from airflow_provider_liftos.platforms import get
from airflow_provider_liftos.quality import gx, suites
from airflow_provider_liftos.quality.rules import (
    ACCOUNT_RULES,
    ROW_RULES,
    SLICE_RULES,
    Severity,
    catalogue,
)  # fmt: skip

pd = pytest.importorskip("pandas")

PACKAGE = Path(gx.__file__).parents[1]
STAGED = [t for t in TABLES.values() if t.name != "loads"]


def between(column: str, id_: str | None = None, **limits: float) -> dict[str, Any]:
    return {"type": "expect_column_values_to_be_between", "kwargs": {"column": column, **limits},
            "severity": "critical", "meta": {"id": id_ or column}}  # fmt: skip


def suite(*expectations: dict[str, Any]) -> dict[str, Any]:
    return {"name": "some", "expectations": list(expectations)}


def all_suites(table: Table = PERFORMANCE) -> list[dict[str, Any]]:
    rules, platform = catalogue(table), get("google_ads")
    return [
        suites.row_suite(table, rules, platform.quality),
        suites.number_suite("slices", suites.SLICE_LIMITS, rules),
        suites.number_suite("accounts", suites.ACCOUNT_LIMITS, rules),
    ]


def test_broken_rows_are_named_by_position() -> None:
    frame = pd.DataFrame({"a": [1.0, -1.0, None, -2.0], "b": [1, 1, 1, 1]})
    found = gx.judge(frame, suite(between("a", min_value=0), between("b", min_value=0)))
    assert list(found["a"].broken) == [1, 3]
    assert list(found["b"].broken) == []
    assert not found["a"].raised


def test_what_raises_says_so_and_harms_no_other() -> None:
    frame = pd.DataFrame({"a": [-1], "text": ["x"]})
    found = gx.judge(frame, suite(between("nowhere", min_value=0), between("text", min_value=0),
                                  between("a", min_value=0)))  # fmt: skip
    assert found["nowhere"].raised
    assert found["text"].raised
    assert list(found["a"].broken) == [0]


def test_an_expectation_that_cannot_be_built_raises_alone() -> None:
    wrong = {"type": "expect_the_unknown", "kwargs": {}, "meta": {"id": "wrong"}}
    found = gx.judge(pd.DataFrame({"a": [-1]}), suite(wrong, between("a", min_value=0)))
    assert found["wrong"].raised
    assert list(found["a"].broken) == [0]


def test_the_id_tells_apart_what_looks_alike() -> None:
    frame = pd.DataFrame({"a": [5]})
    found = gx.judge(
        frame, suite(between("a", "one", min_value=6), between("a", "two", max_value=6))
    )
    assert (list(found["one"].broken), list(found["two"].broken)) == ([0], [])


def test_the_library_does_not_keep_the_frame() -> None:
    frame = pd.DataFrame({"a": [-1]})
    kept = weakref.ref(frame)
    gx.judge(frame, suite(between("a", min_value=0)))
    del frame
    gc.collect()
    assert kept() is None


def test_frames_are_not_hashed_for_a_marker_that_nobody_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import great_expectations.execution_engine.pandas_execution_engine as engine

    hashed: list[Any] = []
    monkeypatch.setattr(engine, "hash_pandas_dataframe", hashed.append)
    gx.judge(pd.DataFrame({"a": [-1]}), suite(between("a", min_value=0)))
    assert not hashed


@pytest.mark.parametrize("values", [[], [None, None]])
def test_nothing_to_judge_breaks_nothing(values: list[None]) -> None:
    found = gx.judge(
        pd.DataFrame({"a": pd.Series(values, dtype="float64")}), suite(between("a", min_value=0))
    )
    assert (found["a"].raised, list(found["a"].broken)) == ("", [])


@pytest.mark.parametrize("table", STAGED, ids=lambda t: t.name)
def test_every_expectation_says_weight_dimension_and_severity(table: Table) -> None:
    for made in all_suites(table):
        for expectation in made["expectations"]:
            meta = expectation["meta"]
            assert meta["weight"] == Severity(meta["severity"]).weight
            assert meta["dimension"]
            assert meta["judges"] in {"row", "aggregate"}
            assert expectation["severity"] in {"critical", "warning", "info"}
        ids = [expectation["meta"]["id"] for expectation in made["expectations"]]
        assert len(ids) == len(set(ids))
        assert json.loads(json.dumps(made)) == made


def test_suites_hold_every_rule_of_the_catalogue() -> None:
    held = {e["meta"]["rule"] for made in all_suites() for e in made["expectations"]}
    assert held == set(catalogue())


def test_every_required_column_and_every_bounded_metric_is_expected() -> None:
    ids = {e["meta"]["id"] for e in all_suites()[0]["expectations"]}
    assert {f"required_fields__{c.name}" for c in PERFORMANCE.columns if c.required} <= ids
    bounded = {c.name for c in PERFORMANCE.columns if c.low is not None} - {"spend"}
    assert {f"value_ranges__{name}" for name in bounded} <= ids
    assert {relation.name for relation in PERFORMANCE.relations} <= ids


def test_the_library_takes_the_suites_as_they_are() -> None:
    from great_expectations.core import ExpectationSuite

    for made in all_suites():
        assert len(ExpectationSuite(**made).expectations) == len(made["expectations"])


def test_weights_are_those_of_the_severities() -> None:
    assert {s.value: s.weight for s in Severity} == {
        "critical": 3.0,
        "high": 2.0,
        "medium": 1.5,
        "low": 1.0,
    }
    for rule in (*ROW_RULES, *SLICE_RULES, *ACCOUNT_RULES):
        assert rule.doc.endswith(".")
        assert rule.advice.endswith(".")


def test_one_module_imports_the_library_inside_functions_only() -> None:
    importing = re.compile(r"^(\s*)(?:import|from) great_expectations", re.MULTILINE)
    found = {
        p.relative_to(PACKAGE).as_posix(): importing.findall(p.read_text())
        for p in PACKAGE.rglob("*.py")
    }
    used = {path: indents for path, indents in found.items() if indents}
    assert sorted(used) == ["quality/expectations.py", "quality/gx.py"]
    assert all(indents.strip("\n") for indents in used["quality/gx.py"])
    importers = [p for p in PACKAGE.rglob("*.py") if "quality.expectations" in p.read_text()]
    assert [p.name for p in importers] == ["gx.py"]


def test_data_docs_are_written_where_somebody_wants_them(tmp_path: Path) -> None:
    asked, frame = suite(between("a", min_value=0)), pd.DataFrame({"a": [1]})
    with gx.documented(tmp_path / "docs"):
        gx.judge(frame, asked)
    gx.judge(frame, asked)

    [page] = (tmp_path / "docs").iterdir()
    assert page.name.startswith("001-")
    assert "<html" in page.read_text().lower()


def test_an_audit_does_not_die_of_its_data_docs(tmp_path: Path, caplog: Any) -> None:
    occupied = tmp_path / "docs"
    occupied.write_text("a file")
    with gx.documented(occupied):
        judged = gx.judge(pd.DataFrame({"a": [1]}), suite(between("a", min_value=0)))
    assert not judged["a"].raised
    assert "no Data Docs" in caplog.text
