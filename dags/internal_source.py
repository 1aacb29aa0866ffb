"""Rows of your own beside the platforms': what offline advertising cost, and what it brought.

Paused until you name your connection and your query here. Each run reads the days whose rows have
changed; more examples are in ``include/config/internal_source.yaml``.
"""

from __future__ import annotations

from airflow_provider_liftos.operators.sql_pipeline import SqlPipeline

dag = SqlPipeline(
    "internal",
    conn_id="liftos_internal_default",
    sql="SELECT day, shop, cost, orders, revenue, changed_at FROM marketing.offline_spend",
    columns={"date": "day", "account_id": "shop", "spend": "cost", "conversions": "orders",
             "conversions_value": "revenue"},
    currency="EUR", timezone="Europe/Berlin", cursor="changed_at", overlap=600,
).dag("liftos_internal_source", is_paused_upon_creation=True)  # fmt: skip
