"""The assets that runs update: what to schedule your own DAGs on."""

from __future__ import annotations

from airflow.sdk import Asset

from airflow_provider_liftos.hooks import registry


def platform_asset(platform: str) -> Asset:
    """The published tables of a platform; its events carry rows, window and score."""
    return Asset(name=f"liftos_{platform}", uri=f"liftos://{platform}")


def platform_assets() -> list[Asset]:
    """Those of all platforms."""
    return [platform_asset(platform.name) for platform in registry.declared()]


CROSS_PLATFORM_ASSET = Asset(name="liftos_cross_platform", uri="liftos://cross_platform")
