"""From a platform's name to its hook: the one place where a name becomes a class."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from airflow_provider_liftos.platforms import get

if TYPE_CHECKING:
    from airflow_provider_liftos.hooks.liftos import LiftosHook


def hook(platform: str, conn_id: str | None = None) -> LiftosHook:
    """The platform's hook on that connection, or on its default one."""
    module, _, name = get(platform).hook.rpartition(".")
    made: LiftosHook = getattr(importlib.import_module(module), name)(conn_id)
    return made


def default_conn_id(platform: str) -> str:
    """``liftos_meta_default`` and its like."""
    return f"liftos_{platform}_default"
