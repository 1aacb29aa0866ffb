"""Thirty report days that take 60 s each: from the first submission to the last page fetched."""

from __future__ import annotations

import asyncio
import tempfile
import time
from datetime import timedelta
from pathlib import Path

SECONDS, REPORT_DAYS = 60.0, 30


def report() -> None:
    """The engine and the trigger's own watching loop, against the sandbox; no worker in between."""
    from airflow_provider_liftos.engine import plan, polling
    from airflow_provider_liftos.engine.checkpoint import Checkpoints
    from airflow_provider_liftos.engine.extraction import Extraction, Finished
    from airflow_provider_liftos.engine.staging import Staging
    from airflow_provider_liftos.hooks.liftos import discover, open_session
    from airflow_provider_liftos.model.platform import Credentials
    from airflow_provider_liftos.model.report import Level
    from airflow_provider_liftos.model.secret import Secret
    from airflow_provider_liftos.platforms import get
    from airflow_provider_liftos.sandbox import Sandbox
    from airflow_provider_liftos.state.store import StateStore
    from airflow_provider_liftos.transport.client import AsyncHttpSender, HttpSender
    from airflow_provider_liftos.transport.flow import arun

    platform = get("meta")
    with Sandbox(report_seconds=SECONDS) as sandbox, tempfile.TemporaryDirectory() as folder:
        store = StateStore(f"sqlite:///{Path(folder) / 'state.db'}")
        credentials = Credentials(
            org_id="default", conn_id="bench", base_url=f"{sandbox.url}/meta", version="v26.0",
            secrets={"access_token": Secret("sandbox-token")},
            options={"requests_per_hour": 1e9, "requests_per_minute": 1e8},
        )  # fmt: skip
        session, sender = open_session(platform, credentials, store), HttpSender()
        account = discover(session, sender)[0]
        window, _ = plan.resolve(
            plan.DateRange(last_days=REPORT_DAYS), account, platform, time.time()
        )
        cuts = plan.slices(
            platform, [(account, window)], [platform.preset("basic", Level.AD)], [], 1
        )
        checkpoints = Checkpoints(store, "default", "bench")
        extraction = Extraction(
            session=session, sender=sender, checkpoints=checkpoints, staging=Staging(folder),
            accounts={account.account_id: account}, load_id="bench",
        )  # fmt: skip

        async def watch() -> None:
            async with AsyncHttpSender() as asynchronous:
                flow = polling.watch(session, checkpoints, first=10.0, longest=60.0)
                await arun(flow, asynchronous)

        began = time.monotonic()
        outcome, deferrals = extraction.advance(cuts), 0
        while not isinstance(outcome, Finished):
            deferrals += 1
            asyncio.run(watch())
            outcome = extraction.advance(cuts)
        spent = timedelta(seconds=round(time.monotonic() - began))
        print(f"{REPORT_DAYS} report days of {SECONDS:.0f} s each: {spent} from first submission to"
              f" last page, {deferrals} deferral, {len(outcome.manifest.slices)} slices")  # fmt: skip


if __name__ == "__main__":
    report()
