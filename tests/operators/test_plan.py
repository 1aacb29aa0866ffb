from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_liftos.hooks.liftos import LiftosHook
from airflow_provider_liftos.operators.plan import LiftosPlanOperator
from airflow_provider_liftos.state.ledger import Ledger
from tests.airflow_doubles import Deployment


def planned(liftos: Deployment, params: dict | None = None, **options) -> list[dict]:
    today = liftos.sandbox.clock.now().date()
    days = {"since": str(today - timedelta(days=3)), "until": str(today - timedelta(days=2))}
    return LiftosPlanOperator(task_id="plan", platform="meta", **options).execute(
        liftos.context("plan", params={**days, **(params or {})})
    )


def everybody(liftos: Deployment) -> list[str]:
    return [account.id for account in liftos.sandbox.world.dataset("meta").accounts]


def ids(batches: list[dict], key: str = "accounts") -> list[str]:
    return [item["account"]["account_id"] for batch in batches for item in batch.get(key, ())]


def lost_on_mars(monkeypatch: pytest.MonkeyPatch, *lost: int) -> list[str]:
    """Ids of the accounts at these places, whose zone nobody knows any more."""
    ids: list[str] = []
    chosen = LiftosHook.chosen

    def patched(self, named):
        known, unseen = chosen(self, named)
        ids.extend(known[i].account_id for i in lost or range(len(known)))
        zones = [replace(a, timezone="Mars/Olympus") if a.account_id in ids else a for a in known]
        return zones, unseen

    monkeypatch.setattr(LiftosHook, "chosen", patched)
    return ids


def test_an_account_that_cannot_be_planned_is_left_out_and_named(liftos, monkeypatch):
    lost = lost_on_mars(monkeypatch, 1)
    first, *others = planned(liftos, accounts_per_task=2)
    assert ids([first], "failed") == lost
    assert "Mars/Olympus" in first["failed"][0]["error"]
    assert set(ids([first, *others])) == {*everybody(liftos)} - {*lost}
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


@pytest.mark.parametrize("where", ["connection", "operator", "run"])
def test_an_id_that_the_token_does_not_see_is_left_out_and_named(liftos, where):
    seen = everybody(liftos)[:2]
    named = [seen[0], "404", seen[1]]
    options, params = {}, {}
    if where == "connection":
        liftos.connect("liftos_meta_default", extra={"account_ids": ",".join(named)})
    elif where == "operator":
        options["accounts"] = named
    else:
        params["accounts"] = named
    [batch] = planned(liftos, params, **options)
    assert ids([batch]) == seen
    assert ids([batch], "failed") == ["404"]
    error = batch["failed"][0]["error"]
    assert error.startswith("meta 404: the account does not exist, or the token has no access")
    assert "Correct the id" in error
    (row,) = Ledger(liftos.store, "default").rows(run_id="run")
    assert row.warnings == (f"left out of this run: {error}",)
    assert row.detail["failed"] == ["404"]


def test_what_the_connection_does_not_allow_is_told_from_what_the_token_does_not_see(liftos):
    first, second, *_ = everybody(liftos)
    liftos.connect("liftos_meta_default", extra={"account_ids": f"{first},404"})
    [batch] = planned(liftos, accounts=[first, second])
    assert ids([batch]) == [first]
    [failed] = batch["failed"]
    assert failed["account"]["account_id"] == second
    assert "account_ids do not name this account" in failed["error"]
    [batch] = planned(liftos, {"accounts": [first]})
    assert "failed" not in batch, "404 was not asked for"


def test_a_plan_with_nothing_but_unseen_ids_is_one_error(liftos):
    with pytest.raises(AirflowFailException, match="within reach: 404, 405"):
        planned(liftos, accounts=["404", "405"])
