"""A sample of what a platform can do wrong, under the real scheduler and triggerer.

One run of each platform at a time, side by side; each of six accounts meets another fault. The
whole matrix, without Airflow, is ``tests/platforms/test_conformance.py``; what each fault may cost
is taken from there.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import duckdb
import pytest

from airflow_provider_liftos.cli import demo
from airflow_provider_liftos.cli.proof import compare
from airflow_provider_liftos.platforms import names
from airflow_provider_liftos.sandbox import Sandbox
from tests.airflow_live.live import SETTLED, Live
from tests.platforms import cells

pytestmark = pytest.mark.airflow

DAYS, ACCOUNTS = 3, 6
POLL_SECONDS = 2
"""As the settings of this Airflow have it."""

STUCK: dict[str, Any] = {"kind": "job_stuck"}
FAULTS: dict[str, tuple[dict[str, Any], ...]] = {
    "meta": (
        {"kind": "rate_limit", "times": 1},
        {"kind": "http_500", "times": 3},
        {"kind": "job_failed", "times": 1},
        {"kind": "reset", "times": 3},
        {"kind": "truncated_body", "times": 2},
        STUCK,
    ),
    "google_ads": (
        {"kind": "rate_limit", "times": 2},
        {"kind": "http_500", "times": 3},
        {"kind": "token_expired", "times": 1},
        {"kind": "reset", "times": 3},
        {"kind": "truncated_body", "times": 2},
        {"kind": "empty_page_mid_stream", "times": 1},
    ),
    "tiktok": (
        {"kind": "rate_limit", "times": 1},
        {"kind": "http_500", "times": 3},
        {"kind": "job_failed", "times": 1},
        {"kind": "reset", "times": 3},
        {"kind": "truncated_body", "times": 2},
        STUCK,
    ),
}
"""By account. Google prepares no reports that might fail or never end."""

HELD = {"meta": 1}
"""Accounts whose reports cannot be had, which the others do not wait for. TikTok's are read at once
where a report never ends."""

POLLS = {"meta": "POST /meta/v26.0/", "tiktok": "task/check/"}


@dataclass
class Hurt:
    """A sandbox of these runs' own, so that nobody else meets its faults, or counts here."""

    live: Live
    sandbox: Sandbox
    runs: dict[str, str] = field(default_factory=dict)
    began: float = 0.0

    def accounts(self, platform: str) -> list[str]:
        return [one.id for one in self.sandbox.world.dataset(platform).accounts]

    def prepare(self) -> None:
        assert self.sandbox.grpc_target
        for one in demo.connections(self.sandbox.url):
            conn_id = one["connection_id"].replace("default", "hurt")
            extra = {**one["extra"], "org_id": "hurt"}
            self.live.api.create_connection(
                conn_id, one["conn_type"], host=one["host"], extra=extra
            )
        for platform in names():
            path = str(self.live.warehouse(f"hurt_{platform}"))
            self.live.api.create_connection(f"warehouse_hurt_{platform}", "duckdb", host=path)
            for account, order in zip(self.accounts(platform), FAULTS[platform], strict=True):
                self.sandbox.faults.add(platform=platform, account=account, **order)

    def start(self) -> None:
        self.began = time.time()
        for platform in names():
            self.runs[platform] = self.live.start(f"live_hurt_{platform}", **SETTLED)

    def shorten(self) -> None:
        """What a report that never ends has left of its time passes at once."""
        stuck = [self.accounts(platform)[-1] for platform in POLLS]
        marks = ", ".join("?" for _ in stuck)
        sql = (
            f"UPDATE slices SET deadline = 1 WHERE state = 'submitted' AND account_id IN ({marks})"
        )
        state = sqlite3.connect(self.live.home / "state.db", timeout=30)
        with closing(state), state:
            # Made by the first task that needs it.
            if state.execute("SELECT 1 FROM sqlite_master WHERE name = 'slices'").fetchone():
                state.execute(sql, stuck)

    def end(self) -> dict[str, str]:
        """States in which the runs end."""

        def ended() -> dict[str, str] | None:
            self.shorten()
            states = {
                platform: next(
                    run["state"]
                    for run in self.live.api.dag_runs(f"live_hurt_{platform}")
                    if run["dag_run_id"] == run_id
                )
                for platform, run_id in self.runs.items()
            }
            time.sleep(1)
            return states if {"success", "failed"} >= set(states.values()) else None

        return self.live.until(ended, "the runs end, whatever goes wrong")

    def journal(self, platform: str) -> list[dict[str, Any]]:
        return [e for e in self.sandbox.journal.entries(platform) if not e["batch"]]


