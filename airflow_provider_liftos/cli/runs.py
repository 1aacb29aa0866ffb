"""``airflow liftos runs``: the run ledger on a terminal."""

from __future__ import annotations

import time
from typing import Any


def runs(args: Any) -> None:
    """The newest entries, one line each."""
    from airflow_provider_liftos.hooks import config
    from airflow_provider_liftos.state.ledger import Ledger

    line = "{:19}  {:32} {:10} {:11} {:>9} {:>8} {:>7}  {}"
    print(line.format("started (UTC)", "run", "task", "status", "rows", "requests", "seconds", ""))
    for entry in Ledger(config.state_store(), args.org).rows(limit=args.limit):
        started = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(entry.started_at))
        seconds = f"{entry.finished_at - entry.started_at:.1f}" if entry.finished_at else ""
        task = entry.run.task_id + (f"[{entry.run.map_index}]" if entry.run.map_index >= 0 else "")
        print(
            line.format(
                started, entry.run.run_id[:32], task[:10], entry.status, f"{entry.work.rows:,}",
                entry.work.requests, seconds, entry.error or "",
            )
        )  # fmt: skip
