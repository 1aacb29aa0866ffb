"""A stint of an extract task: how hard it tries, and what it ends with."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_liftos.engine.manifest import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How hard to try. ``report_timeout`` in seconds, None for the platform's own.

    On the ``last_try`` an account that is out of reach is given up, for the sake of the others.
    A ``new_try`` tries again what an earlier one gave up, and looks whether its files are whole;
    a stint after a deferral is none.
    """

    report_attempts: int = 2
    report_timeout: float | None = None
    page_size: int | None = None
    fetch_threads: int = 4
    last_try: bool = False
    new_try: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Nothing to do before ``until`` (epoch seconds; None: until reports change)."""

    running: int
    until: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """Every slice ended, well or not."""

    manifest: Manifest