@pytest.fixture(scope="module")
def hurt(live: Live) -> Iterator[Hurt]:
    with Sandbox(report_seconds=5.0, seed=11) as sandbox:
        made = Hurt(live=live, sandbox=sandbox)
        made.prepare()
        made.start()
        yield made


@pytest.fixture(scope="module")
def states(hurt: Hurt) -> dict[str, str]:
    return hurt.end()


@pytest.mark.parametrize("platform", names())
def test_each_account_ends_as_its_fault_lets_it_and_holds_up_no_other(hurt, states, platform):
    run_id = hurt.runs[platform]
    told = hurt.live.explain(f"live_hurt_{platform}", run_id)
    assert states[platform] == ("failed" if platform in HELD else "success"), told
    tasks = hurt.live.api.task_instances(f"live_hurt_{platform}", run_id)
    failed = {task["task_id"] for task in tasks if task["state"] != "success"}
    assert failed == ({"publish"} if platform in HELD else set()), told
    held = set(hurt.accounts(platform)[-HELD.get(platform, 0) or ACCOUNTS :])
    with closing(
        duckdb.connect(str(hurt.live.warehouse(f"hurt_{platform}")), read_only=True)
    ) as warehouse:
        loaded = warehouse.execute("SELECT DISTINCT account_id FROM liftos.loads").fetchall()
    assert {row[0] for row in loaded} == set(hurt.accounts(platform)) - held
    proof = compare(hurt.live.warehouse(f"hurt_{platform}"), hurt.sandbox.url)
    assert (proof.compared, proof.differences) == ((ACCOUNTS - len(held)) * DAYS, [])


@pytest.mark.parametrize("platform", names())
def test_what_went_wrong_costs_no_more_requests_than_it_may(hurt, states, platform):
    took = max(datetime.fromisoformat(e["time"]).timestamp() for e in hurt.journal(platform))
    took -= hurt.began
    allowed = sum(
        cells.of(platform).CALM + allowance(platform, order) for order in FAULTS[platform]
    )
    lines = [f"{entry['method']} {entry['path']}" for entry in hurt.journal(platform)]
    polls = [line for line in lines if line.endswith(POLLS.get(platform, " no polls"))]
    assert len(lines) - len(polls) <= allowed, lines
    assert len(polls) <= ACCOUNTS * (took / POLL_SECONDS + 2)


def allowance(platform: str, order: dict[str, Any]) -> int:
    """Requests that such a fault may cost, by the matrix."""
    never_ends = "times" not in order
    kinds = [one for one in cells.of(platform).CELLS if one.kind == order["kind"]]
    return next(one.extra for one in kinds if not never_ends or "times" not in one.order)


@pytest.mark.usefixtures("states")
@pytest.mark.parametrize("platform", ["meta", "tiktok"])
def test_a_token_that_ended_ends_the_run_at_once(hurt, platform):
    """Where nothing can be made of it; Google's are made anew, above."""
    asked = len(hurt.journal(platform))
    hurt.sandbox.faults.add(platform=platform, kind="token_expired")
    run_id = hurt.live.start(f"live_hurt_{platform}", **SETTLED)
    assert hurt.live.finish(f"live_hurt_{platform}", run_id) == "failed"
    tasks = hurt.live.api.task_instances(f"live_hurt_{platform}", run_id)
    assert {t["task_id"]: t["try_number"] for t in tasks if t["state"] == "failed"}["plan"] == 1
    assert len(hurt.journal(platform)) - asked <= 3
