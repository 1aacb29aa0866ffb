"""``airflow liftos runs``: the run ledger on a terminal, or as JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_liftos.state.ledger import Entry

_LINE = "{:19}  {:30} {:12} {:>3} {:11} {:>9} {:>10} {:>6} {:>7} {:>7} {:>9} {:>8}  {:6} {:23}"
_HEAD = (
    "started (UTC)", "run", "task", "try", "status", "rows", "bytes", "calls", "retries",
    "waited", "reports", "seconds", "api", "days",
)  # fmt: skip
_MANY = 10_000
_UNITS = ("B", "kB", "MB", "GB", "TB")
_THOUSAND = 1000


def runs(args: Any) -> None:
    """The newest entries; what a task had to say stands below its line."""
    from airflow_provider_liftos.hooks import config
    from airflow_provider_liftos.state.ledger import Ledger

    ledger = Ledger(config.state_store(), args.org)
    # What was killed is open in the ledger: statuses are known only when entries are judged.
    most = _MANY if args.status else args.limit
    found = ledger.rows(limit=most, dag_id=args.dag_id, run_id=args.run_id)
    entries = [e for e in judged(found, over(found)) if args.status in {None, e.status}]
    entries = entries[: args.limit]
    if args.json:
        print(json.dumps([plain(entry) for entry in entries], ensure_ascii=False, indent=2))
        return
    print(_LINE.format(*_HEAD).rstrip())
    for entry in entries:
        print("\n".join(lines(entry)))


def plain(entry: Entry) -> dict[str, Any]:
    """An entry as JSON: all that the ledger knows, and the seconds that the task took."""
    return {
        "id": entry.id,
        **asdict(entry.run),
        "status": entry.status,
        "started_at": entry.started_at,
        "finished_at": entry.finished_at,
        "seconds": _seconds(entry),
        **asdict(entry.work),
        "warnings": list(entry.warnings),
        "error": entry.error,
        "detail": dict(entry.detail),
    }


def lines(entry: Entry) -> Iterable[str]:
    """A line of numbers, and one for each error and warning."""
    run, work = entry.run, entry.work
    seconds = _seconds(entry)
    reports = str(work.reports_submitted)
    if work.reports_wasted:
        reports += f" -{work.reports_wasted}"
    values = (
        time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(entry.started_at)),
        run.run_id[:30],
        run.task_id + (f"[{run.map_index}]" if run.map_index >= 0 else ""),
        run.try_number,
        entry.status,
        f"{work.rows:,}",
        _size(work.bytes),
        work.requests,
        work.retries,
        f"{work.throttled_seconds:.0f} s",
        reports,
        "" if seconds is None else f"{seconds:.1f}",
        run.api_version or "",
        f"{run.window_since}..{run.window_until}" if run.window_since else "",
    )
    yield _LINE.format(*values).rstrip()
    yield from (f"    {text}" for text in (entry.error, *entry.warnings) if text)


def judged(entries: Sequence[Entry], ended: Mapping[tuple[str, str], bool]) -> list[Entry]:
    """Entries that are open although their run is over: their process was killed."""
    from airflow_provider_liftos.state.ledger import INTERRUPTED, RUNNING

    return [
        replace(entry, status=INTERRUPTED)
        if entry.status == RUNNING and ended.get((entry.run.dag_id, entry.run.run_id))
        else entry
        for entry in entries
    ]


def over(entries: Iterable[Entry]) -> dict[tuple[str, str], bool]:
    """Of the runs of open entries, whether Airflow has ended or forgotten them."""
    from airflow_provider_liftos.state.ledger import RUNNING

    open_runs = {(e.run.dag_id, e.run.run_id) for e in entries if e.status == RUNNING}
    return {run: not _goes_on(*run) for run in open_runs}


def _goes_on(dag_id: str, run_id: str) -> bool:
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        mine = (DagRun.dag_id == dag_id, DagRun.run_id == run_id)
        state = session.scalar(select(DagRun.state).where(*mine))
    return state in {"queued", "running"}


def _seconds(entry: Entry) -> float | None:
    if entry.finished_at is None:
        return None
    return round(entry.finished_at - entry.started_at, 3)


def _size(count: float) -> str:
    for unit in _UNITS[:-1]:
        if count < _THOUSAND:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= _THOUSAND
    return f"{count:.1f} {_UNITS[-1]}"
