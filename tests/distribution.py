"""Which worker runs which tests, and when: the long ones first, the live Airflow beside the others.

The tests of one live Airflow stay together, and so do those of one installation; they wait much of
their time, for schedulers and for packages. Hence one worker more than there are cores. The cluster
is an Airflow of its own, and comes late: two of them beside each other starve, and lose heartbeats.
"""

from __future__ import annotations

import os

from xdist.scheduler import LoadScopeScheduling

TOGETHER = ("airflow_live", "install")
"""Folders whose tests share what takes long to start."""

APART = "airflow_live/test_cluster.py"

FIRST = (
    "airflow_live",
    "platforms/test_conformance.py",
    "engine/test_kills.py",
    "install",
    "warehouses/test_entities.py",
    "warehouses/test_ddl.py",
    "cli/test_stack.py",
    "platforms/test_google_ads.py",
    "platforms/test_tiktok.py",
    "resilience/test_workers.py",
    "resilience/test_seats_of_workers.py",
    "warehouses/test_databricks.py",
    "warehouses/test_reports.py",
    "warehouses/test_fx.py",
    "warehouses/test_values.py",
    "warehouses/test_utc_days.py",
    "engine/test_soak.py",
    "transport/test_grants_killed.py",
    "quality/test_row_rules.py",
    "airflow_live/test_cluster.py",
)
"""What takes longest, so that no worker is left alone with it at the end."""


def scope(nodeid: str) -> str:
    """What is run by one worker: a file, or one of the folders."""
    file = nodeid.split("::", 1)[0].removeprefix("tests/")
    folder = file.split("/", 1)[0]
    return folder if folder in TOGETHER and file != APART else file


def rank(nodeid: str) -> int:
    """Where in the order a test's scope stands."""
    place = scope(nodeid)
    return FIRST.index(place) if place in FIRST else len(FIRST)


def workers() -> int:
    """How many processes: one of them waits for Airflow rather than computes."""
    return (os.cpu_count() or 1) + 1


class Together(LoadScopeScheduling):
    """Hands out whole scopes, in the order of collection."""

    def _split_scope(self, nodeid: str) -> str:
        return scope(nodeid)
