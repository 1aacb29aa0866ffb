"""The bad day of the demo: every way in which it may not have been stopped makes it fail."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest

from airflow_provider_liftos.cli import bad_day
from airflow_provider_liftos.cli.graded import tell
from airflow_provider_liftos.quality.findings import Status
from airflow_provider_liftos.state.ledger import Ledger, TaskRun
from airflow_provider_liftos.state.store import StateStore, open_store
from tests.quality.test_report_page import finding, keep

DAY = date(2026, 11, 20)
EARLY, LATE = (datetime(2026, 11, 21, hour, tzinfo=UTC) for hour in (6, 7))


class Played:
    """An Airflow whose second run changes the warehouse as the test says."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.api = self
        self.states = ["success", "failed"]
        self.failed_tasks = ["publish"]
        self.broken = {"1002"}
        self.published = {"1001": LATE}
        self.spend = 5.0
        self.held = ["1002 basic:ad 2026-11-18..2026-11-20: key_unique"]

    def wait_for_dag(self, dag_id: str) -> None: ...

    def unpause(self, dag_id: str) -> None: ...

    def dag_runs(self, dag_id: str) -> list[dict[str, str]]:
        return [{"dag_run_id": "run 1"}]

    def post_dag_run(self, dag_id: str, conf: dict[str, Any]) -> str:
        return "run 2"

    def wait_dag_run(self, dag_id: str, run_id: str, timeout: float) -> str:
        first = run_id == "run 1"
        (self._first if first else self._second)()
        return self.states[0 if first else 1]

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, str]]:
        done = [{"task_id": "audit", "state": "success"}]
        return done + [{"task_id": task, "state": "failed"} for task in self.failed_tasks]

    @property
    def store(self) -> StateStore:
        return open_store(f"sqlite:///{self.home / 'state.db'}")

    def _sql(self, *statements: str) -> None:
        with duckdb.connect(str(self.home / "warehouse.duckdb")) as connection:
            for statement in statements:
                connection.execute(statement)

    def _first(self) -> None:
        self._sql(
            "CREATE SCHEMA liftos",
            "CREATE TABLE liftos.performance (platform VARCHAR, account_id VARCHAR, date DATE,"
            " report VARCHAR, level VARCHAR, spend DOUBLE)",
            "CREATE TABLE liftos.loads (platform VARCHAR, account_id VARCHAR, date DATE,"
            " level VARCHAR, as_of TIMESTAMPTZ)",
        )
        for account, spend in (("1001", 1.0), ("1002", 5.0)):
            self._sql(
                f"INSERT INTO liftos.performance VALUES"
                f" ('meta', '{account}', '{DAY}', 'basic', 'account', {spend})",
                f"INSERT INTO liftos.loads VALUES ('meta', '{account}', '{DAY}', 'account', '{EARLY}')",
            )

    def _second(self) -> None:
        self._sql(f"UPDATE liftos.performance SET spend = {self.spend} WHERE account_id = '1002'")
        for account, moment in self.published.items():
            self._sql(f"UPDATE liftos.loads SET as_of = '{moment}' WHERE account_id = '{account}'")
        findings = [
            finding("key_unique", Status.FAILED if a in self.broken else Status.PASSED, account_id=a,
                    failing_share=float(a in self.broken), observed="1 rows repeat the key",
                    advice="Look closely.")
            for a in ("1001", "1002")
        ]  # fmt: skip
        keep(self.store, *findings, run="run 2")
        ledger = Ledger(self.store, "default")
        entry = ledger.start(
            TaskRun(
                dag_id=bad_day.DAG,
                run_id="run 2",
                task_id="publish",
                phase="publish",
                platform="meta",
            )
        )
        ledger.finish(entry, status="partial", warnings=tuple(self.held))


@pytest.fixture
def played(tmp_path, monkeypatch):
    proof = SimpleNamespace(compared=7, differences=[])
    monkeypatch.setattr(bad_day, "compare", lambda *_: proof)
    ordered: list[tuple[str, Any]] = []
    monkeypatch.setattr(bad_day, "_spoil", lambda url, *order: ordered.append(order))
    made = Played(tmp_path)
    made.proof, made.ordered = proof, ordered
    return made


def story(played: Played) -> bool:
    return bad_day.run(played.home, played, SimpleNamespace(url="http://127.0.0.1:1"))  # type: ignore[arg-type]


def test_a_day_that_is_stopped_and_explained_is_a_success(played, capsys):
    assert story(played)
    assert played.ordered == [("1002", DAY)]
    told = capsys.readouterr().out
    for words in (
        "stopped at the gate:", "1002 basic:ad", "why: key_unique (critical): 1 rows repeat the key",
        "expected: No two rows share a key.", "what to do: Look closely.", "quality score 50.0 (poor)",
        "yes  what people see of that account has not changed by one value",
    ):  # fmt: skip
        assert words in told
    assert "<h1>" in (played.home / "quality-liftos_meta.html").read_text()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("failed_tasks", ["audit", "publish"]),
        ("failed_tasks", []),
        ("broken", {"1001", "1002"}),
        ("broken", set()),
        ("published", {}),
        ("published", {"1001": LATE, "1002": LATE}),
        ("spend", 50.0),
        ("held", []),
        ("held", ["1002 basic:ad: x", "1001 basic:ad: x"]),
        ("states", ["success", "success"]),
        ("states", ["failed", "failed"]),
    ],
)
def test_anything_else_is_a_failure(played, name, value):
    setattr(played, name, value)
    assert not story(played)


@pytest.mark.parametrize(("compared", "differences"), [(0, []), (7, ["one"])])
def test_what_is_not_true_or_was_not_compared_is_a_failure(played, compared, differences):
    played.proof.compared, played.proof.differences = compared, differences
    assert not story(played)


def test_grades_are_told_in_one_line_and_as_a_page(tmp_path, capsys):
    store = open_store(f"sqlite:///{tmp_path / 'state.db'}")
    keep(store, finding(), finding("other", Status.NOT_APPLICABLE), run="r")
    page = tell(tmp_path, bad_day.DAG, "r")
    assert capsys.readouterr().out == (
        "liftos_meta: quality score 100.0 (excellent); rules: 1 hold, 1 do not apply\n"
    )
    assert page.read_text().startswith("<!doctype html>")
