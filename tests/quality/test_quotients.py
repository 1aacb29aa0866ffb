from __future__ import annotations

from dataclasses import replace

import duckdb
import pytest

from airflow_provider_liftos.model.quality import Quotient
from airflow_provider_liftos.platforms import discover, get
from airflow_provider_liftos.quality.findings import Status, Verdict
from airflow_provider_liftos.quality.own import VIRTUAL
from tests.quality.scene import CLEAN, Scene, finding, part

MOST = "999999999999.999999::DECIMAL(18,6)"
RICH = (
    f"SELECT {MOST} AS spend, {MOST} AS conversions_value, {MOST} AS conversions,"
    " 1::BIGINT AS clicks, 9000000000::BIGINT AS impressions, 1::BIGINT AS reach,"
    " 1.0::DECIMAL(18,6) AS frequency, 'default' AS attribution_window,"
    " true AS slice_usual_conversions, '{}'::JSON AS extra_metrics, 'meta' AS platform,"
    " DATE '2026-11-20' AS date, DATE '2026-11-20' AS date_end"
)
QUOTIENTS = [(one.name, q) for one in discover() for q in one.quality.quotients]


@pytest.mark.parametrize(
    ("platform", "quotient"), QUOTIENTS, ids=[f"{name} {q.metric}" for name, q in QUOTIENTS]
)
def test_a_day_of_a_trillion_is_computed_as_any_other(platform: str, quotient: Quotient) -> None:
    duckdb.sql(f"SELECT {quotient.formula} FROM ({RICH})").fetchall()


@pytest.mark.parametrize("name", sorted(VIRTUAL["performance"]))
def test_so_are_the_fields_that_users_schemas_may_name(name: str) -> None:
    sql, _ = VIRTUAL["performance"][name]
    duckdb.sql(f"SELECT {sql} FROM ({RICH})").fetchall()


def test_a_check_that_stumbles_leaves_the_others_alone(scene: Scene) -> None:
    stumbling = Quotient(metric="cpm", formula="1000000000.0 * spend", needs=("spend",))
    quality = replace(get("meta").quality, quotients=(stumbling,))
    rich = [one | {"spend": "999999999.5", "extra_metrics": '{"cpm": "5"}'} for one in CLEAN]

    outcome = scene.audit(scene.stage(part(), rich), quality=quality)

    assert finding(outcome, "derived_metrics_agree").status is Status.NOT_EVALUATED
    assert finding(outcome, "required_fields").status is Status.PASSED
    assert finding(outcome, "rows_in_slice").status is Status.PASSED
    assert outcome.decisions[0].verdict is not Verdict.QUARANTINE
