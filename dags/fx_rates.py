"""Exchange rates of the European Central Bank, every working day.

The views convert by them. The ECB publishes around 16:00 CET; a connection ``liftos_ecb_default``
of type http is needed only where its files come from another host.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG

from airflow_provider_liftos.operators.fx_rates import LiftosFxRatesOperator

START = datetime(2024, 1, 1, tzinfo=UTC)

with DAG("liftos_fx_rates", schedule="30 16 * * 1-5", start_date=START, tags=["liftos"]):
    LiftosFxRatesOperator(task_id="load", conn_id="liftos_ecb_default")
