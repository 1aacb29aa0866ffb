"""The extraction loop of a process of its own, for tests that kill it."""

from __future__ import annotations

import importlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx2

from airflow_provider_liftos.engine.checkpoint import Checkpoints
from airflow_provider_liftos.engine.extraction import Extraction, Finished, Options
from airflow_provider_liftos.engine.staging import Staging
from airflow_provider_liftos.model.report import Account, Slice
from airflow_provider_liftos.platforms import discover, get
from airflow_provider_liftos.resilience.backoff import Backoff
from airflow_provider_liftos.resilience.breaker import Breaker
from airflow_provider_liftos.resilience.limiter import Limiter
from airflow_provider_liftos.state.store import StateStore
from airflow_provider_liftos.transport.client import HttpSender
from airflow_provider_liftos.transport.session import Session
from tests.engine.harness import credentials

SCOPE = "dag/run/extract/-1"
DONE = "done.json"

# Imported once, in the process that the others are forked from.
for name in ("fsspec.implementations.local", "sqlalchemy.dialects.sqlite.pysqlite", "pyarrow"):
    importlib.import_module(name)
discover()
httpx2.Client(verify=False).close()


def open_store(folder: Path) -> StateStore:
    return StateStore(f"sqlite:///{folder}/state.db")


def work(
    url: str,
    platform: str,
    fields: Mapping[str, Any],
    folder: Path,
    cuts: Sequence[Slice],
    accounts: Sequence[Account],
    ready: Connection,
) -> None:
    """Extract to the end as a task does, and leave the manifest behind; likely killed before."""
    store = open_store(folder)
    declared = get(platform)
    session = Session(
        declared, credentials(url, declared, fields), limiter=Limiter(store, "default"),
        breaker=Breaker(store, "default"), backoff=Backoff(base=0.01), now=store.clock.now,
    )  # fmt: skip
    sender = HttpSender()
    # Reading the authorities' certificates takes longer than most of these processes live.
    sender._client, sender._pid = httpx2.Client(verify=False, timeout=5), os.getpid()
    extraction = Extraction(
        session=session,
        sender=sender,
        checkpoints=Checkpoints(store, "default", SCOPE),
        staging=Staging(f"{folder}/staging"),
        accounts={account.account_id: account for account in accounts},
        load_id="load1",
        options=Options(page_size=60),
    )
    ready.send_bytes(b".")
    while not isinstance(outcome := extraction.advance(cuts), Finished):
        time.sleep(0.02)
    (folder / "part").write_text(json.dumps(outcome.manifest.to_json()))
    (folder / "part").rename(folder / DONE)
