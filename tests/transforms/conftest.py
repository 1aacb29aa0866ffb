from __future__ import annotations

from pathlib import Path

import pytest

from tests.transforms.bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(folder=tmp_path)
