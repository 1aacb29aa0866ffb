"""Runs over a migration: old and new versions side by side, and versions that die on the way."""

from __future__ import annotations

from collections import Counter

import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_liftos.operators.extract import LiftosExtractOperator
from airflow_provider_liftos.operators.plan import LiftosPlanOperator
from airflow_provider_liftos.platforms import get
from airflow_provider_liftos.state.ledger import Ledger
from tests.engine.harness import served
from tests.operators.test_tasks import Chain


class Connected(Chain):
    """A dag run on a connection of its own."""

    platform = "meta"

    def __init__(self, liftos, conn_id: str, **options) -> None:
        super().__init__(liftos, **options)
        self.conn_id = conn_id
        dataset = liftos.sandbox.world.dataset(self.platform)
        self.params["accounts"] = [account.id for account in dataset.accounts[:2]]

    def context(self, task_id: str, **parts) -> dict:
        context = super().context(task_id, **parts)
        context["ti"].run_id = self.conn_id
        return context

    def plan(self, **options) -> list[dict]:
        return LiftosPlanOperator(
            task_id="plan", platform=self.platform, conn_id=self.conn_id, **options
        ).execute(self.context("plan"))

    def extract(self, batch: dict, **options) -> LiftosExtractOperator:
        return LiftosExtractOperator(
            task_id="extract", platform=self.platform, conn_id=self.conn_id, batch=batch,
            **{**self.options, **options},
        )  # fmt: skip

    def brought(self) -> dict:
        [batch] = self.plan()
        return self.fetched(batch)

    def entries(self, phase: str) -> list:
        return [
            e for e in Ledger(self.liftos.store, "default").rows(run_id=self.conn_id)
            if e.run.phase == phase
        ]  # fmt: skip


class Google(Connected):
    platform = "google_ads"


def versions(liftos, platform: str = "meta") -> Counter:
    """How often each version answered well; a batch is well even if none of its items is."""
    entries = liftos.sandbox.journal.entries(platform)
    paths = [e["path"].strip("/").split("/") for e in entries if (e["status"] or 500) < 400]
    return Counter(path[1] for path in paths if len(path) > 2)


def test_two_connections_migrate_one_by_one(liftos):
    liftos.connect("newer")
    liftos.connect("older", extra={"api_version": "v25.0"})
    newer, older = Connected(liftos, "newer"), Connected(liftos, "older")
    first, second = newer.brought(), older.brought()
    assert first["rows"] == second["rows"] > 0
    assert set(versions(liftos)) == {"v26.0", "v25.0"}
    spoken = {e.run.run_id: e.run.api_version for e in (*newer.entries("extract"), *older.entries("extract"))}  # fmt: skip
    assert spoken == {"newer": "v26.0", "older": "v25.0"}


def test_a_version_that_dies_mid_run_takes_only_its_own_connection_along(liftos):
    liftos.connect("newer")
    liftos.connect("older", extra={"api_version": "v25.0"})
    newer, older = Connected(liftos, "newer"), Connected(liftos, "older")
    expected = newer.brought()
    [batch] = older.plan()
    liftos.sandbox.journal.clear()
    liftos.sandbox.faults.add(kind="version_dead", platform="meta", version="v25.0")
    found = older.fetched(batch)
    assert (found["rows"], found["failed"]) == (expected["rows"], 0)
    assert set(versions(liftos)) == {"v26.0"}
    entry = older.entries("extract")[0]
    assert entry.run.api_version == "v26.0"
    assert entry.detail["api_version"]["asked"] == "v25.0"
    assert "switched off API version v25.0" in entry.warnings[0]
    refused = [e for e in liftos.sandbox.journal.entries("meta") if e["status"] == 400]
    sessions = len(older.entries("extract")) + len(older.entries("wait"))
    assert 1 <= len(refused) <= 4 * sessions, "once a session (and thread), never in a loop"
    again = newer.brought()
    assert again["rows"] == expected["rows"]
    assert newer.entries("extract")[0].warnings == ()


def test_a_run_whose_version_the_calendar_ended_goes_on_in_the_newest(liftos):
    liftos.connect("ancient", extra={"api_version": "v20.0"})
    run = Connected(liftos, "ancient")
    assert run.brought()["failed"] == 0
    assert set(versions(liftos)) == {"v26.0"}
    for phase in ("plan", "extract"):
        entry = run.entries(phase)[0]
        assert entry.run.api_version == "v26.0"
        assert entry.detail["api_version"]["why"] == "by the calendar, on 2025-05-06"
        assert "v20.0 (by the calendar, on 2025-05-06); v26.0 is used instead" in entry.warnings[0]


def test_a_run_that_has_no_version_left_ends_in_one_line(liftos):
    liftos.connect("doomed")
    run = Connected(liftos, "doomed")
    [batch] = run.plan()
    liftos.sandbox.faults.add(kind="version_dead", platform="meta")
    with pytest.raises(AirflowFailException, match=r"switched off.*Set another api_version"):
        run.fetched(batch)


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_readings_are_made_anew_in_the_words_of_the_next_version(liftos, transport):
    pytest.importorskip("google.ads.googleads")
    extra = {**served(liftos.sandbox, get("google_ads")), "transport": transport}
    liftos.connect(
        "google", conn_type="liftosgoogleads", host=f"{liftos.sandbox.url}/google_ads", extra=extra
    )
    run = Google(liftos, "google", streams=("campaigns", "ads"))
    expected = run.brought()
    liftos.sandbox.journal.clear()
    [batch] = run.plan()
    liftos.sandbox.faults.add(kind="version_dead", platform="google_ads", version="v26")
    context = run.context("extract", map_index=7)
    found = run.extract(batch, deferrable=False).execute(context)
    assert (found["rows"], found["failed"]) == (expected["rows"], 0)
    entry = run.entries("extract")[0]
    assert (entry.run.api_version, entry.detail["api_version"]["asked"]) == ("v25", "v26")
    well = versions(liftos, "google_ads")
    assert well["v25"] == len(batch["accounts"]) * 3
