"""TikTok's Business API v1.3 as its documentation and its own SDK describe it.

The root is ``/tiktok``: the paths ``/tiktok/open_api/v1.3/…/`` end with a slash, as TikTok's do.
"""

from __future__ import annotations

from airflow_provider_liftos.sandbox.world import World

from .gateway import Gateway


def build(world: World) -> Gateway:
    """Return TikTok's wire over ``world``."""
    return Gateway(world)
