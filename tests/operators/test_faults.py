"""What goes wrong for people: one clear line, the right outcome, no secret, nothing lost.

A day is published; then a run of the same day meets trouble at some task. Whatever it is, what
people read must be as it was, and each line must say what to do.
"""

from __future__ import annotations

import errno
import io
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import duckdb
import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from airflow_provider_liftos.engine.staging import Staging
from airflow_provider_liftos.operators.load import LiftosLoadOperator
from airflow_provider_liftos.operators.normalize import LiftosNormalizeOperator
from airflow_provider_liftos.operators.publish import LiftosPublishOperator
from airflow_provider_liftos.operators.quality_gate import LiftosQualityGateOperator
from airflow_provider_liftos.resilience import breaker
from airflow_provider_liftos.resilience.backoff import Backoff
from airflow_provider_liftos.state.ledger import Ledger
from airflow_provider_liftos.warehouses.duckdb import DuckDbWarehouse
from tests.airflow_doubles import Deployment, deployment
from tests.operators.test_tasks import Chain

PHASES = ("plan", "extract", "normalize", "load", "audit", "publish")
SECRETS = ("sandbox-token", "sandbox-secret", "wrong-token-0815", "not-the-secret")
_RUNS = count()


class Run(Chain):
    """A dag run of its own; ``troubles`` are done before the task of that name."""

    def __init__(self, liftos: Deployment, **options: Any) -> None:
        super().__init__(liftos, **options)
        self.run_id = f"run-{next(_RUNS)}"
        self.phase = ""
        self.told: list[Any] = []

    def context(self, task_id: str, **parts: Any) -> dict[str, Any]:
        context = super().context(task_id, **parts)
        context["ti"].run_id = self.run_id
        return context

    def go(self, troubles: dict[str, Callable[[Run], None]] | None = None) -> None:
        """All tasks, as far as they get; ``told`` is what they return, ``phase`` the last one."""
        result: Any = None
        for self.phase in PHASES:
            (troubles or {}).get(self.phase, lambda _run: None)(self)
            result = getattr(self, f"_{self.phase}")(result)
            self.told.append(result)

    def _plan(self, _none: Any) -> Any:
        self.planned = self.plan()
        return self.planned

    def _extract(self, planned: Any) -> Any:
        return self.fetched(planned[0])

    def _normalize(self, extracted: Any) -> Any:
        return self._task(LiftosNormalizeOperator, extracted=extracted)

    def _load(self, normalized: Any) -> Any:
        return self._task(LiftosLoadOperator, normalized=[normalized])

    def _audit(self, loaded: Any) -> Any:
        return self._task(LiftosQualityGateOperator, loaded=loaded, planned=self.planned)

    def _publish(self, audited: Any) -> Any:
        return self._task(LiftosPublishOperator, audited=audited)

    def _task(self, operator: type, **parts: Any) -> Any:
        task = operator(task_id=self.phase, platform="meta", **parts)
        return task.execute(self.context(self.phase))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployment(tmp_path_factory.mktemp("faults"), report_seconds=0.0) as liftos:
        Run(liftos).go()
        yield liftos


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker.Breaker, "admit", lambda *_: None)
    monkeypatch.setattr(Backoff, "delay", lambda *_: 0.01)
    patient = DuckDbWarehouse.__init__.__kwdefaults__ or {}
    monkeypatch.setattr(DuckDbWarehouse.__init__, "__kwdefaults__", {**patient, "wait": 0.3})


