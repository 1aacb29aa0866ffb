"""OpenLineage: which datasets a task read and wrote."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_liftos.hooks.warehouse import lineage_of


def facets(platform: str, warehouse_conn_id: str | None, *, outputs: Sequence[str]) -> Any:
    """Datasets for OpenLineage; None where its provider is not installed."""
    try:
        from airflow.providers.common.compat.openlineage.facet import Dataset
        from airflow.providers.openlineage.extractors import OperatorLineage
    except ImportError:
        return None
    namespace, prefix = lineage_of(warehouse_conn_id)
    return OperatorLineage(
        inputs=[Dataset(namespace=f"liftos://{platform}", name="api")],
        outputs=[Dataset(namespace=namespace, name=f"{prefix}{name}") for name in outputs],
    )
