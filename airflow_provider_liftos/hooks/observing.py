"""What sessions tell, in Airflow's terms: fields of its structured logs, and its metrics.

Airflow (3.2, 3.3) renders no ``extra`` of Python's log records, only the fields of its own logger.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.model.platform import Platform
from airflow_provider_liftos.transport.observe import RUN, Watch
from airflow_provider_liftos.transport.wirelog import WireLog

_EVENT = "liftos.request"
_PREFIX = "liftos."


class Airflow:
    """The sink of a task or a trigger. Metrics are named ``liftos.requests`` and the like."""

    def __init__(self) -> None:
        import structlog
        from airflow.sdk.observability.stats import Stats

        self._log = structlog.get_logger("airflow_provider_liftos.requests")
        self._stats: Any = Stats

    def line(self, fields: Mapping[str, object]) -> None:
        """One call, as fields."""
        self._log.debug(_EVENT, **fields)

    def count(self, name: str, tags: Mapping[str, str]) -> None:
        """``liftos.requests``, ``liftos.retries``, ``liftos.circuit_open``."""
        self._stats.incr(_PREFIX + name, tags=dict(tags))

    def took(self, name: str, seconds: float, tags: Mapping[str, str]) -> None:
        """``liftos.request`` and ``liftos.wait``, in milliseconds."""
        self._stats.timing(_PREFIX + name, seconds * 1000, tags=dict(tags))

    def level(self, name: str, value: float, tags: Mapping[str, str]) -> None:
        """``liftos.queue``."""
        self._stats.gauge(_PREFIX + name, value, tags=dict(tags))


def watch(platform: Platform) -> Watch:
    """For a session of this task or trigger."""
    return Watch(platform.name, trace_header=platform.trace_header, sink=Airflow(), wire=wire_log())


def wire_log() -> WireLog | None:
    """Where whole exchanges go, if anywhere."""
    folder = config.text("wire_log").strip()
    return None if folder.lower() in {"", "off"} else _wire_log(folder)


@cache
def _wire_log(folder: str) -> WireLog:
    return WireLog(folder)


def load_id(dag_id: str, run_id: str, task_id: str, platform: str, conn_id: str) -> str:
    """One id for the tasks of one pipeline in one dag run.

    A pipeline is a task group and a connection; several in one DAG share nothing.
    """
    group = task_id.rpartition(".")[0]
    text = json.dumps([dag_id, run_id, group, platform, conn_id])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def begin(run: str) -> None:
    """Sessions made from now on, in this task or trigger, tell this id of their run."""
    RUN.set(run)
