"""Many slices, over few connections and transactions; none is held up by another one's fault."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_liftos.engine.manifest import SliceResult
from airflow_provider_liftos.model.errors import WarehouseError
from airflow_provider_liftos.warehouses.contract import Restatement
from tests.warehouses.engines import administer, reopened
from tests.warehouses.staging import (
    DAY1,
    DAY2,
    NOON,
    ORG,
    Lab,
    manifest,
    performance_row,
    report_slice,
)

ACCOUNTS = ("a", "b", "c", "d")


def loaded(lab: Lab, *, spend: str = "5", load: int = 1) -> list[SliceResult]:
    cuts = [
        lab.staged(
            report_slice(DAY1, DAY1, account=name),
            [performance_row(DAY1, account_id=name, spend=spend)],
            load_id=f"load-{load}",
            as_of=NOON + load,
        )
        for name in ACCOUNTS
    ]
    lab.warehouse.load(manifest(*cuts, load_id=f"load-{load}"))
    return cuts


def published(warehouse: Any) -> dict[str, int]:
    rows = warehouse.query("SELECT account_id, spend FROM liftos.performance")
    return {account: int(spend) for account, spend in rows}


def each(lab: Lab, cuts: Sequence[SliceResult], load: int = 1, **parts: Any) -> Any:
    return lab.warehouse.publish_each(cuts, f"load-{load}", ORG, lambda: NOON, **parts)


def test_all_are_published_and_each_is_told_of_in_order(lab):
    told = [(cut.slice.account_id, done.rows_after) for cut, done in each(lab, loaded(lab))]
    assert told == [(account, 1) for account in ACCOUNTS]
    assert published(lab.warehouse) == dict.fromkeys(ACCOUNTS, 5)


def test_nothing_is_held_while_the_caller_looks_at_what_was_published(lab):
    other = reopened(lab.warehouse, wait=1)
    for cut, _ in each(lab, loaded(lab)):
        assert published(other)[cut.slice.account_id] == 5
        other.apply([("DELETE FROM liftos.fx_rates WHERE org_id = ?", ("nobody",))])


def test_an_error_comes_after_those_that_were_published_before_it(lab):
    each_of_the_first = loaded(lab)
    list(each(lab, each_of_the_first))
    cuts = loaded(lab, spend="7", load=2)
    told: list[str] = []

    def note(cut: SliceResult) -> Any:
        def hear(_moved: Sequence[Restatement]) -> None:
            if cut.slice.account_id == "c":
                raise OSError("no room to note it")

        return hear

    with pytest.raises(Exception, match="no room to note it"):
        told.extend(cut.slice.account_id for cut, _ in each(lab, cuts, 2, note=note))
    assert told == ["a", "b"]
    assert published(lab.warehouse) == {"a": 7, "b": 7, "c": 5, "d": 5}
    assert [cut.slice.account_id for cut, _ in each(lab, cuts, 2)] == list(ACCOUNTS)
    assert published(lab.warehouse) == dict.fromkeys(ACCOUNTS, 7)


def test_each_slice_hears_its_own_restatements(lab):
    list(each(lab, loaded(lab)))
    heard: dict[str, int] = {}

    def note(cut: SliceResult) -> Any:
        return lambda moved: heard.update({cut.slice.account_id: len(moved)})

    list(each(lab, loaded(lab, spend="6", load=2), 2, note=note))
    assert heard == dict.fromkeys(ACCOUNTS, 1)


@pytest.fixture
def units(lab, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Accounts of each unit of writing that publishes, from now on."""
    seen: list[list[str]] = []
    publish = lab.warehouse._publish_at_once

    def recorded(unit: Any, tasks: Any) -> Any:
        seen.append([task.result.slice.account_id for task in tasks])
        return publish(unit, tasks)

    monkeypatch.setattr(lab.warehouse, "_publish_at_once", recorded)
    return seen


