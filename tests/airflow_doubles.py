"""A deployment in miniature for tests of hooks, triggers and operators: sandbox, settings, connections.

Connections and settings come from environment variables, as Airflow reads them itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.sandbox import Sandbox

CAPS = {"requests_per_hour": 1_000_000, "requests_per_minute": 100_000}


class Deployment:
    """Settings and connections of one test, against a sandbox of its own."""

    def __init__(self, folder: Path, sandbox: Sandbox, environment: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.sandbox = sandbox
        self._environment = environment
        for name, value in {
            "STATE_URL": f"sqlite:///{folder / 'state.db'}",
            "STAGING_URL": str(folder / "staging"),
            "DUCKDB_PATH": str(folder / "warehouse.duckdb"),
            "POLL_SECONDS": "0.05",
            "MIN_DEFER_SECONDS": "0",
        }.items():
            self.set(name, value)
        self.connect("liftos_meta_default")

    def set(self, option: str, value: str) -> None:
        self._environment.setenv(f"AIRFLOW__LIFTOS__{option.upper()}", value)

    def connect(
        self,
        conn_id: str,
        *,
        token: str = "sandbox-token",
        conn_type: str = "liftosmeta",
        **parts: Any,
    ) -> None:
        """Define a connection; ``extra`` adds to, or with None takes away from, the usual fields."""
        extra = {"access_token": token, "app_id": "1001", "app_secret": "sandbox-secret", **CAPS}
        extra |= parts.pop("extra", {})
        kept = {name: value for name, value in extra.items() if value is not None}
        value = {"conn_type": conn_type, "host": f"{self.sandbox.url}/meta", "extra": kept, **parts}
        self._environment.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(value))

    def context(
        self, task_id: str = "extract", *, map_index: int = -1, **parts: Any
    ) -> dict[str, Any]:
        """What Airflow gives a task, as far as ours look at it."""
        ti = SimpleNamespace(
            dag_id="dag",
            run_id="run",
            task_id=task_id,
            map_index=map_index,
            try_number=1,
            max_tries=2,
        )
        return {"ti": ti, "params": {}, "dag_run": SimpleNamespace(run_type="manual"), **parts}

    @property
    def store(self) -> Any:
        return config.state_store()


@contextmanager
def deployment(folder: Path, **options: Any) -> Iterator[Deployment]:
    with pytest.MonkeyPatch.context() as environment, Sandbox(**options) as sandbox:
        yield Deployment(folder, sandbox, environment)
