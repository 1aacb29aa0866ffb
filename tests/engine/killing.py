"""The extraction loop of a process of its own, for tests that kill it."""

from __future__ import annotations

import importlib
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx2

from airflow_provider_liftos.engine.checkpoint import Checkpoints
from airflow_provider_liftos.engine.extraction import Extraction, Finished, Options
from airflow_provider_liftos.engine.staging import Staging
from airflow_provider_liftos.model.report import Account, Slice
from airflow_provider_liftos.model.wire import Request, Response
from airflow_provider_liftos.platforms import discover, get
from airflow_provider_liftos.platforms.google_ads.schema import service
from airflow_provider_liftos.resilience.backoff import Backoff
from airflow_provider_liftos.resilience.breaker import Breaker
from airflow_provider_liftos.resilience.limiter import Limiter
from airflow_provider_liftos.state.store import StateStore
from airflow_provider_liftos.transport.client import HttpSender
from airflow_provider_liftos.transport.session import Session
from tests.engine.harness import credentials
from tests.quick_sender import quick_sender

SCOPE = "dag/run/extract/-1"
DONE = "done.json"
BEGUN, SENT = b"begun", b"sent"

# Imported once, in the process that the others are forked from.
for name in (
    "fsspec.implementations.local",
    "sqlalchemy.dialects.sqlite.pysqlite",
    "pyarrow",
    "grpc",
):
    importlib.import_module(name)
discover()
service(get("google_ads").newest())
httpx2.Client(verify=False).close()


def open_store(folder: Path) -> StateStore:
    return StateStore(f"sqlite:///{folder}/state.db")


class Telling:
    """The sender, which tells of every request just before it goes out."""

    def __init__(self, sender: HttpSender, told: Connection) -> None:
        self._sender = sender
        self._told = told
        self._one = threading.Lock()

    def send(self, base_url: str, request: Request) -> Response:
        self._tell()
        return self._sender.send(base_url, request)

    def receive(self, base_url: str, request: Request, take: Callable[[bytes], None]) -> Response:
        self._tell()
        return self._sender.receive(base_url, request, take)

    def _tell(self) -> None:
        with self._one:
            self._told.send_bytes(SENT)


def work(
    url: str,
    platform: str,
    fields: Mapping[str, Any],
    folder: Path,
    cuts: Sequence[Slice],
    accounts: Sequence[Account],
    told: Connection,
) -> None:
    """Extract to the end as a task does, and leave the manifest behind; likely killed before.

    ``told`` hears BEGUN, and SENT with every request.
    """
    store = open_store(folder)
    declared = get(platform)
    session = Session(
        declared, credentials(url, declared, fields), limiter=Limiter(store, "default"),
        breaker=Breaker(store, "default"), backoff=Backoff(base=0.01), now=store.clock.now,
    )  # fmt: skip
    extraction = Extraction(
        session=session,
        sender=Telling(quick_sender(), told),
        checkpoints=Checkpoints(store, "default", SCOPE),
        staging=Staging(f"{folder}/staging"),
        accounts={account.account_id: account for account in accounts},
        load_id="load1",
        options=Options(page_size=60),
    )
    told.send_bytes(BEGUN)
    while not isinstance(outcome := extraction.advance(cuts), Finished):
        time.sleep(0.02)
    (folder / "part").write_text(json.dumps(outcome.manifest.to_json()))
    (folder / "part").rename(folder / DONE)
