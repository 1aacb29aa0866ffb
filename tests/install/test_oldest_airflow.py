"""The oldest supported Airflow does the whole work: ``make test-floor``."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_liftos.cli.sandbox_process import SandboxProcess
from tests.install.environment import OLDEST, ROOT, Environment
from tests.ports import free_port

pytestmark = [pytest.mark.install, pytest.mark.full]

TEST_RUN = """
import sys
from airflow.dag_processing.dagbag import DagBag
dag = DagBag(sys.argv[1]).dags["liftos_meta"]
wanted = {"last_n_days": 3, "streams": ["campaigns"], "reports": ["basic:account", "basic:ad"]}
run = dag.test(run_conf=wanted)
answer = {"state": str(getattr(run.state, "value", run.state))}
"""


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[SandboxProcess]:
    process = SandboxProcess(tmp_path, port=free_port(), report_seconds=1.0)
    process.start()
    try:
        yield process
    finally:
        process.stop()


@pytest.mark.parametrize("release", ["oldest"], indirect=True, scope="session")
def test_a_dag_of_ours_publishes_what_is_true_under_dag_test(
    installed: Environment, scaffolded: Path, sandbox: SandboxProcess
) -> None:
    from airflow_provider_liftos.cli.proof import compare

    extra = {
        "access_token": "sandbox-token", "app_secret": "sandbox-secret",
        "requests_per_hour": 1_000_000, "requests_per_minute": 100_000,
    }  # fmt: skip
    connection = {"conn_type": "liftosmeta", "host": f"{sandbox.url}/meta", "extra": extra}
    env = {
        "AIRFLOW_CONN_LIFTOS_META_DEFAULT": json.dumps(connection),
        "AIRFLOW__CORE__DAGS_FOLDER": str(scaffolded),
        "AIRFLOW__LIFTOS__POLL_SECONDS": "1",
        "AIRFLOW__LIFTOS__MIN_DEFER_SECONDS": "0.5",
    }
    installed.run("airflow", "db", "migrate", **env)
    installed.run("airflow", "dags", "reserialize", **env)
    assert installed.ask(TEST_RUN, scaffolded, timeout=900, **env)["state"] == "success"
    proof = compare(installed.home / "liftos" / "warehouse.duckdb", sandbox.url)
    assert proof.compared > 0
    assert list(map(str, proof.differences)) == []


def test_the_demo_runs_through_its_scheduler_with_real_deferral(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    # The demo belongs to a checkout: installed as a developer would.
    made = Environment(tmp_path_factory.mktemp("demo"))
    made.install(OLDEST, "--editable", f"{ROOT}[google-ads]")
    ports = {"LIFTOS_SANDBOX_PORT": str(free_port())}
    command = [str(made.programs / "python"), "-m", "airflow_provider_liftos.cli.demo", "demo"]
    done = subprocess.run(
        [*command, "--home", str(made.folder / "liftos")],
        env=made.environment(**ports), cwd=made.folder, timeout=900,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all equal" in done.stdout
