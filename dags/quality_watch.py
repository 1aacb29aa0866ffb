"""Every hour: is the data of each platform, account and table there when it is due?

Who is to be told of what is late goes into ``notifiers``, for instance a ``SlackWebhookNotifier``
with text ``{{ alert_slack }}``, or a ``SmtpNotifier`` with subject ``{{ alert_title }}``.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG

from airflow_provider_liftos.operators.quality_watch import LiftosQualityWatchOperator

START = datetime(2024, 1, 1, tzinfo=UTC)

with DAG("liftos_quality_watch", schedule="@hourly", start_date=START, catchup=False,
         max_active_runs=1, tags=["liftos"]):  # fmt: skip
    LiftosQualityWatchOperator(task_id="watch", deadlines={}, notifiers=[], organizations="all")
