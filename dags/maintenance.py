"""Every night: what is older than ``[liftos] retention_days`` says is deleted, ledgers are copied.

Old ledgers, results, letters, checkpoints and staged files go, and what waits in the warehouse for
its audit; nothing that is published. What is left of ledgers can be queried in the warehouse.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG

from airflow_provider_liftos.operators import maintenance

START = datetime(2024, 1, 1, tzinfo=UTC)

with DAG("liftos_maintenance", schedule="30 3 * * *", start_date=START, tags=["liftos"]):
    clean = maintenance.LiftosMaintenanceOperator(task_id="clean", warehouse_conn_ids=[None])
    clean >> maintenance.LiftosMirrorOperator(task_id="mirror", org_ids=["default"])
