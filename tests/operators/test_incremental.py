"""Scheduled runs, one after the other: each brings its days and what the published ones lack."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_liftos.cli.proof import compare
from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.model.errors import WarehouseError
from airflow_provider_liftos.operators.plan import LiftosPlanOperator
from airflow_provider_liftos.platforms import get
from airflow_provider_liftos.state.ledger import Ledger
from airflow_provider_liftos.warehouses.duckdb import DuckDbWarehouse
from airflow_provider_liftos.warehouses.progress import published
from tests.operators.test_partial import Partial

REPORTS = ["basic:account", "basic:campaign"]


class Daily(Partial):
    """The pipeline, run on a schedule; each run is one of its days."""

    def __init__(self, liftos, **options) -> None:
        super().__init__(liftos, reports=REPORTS, streams=(), **options)
        self.accounts = self.params.pop("accounts")[:1]
        self.params = {}
        self.run = ""
        self.when: dict[str, object] = {}

    def context(self, task_id: str, **parts) -> dict:
        context = super().context(task_id, **{**self.when, **parts})
        context["ti"].run_id = self.run
        return context

    def scheduled(self, day: date, **options) -> dict:
        """What the plan of a day's run says of the account."""
        start = datetime(day.year, day.month, day.day, 10, tzinfo=UTC)
        self.run = f"scheduled__{day}"
        self.when = {
            "dag_run": SimpleNamespace(run_type="scheduled"),
            "data_interval_start": start,
            "data_interval_end": start + timedelta(days=1),
        }
        [batch] = LiftosPlanOperator(
            task_id="plan", platform="meta", accounts=self.accounts,
            **{"reports": REPORTS, **options},
        ).execute(self.context("plan"))  # fmt: skip
        self.batch = batch
        [item] = batch["accounts"]
        return item

    def bring(self, reports=REPORTS) -> None:
        """The rest of the run that was planned last."""
        fetched = self.extract(self.batch, reports=reports, deferrable=False).execute(
            self.context("extract")
        )
        loaded = self.loaded(self.normalized(fetched))
        self.published(self.audited(loaded, [self.batch]))

    def known(self) -> dict:
        warehouse = DuckDbWarehouse(self.liftos.folder / "warehouse.duckdb", None)
        return {
            key[1:]: found for key, found in published(warehouse, "default", "meta", 28).items()
        }


def ago(days: int) -> date:
    """A day by now, and not by when the tests began."""
    return datetime.now(UTC).date() - timedelta(days=days)


def span(first: int, last: int) -> dict[str, str]:
    return {"since": str(ago(first)), "until": str(ago(last))}


def test_scheduled_runs_bring_what_is_missing_and_arrive_at_the_truth(liftos):
    run = Daily(liftos)
    first = run.scheduled(ago(9))
    assert (first["since"], first["until"]) == (str(ago(9 + 28)), str(ago(9)))
    assert "more" not in first, "a first load is the run's own days"
    run.bring(REPORTS[:1])
    assert run.known()["basic", "account"].cursor == ago(9)

    second = run.scheduled(ago(1), history_since=ago(39), history_days=5)
    assert (second["since"], second["until"]) == (str(ago(29)), str(ago(1)))
    assert second["more"] == {"basic:account": [span(39, 38)]}, (
        "history; the report that is new has its first load"
    )
    run.bring()
    known = run.known()
    assert (known["basic", "account"].first, known["basic", "account"].cursor) == (ago(39), ago(1))
    assert known["basic", "campaign"].first == ago(29)
    proof = compare(liftos.folder / "warehouse.duckdb", liftos.sandbox.url)
    assert (proof.compared, proof.differences) == (39 + 29, [])

    third = run.scheduled(ago(1), history_since=ago(39), history_days=5)
    assert third["more"] == {"basic:campaign": [span(34, 30)]}, "and then the next days of it"


def test_days_of_runs_that_never_were_are_asked_for_with_those_read_too_early(liftos):
    run = Daily(liftos)
    run.scheduled(ago(45))
    run.bring()
    with DuckDbWarehouse(liftos.folder / "warehouse.duckdb", None)._write() as session:
        session.execute("UPDATE liftos.loads SET as_of = as_of - INTERVAL 44 DAY")  # asked then
    found = run.scheduled(ago(1))
    # On the day they were asked for, days that had begun 28 days before were final.
    assert found["more"] == {name: [span(44 + 27, 30)] for name in REPORTS}
    assert found["since"] == str(ago(29))


def test_without_a_lookback_no_day_is_read_again(liftos):
    run = Daily(liftos)
    run.scheduled(ago(3))
    run.bring()
    run.params = {"lookback_days": 0}
    found = run.scheduled(ago(1))
    assert (found["since"], found["until"]) == (str(ago(1)), str(ago(1)))
    assert found["more"] == {name: [span(2, 2)] for name in REPORTS}


def test_the_restatement_window_is_a_setting(liftos):
    liftos.set("restatement_days", "meta=7")
    found = Daily(liftos).scheduled(ago(1))
    assert (found["since"], found["until"]) == (str(ago(8)), str(ago(1)))
    assert config.restatement_days(get("meta")) == 7
    for wrong in ("meta", "meta=soon", "mete=7"):
        liftos.set("restatement_days", wrong)
        with pytest.raises(AirflowFailException, match="no platform with a number"):
            Daily(liftos).scheduled(ago(1))


def test_a_history_without_a_date_is_refused(liftos):
    with pytest.raises(AirflowFailException, match="history_since is 'always'"):
        Daily(liftos).scheduled(ago(1), history_since="always")


def test_the_ledger_says_what_was_added(liftos):
    run = Daily(liftos)
    run.scheduled(ago(40))
    run.bring()
    run.scheduled(ago(1))
    entry, *_ = Ledger(liftos.store, "default").rows(phase="plan")
    assert entry.detail["more"] == {run.accounts[0]: {name: [span(39, 30)] for name in REPORTS}}
    assert (entry.run.window_since, entry.run.window_until) == (str(ago(29)), str(ago(1)))


def test_where_the_warehouse_is_out_of_reach_a_run_brings_its_own_days(liftos, monkeypatch):
    def refuse(_self):
        raise WarehouseError("the file is locked")

    monkeypatch.setattr(DuckDbWarehouse, "prepare", refuse)
    found = Daily(liftos).scheduled(ago(1))
    assert (found["since"], found["until"]) == (str(ago(29)), str(ago(1)))
    assert "more" not in found
    [entry] = Ledger(liftos.store, "default").rows(phase="plan")
    assert entry.warnings == ("only the run's own days are asked for: the file is locked",)
