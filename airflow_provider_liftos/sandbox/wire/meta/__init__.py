"""Meta's Graph and Marketing API as its documentation and its own SDK describe it."""

from __future__ import annotations

from airflow_provider_liftos.sandbox.world import World

from .graph import Graph


def build(world: World) -> Graph:
    """Return Meta's wire over ``world``."""
    return Graph(world)
