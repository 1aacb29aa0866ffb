"""The three platforms' DAGs as they are shipped, but for a schedule: a test says what they bring."""

from __future__ import annotations

from datetime import timedelta

from airflow_provider_liftos.pipelines import PlatformPipeline

SOON = {"retry_delay": timedelta(seconds=1)}


def manual(platform: str) -> object:
    return PlatformPipeline(platform).dag(f"cluster_{platform}", schedule=None, default_args=SOON)


google_ads, meta, tiktok = (manual(name) for name in ("google_ads", "meta", "tiktok"))
