from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from airflow_provider_liftos.platforms import get
from airflow_provider_liftos.sandbox import Sandbox
from tests.engine.conftest import harness, own_harness, own_sandbox, prepared, sandbox, still
from tests.engine.harness import Harness

__all__ = ["harness", "own_harness", "own_sandbox", "prepared", "sandbox", "still"]


class Make(Protocol):
    """Makes a platform's harness; ``options`` are of its connection."""

    def __call__(self, platform: str, at: Sandbox | None = None, **options: Any) -> Harness: ...


@pytest.fixture
def make(tmp_path: Path, sandbox: Sandbox, prepared: Path) -> Iterator[Make]:
    made: list[Harness] = []

    def make(platform: str, at: Sandbox | None = None, **options: Any) -> Harness:
        shutil.copy(prepared, tmp_path)
        made.append(
            Harness(sandbox=at or sandbox, folder=tmp_path, platform=get(platform), options=options)
        )
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def google(make: Make) -> Harness:
    return make("google_ads")


@pytest.fixture
def tiktok(make: Make) -> Harness:
    return make("tiktok")
