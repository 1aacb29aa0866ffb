"""kill -9 of triggerer, scheduler and tasks at moments of a run, which ends as if nothing had been."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest

from tests.airflow_live.live import SETTLED, Live

pytestmark = pytest.mark.airflow

DAG = "live_killed"
PLANNED = 6 * 2
"""Accounts times reports."""


@dataclass
class Run:
    """A run that is to suffer."""

    live: Live
    run_id: str
    requests: int
    submitted: int
    kills: int = 0
    finished: set[str] = field(default_factory=set)

    @classmethod
    def start(cls, live: Live) -> Run:
        """Begin, and remember how much the sandbox had been asked before."""
        requests, submitted = len(live.requests()), len(live.submitted(SETTLED))
        run_id = live.start(DAG, **SETTLED)
        return cls(live=live, run_id=run_id, requests=requests, submitted=submitted)

    def _running(self, task_id: str) -> list[dict]:
        tasks = self.live.tasks(DAG, self.run_id, task_id)
        return [task for task in tasks if task["state"] == "running"]

    def at(self, moment: str, victim: str) -> None:
        """Wait for the moment, kill, and bring back what does not come back by itself."""
        task_id = "extract" if moment in {"submitting", "waiting", "fetching"} else moment
        getattr(self, moment)()
        safe = self.live.fetched(self.run_id)
        tasks = self.live.tasks(DAG, self.run_id, task_id)
        busy = [task for task in tasks if task["state"] == "running"]
        if victim == "task" and not busy:
            busy = self.live.until(lambda: self._running(task_id), f"{task_id} runs")
        # A scheduler takes all tasks with it, each of which may have just asked for a report.
        self.kills += max(len(busy), 1) if victim == "scheduler" else 1
        if victim == "task":
            self.live.kill_task(busy[0])
        else:
            self.live.kill_and_restart(victim)
        self.finished |= safe

    def plan(self) -> None:
        self._hold("GET .*adaccounts")

    def submitting(self) -> None:
        self._hold("POST .*/insights")

    def waiting(self) -> None:
        self.live.wait_for_state(DAG, self.run_id, "extract", "deferred")

    def fetching(self) -> None:
        self._hold(r"GET .*/\d+/insights")
        self.live.until(lambda: self.live.fetched(self.run_id), "a slice is fetched")

    def normalize(self) -> None:
        self._working("normalize")

    def load(self) -> None:
        self._working("load")

    def publish(self) -> None:
        self._working("publish")

    def _hold(self, match: str) -> None:
        self.live.until(self.live.hold(match, 8.0), f"{match} hangs")

    def _working(self, phase: str) -> None:
        seen = lambda: self.live.working(self.run_id, phase)  # noqa: E731
        self.live.until(seen, f"{phase} works", every=0.05)


def survives(run: Run) -> None:
    """The run ends well, with the same rows, and paid little for it."""
    live = run.live
    live.succeed(DAG, run.run_id)
    assert live.checksum("killed") == live.checksum("steady")
    mine = [r for r in live.requests(run.requests) if r["path"].endswith("/insights")]
    submitted = live.submitted(SETTLED)[run.submitted :]
    assert PLANNED <= len(submitted) <= PLANNED + run.kills
    pages = Counter(r["path"].rsplit("/", 2)[-2] for r in mine if r["method"] == "GET")
    assert run.finished <= set(pages)
    assert [report for report in run.finished if pages[report] > 1] == []
    open_entries = (
        "SELECT task_id, try_number FROM run_ledger WHERE run_id = ? AND status = 'running'"
    )
    assert live.state(open_entries, run.run_id) == []


def begin(live: Live) -> str:
    return live.start("live_steady", **SETTLED)


@pytest.fixture
def steady(live: Live) -> None:
    """The same days without any harm."""
    live.succeed("live_steady", live.begun[__name__])


def test_a_run_that_is_killed_at_five_moments_ends_as_if_nothing_had_been(live, steady):
    run = Run.start(live)
    for moment, victim in (
        ("submitting", "task"),
        ("waiting", "triggerer"),
        ("fetching", "scheduler"),
        ("load", "task"),
        ("publish", "task"),
    ):
        run.at(moment, victim)
    survives(run)
    tries = {t["task_id"]: t["try_number"] for t in live.api.task_instances(DAG, run.run_id)}
    assert tries["load"] == tries["publish"] == 2


@pytest.mark.full
@pytest.mark.parametrize("victim", ["task", "scheduler", "triggerer"])
@pytest.mark.parametrize("moment", ["plan", "submitting", "waiting", "fetching", "load", "publish"])
def test_a_run_survives_each_kill_at_each_moment(live, steady, moment, victim):
    if (moment, victim) == ("waiting", "task"):
        pytest.skip("while reports are prepared, no process of the task exists")
    run = Run.start(live)
    run.at(moment, victim)
    survives(run)
