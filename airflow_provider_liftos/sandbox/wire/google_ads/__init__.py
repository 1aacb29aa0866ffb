"""Google Ads API as its protobufs and documentation describe it: gRPC and REST over one service."""

from __future__ import annotations

from airflow_provider_liftos.sandbox.world import World

from .front import Front


def build(world: World) -> Front:
    """Return Google's wire over ``world``."""
    return Front(world)
