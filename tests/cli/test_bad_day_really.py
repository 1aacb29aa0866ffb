"""The demo's bad day with everything real but Airflow's processes: sandbox, tasks, warehouse, proof."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException

from airflow_provider_liftos.cli import bad_day
from airflow_provider_liftos.operators.load import LiftosLoadOperator
from airflow_provider_liftos.operators.normalize import LiftosNormalizeOperator
from airflow_provider_liftos.operators.publish import LiftosPublishOperator
from airflow_provider_liftos.operators.quality_gate import LiftosQualityGateOperator
from tests.airflow_doubles import Deployment, deployment
from tests.operators.test_tasks import Chain

FIRST, SECOND = "scheduled", "by hand"
ACCOUNTS = 3


class Run(Chain):
    """One run of the DAG, its tasks one after the other."""

    def __init__(self, liftos: Deployment, run_id: str, params: Mapping[str, Any]) -> None:
        accounts = [a.id for a in liftos.sandbox.world.dataset("meta").accounts[:ACCOUNTS]]
        super().__init__(liftos, reports=bad_day.REPORTS, streams=("accounts", "campaigns"))
        self.run_id = run_id
        self.params = {"accounts": accounts, **params}
        self.failed: list[str] = []

    def context(self, task_id: str, **parts: Any) -> dict[str, Any]:
        context = super().context(task_id, **parts)
        context["ti"].dag_id, context["ti"].run_id = bad_day.DAG, self.run_id
        return context

    def to_end(self) -> None:
        [planned] = self.plan()
        normalized = self.done(
            LiftosNormalizeOperator, "normalize", extracted=self.fetched(planned)
        )
        loaded = self.done(LiftosLoadOperator, "load", normalized=[normalized])
        audited = self.done(LiftosQualityGateOperator, "audit", loaded=loaded, planned=[planned])
        self.done(LiftosPublishOperator, "publish", audited=audited)

    def done(self, task: Any, task_id: str, **given: Any) -> Any:
        try:
            return task(task_id=task_id, platform="meta", **given).execute(self.context(task_id))
        except AirflowException:
            self.failed.append(task_id)
            return None


class OneProcess:
    """What the bad day asks of an Airflow, answered by running the tasks right here."""

    def __init__(self, liftos: Deployment) -> None:
        self.api = self
        self._liftos = liftos
        self._runs = {FIRST: Run(liftos, FIRST, {"last_n_days": 10})}

    def wait_for_dag(self, dag_id: str) -> None: ...

    def unpause(self, dag_id: str) -> None: ...

    def dag_runs(self, dag_id: str) -> list[dict[str, str]]:
        return [{"dag_run_id": FIRST}]

    def post_dag_run(self, dag_id: str, params: Mapping[str, Any]) -> str:
        self._runs[SECOND] = Run(self._liftos, SECOND, params)
        return SECOND

    def wait_dag_run(self, dag_id: str, run_id: str, timeout: float) -> str:
        self._runs[run_id].to_end()
        return "failed" if self._runs[run_id].failed else "success"

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, str]]:
        failed = self._runs[run_id].failed
        return [{"task_id": task, "state": "failed"} for task in failed]


@pytest.fixture(scope="module")
def liftos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployment(tmp_path_factory.mktemp("home"), report_seconds=0.0) as made:
        yield made


def test_a_bad_day_is_stopped_at_the_gate_and_explained(
    liftos: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    home: Path = liftos.folder
    assert bad_day.run(home, OneProcess(liftos), liftos.sandbox)  # type: ignore[arg-type]
    told = capsys.readouterr().out
    holds = [line for line in told.splitlines() if line.startswith("yes  ")]
    assert len(holds) == 6, told
    assert "NO  " not in told
    assert f"why: {bad_day.RULE} (critical): " in told
    assert "what to do: " in told
    assert (home / f"quality-{bad_day.DAG}.html").exists()
