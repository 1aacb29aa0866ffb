"""Every day: what is published of all platforms, audited again, with a score for each of them.

Params since and until audit any days; on_block="fail" fails, wait_for="usual" waits for the data.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG

from airflow_provider_liftos.operators.assets import platform_assets
from airflow_provider_liftos.operators.quality_gate import LiftosQualityGateOperator

START = datetime(2024, 1, 1, tzinfo=UTC)

with DAG("liftos_quality_gate", schedule="0 16 * * *", start_date=START, catchup=False,
         params={"since": None, "until": None}, tags=["liftos"]):  # fmt: skip
    for name in (asset.name.removeprefix("liftos_") for asset in platform_assets()):
        LiftosQualityGateOperator(task_id=name, platform=name, last_days=30, organizations="all")
