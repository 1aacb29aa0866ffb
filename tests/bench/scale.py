"""A day of many accounts through the engine, and what it takes of everything.

``python -m tests.bench.scale [ACCOUNTS ...]``: 40 accounts of 400 ads are the sandbox's medium
profile; 400 and 4,000 are ten and a hundred times as many. One day of Meta's ads, extracted by
tasks of ``accounts_per_task`` accounts, one after the other, loaded and published once. Requests,
rows, bytes, triggers and writes to the state store are counted; times depend on the machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

from tests.bench.measure import STAGES, stage

ADS, DAYS = 400, 90
SIZES = (40, 400, 4_000)
ACCOUNTS_PER_TASK = 10
REPORTS, STREAMS = ("basic:account", "basic:ad"), ("campaigns",)
_WRITES = ("INSERT", "UPDATE", "DELETE")


def main() -> None:
    for accounts in [int(size) for size in sys.argv[1:]] or SIZES:
        command = [sys.executable, "-m", "tests.bench.scale", "one", str(accounts)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{accounts} accounts failed:\n{done.stderr[-3000:]}")
        print(done.stdout.strip().splitlines()[-1], flush=True)


def one(accounts: int) -> dict[str, Any]:
    """One size, against a sandbox in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="liftos-scale-") as folder:
        return _against_a_sandbox(Path(folder), accounts)


def _against_a_sandbox(folder: Path, accounts: int) -> dict[str, Any]:
    read, write = os.pipe()
    serving = [sys.executable, "-m", "tests.bench.scale", "serve", str(accounts), str(write)]
    with subprocess.Popen(serving, pass_fds=[write]) as process:
        os.close(write)
        with os.fdopen(read) as told:
            url = told.readline().strip()
        try:
            return day(url, folder, accounts)
        finally:
            process.terminate()


def serve(accounts: int, write: int) -> None:
    """A sandbox with so many accounts, until it is ended."""
    from airflow_provider_liftos.sandbox import Sandbox
    from airflow_provider_liftos.sandbox.dataset import accounts as dataset

    dataset.PROFILES["medium"] = dataset.Profile(accounts=accounts, ads=ADS, days=DAYS)
    with Sandbox(profile="medium", seed=7) as sandbox, os.fdopen(write, "w") as tell:
        tell.write(sandbox.url + "\n")
        tell.flush()
        while True:
            time.sleep(60)


def day(url: str, folder: Path, accounts: int) -> dict[str, Any]:
    """The way from discovery to published rows, counted."""
    import httpx2

    from airflow_provider_liftos.engine import plan
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
    from airflow_provider_liftos.warehouses.duckdb import DuckDbWarehouse

    writes = counted()
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
    store = StateStore(f"sqlite:///{folder / 'state.db'}")
    sender = HttpSender()
    with stage("discover"):
        found = discover(open_session(platform, credentials, store), sender)
    assert len(found) == accounts, len(found)
    window = plan.memory(found[0], platform, time.time())
    yesterday = Window(since=window.until, until=window.until)
    reports = [as_report(platform, name) for name in REPORTS]
    warehouse = DuckDbWarehouse(str(folder / "warehouse.duckdb"), Leases(store, "default"))
    parts, sizes = [], Counter[str]()
    for number, batch in enumerate(plan.batches(found, ACCOUNTS_PER_TASK)):
        session = open_session(platform, credentials, store)
        cuts = plan.slices(
            platform, [(a, yesterday) for a in batch], reports, list(STREAMS), 1
        )  # fmt: skip
        work = Extraction(
            session=session, sender=sender, checkpoints=Checkpoints(store, "default", f"{number}"),
            staging=Staging(str(folder / "staging")), accounts={a.account_id: a for a in batch},
            load_id="scale",
        )  # fmt: skip
        with stage("extract"):
            while not isinstance(outcome := work.advance(cuts), Finished):
                sizes["waits"] += 1
                time.sleep(0.05)
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
    in_extract = Counter(writes)
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
        "accounts": accounts, "rows": rows, **sizes, "score": judged.score.value,
        "staged_bytes": sum(f.bytes for f in files),
        "files": len(files), "store": in_extract, "store_bytes": (folder / "state.db").stat().st_size,
        "warehouse_bytes": (folder / "warehouse.duckdb").stat().st_size, "stages": STAGES,
    }  # fmt: skip


def counted() -> Counter[str]:
    """Writing statements and transactions of whatever database, from now on."""
    counts: Counter[str] = Counter()

    @event.listens_for(Engine, "before_cursor_execute")
    def _statement(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        counts["writes" if statement.lstrip().startswith(_WRITES) else "reads"] += 1

    @event.listens_for(Engine, "commit")
    def _commit(_connection: Any) -> None:
        counts["transactions"] += 1

    return counts


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(int(sys.argv[2]), int(sys.argv[3]))
    elif sys.argv[1:2] == ["one"]:
        sys.stdout.write(json.dumps(one(int(sys.argv[2]))) + "\n")
    else:
        main()
