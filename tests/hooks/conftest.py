from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.airflow_doubles import Deployment, deployment


@pytest.fixture
def liftos(tmp_path: Path) -> Iterator[Deployment]:
    with deployment(tmp_path, report_seconds=0.1) as made:
        yield made
