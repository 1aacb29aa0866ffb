"""Platforms as declarations, one folder each, ignorant of one another."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.model.platform import Platform


@cache
def names() -> tuple[str, ...]:
    """Names of all platforms: the folders beside this file."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if m.ispkg))


@cache
def get(name: str) -> Platform:
    """The platform of that name; ConfigurationError lists the others."""
    if name not in names():
        raise ConfigurationError(f"unknown platform {name!r}; there are {', '.join(names())}")
    module = importlib.import_module(f"{__name__}.{name}")
    platform: Platform = module.PLATFORM
    return platform


def discover() -> tuple[Platform, ...]:
    """Every platform."""
    return tuple(get(name) for name in names())
