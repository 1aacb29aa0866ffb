"""Airflow 3.3 may fail a task whose trigger fires within seconds of its deferral."""

from __future__ import annotations

import pytest

from tests.airflow_live.live import Live

pytestmark = pytest.mark.airflow

TIMES = 3


def begin(live: Live) -> list[str]:
    return [live.start("live_deferrals") for _ in range(TIMES)]


def test_thirty_short_deferrals_three_times_lose_none(live):
    """With the shortest deferral that we allow and Airflow's own heartbeat, and no retry."""
    assert "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL" not in live.stack._env
    assert "AIRFLOW__LIFTOS__MIN_DEFER_SECONDS" not in live.stack._env
    for run_id in live.begun[__name__]:
        live.finish("live_deferrals", run_id)
        tasks = live.tasks("live_deferrals", run_id, "wait")
        assert len(tasks) == 30
        assert [t for t in tasks if t["state"] != "success"] == [], lost(live)


def lost(live: Live) -> str:
    log = live.stack.log("scheduler").read_text()
    return "\n".join(line for line in log.splitlines() if "reported that the task instance" in line)
