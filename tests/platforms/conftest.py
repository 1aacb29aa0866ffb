from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest

from airflow_provider_liftos.platforms import get
from airflow_provider_liftos.sandbox import Sandbox
from tests.engine.conftest import (
    NOON,
    harness,
    lent,
    own_harness,
    own_sandbox,
    prepared,
    sandbox,
    still,
)
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


@pytest.fixture(scope="session")
def worlds(still: Sandbox) -> Iterator[dict[int, Sandbox]]:
    """Sandboxes by seed, kept for the session."""
    found = {still.world.seed: still}
    yield found
    for seed, one in found.items():
        if seed != still.world.seed:
            one.stop()


@pytest.fixture
def world(worlds: dict[int, Sandbox]) -> Iterator[Callable[[int], Sandbox]]:
    """The sandbox of a seed, as if it were new."""
    with ExitStack() as stack:

        def enter(seed: int) -> Sandbox:
            if seed not in worlds:
                worlds[seed] = Sandbox(seed=seed, start=NOON, frozen=True).start()
            return stack.enter_context(lent(worlds[seed]))

        yield enter


@pytest.fixture
def google(make: Make) -> Harness:
    return make("google_ads")


@pytest.fixture
def tiktok(make: Make) -> Harness:
    return make("tiktok")
