"""Days of many accounts through the engine, and what they take of everything.

``python -m tests.bench.scale [ACCOUNTS ...] [--days N] [--state-url URL]``: 40 accounts of 400 ads
are the sandbox's medium profile; 400 and 4,000 are ten and a hundred times as many. Meta's ads,
extracted by tasks of ``accounts_per_task`` accounts, one after the other, loaded and published
once. Requests, rows, bytes, triggers (one for each time a task would be deferred), the looks they
take at the platform and writes to the state store are counted; times depend on the machine.

``python -m tests.bench.scale store [--state-url URL]`` is what a state store serves: checkpoints
saved by one and by eight threads, a transaction each.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

from tests.bench.measure import STAGES, stage

ADS, DAYS = 400, 90
REPORT_SECONDS = 60.0  # of the sandbox's clock: longer than a task takes to ask for all of its own
POLL_SECONDS, SLOW_SECONDS = 10.0, 120.0  # by default, and of a report as platforms have them
SIZES = (40, 400, 4_000)
ACCOUNTS_PER_TASK = 10
REPORTS, STREAMS = ("basic:account", "basic:ad"), ("campaigns",)
_WRITES = ("INSERT", "UPDATE", "DELETE")


def main() -> None:
    given = argparse.ArgumentParser(prog="python -m tests.bench.scale")
    given.add_argument("accounts", nargs="*", type=int, default=SIZES)
    given.add_argument("--days", type=int, default=1)
    given.add_argument("--state-url", default="")
    asked = given.parse_args()
    for accounts in asked.accounts:
        own = [str(accounts), str(asked.days), asked.state_url]
        command = [sys.executable, "-m", "tests.bench.scale", "one", *own]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{accounts} accounts failed:\n{done.stderr[-3000:]}")
        print(done.stdout.strip().splitlines()[-1], flush=True)


def one(accounts: int, days: int, state_url: str) -> dict[str, Any]:
    """One size, against a sandbox in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="liftos-scale-") as folder:
        url = state_url or f"sqlite:///{folder}/state.db"
        return _against_a_sandbox(Path(folder), accounts, days, url)


def _against_a_sandbox(folder: Path, accounts: int, days: int, state: str) -> dict[str, Any]:
    read, write = os.pipe()
    serving = [sys.executable, "-m", "tests.bench.scale", "serve", str(accounts), str(write)]
    with subprocess.Popen(serving, pass_fds=[write]) as process:
        os.close(write)
        with os.fdopen(read) as told:
            url = told.readline().strip()
        try:
            return span(url, folder, accounts, days, state)
        finally:
            process.terminate()


def serve(accounts: int, write: int) -> None:
    """A sandbox with so many accounts, until it is ended."""
    from airflow_provider_liftos.sandbox import Sandbox
    from airflow_provider_liftos.sandbox.dataset import accounts as dataset

    dataset.PROFILES["medium"] = dataset.Profile(accounts=accounts, ads=ADS, days=DAYS)
    with (
        Sandbox(profile="medium", seed=7, report_seconds=REPORT_SECONDS) as sandbox,
        os.fdopen(write, "w") as tell,
    ):
        tell.write(sandbox.url + "\n")
        tell.flush()
        while True:
            time.sleep(60)


