"""Past days again, while another run brings the same days."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_liftos.cli.airflow_api import AirflowApiError
from airflow_provider_liftos.cli.proof import compare
from airflow_provider_liftos.engine.manifest import Manifest
from airflow_provider_liftos.hooks.observing import load_id
from tests.airflow_live.live import PATIENCE, Live

pytestmark = pytest.mark.airflow

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
MONDAY = TODAY - timedelta(days=TODAY.weekday() + 49)
"""Seven weeks ago: settled, so that two backfills must agree."""
DAYS = 14

Key = tuple[str, str]
"""An account and a day."""


def backfill(live: Live, dag_id: str, behaviour: str) -> int:
    """Start it; Airflow on SQLite gives up at the first locked database, and wants to be asked again."""

    def started() -> int | None:
        try:
            return live.api.create_backfill(
                dag_id,
                MONDAY,
                MONDAY + timedelta(days=DAYS, hours=-1),
                reprocess_behavior=behaviour,
                max_active_runs=2,
            )
        except AirflowApiError as error:
            if error.status == 409:  # an answer that got lost had started it
                return next(
                    int(found["id"])
                    for found in live.api.get("backfills", dag_id=dag_id)["backfills"]
                    if found["completed_at"] is None
                )
            if error.status not in {500, 503}:
                raise
            return None

    return live.until(started, "the database is free for a backfill")


def wait(live: Live, number: int) -> None:
    live.until(lambda: live.api.get(f"backfills/{number}")["completed_at"], "the backfill ends")


def overlapping(live: Live, dag_id: str) -> str:
    """What a daily run with a long lookback does: the same days in one go, now."""
    span = {"since": str(MONDAY.date()), "until": str((MONDAY + timedelta(days=DAYS - 1)).date())}
    return live.start(dag_id, **span)


def begin(live: Live) -> dict[str, object]:
    live.api.wait_for_dag("live_weekly", timeout=PATIENCE)
    number = backfill(live, "live_weekly", "none")
    return {"backfill": number, "run": overlapping(live, "live_weekly")}


def check(live: Live, name: str, runs: int) -> None:
    dag_id = f"live_{name}"
    done = [r for r in live.api.dag_runs(dag_id) if r["run_type"] == "backfill"]
    assert [r["state"] for r in done] == ["success"] * runs
    proof = compare(live.warehouse(name), live.sandbox.url)
    assert proof.differences == []
    days = live.query(
        name,
        f"SELECT count(DISTINCT date) FROM liftos.loads WHERE date BETWEEN '{MONDAY.date()}' AND '{(MONDAY + timedelta(days=DAYS - 1)).date()}'",
    )
    assert days == [(DAYS,)]


def arrivals(live: Live) -> dict[Key, list[float]]:
    """When reports about an account's day were asked for, as the platform has it."""
    found: dict[Key, list[float]] = {}
    for entry in live.requests():
        if entry["method"] == "POST" and entry["path"].endswith("/insights"):
            span = json.loads(entry["params"]["time_range"])
            account = entry["path"].split("act_")[1].split("/")[0]
            day, last = datetime.fromisoformat(span["since"]), datetime.fromisoformat(span["until"])
            while day <= last:
                moment = datetime.fromisoformat(entry["time"]).timestamp()
                found.setdefault((account, str(day.date())), []).append(moment)
                day += timedelta(days=1)
    return found


def fetched(live: Live, dag_id: str) -> dict[Key, list[float]]:
    """Of which moments the runs of a DAG have data about an account's day."""
    found: dict[Key, list[float]] = {}
    for run in live.api.dag_runs(dag_id):
        load = load_id(dag_id, run["dag_run_id"], "extract", "meta", "liftos_meta_some")
        for path in live.home.glob(f"staging/manifests/meta/{load}/extract/*.json"):
            for cut in Manifest.from_json(json.loads(path.read_text())).slices:
                for day in cut.slice.window.dates():
                    found.setdefault((cut.slice.account_id, str(day)), []).append(cut.as_of)
    return found


def newest_wins(live: Live, name: str) -> None:
    """What is published of a day is the newest that any run has of it, asked for when it says."""
    begin_, end = str(MONDAY.date()), str((MONDAY + timedelta(days=DAYS - 1)).date())
    rows = live.query(
        name,
        f"SELECT account_id, date, epoch(as_of) FROM liftos.loads WHERE date BETWEEN '{begin_}' AND '{end}'",
    )
    published = {(account, str(day)): moment for account, day, moment in rows}
    assert len(rows) == len(published) == 2 * DAYS
    known, asked = fetched(live, f"live_{name}"), arrivals(live)
    for key, moment in published.items():
        assert len(known[key]) > 1, "several runs brought it"
        assert moment == pytest.approx(max(known[key]), rel=0, abs=1e-3), key
        newest_first = zip(sorted(known[key])[::-1], sorted(asked[key])[::-1], strict=False)
        assert all(noted <= arrived for noted, arrived in newest_first), key


def test_a_backfill_may_overlap_another_run_and_the_newest_data_stays(live):
    begun = live.begun[__name__]
    live.succeed("live_weekly", begun["run"])
    wait(live, begun["backfill"])
    check(live, "weekly", 2)
    newest_wins(live, "weekly")


def test_the_same_backfill_again_publishes_the_same_rows(live):
    wait(live, live.begun[__name__]["backfill"])
    where = f"date BETWEEN '{MONDAY.date()}' AND '{(MONDAY + timedelta(days=DAYS - 1)).date()}'"
    before, [(old,)] = (
        live.checksum("weekly", where),
        live.query("weekly", f"SELECT max(as_of) FROM liftos.loads WHERE {where}"),
    )
    wait(live, backfill(live, "live_weekly", "completed"))
    check(live, "weekly", 2)
    assert live.checksum("weekly", where) == before
    assert before[0] > 0
    [(new,)] = live.query("weekly", f"SELECT min(as_of) FROM liftos.loads WHERE {where}")
    assert new > old, "it was really fetched again"


@pytest.mark.full
def test_a_daily_backfill_over_fourteen_days_twice(live):
    live.api.wait_for_dag("live_daily", timeout=PATIENCE)
    number = backfill(live, "live_daily", "none")
    run_id = overlapping(live, "live_daily")
    wait(live, number)
    live.succeed("live_daily", run_id)
    check(live, "daily", DAYS)
    newest_wins(live, "daily")
    before = live.checksum("daily")
    wait(live, backfill(live, "live_daily", "completed"))
    check(live, "daily", DAYS)
    assert live.checksum("daily") == before
