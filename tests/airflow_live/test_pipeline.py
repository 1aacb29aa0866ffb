"""The shipped DAG and its pipeline, run by the scheduler."""

from __future__ import annotations

import re
import time
from datetime import date, timedelta
from typing import Any

import pytest

from airflow_provider_liftos.cli.proof import compare
from tests.airflow_live.live import PATIENCE, SETTLED, Live, days_ago

pytestmark = pytest.mark.airflow

FAULTY = {"since": days_ago(58), "until": days_ago(57)}
CLEARED = {"since": days_ago(35), "until": days_ago(34)}


def begin(live: Live) -> dict[str, str]:
    live.api.wait_for_dag("liftos_meta", timeout=PATIENCE)
    live.api.unpause("liftos_meta")  # the scheduler starts the daily run itself
    live.sandbox.faults.add(
        kind="job_failed", platform="meta", account=bad_account(live), date=FAULTY["since"]
    )
    return {
        "live_capped": live.start("live_capped", **SETTLED),
        "live_refused": live.start("live_refused", **SETTLED),
        "live_faulty": live.start("live_faulty", **FAULTY),
    }


def bad_account(live: Live) -> str:
    return live.sandbox.world.dataset("meta").accounts[1].id


@pytest.fixture(scope="module")
def cleared(live: Live) -> str:
    return live.start("live_cleared", **CLEARED)


def test_clearing_a_waiting_extract_task_attaches_to_the_same_reports(live, cleared):
    run_id = cleared
    live.wait_for_state("live_cleared", run_id, "extract", "deferred")
    asked = live.submitted(CLEARED)
    assert len(asked) == 2
    live.api.clear("live_cleared", run_id, ["extract"])
    live.succeed("live_cleared", run_id)
    assert live.submitted(CLEARED) == asked
    assert live.task("live_cleared", run_id, "extract")["try_number"] == 2


def test_clearing_a_finished_extract_task_fetches_afresh(live, cleared):
    run_id = cleared
    live.succeed("live_cleared", run_id)
    asked, before = live.submitted(CLEARED), live.checksum("cleared")
    [(first,)] = live.query("cleared", "SELECT min(as_of) FROM liftos.loads")
    live.api.clear("live_cleared", run_id, ["extract"], downstream=True)
    live.succeed("live_cleared", run_id)
    assert len(live.submitted(CLEARED)) == len(asked) + 2
    assert live.checksum("cleared") == before
    [(second,)] = live.query("cleared", "SELECT min(as_of) FROM liftos.loads")
    assert second > first


def test_a_refused_token_fails_the_run_at_once_with_one_line(live):
    run_id = live.begun[__name__]["live_refused"]
    assert live.finish("live_refused", run_id) == "failed"
    states = {
        t["task_id"]: (t["state"], t["try_number"])
        for t in live.api.task_instances("live_refused", run_id)
    }
    assert states["plan"] == ("failed", 1)
    assert states["load"][1] <= 1, "there is nothing to try again"
    log = live.log(live.task("live_refused", run_id, "plan"))
    said = [line for line in log.splitlines() if "the access token is not valid" in line]
    assert len(said) == 1, log
    assert "liftos_meta_refused" in said[0] or "Renew the token" in said[0]
    assert "Nothing is retried" in said[0]


def test_one_bad_account_does_not_keep_the_others_from_being_published(live):
    run_id, bad = live.begun[__name__]["live_faulty"], bad_account(live)
    assert live.finish("live_faulty", run_id) == "failed"
    states = {t["task_id"]: t["state"] for t in live.api.task_instances("live_faulty", run_id)}
    assert states == {
        "plan": "success", "extract": "success", "normalize": "success", "load": "success",
        "audit": "success", "publish": "failed",
    }  # fmt: skip
    log = live.log(live.task("live_faulty", run_id, "publish"), 1)
    assert (
        len(re.findall(rf"slices are published, \d+ were held back: {bad} basic:campaign", log))
        == 1
    )
    day = FAULTY["since"]
    published = {
        row[0]
        for row in live.query(
            "faulty", f"SELECT DISTINCT account_id FROM liftos.loads WHERE date = '{day}'"
        )
    }
    everybody = {account.id for account in live.sandbox.world.dataset("meta").accounts}
    assert everybody - published == {bad}
    proof = compare(live.warehouse("faulty"), live.sandbox.url)
    assert (proof.compared, proof.differences) == (5 * 2 + 1, [])  # its other day is fine


