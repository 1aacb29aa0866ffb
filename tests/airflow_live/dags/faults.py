"""A pipeline of each platform, for the test in which the platforms fail."""

from __future__ import annotations

from datetime import timedelta

from airflow_provider_liftos.pipelines import PlatformPipeline
from airflow_provider_liftos.platforms import names

for platform in names():
    globals()[platform] = PlatformPipeline(
        platform,
        conn_id=f"liftos_{platform}_hurt",
        warehouse_conn_id=f"warehouse_hurt_{platform}",
        reports=["basic:campaign"],
        streams=(),
    ).dag(
        f"live_hurt_{platform}",
        schedule=None,
        default_args={"retry_delay": timedelta(seconds=1)},
    )
