"""The same staged files are the same rows on every engine, and get the same verdicts there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_liftos.model.unified import PERFORMANCE, Column, Kind
from airflow_provider_liftos.platforms import get
from airflow_provider_liftos.quality.audit import audit
from airflow_provider_liftos.quality.findings import Verdict
from airflow_provider_liftos.warehouses.duckdb import DuckDbWarehouse
from tests.warehouses.engines import digest
from tests.warehouses.staging import (
    DAY1,
    DAY2,
    DAY3,
    NOON,
    ORG,
    Lab,
    entity_row,
    manifest,
    performance_row,
    report_slice,
    stream_slice,
)

TABLES = ("performance", "campaigns", "loads")
LARGE = Decimal("999999999999.999999")
EXTREMES: dict[Kind, tuple[Any, ...]] = {
    Kind.TEXT: (
        "",
        " ",
        "'\"; DROP TABLE x; --`\\",
        "Ünïcode 🦩 漢字\u2028\t\n\r",
        "n" * 1_000_000,
    ),
    Kind.INT: (0, 2**63 - 1, -(2**63)),
    Kind.DECIMAL: (Decimal("0.000001"), LARGE, -LARGE),
    Kind.MONEY: (Decimal(0), Decimal("-0.000001"), LARGE, -LARGE),
    Kind.BOOL: (True, False),
    Kind.JSON: ('{"a": null, "b": [1, "2"], "c": "\\u00e9🦩\'\\\\"}', "{}", '{"x": 1.50}'),
}
"""Of each kind what a column must keep as it is; null is in every other row."""


def rows() -> Iterator[dict[str, Any]]:
    yield performance_row(DAY1)
    fixed = set(PERFORMANCE.key) | {"date_end", "currency", "as_of", "load_id", "is_mock"}
    for n, column in enumerate(c for c in PERFORMANCE.columns if c.name not in fixed):
        for m, value in enumerate(EXTREMES.get(column.kind, ())):
            given = {column.name: value}
            if value in (LARGE, -LARGE):  # on a day of their own, whose sums even doubles hold
                given = {"spend": 0, "conversions": 0, "conversions_value": 0, **given}
            day = DAY3 if len(given) > 1 else DAY2
            yield performance_row(day, campaign_id=f"c{n}-{m}", **given)


def filled(lab: Lab) -> dict[str, str]:
    """Digests of what is published from the same rows, loaded, replaced and listed again."""
    lab.publish(report_slice(), [performance_row(DAY1, spend="1"), performance_row(DAY2)])
    lab.publish(report_slice(DAY1, DAY3), rows(), load_id="load-2", as_of=NOON + 1)
    for n, names in enumerate((("a", "b"), ("b", "c"))):
        listed = [entity_row(name, f"{name}{n}", daily_budget=n) for name in names]
        lab.publish(stream_slice(), listed, load_id=f"e{n}", as_of=NOON + n, table="campaigns")
    return {table: digest(lab.warehouse, table) for table in TABLES}


@pytest.fixture(scope="module")
def wanted(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("wanted")
    shutil.copy(prepared, folder / "warehouse.duckdb")
    return filled(Lab(folder, DuckDbWarehouse(folder / "warehouse.duckdb", None)))


def test_the_same_files_are_the_same_rows_on_every_engine(lab, wanted):
    assert filled(lab) == wanted
    assert wanted["performance"].split("-")[0] == str(len(list(rows())))


def test_every_kind_of_column_is_among_the_extremes():
    assert {c.kind for c in PERFORMANCE.columns} - set(EXTREMES) == {
        Kind.ID, Kind.DATE, Kind.TIMESTAMP,
    }  # fmt: skip
    assert isinstance(PERFORMANCE.columns[0], Column)


BAD: dict[str, list[dict[str, Any]]] = {
    "good": [performance_row(DAY1), performance_row(DAY2)],
    "twice": [performance_row(DAY1), performance_row(DAY2), performance_row(DAY2)],
    "nameless": [performance_row(DAY1), performance_row(DAY2, campaign_id=None)],
    "dollars": [performance_row(DAY1), performance_row(DAY2, currency="USD")],
    "invented": [performance_row(DAY1), performance_row(DAY2, is_mock=True)],
}


def test_a_good_load_passes_the_audit_and_bad_ones_are_held_back(lab):
    made = {
        name: lab.staged(report_slice(account=name), [{**row, "account_id": name} for row in given])
        for name, given in BAD.items()
    }
    whole = manifest(*made.values())
    lab.warehouse.load(whole)
    outcome = audit(
        whole, warehouse=lab.warehouse, today=DAY2, quality=get("meta").quality,
        expected_accounts=list(BAD),
    )  # fmt: skip
    held = {d.account_id for d in outcome.decisions if d.verdict is Verdict.QUARANTINE}
    assert held == set(BAD) - {"good"}
    for name, cut in made.items():
        if name == "good":
            lab.warehouse.publish(cut, "load-1", ORG, NOON)
    found = lab.warehouse.query("SELECT DISTINCT account_id FROM liftos.performance")
    assert found == [("good",)]
