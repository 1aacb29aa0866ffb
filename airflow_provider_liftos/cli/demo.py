"""``make demo``, ``make up`` and ``make down``: everything on one machine, no credentials.

A real Airflow (api-server, scheduler, dag-processor, triggerer) runs the platform DAGs against the
sandbox; what is published must equal what the sandbox knows to be true.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from airflow_provider_liftos.cli import bad_day, sandbox_process, stack
from airflow_provider_liftos.cli.component import StackError
from airflow_provider_liftos.cli.graded import tell
from airflow_provider_liftos.cli.proof import Difference, compare
from airflow_provider_liftos.cli.sandbox_process import SandboxProcess
from airflow_provider_liftos.cli.stack import Stack
from airflow_provider_liftos.hooks import registry
from airflow_provider_liftos.model.errors import LiftosError
from airflow_provider_liftos.quality.report_drawings import shown

UI_PORT = 8080
_TIMEOUT = 300.0
_PATIENCE = 90.0
"""Seconds for the run on the platforms' assets, which begins when the scheduler sees the event."""
_UNFINISHED = {"queued", "running"}

FX_RATES = "liftos_fx_rates"
CROSS_PLATFORM = "liftos_cross_platform"


def platform_dags() -> list[str]:
    """The DAG of every platform."""
    return [f"liftos_{platform.name}" for platform in registry.declared()]


def settings(home: Path) -> dict[str, str]:
    """Our options for a deployment under one folder; polling is quick because reports are."""
    return {
        "AIRFLOW__LIFTOS__STAGING_URL": str(home / "staging"),
        "AIRFLOW__LIFTOS__STATE_URL": f"sqlite:///{home / 'state.db'}",
        "AIRFLOW__LIFTOS__DUCKDB_PATH": str(home / "warehouse.duckdb"),
        "AIRFLOW__LIFTOS__POLL_SECONDS": "2",
        "AIRFLOW__LIFTOS__ACCOUNTS_PER_TASK": "3",
    }


def connections(sandbox_url: str) -> list[dict[str, Any]]:
    """Connections to the sandbox, as a person would fill them in, with caps that suit it.

    Raises StackError when the sandbox does not tell its credentials.
    """
    import httpx2

    answer = httpx2.get(f"{sandbox_url}/_sandbox/connections", timeout=10.0, trust_env=False)
    if answer.status_code != httpx2.codes.OK:
        raise StackError(f"the sandbox at {sandbox_url} does not tell its credentials.")
    served = answer.json()
    return [
        {
            "connection_id": registry.default_conn_id(platform.name),
            "conn_type": platform.conn_type,
            "host": f"{sandbox_url}/{platform.name}",
            "extra": {limit.option: 1_000_000 for limit in platform.limits} | served[platform.name],
        }
        for platform in registry.declared()
        if platform.name in served
    ]


def connect(api: Any, sandbox_url: str) -> None:
    """Create them all."""
    for one in connections(sandbox_url):
        api.create_connection(
            one["connection_id"], one["conn_type"], host=one["host"], extra=one["extra"]
        )
    # The sandbox serves the same files as the European Central Bank.
    api.create_connection("liftos_ecb_default", "http", host=f"{sandbox_url}/ecb", extra={})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 0 when every DAG run succeeded and the totals are true."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=("demo", "up", "down"))
    parser.add_argument("--home", type=Path, default=Path(".liftos"))
    parser.add_argument("--quality", choices=("good", "bad"), default="good",
                        help="bad: a day that the quality gate must stop")  # fmt: skip
    options = parser.parse_args(arguments)
    home = options.home.resolve()
    try:
        if options.command == "down":
            return down(home)
        story = bad_day.run if options.quality == "bad" else _run
        return _start(home, stay=options.command == "up", story=story)
    except LiftosError as error:
        print(f"liftos: {error}", file=sys.stderr)
        return 1


def down(home: Path) -> int:
    """End what ``make up`` left running."""
    ended = stack.stop_recorded(home / "airflow")
    if sandbox_process.stop_recorded(home):
        ended.append("sandbox")
    print(f"ended: {', '.join(ended)}" if ended else "nothing was running")
    return 0


def _start(home: Path, *, stay: bool, story: Callable[[Path, Stack, SandboxProcess], bool]) -> int:
    began = time.monotonic()
    down(home)
    shutil.rmtree(home, ignore_errors=True)
    sandbox = SandboxProcess(home, port=_port("LIFTOS_SANDBOX_PORT", 8650))
    airflow = Stack(
        home / "airflow", _dags_folder(), env=settings(home),
        port=_port("LIFTOS_UI_PORT", UI_PORT) if stay else None,
    )  # fmt: skip
    done = False
    try:
        print("starting the sandbox and Airflow ...", flush=True)
        sandbox.start()
        airflow.start()
        connect(airflow.api, sandbox.url)
        done = _tested(airflow, sandbox) and story(home, airflow, sandbox)
    finally:
        if not (stay and done):
            airflow.stop()
            sandbox.stop()
    print(f"{'done' if done else 'FAILED'} in {time.monotonic() - began:.0f} s")
    if stay and done:
        print(
            f"Airflow: {airflow.base_url} (no login)   sandbox: {sandbox.url}   end it: make down"
        )
    return 0 if done else 1


