from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from airflow_provider_liftos.cli.airflow_api import AirflowApiError
from airflow_provider_liftos.cli.component import StackError
from airflow_provider_liftos.cli.stack import Stack, stop_recorded
from tests.ports import free_port

DAG = """
from __future__ import annotations

import os
from datetime import timedelta

from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import DAG, BaseOperator, task


class Wait(BaseOperator):
    def execute(self, context):
        # longer than the heartbeat of tasks, see Airflow's race of short deferrals
        self.defer(trigger=TimeDeltaTrigger(timedelta(seconds=10)), method_name="resume")

    def resume(self, context, event=None):
        return "resumed"


with DAG("probe", schedule=None):

    @task
    def ordinary():
        print("a line of the task")
        return {"answer": 42, "stack_env": os.environ["STACK_TEST"]}

    ordinary() >> Wait(task_id="deferred", retries=1, retry_delay=timedelta(seconds=1))
"""


def run(stack: Stack) -> str:
    run_id = stack.api.post_dag_run("probe")
    state = stack.api.wait_dag_run("probe", run_id, timeout=900)
    tasks = {task["task_id"]: task["state"] for task in stack.api.task_instances("probe", run_id)}
    assert (state, tasks) == ("success", {"ordinary": "success", "deferred": "success"})
    return run_id


@pytest.mark.airflow
def test_runs_go_through_the_scheduler_and_survive_killed_components(tmp_path):
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "probe.py").write_text(DAG)
    stack = Stack(
        tmp_path / "home",
        dags,
        env={"STACK_TEST": "mine"},
        port=free_port(),
        triggerers=2,
        patience=900,
    )
    with stack:
        api = stack.api
        assert api.wait_for_dag("probe", timeout=900)["is_paused"]
        api.unpause("probe")
        run_id = run(stack)
        assert api.xcom("probe", run_id, "ordinary") == {"answer": 42, "stack_env": "mine"}
        assert "a line of the task" in api.task_log("probe", run_id, "ordinary")
        assert api.extra_links("probe", run_id, "ordinary") == {}

        (dags / "broken.py").write_text("from airflow.sdk import DAG\n1 / 0\n")
        with pytest.raises(AirflowApiError, match="ZeroDivisionError"):
            api.wait_for_dag("broken", timeout=900)

        for name in ("triggerer", "scheduler"):
            stack.kill(name)
            assert stack.processes()[name] == []
            stack.start_component(name)
        with pytest.raises(StackError, match=r"scheduler of .* is running already"):
            stack.start_component("scheduler")
        run(stack)

        with pytest.raises(StackError, match=r"is running already.*make down"):
            Stack(stack.home, dags).start()
        seen = [pid for pids in stack.processes().values() for pid in pids]
        assert len(seen) >= len(stack.names)
        assert listening(seen) == {("127.0.0.1", stack.port)}
    assert [pid for pid in seen if psutil.pid_exists(pid)] == []
    assert of_home(stack.home) == []


def listening(pids: list[int]) -> set[tuple[str, int]]:
    connections = [c for pid in pids for c in psutil.Process(pid).net_connections("inet")]
    return {(c.laddr.ip, c.laddr.port) for c in connections if c.status == psutil.CONN_LISTEN}


def of_home(home: Path) -> list[psutil.Process]:
    """Processes that still work in the home, wherever they were moved to."""
    found = []
    for process in psutil.process_iter(["cwd"]):
        if process.info["cwd"] == str(home):
            found.append(process)
    return found


@pytest.mark.airflow
def test_a_component_that_dies_at_once_is_reported_with_the_end_of_its_log(tmp_path):
    broken = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "sqlite:////nowhere/at/all.db"}
    stack = Stack(tmp_path / "home", tmp_path, env=broken)
    with pytest.raises(StackError, match=r"(?s)migrate ended with code 1.*unable to open database"):
        stack.start()
    assert of_home(stack.home) == []


def test_a_port_in_use_is_reported_before_anything_starts(tmp_path):
    with closing(socket.socket()) as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(StackError, match=f"port {port} is in use"):
            Stack(tmp_path / "home", tmp_path, port=port).start()
    assert not (tmp_path / "home" / "logs").exists()


def test_down_ends_what_another_process_started(tmp_path):
    program = f"""
import sys
from pathlib import Path
from airflow_provider_liftos.cli import component
from airflow_provider_liftos.cli.stack import _record
home = Path({str(tmp_path)!r})
sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
names = ("api-server", "scheduler")
started = [component.spawn(n, sleeper, env={{}}, cwd=home, log=home / "x.log")[0] for n in names]
_record(home, 1, started)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
    assert stop_recorded(tmp_path, grace=2) == ["api-server", "scheduler"]
    assert of_home(tmp_path) == []
    assert stop_recorded(tmp_path) == []