def seen(liftos: Deployment) -> list[Any]:
    """What people read, but for when it was asked for."""
    found = []
    with duckdb.connect(liftos.folder / "warehouse.duckdb", read_only=True) as con:
        for table in ("performance", "campaigns"):
            aside = "as_of, load_id" + (", valid_from, row_hash" if table == "campaigns" else "")
            query = f"SELECT * EXCLUDE ({aside}) FROM liftos.{table} ORDER BY ALL"
            found.append(con.execute(query).fetchall())
    return found


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What is wrong, at which task it shows, and what is said. ``final``: nothing is retried."""

    at: str
    says: str
    final: bool
    extra: dict[str, Any] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    fault: dict[str, Any] = field(default_factory=dict)
    reports: tuple[Any, ...] = ("basic:campaign",)
    before: dict[str, Callable[[Run], None]] = field(default_factory=dict)


def damage(kind: str, content: bytes | None) -> Callable[[Run], None]:
    """Of all files of the newest load below a folder of staging: written over, or (None) gone."""

    def do(run: Run) -> None:
        folder = run.liftos.folder / "staging"
        load = run.told[1]["load_id"]
        files = [p for p in folder.glob(f"{kind}/**/*") if p.is_file() and load in str(p)]
        assert files
        for path in files:
            if content is None:
                path.unlink()
            else:
                path.write_bytes(content + path.read_bytes()[len(content) * 2 :])

    return do


def settings(name: str, value: str) -> Callable[[Run], None]:
    return lambda run: run.liftos.set(name, value.format(folder=run.liftos.folder))


def metrics(*names: str, breakdowns: tuple[str, ...] = ()) -> tuple[dict[str, Any], ...]:
    return (
        {"name": "mine", "level": "campaign", "metrics": names, "breakdowns": list(breakdowns)},
    )


HOURLY = "hourly_stats_aggregated_by_advertiser_time_zone"
ON_INSIGHTS = {"platform": "meta", "match": "insights"}
TROUBLES = {
    "a wrong token": Trouble(
        at="plan", final=True, extra={"access_token": "wrong-token-0815"},
        says="the access token is not valid.*Renew the token"),
    "no token": Trouble(
        at="plan", final=True, extra={"access_token": None},
        says="has no access_token.*Fill in the field"),
    "a token without the scope": Trouble(
        at="plan", final=True, extra={"access_token": "sandbox-token-noread"},
        says="lacks a permission.*Renew the token or its permissions"),
    "a wrong app secret": Trouble(
        at="plan", final=True, extra={"app_secret": "not-the-secret"},
        says="app_secret is not of the token's app.*Renew"),
    "an unknown account": Trouble(
        at="plan", final=True, params={"accounts": ["404"]},
        says="404: the account does not exist.*Correct the id"),
    "reversed dates": Trouble(
        at="plan", final=True, params={"since": "2026-01-02", "until": "2026-01-01"},
        says="before it begins"),
    "future dates": Trouble(
        at="plan", final=True, params={"since": "2999-01-01", "until": "2999-01-02"},
        says="begins in the future"),
    "dates beyond retention": Trouble(
        at="plan", final=True, params={"since": "2001-01-01", "until": "2001-01-01"},
        says="before the platform's memory"),
    "a wrong metric": Trouble(
        at="extract", final=True, reports=metrics("spent"), says="'spent'; did you mean 'spend'"),
    "a forbidden breakdown": Trouble(
        at="extract", final=True, reports=metrics("reach", breakdowns=(HOURLY,)),
        says="cannot be broken down by.*leave one of the two out"),
    "an account without permission": Trouble(
        at="publish", final=True, fault={"kind": "http_500", "code": 200, "status": 403},
        says=r"held back: \d+ basic:campaign.*lacks a permission"),
    "a token revoked meanwhile": Trouble(
        at="extract", final=True, fault={"kind": "token_revoked"},
        says="the access token is not valid.*Renew the token"),
    "a version that dies meanwhile": Trouble(
        at="extract", final=True, fault={"kind": "version_dead"}, says="switched off"),
    "a gateway's page": Trouble(
        at="extract", final=False, fault={"kind": "http_502_html"}, says="502"),
    "what is no JSON": Trouble(
        at="extract", final=False, fault={"kind": "http_502_html", "status": 200},
        says="not what the platform documents"),
    "a body that is cut": Trouble(
        at="extract", final=False, fault={"kind": "truncated_body"}, says="no whole answer"),
    "a connection that breaks": Trouble(
        at="extract", final=False, fault={"kind": "reset"}, says="no whole answer"),
    "staging that cannot be written": Trouble(
        at="extract", final=False, says="staging cannot be written: Not a directory",
        before={"extract": settings("staging_url", "{folder}/warehouse.duckdb/staging")}),
    "a damaged manifest": Trouble(
        at="normalize", final=False, says="Clear the task that wrote it",
        before={"normalize": damage("manifests", b"{")}),
    "a lost manifest": Trouble(
        at="normalize", final=False, says="Clear the task that wrote it",
        before={"normalize": damage("manifests", None)}),
    "damaged raw files": Trouble(
        at="normalize", final=False, says="(?i)clear", before={"normalize": damage("raw", b"x" * 40)}),
    "lost raw files": Trouble(
        at="normalize", final=False, says="(?i)clear", before={"normalize": damage("raw", None)}),
    "damaged Parquet": Trouble(
        at="load", final=False, says="(?i)clear", before={"load": damage("staged", b"x" * 40)}),
    "lost Parquet": Trouble(
        at="load", final=False, says="(?i)clear", before={"load": damage("staged", None)}),
    "Parquet damaged after loading": Trouble(
        at="publish", final=True, says="held back", before={"audit": damage("staged", b"x" * 40)}),
}  # fmt: skip


def ends(run: Run, trouble: Trouble, caplog: pytest.LogCaptureFixture) -> str:
    """The line a run ends with, once it has been looked at from all sides."""
    before = seen(run.liftos)
    caplog.set_level(logging.DEBUG)
    with pytest.raises(AirflowException, match=trouble.says) as caught:
        run.go(trouble.before)
    line = str(caught.value)
    assert run.phase == trouble.at
    assert isinstance(caught.value, AirflowFailException) is trouble.final
    assert "\n" not in line
    assert line.endswith(("Nothing is retried.", "while it has tries left."))
    assert seen(run.liftos) == before
    entries = Ledger(run.liftos.store, "default").rows(run_id=run.run_id)
    staged = [p.read_text() for p in (run.liftos.folder / "staging").glob("manifests/**/*.json")]
    everything = f"{line} {caplog.text} {entries} {json.dumps(run.told)} {staged}"
    assert [secret for secret in SECRETS if secret in everything] == []
    return line


@pytest.mark.parametrize("name", TROUBLES)
def test_trouble_is_one_line_with_the_right_outcome_and_changes_nothing(
    published: Deployment, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    trouble = TROUBLES[name]
    run = Run(published, reports=list(trouble.reports))
    run.params |= trouble.params
    published.connect("liftos_meta_default", extra=trouble.extra)
    if trouble.fault:
        account = run.params["accounts"][0]
        published.sandbox.faults.add(**ON_INSIGHTS, **trouble.fault, account=account)
    try:
        ends(run, trouble, caplog)
    finally:
        published.sandbox.faults.clear()
        published.connect("liftos_meta_default")
        published.set("staging_url", str(published.folder / "staging"))


def test_a_full_disk_is_one_line_and_the_task_may_try_again(
    published: Deployment, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.BytesIO):
        def write(self, _block: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Staging, "create", lambda *_: Full())
    trouble = Trouble(at="extract", says="No space left on device", final=False)
    ends(Run(published), trouble, caplog)


HOLD = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print('open', flush=True); input()"


@pytest.mark.parametrize("phase", ["load", "publish"])
def test_a_locked_warehouse_is_one_line_that_names_who_holds_it(
    published: Deployment, phase: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = str(published.folder / "warehouse.duckdb")
    held: list[subprocess.Popen[str]] = []

    def hold(_run: Run) -> None:
        command = [sys.executable, "-c", HOLD, path]
        held.append(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
        assert held[0].stdout is not None
        assert held[0].stdout.readline() == "open\n"

    before = seen(published)
    run = Run(published)
    try:
        with pytest.raises(AirflowException, match="Close what has the file open") as caught:
            run.go({phase: hold})
        assert str(held[0].pid) in str(caught.value)
    finally:
        for child in held:
            child.kill()
            child.communicate()
    assert run.phase == phase
    assert "\n" not in str(caught.value)
    assert not isinstance(caught.value, AirflowFailException)
    assert seen(published) == before
    assert Path(path).exists()