@pytest.mark.parametrize("engine", ["duckdb", "postgres", "snowflake", "databricks"])
def test_small_slices_go_together_up_to_so_many_rows(lab, units, monkeypatch):
    list(each(lab, loaded(lab)))
    sizes = replace(lab.warehouse._sizes, together=3, seconds=60, lanes=1)
    monkeypatch.setattr(lab.warehouse, "_sizes", sizes)
    list(each(lab, loaded(lab, spend="6", load=2), 2))
    assert units == [["a", "b", "c", "d"], ["a", "b", "c"], ["d"]]
    assert published(lab.warehouse) == dict.fromkeys(ACCOUNTS, 6)
    assert lab.warehouse.query("SELECT count(*) FROM liftos_audit.performance") == [(0,)]


@pytest.mark.parametrize("engine", ["duckdb", "postgres", "snowflake", "databricks"])
def test_slices_beside_a_bad_one_go_one_by_one(lab, units):
    cuts = loaded(lab)
    administer(lab.warehouse, "DELETE FROM liftos_audit.performance WHERE account_id = 'c'")
    told: list[str] = []
    with pytest.raises(WarehouseError, match=r"meta c: .*0 of its 1 rows"):
        told.extend(cut.slice.account_id for cut, _ in each(lab, cuts))
    assert told == ["a", "b"]
    assert units == [["a", "b", "c", "d"], ["a"], ["b"], ["c"]]
    assert published(lab.warehouse) == {"a": 5, "b": 5}


@pytest.mark.parametrize("engine", ["postgres"])
def test_they_do_so_over_a_new_connection(lab, units):
    """Of a lost one nobody would learn more than that it is."""
    list(each(lab, loaded(lab)))
    ended: list[str] = []

    def note(cut: SliceResult) -> Any:
        def hear(_moved: Sequence[Restatement]) -> None:
            if cut.slice.account_id == "c" and not ended:
                ended.append("c")
                administer(lab.warehouse, END)

        return hear

    assert len(list(each(lab, loaded(lab, spend="6", load=2), 2, note=note))) == len(ACCOUNTS)
    assert units == [list(ACCOUNTS)] * 2 + [[account] for account in ACCOUNTS]
    assert published(lab.warehouse) == dict.fromkeys(ACCOUNTS, 6)


END = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'liftos' AND pid <> pg_backend_pid()
"""


@pytest.mark.parametrize("engine", ["databricks"])
def test_where_slices_go_one_by_one_empty_ones_do_so_too(lab, units, monkeypatch):
    sizes = replace(lab.warehouse._sizes, together=0, lanes=1)
    monkeypatch.setattr(lab.warehouse, "_sizes", sizes)
    cuts = [lab.staged(report_slice(DAY1, DAY1, account=name), []) for name in ACCOUNTS]
    lab.warehouse.load(manifest(*cuts))
    assert len(list(each(lab, cuts))) == len(ACCOUNTS)
    assert units == [[account] for account in ACCOUNTS]


@pytest.mark.parametrize("parts", [{}, {"metrics": ("spend",)}], ids=["same", "changed"])
@pytest.mark.parametrize("engine", ["duckdb", "postgres", "snowflake", "databricks"])
def test_slices_of_the_same_days_follow_one_another(lab, units, parts):
    """Else both would find nothing to replace, and their rows would be there twice."""
    once, again = (
        lab.staged(
            report_slice(DAY1, last, account="a", **asked),
            [performance_row(DAY1, account_id="a", spend=spend)],
            as_of=as_of,
        )
        for last, spend, as_of, asked in ((DAY1, "5", NOON, {}), (DAY2, "6", NOON + 1, parts))
    )
    lab.warehouse.load(manifest(once, again))
    assert len(list(each(lab, [once, again]))) == 2
    assert units == [["a"], ["a"]]
    assert lab.warehouse.query("SELECT spend FROM liftos.performance") == [(6,)]