def _tested(airflow: Stack, sandbox: SandboxProcess) -> bool:
    """Whether every connection works, as the UI's button says."""
    fine = True
    for one in connections(sandbox.url):
        # Airflow tests a connection under an id of its own, which must not exist.
        payload = one | {"connection_id": f"{one['connection_id']}_test"}
        worked, message = airflow.api.test_connection(payload)
        print(f"{one['connection_id']}: {message}")
        fine = fine and worked
    return fine


def _port(variable: str, default: int) -> int:
    return int(os.environ.get(variable) or default)


def _dags_folder() -> Path:
    folder = Path(__file__).parents[2] / "dags"
    if not folder.is_dir():
        raise StackError("make demo runs in a checkout: there is no dags/ beside the package.")
    return folder


def _run(home: Path, airflow: Stack, sandbox: SandboxProcess) -> bool:
    api = airflow.api
    asked: dict[str, dict[str, Any]] = {FX_RATES: {}}
    asked |= {dag_id: {"last_n_days": 30} for dag_id in platform_dags()}
    runs = {}
    for dag_id in (CROSS_PLATFORM, *asked):
        api.wait_for_dag(dag_id)
        api.unpause(dag_id)
    for dag_id, conf in asked.items():
        runs[dag_id] = api.post_dag_run(dag_id, conf)
        print(f"{dag_id}: run {runs[dag_id]} started", flush=True)
    fine = True
    for dag_id, run_id in runs.items():
        state = api.wait_dag_run(dag_id, run_id, timeout=_TIMEOUT)
        print(f"{dag_id}: {state}", flush=True)
        if state != "success":
            fine = False
            _explain(api, dag_id, run_id)
    if not fine:
        return False
    together = _together(api)
    summary = {dag_id: api.xcom(dag_id, runs[dag_id], "publish") for dag_id in platform_dags()}
    fine = _report(home, sandbox.url, summary)
    pages = [tell(home, dag_id, runs[dag_id]) for dag_id in platform_dags()]
    print(f"report pages: {', '.join(page.name for page in pages)} in {home}")
    return _side_by_side(together) and fine


def _together(api: Any) -> dict[str, Any]:
    """What the cross-platform DAG says of all that the platforms' DAGs have published.

    A comparison made while one of them was still publishing would be of half of it.
    """
    until = time.monotonic() + _PATIENCE
    found: dict[str, Any] = {"platforms": [], "warnings": ["it did not run"]}
    while time.monotonic() < until:
        published = [run for dag_id in platform_dags() for run in api.dag_runs(dag_id)]
        compared = api.dag_runs(CROSS_PLATFORM)
        if compared and not any(run["state"] in _UNFINISHED for run in (*published, *compared)):
            newest = max(compared, key=lambda run: str(run["start_date"]))
            found = api.xcom(CROSS_PLATFORM, newest["dag_run_id"], "compare")
            if newest["start_date"] >= max(run["end_date"] for run in published):
                break
        time.sleep(1.0)
    return found


def _side_by_side(together: dict[str, Any]) -> bool:
    """Print what each platform cost and earned; whether none is missing."""
    print()
    for one in together["platforms"]:
        spend, value = (float(one[name] or 0) for name in ("spend", "conversions_value"))
        print(
            f"{CROSS_PLATFORM}: {one['platform']:<12} {one['accounts']} accounts, spend"
            f" {one['currency']} {spend:,.2f}, value {value:,.2f}, ROAS {one['roas']}"
        )
    for text in together["warnings"]:
        print(f"{CROSS_PLATFORM}: {text}")
    return len(together["platforms"]) == len(platform_dags())


def _explain(api: Any, dag_id: str, run_id: str) -> None:
    for task in api.task_instances(dag_id, run_id):
        if task["state"] in {"failed", "upstream_failed"}:
            index = task["map_index"]
            print(f"--- {task['task_id']}[{index}]: {task['state']}")
            if task["state"] == "failed":
                log = api.task_log(dag_id, run_id, task["task_id"], map_index=index)
                print("\n".join(str(log).splitlines()[-15:]))


def _report(home: Path, sandbox_url: str, summary: dict[str, Any]) -> bool:
    """Print what was published and whether it is true."""
    result = compare(home / "warehouse.duckdb", sandbox_url)
    print()
    print(f"{'report':<44} {'level':<9} {'rows':>8} {'impressions':>13} {'conversions':>12}")
    for line in result.lines:
        print(
            f"{f'{line.platform} {line.report}':<44} {line.level:<9} {line.rows:>8,}"
            f" {line.impressions:>13,} {line.conversions:>12,.0f}"
        )
    print()
    for name, rows in result.entities.items():
        print(f"{name:<44} {'':<9} {rows:>8,}")
    print()
    for currency, spend in result.spend.items():
        print(f"spend, {result.days} days: {currency} {spend:,.2f}")
    for dag_id, facts in summary.items():
        print(f"{dag_id}: {facts['rows']:,} rows published, quality score {shown(facts['score'])}"
              f" ({facts['level']}), {facts['since']} to {facts['until']}")  # fmt: skip
    _verdict(result.differences, result.compared)
    print(f"look: {home / 'warehouse.duckdb'}, for instance"
          " SELECT * FROM liftos.campaign_report LIMIT 10")  # fmt: skip
    return not result.differences


def _verdict(differences: Sequence[Difference], compared: int) -> None:
    if not differences:
        print(f"truth: {compared:,} account-days compared with the sandbox, all equal")
        return
    print(f"truth: {len(differences)} of {compared} account-days DIFFER")
    for difference in differences[:10]:
        print(f"  {difference}")


if __name__ == "__main__":
    sys.exit(main())
