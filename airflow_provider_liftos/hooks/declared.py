"""Hooks of platforms that need none of their own: ``TiktokHook`` and its like, from declarations.

Airflow finds a hook by its name in a module; here a name becomes a class when it is asked for.
"""

from __future__ import annotations

from functools import cache

from airflow_provider_liftos.hooks import registry
from airflow_provider_liftos.hooks.liftos import LiftosHook
from airflow_provider_liftos.platforms import discover


@cache
def _hook(name: str) -> type[LiftosHook]:
    for platform in discover():
        if registry.path(platform) == f"{__name__}.{name}":
            facts = {
                "__doc__": f"{platform.title} through a connection of type {platform.conn_type}.",
                "__module__": __name__,
                "conn_type": platform.conn_type,
                "default_conn_name": registry.default_conn_id(platform.name),
                "hook_name": f"{platform.title} (liftos)",
                "platform_name": platform.name,
            }
            return type(name, (LiftosHook,), facts)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __getattr__(name: str) -> type[LiftosHook]:
    if name.startswith("_"):
        raise AttributeError(name)
    return _hook(name)
