"""What the audit holds back is never seen, at any instant, whatever dies while the rest is published."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

import pytest

from airflow_provider_liftos.platforms import get
from airflow_provider_liftos.quality.audit import audit
from airflow_provider_liftos.quality.findings import Verdict
from airflow_provider_liftos.warehouses.duckdb_file import DuckDbSession
from tests.warehouses.staging import DAY1, DAY2, NOON, ORG, manifest, performance_row, report_slice
from tests.warehouses.test_duckdb_processes import finish, start

# 216 publications: every good slice dies at every statement before it is published, both where
# nothing was published and over an older run. Audits cost by the slice, so there are few.
RUNS, ACCOUNTS = 2, 24
PAUSE = 0.1  # seconds between two looks; some two publications take as long
STATEMENTS = 8  # of a publication, at the least
BAD = "666"  # what is spent on every row of a slice that must not be seen
SEEN = (
    f"SELECT count(*) FILTER (spend = {BAD}), count(*) - count(DISTINCT (account_id, date)),"
    " count(*) FILTER (campaign_id IS NULL OR currency <> 'EUR' OR is_mock)"
    " FROM liftos.performance"
)
FAULTS: tuple[dict[str, Any], ...] = (
    {"campaign_id": None}, {"currency": "USD"}, {"is_mock": True}, {"date": date(2026, 1, 1)},
)  # fmt: skip


class DyingError(Exception):
    """What a crash amid a publication looks like from outside: nothing is committed."""


@contextmanager
def dies_before(statement: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Inside the block a session dies at its statement of that number, from 0."""
    execute: Callable[..., Any] = DuckDbSession.execute
    done = 0

    def dying(self: DuckDbSession, *given: Any) -> Any:
        nonlocal done
        if done == statement:
            raise DyingError
        done += 1
        return execute(self, *given)

    with monkeypatch.context() as patched:
        patched.setattr(DuckDbSession, "execute", dying)
        yield


@pytest.fixture
def engine() -> str:
    return "duckdb"


def rows(run: int, account: int) -> tuple[list[dict[str, Any]], bool]:
    """Two good days, or one of five faults; every other slice is bad."""
    spend = str(1 + run)  # each run restates the ones before
    good = [performance_row(day, account_id=f"a{account}", spend=spend) for day in (DAY1, DAY2)]
    number = run * ACCOUNTS + account
    if number % 2:
        return good, False
    bad = [row | {"spend": BAD} for row in good]
    kind = number // 2 % (len(FAULTS) + 1)
    if kind < len(FAULTS):
        return [bad[0], bad[1] | FAULTS[kind]], True
    return [*bad, bad[0]], True  # a key twice


def test_bad_slices_are_never_seen(lab, monkeypatch):
    stop = lab.folder / "stop"
    child = start("watch", lab, SEEN, stop, PAUSE, state=False)
    assert child.stdout is not None
    assert child.stdout.readline() == "watching\n"
    held = published = 0
    for run in range(RUNS):
        load = f"l{run}"
        made = [
            (lab.staged(report_slice(account=f"a{n}"), given, load_id=load, as_of=NOON + run), bad)
            for n in range(ACCOUNTS)
            for given, bad in [rows(run, n)]
        ]
        whole = manifest(*(one for one, _ in made), load_id=load)
        lab.warehouse.load(whole)
        outcome = audit(
            whole, warehouse=lab.warehouse, today=DAY2, quality=get("meta").quality,
            expected_accounts=[f"a{n}" for n in range(ACCOUNTS)],
        )  # fmt: skip
        for (one, bad), decision in zip(made, outcome.decisions, strict=True):
            assert (decision.verdict is Verdict.QUARANTINE) is bad, decision.reasons
            if decision.verdict is Verdict.QUARANTINE:
                held += 1
                continue
            for statement in range(STATEMENTS):
                with dies_before(statement, monkeypatch), pytest.raises(DyingError):
                    lab.warehouse.publish(one, load, ORG, NOON)
            lab.warehouse.publish(one, load, ORG, NOON)
            published += 1
    stop.touch()
    seen, count = json.loads(finish(child))
    assert seen == ["[(0, 0, 0)]"]
    assert (held, published) == (24, 24)
    assert count >= published  # it looked all the while
    # The question would have told: one that was held back is published for once.
    one = next(one for one, bad in made if bad)
    lab.warehouse.publish(one, load, ORG, NOON + RUNS)
    assert lab.warehouse.query(SEEN)[0][0] > 0
