"""The README names everything a person can set, start or ask for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from airflow_provider_liftos.hooks import registry
from airflow_provider_liftos.hooks.config import OPTIONS
from airflow_provider_liftos.model.platform import Platform
from airflow_provider_liftos.platforms import discover
from airflow_provider_liftos.provider_info import get_provider_info

ROOT = Path(__file__).parents[2]


def things() -> dict[str, set[str]]:
    """What must be named, by kind."""
    info = get_provider_info()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = {
        "options of [liftos]": {option.name for option in OPTIONS},
        "DAGs": {f"liftos_{file.stem}" for file in (ROOT / "dags").glob("*.py")},
        "extras": set(project["optional-dependencies"]),
        "commands": {
            "airflow liftos scaffold",
            "airflow liftos runs",
            "airflow liftos restatements",
            "airflow liftos campaign-report",
            "airflow liftos configure",
            "airflow liftos connect",
            "liftos-sandbox",
        },
        "make targets": {f"make {name}" for name in ("demo", "up", "down", "test", "lint")},
    }
    for connection in info["connection-types"]:
        kind = connection["connection-type"]
        found[f"fields of {kind}"] = {kind, *connection["conn-fields"]}
    for platform in discover():
        found[f"connection of {platform.name}"] = {registry.default_conn_id(platform.name)}
        found[f"streams of {platform.name}"] = {stream.name for stream in platform.streams}
        found[f"presets of {platform.name}"] = set(platform.presets)
    return found


@pytest.mark.parametrize("kind", things())
def test_readme_names_all(kind: str) -> None:
    text = (ROOT / "README.md").read_text()
    missing = sorted(
        name
        for name in things()[kind]
        if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text)
    )
    assert not missing, f"README.md does not name these {kind}: {', '.join(missing)}"


def availability(platform: Platform) -> str:
    """The platform's line of the table, from its declaration."""
    known = platform.availability
    newest = "yesterday" if known.delay_days == 1 else f"{known.delay_days} days ago"
    return (
        f"| {platform.title} | {newest} | {known.history_days:,} days | {known.restatement_days} days"
        f" | on day {known.restatement_days} | {known.note} |"
    )


@pytest.mark.parametrize("platform", discover(), ids=lambda platform: platform.name)
def test_readme_tells_what_each_platform_keeps_and_when_it_settles(platform: Platform) -> None:
    line = availability(platform)
    assert line in (ROOT / "README.md").read_text().splitlines(), f"README.md lacks {line}"
