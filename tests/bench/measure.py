"""What one contestant costs, told as one line of JSON on its last line of output."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STAGES: dict[str, dict[str, float]] = {}


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Note wall and CPU seconds of a stage; of several of one name, their sum."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    was = STAGES.get(name, {"wall": 0.0, "cpu": 0.0})
    STAGES[name] = {
        "wall": round(was["wall"] + time.perf_counter() - wall, 3),
        "cpu": round(was["cpu"] + time.process_time() - cpu, 3),
        "rss": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def contestant(work: Callable[[], tuple[int, float]]) -> None:
    """Run the work; imports that it does itself count, interpreter start does not."""
    wall, cpu = time.perf_counter(), time.process_time()
    rows, spend = work()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    result = {
        "rows": rows,
        "spend": round(spend, 2),
        "wall": round(time.perf_counter() - wall, 3),
        "cpu": round(time.process_time() - cpu, 3),
        "rss": round(usage.ru_maxrss / 1024),
        "stages": STAGES,
    }
    sys.stdout.write(json.dumps(result) + "\n")
