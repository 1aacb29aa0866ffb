"""What all platforms cost and earned, compared whenever one of them has published.

Runs on the platforms' assets: several that publish within one scheduler's turn make one run.
"""

from __future__ import annotations

from airflow.sdk import DAG, AssetAny

from airflow_provider_liftos.operators.assets import platform_assets
from airflow_provider_liftos.operators.cross_platform import LiftosCrossPlatformOperator

with DAG("liftos_cross_platform", schedule=AssetAny(*platform_assets()), tags=["liftos"]):
    LiftosCrossPlatformOperator(task_id="compare", last_days=30)
