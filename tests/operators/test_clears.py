"""A task of a finished run is cleared, alone or with what follows: the same rows stay published."""

from __future__ import annotations

import duckdb
import pytest
from sqlalchemy import select

from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.model.unified import PERFORMANCE
from airflow_provider_liftos.state.ledger import Ledger
from airflow_provider_liftos.state.tables import restatements
from airflow_provider_liftos.warehouses.duckdb import DuckDbWarehouse
from tests.operators.test_partial import Partial

PHASES = ("extract", "normalize", "load", "audit", "publish")


class Finished(Partial):
    """A dag run that has published; ``clear`` runs a task of it again, and those behind it."""

    def __init__(self, liftos, run_id: str = "run") -> None:
        super().__init__(liftos, reports=["basic:account", "basic:campaign"])
        self.run_id = run_id
        self.planned = self.plan(accounts_per_task=2)
        self.said: dict[str, object] = {}
        self.clear("extract")

    def context(self, task_id: str, **parts) -> dict:
        context = super().context(task_id, **parts)
        context["ti"].run_id = self.run_id
        return context

    def clear(self, phase: str) -> None:
        for name in PHASES[PHASES.index(phase) :]:
            self.said[name] = getattr(self, f"_{name}")()

    def _extract(self) -> list[dict]:
        made = []
        for index, batch in enumerate(self.planned):
            context = self.context("extract", map_index=index)
            context["ti"].max_tries = 2 if "extract" not in self.said else 3
            made.append(self.extract(batch, deferrable=False).execute(context))
        return made

    def _normalize(self) -> list[dict]:
        return [self.normalized(item) for item in self.said["extract"]]

    def _load(self) -> dict:
        return self.loaded(*self.said["normalize"])

    def _audit(self) -> dict:
        return self.audited(self.said["load"], self.planned)

    def _publish(self) -> dict:
        return self.published(self.said["audit"])


@pytest.fixture
def run(liftos) -> Finished:
    return Finished(liftos)


@pytest.fixture
def warehouse(liftos) -> DuckDbWarehouse:
    return DuckDbWarehouse(liftos.folder / "warehouse.duckdb", None)


def rows(warehouse: DuckDbWarehouse) -> list[tuple]:
    """What people see, but for the moment at which it was asked for."""
    names = ", ".join(f'"{name}"' for name in PERFORMANCE.names() if name != "as_of")
    living = "SELECT campaign_id, row_hash FROM liftos.campaigns WHERE valid_to IS NULL ORDER BY 1"
    return [
        *warehouse.query(f"SELECT {names} FROM liftos.performance ORDER BY ALL"),
        *warehouse.query(living),
    ]


def test_a_cleared_task_ends_green_with_the_same_rows(liftos, run, warehouse):
    before, first = rows(warehouse), run.said["publish"]
    assert (first["held"], first["rows"]) == (0, len(before))
    for phase in reversed(PHASES):
        run.clear(phase)
        assert rows(warehouse) == before, phase
        assert run.said["publish"] == first, phase
    ledger = Ledger(liftos.store, "default").rows(run_id="run")
    assert {entry.status for entry in ledger} == {"success"}


def test_the_audit_alone_says_again_what_it_said(run):
    def verdicts(audited: dict) -> object:
        return config.staging().read_json(audited["decisions"])

    first = run.said["audit"]
    again = run._audit()
    assert (again["score"], again["quarantined"]) == (first["score"], 0)
    assert verdicts(again) == verdicts(first)


def test_a_cleared_task_of_an_older_run_leaves_newer_rows_alone(run, warehouse):
    newer = Finished(run.liftos, run_id="later")
    before = rows(warehouse)
    loads = warehouse.query("SELECT DISTINCT load_id FROM liftos.performance")
    assert loads == [(newer.said["load"]["load_id"],)]
    for phase in ("publish", "audit", "load"):
        run.clear(phase)
        assert rows(warehouse) == before, phase
        assert run.said["publish"]["held"] == 0, phase


def test_what_a_day_moved_is_in_the_restatement_ledger(run, liftos):
    def moved() -> list[tuple]:
        columns = [restatements.c[name] for name in ("report", "level", "metric", "load_id")]
        with liftos.store.read() as connection:
            return sorted(map(tuple, connection.execute(select(*columns))))

    run.clear("load")
    assert moved() == []
    with duckdb.connect(liftos.folder / "warehouse.duckdb") as connection:
        connection.execute(
            "UPDATE liftos.performance SET spend = spend + 1 WHERE level = 'account'"
        )
    run.clear("load")
    run.clear("publish")
    accounts_and_days = 6
    load_id = run.said["load"]["load_id"]
    assert moved() == [("basic", "account", "spend", load_id)] * accounts_and_days
