"""``make demo QUALITY=bad``: a day that must not be published, and that it was not.

Meta's data is brought as ever. Then the sandbox is told to answer, for one account, yesterday's
rows twice: right, and beside it with ten times the spend. The run that follows must stop them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import httpx2

from airflow_provider_liftos.cli.component import StackError
from airflow_provider_liftos.cli.graded import graded, tell
from airflow_provider_liftos.cli.proof import compare
from airflow_provider_liftos.cli.sandbox_process import SandboxProcess
from airflow_provider_liftos.cli.stack import Stack
from airflow_provider_liftos.quality.findings import Status
from airflow_provider_liftos.quality.report import PlatformReport
from airflow_provider_liftos.transforms.duckdb import connect

DAG, PLATFORM = "liftos_meta", "meta"
RULE = "key_unique"
"""What two rows for the same day and ad break."""
REPORTS = ("basic:account", "basic:campaign", "basic:ad")
FACTOR = 10
_TIMEOUT = 300.0
_PATIENCE = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What people see of an account's days, and of everybody else's: when it was asked for."""

    rows: Mapping[str, int]
    """By account: a number that changes with any value of any row."""
    asked: Mapping[str, Any]


def run(home: Path, airflow: Stack, sandbox: SandboxProcess) -> bool:
    """Whether exactly what should happen has happened."""
    warehouse = home / "warehouse.duckdb"
    if not _first(airflow):
        return False
    account, day = _chosen(warehouse)
    before = _published(warehouse, day)
    _spoil(sandbox.url, account, day)
    print(
        f"planted: {day} of account {account} now comes twice, once with {FACTOR} times the spend"
    )
    run_id = airflow.api.post_dag_run(DAG, {"last_n_days": 3, "reports": list(REPORTS)})
    if not _ended(airflow, run_id, "the last three days, the bad one too", wanted="failed"):
        return False
    after = _published(warehouse, day)
    proof = compare(warehouse, sandbox.url)
    [judged] = graded(home, DAG, run_id)
    _explain(judged)
    print(f"report page: {tell(home, DAG, run_id)}")
    verdicts = {
        "only publish failed, on purpose": _failed_tasks(airflow, run_id) == ["publish"],
        f"{RULE} does not hold for that account, and for no other": _accounts(judged) == {account},
        "everything of that account with that day was held back, and nothing of others": bool(
            judged.held
        )
        and all(line.startswith(f"{account} ") for line in judged.held),
        "what people see of that account has not changed by one value": (
            before.rows[account] == after.rows[account]
            and before.asked[account] == after.asked[account]
        ),
        "all other accounts were published anew": all(
            after.asked[other] > moment
            for other, moment in before.asked.items()
            if other != account
        ),
        f"truth: {proof.compared:,} account-days compared with the sandbox, all equal": bool(
            proof.compared
        )
        and not proof.differences,
    }
    print()
    for words, holds in verdicts.items():
        print(f"{'yes' if holds else 'NO '}  {words}")
    return all(verdicts.values())


def _first(airflow: Stack) -> bool:
    """Whether the run that unpausing the DAG starts has succeeded: that of its last day.

    Another run beside it would leave open which of them published what.
    """
    api = airflow.api
    api.wait_for_dag(DAG)
    api.unpause(DAG)
    until = time.monotonic() + _PATIENCE
    while not (runs := api.dag_runs(DAG)):
        if time.monotonic() > until:
            raise StackError(f"the scheduler started no run of {DAG} in {_PATIENCE:g} s.")
        time.sleep(0.5)
    return _ended(airflow, runs[0]["dag_run_id"], "a month of Meta, as ever", wanted="success")


def _ended(airflow: Stack, run_id: str, what: str, *, wanted: str) -> bool:
    """Whether a run ended as wanted."""
    print(f"{DAG}: {what} ...", flush=True)
    state = airflow.api.wait_dag_run(DAG, run_id, timeout=_TIMEOUT)
    expected = "" if state == wanted else f", but should be {wanted}"
    print(f"{DAG}: {state}{expected}", flush=True)
    return state == wanted


def _chosen(warehouse: Path) -> tuple[str, date]:
    """The account that spent the most on the newest day of all."""
    with connect(warehouse, read_only=True, memory_limit="1GB") as connection:
        found = connection.execute(
            "SELECT account_id, date FROM liftos.performance WHERE platform = ? AND spend > 0"
            " AND report = 'basic' AND level = 'account' ORDER BY date DESC, spend DESC LIMIT 1",
            [PLATFORM],
        ).fetchone()
    if not found:
        raise StackError("nothing was published that a bad day could be made of.")
    return str(found[0]), found[1]


def _published(warehouse: Path, day: date) -> Published:
    with connect(warehouse, read_only=True, memory_limit="1GB") as connection:
        rows = connection.execute(
            "SELECT account_id, sum(hash(p)) FROM liftos.performance AS p WHERE platform = ?"
            " GROUP BY account_id",
            [PLATFORM],
        ).fetchall()
        asked = connection.execute(
            "SELECT account_id, max(as_of) FROM liftos.loads WHERE platform = ? AND date = ?"
            " AND level NOT IN ('snapshot', 'changes') GROUP BY account_id",
            [PLATFORM, day],
        ).fetchall()
    return Published(rows=dict(rows), asked=dict(asked))


def _spoil(sandbox_url: str, account: str, day: date) -> None:
    order = {
        "kind": "rows_changed", "platform": PLATFORM, "account": account, "date": str(day),
        "again": True, "multiply": {"spend": FACTOR},
    }  # fmt: skip
    answer = httpx2.post(f"{sandbox_url}/_sandbox/faults", json=order, timeout=10, trust_env=False)
    if answer.status_code != httpx2.codes.OK:
        raise StackError(f"the sandbox takes no such order: {answer.text}")


def _failed_tasks(airflow: Stack, run_id: str) -> list[str]:
    tasks = airflow.api.task_instances(DAG, run_id)
    return sorted({task["task_id"] for task in tasks if task["state"] != "success"})


def _accounts(judged: PlatformReport) -> set[str]:
    """Accounts that the rule does not hold for."""
    return {
        case.account_id
        for rule in judged.rules
        if rule.name == RULE
        for case in rule.cases
        if case.evaluated
    }


def _explain(judged: PlatformReport) -> None:
    """What stopped it, in the report's own words."""
    print("\nstopped at the gate:")
    for line in judged.held[:4]:
        print(f"  {line}")
    if len(judged.held) > 4:
        print(f"  and {len(judged.held) - 4} more")
    broken = [rule for rule in judged.rules if rule.status is Status.FAILED]
    for rule in broken:
        if rule.severity != "critical":
            continue
        case = rule.cases[0]
        print(f"why: {rule.name} ({rule.severity}): {case.observed}")
        print(f"expected: {rule.expected}")
        print(f"what to do: {case.advice}")
    others = ", ".join(rule.name for rule in broken if rule.severity != "critical")
    print(f"noticed beside it: {others or 'nothing'}")
