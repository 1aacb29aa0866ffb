"""Every night: what is older than ``[liftos] retention_days`` says is deleted.

Ledgers, quality results, dead letters, checkpoints, limits and staged files, and what waits in the
audit schema of the warehouse. Nothing that is published is ever touched.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG

from airflow_provider_liftos.operators.maintenance import LiftosMaintenanceOperator

START = datetime(2024, 1, 1, tzinfo=UTC)

with DAG("liftos_maintenance", schedule="30 3 * * *", start_date=START, tags=["liftos"]):
    LiftosMaintenanceOperator(task_id="clean", warehouse_conn_ids=[None])
