"""Google Ads, every day: reports and entities of all accounts of ``liftos_google_ads_default``.

Change what it brings here, or give a run its own dates, accounts and reports when you trigger it.
"""

from __future__ import annotations

from airflow_provider_liftos.pipelines import PlatformPipeline

dag = PlatformPipeline("google_ads", conn_id="liftos_google_ads_default").dag()
