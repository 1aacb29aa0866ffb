from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_liftos.hooks.liftos import LiftosHook
from airflow_provider_liftos.operators.plan import LiftosPlanOperator
from airflow_provider_liftos.state.ledger import Ledger
from tests.airflow_doubles import Deployment


def planned(liftos: Deployment, **options) -> list[dict]:
    today = liftos.sandbox.clock.now().date()
    days = {"since": str(today - timedelta(days=3)), "until": str(today - timedelta(days=2))}
    return LiftosPlanOperator(task_id="plan", platform="meta", **options).execute(
        liftos.context("plan", params=days)
    )


def lost_on_mars(monkeypatch: pytest.MonkeyPatch, *lost: int) -> list[str]:
    """Ids of the accounts at these places, whose zone nobody knows any more."""
    ids: list[str] = []
    found = LiftosHook.accounts

    def accounts(self):
        known = found(self)
        ids.extend(known[i].account_id for i in lost or range(len(known)))
        return [replace(a, timezone="Mars/Olympus") if a.account_id in ids else a for a in known]

    monkeypatch.setattr(LiftosHook, "accounts", accounts)
    return ids


def test_an_account_that_cannot_be_planned_is_left_out_and_named(liftos, monkeypatch):
    lost = lost_on_mars(monkeypatch, 1)
    first, *others = planned(liftos, accounts_per_task=2)
    assert [item["account"]["account_id"] for item in first["failed"]] == lost
    assert "Mars/Olympus" in first["failed"][0]["error"]
    batches = [first, *others]
    ids = [item["account"]["account_id"] for batch in batches for item in batch["accounts"]]
    assert ids
    assert lost[0] not in ids
    assert not any("failed" in batch for batch in others)
    (row,) = Ledger(liftos.store, "default").rows(run_id="run")
    assert any("left out of this run" in text for text in row.warnings)


def test_a_plan_without_any_account_fails(liftos, monkeypatch):
    lost_on_mars(monkeypatch)
    with pytest.raises(AirflowFailException, match="Mars/Olympus"):
        planned(liftos)


def test_the_plan_says_what_the_platform_remembers_of_each_account(liftos):
    (batch, *_) = planned(liftos)
    assert "failed" not in batch
    item = batch["accounts"][0]
    assert item["memory"]["since"] < item["since"] <= item["until"] < item["memory"]["until"]
