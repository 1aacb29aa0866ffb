"""TikTok Ads, every day: reports and entities of all accounts of ``liftos_tiktok_default``.

Change what it brings here, or give a run its own dates, accounts and reports when you trigger it.
"""

from __future__ import annotations

from airflow_provider_liftos.pipelines import PlatformPipeline

# TikTok corrects the day before until noon UTC.
dag = PlatformPipeline("tiktok", conn_id="liftos_tiktok_default").dag(schedule="0 13 * * *")