def span(url: str, folder: Path, accounts: int, days: int, state: str) -> dict[str, Any]:
    """The way from discovery to published rows, counted."""
    import httpx2

    from airflow_provider_liftos.engine import plan, polling
    from airflow_provider_liftos.engine.checkpoint import Checkpoints
    from airflow_provider_liftos.engine.extraction import Extraction, Finished
    from airflow_provider_liftos.engine.normalize import Normalizer
    from airflow_provider_liftos.engine.staging import Staging
    from airflow_provider_liftos.hooks.liftos import discover, open_session
    from airflow_provider_liftos.model.platform import Credentials
    from airflow_provider_liftos.model.report import Window
    from airflow_provider_liftos.model.secret import Secret
    from airflow_provider_liftos.operators.extract import as_report
    from airflow_provider_liftos.platforms import get
    from airflow_provider_liftos.quality.audit import audit
    from airflow_provider_liftos.state.leases import Leases
    from airflow_provider_liftos.state.store import StateStore
    from airflow_provider_liftos.transport.client import HttpSender
    from airflow_provider_liftos.transport.flow import run
    from airflow_provider_liftos.warehouses.duckdb import DuckDbWarehouse

    writes, seconds = counted()
    platform = get("meta")
    fields = httpx2.get(f"{url}/_sandbox/connections", trust_env=False).json()["meta"]
    secret = {field.name for field in platform.conn_fields if field.secret}
    credentials = Credentials(
        org_id="default",
        conn_id="scale",
        base_url=f"{url}/meta",
        version=platform.newest(),
        secrets={name: Secret(str(v)) for name, v in fields.items() if name in secret},
        options={limit.option: 1e9 for limit in platform.limits}
        | {name: value for name, value in fields.items() if name not in secret},
    )
    store = StateStore(state)
    sender = HttpSender()
    with stage("discover"):
        found = discover(open_session(platform, credentials, store), sender)
    assert len(found) == accounts, len(found)
    window = plan.memory(found[0], platform, time.time())
    asked = Window(since=window.until - timedelta(days=days - 1), until=window.until)
    windows = math.ceil(days / platform.slice_days)
    reports = [as_report(platform, name) for name in REPORTS]
    warehouse = DuckDbWarehouse(str(folder / "warehouse.duckdb"), Leases(store, "default"))
    parts, sizes = [], Counter[str]()
    for number, batch in enumerate(plan.batches(found, ACCOUNTS_PER_TASK)):
        session = open_session(platform, credentials, store)
        cuts = plan.slices(
            platform, [(a, asked) for a in batch], reports, list(STREAMS), platform.slice_days
        )  # fmt: skip
        assert len(cuts) == len(batch) * (len(reports) * windows + len(STREAMS))
        work = Extraction(
            session=session, sender=sender, checkpoints=Checkpoints(store, "default", f"{number}"),
            staging=Staging(str(folder / "staging")), accounts={a.account_id: a for a in batch},
            load_id="scale",
        )  # fmt: skip
        while True:
            with stage("extract"):
                outcome = work.advance(cuts)
            if isinstance(outcome, Finished):
                break
            batches = math.ceil(outcome.running / platform.asynchronous().poll_batch)
            sizes["triggers"] += 1
            sizes["looks_at_slow_reports"] += batches * looks(POLL_SECONDS, SLOW_SECONDS)
            with stage("wait"):
                httpx2.post(f"{url}/_sandbox/clock", json={"advance": REPORT_SECONDS})
                run(polling.watch(session, work.checkpoints, first=0.2, longest=0.2), sender)
        with stage("normalize"):
            parts.append(
                Normalizer(
                    platform=platform, staging=work.staging, reject=lambda *_: None, options={}
                ).normalize(outcome.manifest)
            )
        sizes.update(tasks=1, slices=len(cuts), requests=session.usage.requests)
        sizes.update(bytes=session.usage.bytes, wire_bytes=session.usage.wire_bytes)
        work.checkpoints.consume()
    manifest = replace(parts[0], slices=tuple(cut for part in parts for cut in part.slices))
    in_extract, wall = Counter(writes), STAGES["extract"]["wall"] + STAGES["normalize"]["wall"]
    in_extract["a_second"] = round(in_extract["transactions"] / wall)
    in_extract["a_second_at_most"] = max(seconds.values())
    with stage("load"):
        warehouse.load(manifest)
    with stage("audit"):
        judged = audit(
            manifest, warehouse=warehouse, expected_accounts=found, today=datetime.now(UTC),
            quality=platform.quality, coverage=platform.coverage,
        )  # fmt: skip
    with stage("publish"):
        for _ in warehouse.publish_each(manifest.slices, "scale", "default", time.time):
            pass
    [(rows,)] = warehouse.query("SELECT count(*) FROM liftos.performance")
    files = [file for cut in manifest.slices for file in cut.staged]
    return {
        "accounts": accounts, "days": days, "windows": windows, "rows": rows, **sizes, "score": judged.score.value,
        "staged_bytes": sum(f.bytes for f in files),
        "files": len(files), "store": in_extract,
        "warehouse_bytes": (folder / "warehouse.duckdb").stat().st_size, "stages": STAGES,
    }  # fmt: skip


def looks(first: float, lasting: float, longest: float = 60.0) -> int:
    """How often a trigger looks at a report that takes so many seconds, as ``watch`` has it."""
    now, count = 0.0, 1
    while now < lasting:
        now += min(max(first, now / 6), longest)
        count += 1
    return count


def serving(url: str, threads: int, lasting: float = 5.0) -> int:
    """Transactions a second that a state store takes from so many threads."""
    from datetime import date

    from airflow_provider_liftos.engine.checkpoint import Checkpoints
    from airflow_provider_liftos.model.report import Level, Slice, Window
    from airflow_provider_liftos.platforms import get
    from airflow_provider_liftos.state.store import StateStore

    store = StateStore(url)
    window = Window(since=date(2026, 1, 1), until=date(2026, 1, 1))
    whole = get("meta").preset("basic", Level.AD)
    cut = Slice(platform="meta", account_id="1", window=window, report=whole)
    counts: Counter[int] = Counter()
    end = time.monotonic() + lasting

    def save(number: int) -> None:
        checkpoints = Checkpoints(store, "default", f"scope-{number}")
        [point] = checkpoints.add([cut])
        while time.monotonic() < end:
            checkpoints.save(point)
            counts[number] += 1

    running = [threading.Thread(target=save, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    store.close()
    return round(counts.total() / lasting)


def served() -> None:
    given = argparse.ArgumentParser(prog="python -m tests.bench.scale store")
    given.add_argument("--state-url", default="")
    with tempfile.TemporaryDirectory(prefix="liftos-scale-") as folder:
        url = given.parse_args(sys.argv[2:]).state_url or f"sqlite:///{folder}/state.db"
        for threads in (1, 8):
            print(f"{threads} threads: {serving(url, threads):,} transactions a second")


def counted() -> tuple[Counter[str], Counter[int]]:
    """Writing statements and transactions of whatever database, and those of each second."""
    counts: Counter[str] = Counter()
    seconds: Counter[int] = Counter()

    @event.listens_for(Engine, "before_cursor_execute")
    def _statement(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        counts["writes" if statement.lstrip().startswith(_WRITES) else "reads"] += 1

    @event.listens_for(Engine, "commit")
    def _commit(_connection: Any) -> None:
        counts["transactions"] += 1
        seconds[int(time.monotonic())] += 1

    return counts, seconds


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(int(sys.argv[2]), int(sys.argv[3]))
    elif sys.argv[1:2] == ["store"]:
        served()
    elif sys.argv[1:2] == ["one"]:
        sys.stdout.write(json.dumps(one(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])) + "\n")
    else:
        main()
