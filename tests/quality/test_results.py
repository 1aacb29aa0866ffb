from __future__ import annotations

import json
from pathlib import Path

from sqlalchemy import select

from airflow_provider_liftos.quality.audit import audit
from airflow_provider_liftos.quality.results import record
from airflow_provider_liftos.state.clock import ManualClock
from airflow_provider_liftos.state.leases import Leases
from airflow_provider_liftos.state.store import StateStore
from airflow_provider_liftos.state.tables import quality_results, quality_scores
from airflow_provider_liftos.warehouses.duckdb import DuckDbWarehouse
from tests.quality.scene import (
    CLEAN,
    DAY1,
    DAY2,
    DAY3,
    ORG,
    TODAY,
    Scene,
    days,
    failing,
    finding,
    part,
    row,
)  # fmt: skip

RUN = {"org_id": ORG, "dag_id": "meta_daily", "run_id": "run-1", "load_id": "load_1"}


def test_findings_and_scores_are_kept(scene: Scene, tmp_path: Path) -> None:
    store = StateStore(f"sqlite:///{tmp_path / 'state.db'}", ManualClock(1000.0))
    outcome = scene.audit(scene.stage(part(), [*CLEAN, row(campaign="c3", reach=2000)]),
                          scene.failed(part(account="1002")))  # fmt: skip
    record(store, outcome, **RUN)
    with store.read() as connection:
        kept = connection.execute(select(quality_results)).mappings().all()
        scores = connection.execute(select(quality_scores)).mappings().all()
    assert len(kept) == len(outcome.findings)
    [broken] = [
        r for r in kept if r["rule"] == "reach_within_impressions" and r["status"] == "failed"
    ]
    assert broken["failing_share"] == finding(outcome, "reach_within_impressions").failing_share
    assert json.loads(broken["sample"])[0]["reach"] == "2000"
    assert (broken["report"], broken["level"], broken["created_at"]) == (
        "basic",
        "campaign",
        1000.0,
    )
    assert {s["account_id"]: s["score"] for s in scores} == {
        None: outcome.score.value, **{a: s.value for a, s in outcome.accounts.items()}
    }  # fmt: skip
    store.close()


def test_an_audit_that_is_repeated_replaces_its_results(scene: Scene, tmp_path: Path) -> None:
    store = StateStore(f"sqlite:///{tmp_path / 'state.db'}")
    result = scene.stage(part(), CLEAN)
    first = scene.audit(result, scene.failed(part(account="1002")))
    record(store, first, **RUN)
    record(store, first, **(RUN | {"run_id": "run-2"}))
    second = scene.audit(result)
    record(store, second, **RUN)
    with store.read() as connection:
        runs = [r.run_id for r in connection.execute(select(quality_results.c.run_id))]
    assert runs.count("run-1") == len(second.findings)
    assert runs.count("run-2") == len(first.findings)
    store.close()


def test_two_loads_of_one_run_keep_their_results(scene: Scene, tmp_path: Path) -> None:
    store = StateStore(f"sqlite:///{tmp_path / 'state.db'}")
    outcome = scene.audit(scene.stage(part(), CLEAN))
    for load_id in ("load_1", "load-1", "load_1"):
        record(store, outcome, **(RUN | {"load_id": load_id}))
    with store.read() as connection:
        kept = connection.execute(select(quality_results)).all()
        scores = connection.execute(select(quality_scores)).all()
    assert len(kept) == 2 * len(outcome.findings)
    assert len(scores) == 2 * (1 + len(outcome.accounts))
    store.close()


def test_a_real_warehouse_answers_the_audit(scene: Scene, tmp_path: Path) -> None:
    import hashlib
    from dataclasses import replace

    store = StateStore(f"sqlite:///{tmp_path / 'state.db'}")
    warehouse = DuckDbWarehouse(tmp_path / "warehouse.duckdb", Leases(store, ORG))
    warehouse.prepare()

    def sealed(result):
        [file] = result.staged
        return replace(
            result,
            staged=(
                replace(file, sha256=hashlib.sha256(Path(file.path).read_bytes()).hexdigest()),
            ),
        )

    def judged(result):
        manifest = scene.manifest(result)
        warehouse.load(manifest)
        return audit(manifest, warehouse=warehouse, expected_accounts=["1001"], today=TODAY)

    result = sealed(scene.stage(part(), CLEAN))
    assert not failing(judged(result))
    warehouse.publish(result, "load-1", ORG, 1.0)
    assert not failing(judged(sealed(scene.stage(part(), days(DAY1, DAY2, DAY3)))))
    assert failing(judged(sealed(scene.stage(part(), [])))) == {"empty_is_not_zero"}
    store.close()