def test_the_shipped_dag_publishes_the_truth_and_says_so(live):
    [run] = [r for r in live.api.dag_runs("liftos_meta") if r["run_type"] == "scheduled"]
    run_id = run["dag_run_id"]
    live.succeed("liftos_meta", run_id)
    proof = compare(live.home / "warehouse.duckdb", live.sandbox.url)
    assert proof.compared == 6 * 7 * 29  # accounts, reports, yesterday and 28 days of restatement
    assert proof.differences == []
    extract = live.tasks("liftos_meta", run_id, "extract")
    assert len(extract) == 2
    for task in extract:
        assert re.search(r"deferring: \d+ reports are being prepared", live.log(task))
    summary = live.api.xcom("liftos_meta", run_id, "publish")
    day = date.fromisoformat(run["logical_date"][:10])
    assert (summary["since"], summary["until"]) == (str(day - timedelta(days=28)), str(day))
    assert (summary["accounts"], summary["held"]) == (6, 0)
    [event] = live.api.get("assets/events", source_dag_id="liftos_meta", limit=5)["asset_events"]
    assert {name: event["extra"][name] for name in summary} == summary


def test_tasks_link_to_the_ads_manager_and_to_the_ledger_page(live):
    [run] = [r for r in live.api.dag_runs("liftos_meta") if r["run_type"] == "scheduled"]
    run_id = run["dag_run_id"]
    live.succeed("liftos_meta", run_id)
    first = live.sandbox.world.dataset("meta").accounts[0].id
    links = live.api.extra_links("liftos_meta", run_id, "extract", map_index=0)
    assert (
        links["Ads manager"]
        == f"https://adsmanager.facebook.com/adsmanager/manage/campaigns?act={first}"
    )
    for task_id in ("plan", "load", "audit", "publish"):
        assert (
            live.api.extra_links("liftos_meta", run_id, task_id)["Run ledger"]
            == links["Run ledger"]
        )
    page = live.page(links["Run ledger"])
    assert page.status_code == 200
    assert page.text.count("<tr>") > 8
    assert "extract[1]" in page.text
    assert live.page(links["Run ledger"], "viewer").status_code == 200
    assert live.page(links["Run ledger"], None).status_code == 401


def test_the_ledger_page_knows_runs_of_every_organization(live):
    run_id = live.begun[__name__]["live_faulty"]
    live.finish("live_faulty", run_id)
    link = live.api.extra_links("live_faulty", run_id, "publish")["Run ledger"]
    page = live.page(link)
    assert "held back" in page.text
    assert "partial" in page.text


def test_a_limit_is_waited_for_without_a_slot_and_without_a_try(live):
    """One request an hour: the first run has it for its plan, everything else has to wait."""
    first = live.begun[__name__]["live_capped"]
    for task in live.until(lambda: _waiting(live, first, "extract", "deferred"), "extract waits"):
        assert task["try_number"] == 1
        assert task["trigger"]["classpath"].endswith("ReportTrigger")
    second = live.start("live_capped", **SETTLED)
    [plan] = live.until(lambda: _waiting(live, second, "plan", "up_for_reschedule"), "plan waits")
    asked = len(live.requests())
    time.sleep(3)
    assert live.task("live_capped", second, "plan")["state"] == "up_for_reschedule"
    assert live.task("live_capped", second, "plan")["try_number"] == plan["try_number"] == 1
    assert [r for r in live.requests(asked) if "adaccounts" in r["path"]] == []


def _waiting(live: Live, run_id: str, task_id: str, state: str) -> list[dict[str, Any]]:
    return [t for t in live.tasks("live_capped", run_id, task_id) if t["state"] == state]
