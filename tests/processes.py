"""Processes for tests, forked from one that has imported what they need, and nothing else.

Not from the one that runs the tests, which has threads; a fresh one would import for a second.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerContext

import pytest

PRELOADED = [
    "tests.engine.killing",
    "tests.resilience.test_seats_of_workers",
    "tests.resilience.test_workers",
]
"""All of them for every test: there is one server, and the first that needs it starts it."""


@contextmanager
def forked() -> Iterator[ForkServerContext]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    with pytest.MonkeyPatch.context() as patch:
        # Else every child would import pytest, its parent's main module, for longer than it lives.
        patch.setattr(sys.modules["__main__"], "__spec__", None)
        patch.delattr(sys.modules["__main__"], "__file__", raising=False)
        yield context
