"""The calendar of API versions: which are over, what is spoken instead, and who is told when."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.model.platform import Credentials, Platform

NOTICE = 60
"""Days before its end at which an API version is warned of."""


def day(now: float) -> date:
    """The calendar's day of a moment: that of UTC."""
    return datetime.fromtimestamp(now, UTC).date()


def is_over(platform: Platform, version: str, today: date) -> bool:
    """Whether it has an end in the past, or is older than every version we know of."""
    sunsets = {v.name: v.sunset for v in platform.versions}
    if version in sunsets:
        sunset = sunsets[version]
        return sunset is not None and sunset <= today
    return _number(version) < min(_number(v.name) for v in platform.versions)


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def choose(
    platform: Platform, asked: str, options: Mapping[str, Any], today: date, conn_id: str
) -> str:
    """The version to speak for a connection that asks for one: that one, unless it is over.

    Raises:
        ConfigurationError: it is over, and so is every other.
    """
    if not is_over(platform, asked, today):
        return asked
    for version in fallbacks(platform, asked, options, today):
        return version
    raise ConfigurationError(
        f"{platform.title} has switched off API version {asked} {_since(platform, asked)}",
        platform=platform.name,
        hint=f"Leave api_version of connection {conn_id!r} empty, and update this provider.",
    )


def fallbacks(
    platform: Platform, asked: str, options: Mapping[str, Any], today: date
) -> Sequence[str]:
    """Versions to speak instead of the one asked for: the configured one, then newest first."""
    configured = str(options.get("fallback_version") or "").strip()
    configured = configured or config.by_platform("fallback_version").get(platform.name, "")
    known = [configured, *(v.name for v in platform.versions)]
    found = [v for v in known if v and v != asked and not is_over(platform, v, today)]
    return tuple(dict.fromkeys(found))


def why(platform: Platform, version: str) -> str:
    """What the calendar says of a version that is over."""
    return f"by the calendar, {_since(platform, version)}"


def _since(platform: Platform, version: str) -> str:
    sunset = {v.name: v.sunset for v in platform.versions}.get(version)
    return f"on {sunset}" if sunset else "long ago"


def ending(platform: Platform, credentials: Credentials, today: date) -> str:
    """Words about the version in the last months of its life; empty before."""
    sunset = {v.name: v.sunset for v in platform.versions}.get(credentials.version)
    if not sunset or sunset - today > timedelta(days=NOTICE):
        return ""
    newest = platform.newest()
    remedy = f"set api_version of connection {credentials.conn_id!r} to {newest} or leave it empty"
    if credentials.version == newest:
        remedy = "update this provider before that"
    days = (sunset - today).days
    return (
        f"{platform.title} switches off API version {credentials.version} on {sunset}"
        f" ({days} days from now); {remedy}"
    )
