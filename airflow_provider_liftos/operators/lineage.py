"""OpenLineage: which datasets a task read and wrote."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_liftos.hooks import config


def facets(platform: str, warehouse_conn_id: str | None, *, outputs: Sequence[str]) -> Any:
    """Datasets for OpenLineage; None where its provider is not installed."""
    try:
        from airflow.providers.common.compat.openlineage.facet import Dataset
        from airflow.providers.openlineage.extractors import OperatorLineage
    except ImportError:
        return None
    place = warehouse_conn_id or config.duckdb_path()
    return OperatorLineage(
        inputs=[Dataset(namespace=f"liftos://{platform}", name="api")],
        outputs=[Dataset(namespace=f"duckdb://{place}", name=name) for name in outputs],
    )
