"""From a platform's name to its hook: the one place where a name becomes a class."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from airflow_provider_liftos.model.platform import Platform
from airflow_provider_liftos.model.source import is_source
from airflow_provider_liftos.platforms import discover, get

if TYPE_CHECKING:
    from airflow_provider_liftos.hooks.liftos import LiftosHook


def path(platform: Platform) -> str:
    """Where the platform's hook class is: its own, or one made from its declaration."""
    if platform.hook:
        return platform.hook
    name = "".join(part.title() for part in platform.name.split("_"))
    return f"airflow_provider_liftos.hooks.declared.{name}Hook"


def hook(platform: str, conn_id: str | None = None) -> LiftosHook:
    """The platform's hook on that connection, or on its default one.

    A source of one's own has one that stands for it.
    """
    if is_source(platform):
        from airflow_provider_liftos.hooks.source import SourceHook

        return SourceHook(platform, conn_id)
    module, _, name = path(get(platform)).rpartition(".")
    made: LiftosHook = getattr(importlib.import_module(module), name)(conn_id)
    return made


def default_conn_id(platform: str) -> str:
    """``liftos_meta_default`` and its like."""
    return f"liftos_{platform}_default"


def declared() -> tuple[Platform, ...]:
    """Every platform's declaration."""
    return discover()


def is_known(name: str) -> bool:
    """Whether there is a platform, or a source, of that name."""
    return is_source(name) or name in {platform.name for platform in discover()}
