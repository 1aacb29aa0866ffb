"""Past days again, while another run brings the same days."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_liftos.cli.airflow_api import AirflowApiError
from airflow_provider_liftos.cli.proof import compare
from tests.airflow_live.live import Live

pytestmark = pytest.mark.airflow

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
MONDAY = TODAY - timedelta(days=TODAY.weekday() + 49)
"""Seven weeks ago: settled, so that two backfills must agree."""
DAYS = 14


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
    live.until(
        lambda: live.api.get(f"backfills/{number}")["completed_at"], "the backfill ends", 600
    )


def overlapping(live: Live, dag_id: str) -> str:
    """What a daily run with a long lookback does: the same days in one go, now."""
    span = {"since": str(MONDAY.date()), "until": str((MONDAY + timedelta(days=DAYS - 1)).date())}
    return live.start(dag_id, **span)


def begin(live: Live) -> dict[str, object]:
    live.api.wait_for_dag("live_weekly")
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


def newest_wins(live: Live, name: str) -> None:
    """Every published day is of the newest report that was asked for about it."""
    asked: dict[tuple[str, str], float] = {}
    begin_, end = str(MONDAY.date()), str((MONDAY + timedelta(days=DAYS - 1)).date())
    for entry in live.requests():
        if entry["method"] != "POST" or not entry["path"].endswith("/insights"):
            continue
        span = json.loads(entry["params"]["time_range"])
        account = entry["path"].split("act_")[1].split("/")[0]
        moment = datetime.fromisoformat(entry["time"]).timestamp()
        if begin_ <= span["since"] <= span["until"] <= end:
            day = datetime.fromisoformat(span["since"])
            while str(day.date()) <= span["until"]:
                key = (account, str(day.date()))
                asked[key] = max(asked.get(key, 0.0), moment)
                day += timedelta(days=1)
    rows = live.query(
        name,
        f"SELECT account_id, date, epoch(as_of) FROM liftos.loads WHERE date BETWEEN '{begin_}' AND '{end}'",
    )
    assert len(rows) == 2 * DAYS
    assert [row for row in rows if row[2] < asked[row[0], str(row[1])] - 2.0] == []


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
    live.api.wait_for_dag("live_daily")
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
