"""What the live tests say and ask: runs, warehouses, the journal of the sandbox."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2

from airflow_provider_liftos.cli.airflow_api import AirflowApi
from airflow_provider_liftos.cli.stack import Stack
from airflow_provider_liftos.model.unified import PERFORMANCE, Role
from airflow_provider_liftos.sandbox import Sandbox

WAREHOUSES = ("steady", "killed", "cleared", "faulty", "refused", "capped", "weekly", "daily")
CAPS = {"requests_per_hour": 1_000_000, "requests_per_minute": 100_000}


PATIENCE = 900.0
"""Seconds for what comes sooner or later: other tests may use every core."""


def days_ago(days: int) -> str:
    return str(datetime.now(UTC).date() - timedelta(days=days))


SETTLED = {"since": days_ago(33), "until": days_ago(31)}
"""Days whose conversions have all come: two runs over them must agree."""


class LoggedIn(AirflowApi):
    """The client of an Airflow that asks who is there."""

    def token(self) -> str:
        if self._token is None:
            self._token = self.log_in("admin")
        return self._token

    def log_in(self, user: str) -> str:
        body = {"username": user, "password": user}
        answer = httpx2.post(f"{self.base_url}/auth/token", json=body, timeout=60, trust_env=False)
        return str(answer.raise_for_status().json()["access_token"])


@dataclass
class Live:
    stack: Stack
    sandbox: Sandbox
    home: Path
    metadata_url: str
    begun: dict[str, Any] = field(default_factory=dict)

    @property
    def api(self) -> AirflowApi:
        return self.stack.api

    # --- runs ---------------------------------------------------------------------------------

    def start(self, dag_id: str, **conf: Any) -> str:
        self.api.wait_for_dag(dag_id, timeout=PATIENCE)
        self.api.unpause(dag_id)
        return self.api.post_dag_run(dag_id, conf)

    def finish(self, dag_id: str, run_id: str, *, timeout: float = PATIENCE) -> str:
        return self.api.wait_dag_run(dag_id, run_id, timeout=timeout)

    def succeed(self, dag_id: str, run_id: str, *, timeout: float = PATIENCE) -> None:
        state = self.finish(dag_id, run_id, timeout=timeout)
        assert state == "success", self.explain(dag_id, run_id)

    def explain(self, dag_id: str, run_id: str) -> str:
        lines = [f"{dag_id} {run_id}"]
        for task in self.api.task_instances(dag_id, run_id):
            lines.append(
                f"{task['task_id']}[{task['map_index']}] {task['state']} try {task['try_number']}"
            )
            if task["state"] == "failed":
                lines += self.log(task).splitlines()[-12:]
        return "\n".join(lines)

    def log(self, task: Mapping[str, Any], try_number: int | None = None) -> str:
        return self.api.task_log(
            task["dag_id"], task["dag_run_id"], task["task_id"], try_number, task["map_index"]
        )

    def tasks(self, dag_id: str, run_id: str, task_id: str) -> list[dict[str, Any]]:
        found = self.api.task_instances(dag_id, run_id)
        return sorted((t for t in found if t["task_id"] == task_id), key=lambda t: t["map_index"])

    def task(self, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
        return self.tasks(dag_id, run_id, task_id)[0]

    def wait_for_state(
        self, dag_id: str, run_id: str, task_id: str, *states: str, timeout: float = PATIENCE
    ) -> dict[str, Any]:
        def seen() -> dict[str, Any] | None:
            return next(
                (t for t in self.tasks(dag_id, run_id, task_id) if t["state"] in states), None
            )

        return self.until(seen, f"{task_id} of {dag_id} is {' or '.join(states)}", timeout)

    def until(
        self, seen: Callable[[], Any], what: str, timeout: float = PATIENCE, every: float = 0.5
    ) -> Any:
        """What is seen in the end; ``every``: seconds, since each look at Airflow costs it time."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if found := seen():
                return found
            time.sleep(every)
        raise AssertionError(f"in vain for {timeout:g} s: {what}")

    # --- the plugin and other pages ------------------------------------------------------------

    def page(self, path: str, token: str | None = "admin") -> httpx2.Response:
        """A page as a user; ``token`` is whose, None for nobody's."""
        headers = {"Authorization": f"Bearer {self.api.log_in(token)}"} if token else {}
        return httpx2.get(
            f"{self.stack.base_url}{path}", headers=headers, timeout=60, trust_env=False
        )

    # --- processes ----------------------------------------------------------------------------

    def kill_task(self, task: Mapping[str, Any]) -> None:
        """SIGKILL a task's own process; its supervisor lives on."""
        pid = self.api.get(
            f"dags/{task['dag_id']}/dagRuns/{task['dag_run_id'].replace('+', '%2B')}/taskInstances/{task['task_id']}"
            + (f"/{task['map_index']}" if task["map_index"] >= 0 else "")
        )["pid"]
        assert pid in self.stack.processes()["scheduler"], "not a process of this Airflow"
        os.kill(pid, signal.SIGKILL)

    def working(self, run_id: str, phase: str) -> bool:
        """Whether a task is in the middle of its work, by the run ledger."""
        sql = "SELECT 1 FROM run_ledger WHERE run_id = ? AND phase = ? AND status = 'running'"
        return bool(self.state(sql, run_id, phase))

    def fetched(self, run_id: str) -> set[str]:
        """Reports of the run that are safely on staging, by the checkpoints."""
        sql = "SELECT report_id FROM slices WHERE scope LIKE ? AND state = 'fetched'"
        return {row[0] for row in self.state(sql, f"%/{run_id}/%") if row[0]}

    def state(self, sql: str, *values: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.home / "state.db", timeout=30)) as connection:
            return connection.execute(sql, values).fetchall()

    def kill_and_restart(self, component: str) -> None:
        self.stack.kill(component)
        self.stack.start_component(component)

    # --- what was published -------------------------------------------------------------------

    def warehouse(self, name: str) -> Path:
        return self.home / f"{name}.duckdb"

    def query(self, name: str, sql: str) -> list[tuple[Any, ...]]:
        import duckdb

        with closing(duckdb.connect(str(self.warehouse(name)), read_only=True)) as connection:
            return connection.execute(sql).fetchall()

    def checksum(self, name: str, where: str = "true") -> tuple[int, int]:
        """Rows and a digest of performance without lineage: who loaded a row, and when."""
        columns = [c.name for c in PERFORMANCE.columns if c.role is not Role.LINEAGE]
        quoted = ", ".join(f'"{c}"' for c in columns)
        sql = f"SELECT count(*), coalesce(sum(CAST(hash({quoted}) AS HUGEINT)), 0) FROM liftos.performance WHERE {where}"
        rows, digest = self.query(name, sql)[0]
        return int(rows), int(digest)

    # --- the sandbox ---------------------------------------------------------------------------

    def hold(self, match: str, seconds: float, account: str | None = None) -> Callable[[], bool]:
        """Let the next such request hang; the answer says whether it hangs by now."""
        order: dict[str, Any] = {
            "kind": "slow",
            "platform": "meta",
            "match": match,
            "times": 1,
            "seconds": seconds,
        }
        number = self.sandbox.faults.add(**order, **({"account": account} if account else {}))
        return lambda: number not in {one["id"] for one in self.sandbox.faults.listed()}

    def submitted(self, span: Mapping[str, str]) -> list[str]:
        """Paths of the reports asked for over exactly these days, in the order of asking."""
        return [
            entry["path"]
            for entry in self.sandbox.journal.entries("meta", contains="POST")
            if entry["path"].endswith("/insights")
            and json.loads(entry["params"].get("time_range", "{}")) == dict(span)
        ]

    def requests(self, since: int = 0) -> list[dict[str, Any]]:
        return self.sandbox.journal.entries("meta")[since:]
