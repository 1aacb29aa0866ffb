"""OpenLineage hears which tables a task wrote."""

from __future__ import annotations

import pytest

from airflow_provider_liftos.operators import lineage
from airflow_provider_liftos.operators.load import LiftosLoadOperator
from airflow_provider_liftos.operators.publish import LiftosPublishOperator


def test_datasets_name_the_warehouse_and_its_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__LIFTOS__DUCKDB_PATH", "/data/w.duckdb")
    found = lineage.facets("meta", None, outputs=["liftos.performance", "liftos.ads"])
    assert [(d.namespace, d.name) for d in found.inputs] == [("liftos://meta", "api")]
    assert [(d.namespace, d.name) for d in found.outputs] == [
        ("duckdb:///data/w.duckdb", "liftos.performance"),
        ("duckdb:///data/w.duckdb", "liftos.ads"),
    ]


@pytest.mark.parametrize(
    "operator",
    [
        LiftosLoadOperator(task_id="load", platform="meta", normalized={}),
        LiftosPublishOperator(task_id="publish", platform="meta", audited={}),
    ],
)
def test_load_and_publish_tell_what_they_wrote(operator: object) -> None:
    operator.datasets = ["liftos.performance"]  # type: ignore[attr-defined]
    found = operator.get_openlineage_facets_on_complete(None)  # type: ignore[attr-defined]
    assert [dataset.name for dataset in found.outputs] == ["liftos.performance"]
