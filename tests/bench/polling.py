"""Two thousand reports watched in one event loop, as one triggerer would: is the loop ever blocked?"""

from __future__ import annotations

import asyncio
import tempfile
import time
from datetime import date
from pathlib import Path

TRIGGERS, REPORTS, SECONDS = 40, 50, 20


def report(url: str) -> None:
    """Forty triggers with fifty running reports each; every look is a batch of fifty."""
    from airflow_provider_liftos.engine import checkpoint as cp
    from airflow_provider_liftos.engine import polling
    from airflow_provider_liftos.engine.checkpoint import Checkpoints
    from airflow_provider_liftos.hooks.liftos import open_session
    from airflow_provider_liftos.model.platform import Credentials
    from airflow_provider_liftos.model.report import Level, Slice, Window
    from airflow_provider_liftos.model.secret import Secret
    from airflow_provider_liftos.platforms import get
    from airflow_provider_liftos.state.store import StateStore
    from airflow_provider_liftos.transport.client import AsyncHttpSender
    from airflow_provider_liftos.transport.flow import arun

    platform = get("meta")
    day = date(2026, 1, 1)
    with tempfile.TemporaryDirectory() as folder:
        store = StateStore(f"sqlite:///{Path(folder) / 'state.db'}")
        credentials = Credentials(
            org_id="default", conn_id="bench", base_url=url, version="v26.0",
            secrets={"access_token": Secret("bench-token")},
            options={"requests_per_hour": 1e9, "requests_per_minute": 1e8},
        )  # fmt: skip
        scopes = []
        for number in range(TRIGGERS):
            checkpoints = Checkpoints(store, "default", f"scope-{number}")
            window = Window(since=day, until=day)
            whole = platform.preset("basic", Level.AD)
            points = checkpoints.add(
                [
                    Slice(platform="meta", account_id=str(n), window=window, report=whole)
                    for n in range(REPORTS)
                ]
            )
            for point in points:
                point.state, point.report_id = cp.SUBMITTED, f"77{number:03d}{point.position:03d}"
                point.deadline = time.time() + 3600
            checkpoints.save(*points)
            scopes.append(checkpoints)
        lags: list[float] = []

        async def heartbeat() -> None:
            while True:
                before = time.perf_counter()
                await asyncio.sleep(0.02)
                lags.append(time.perf_counter() - before - 0.02)

        async def watch(checkpoints: Checkpoints) -> None:
            session = open_session(platform, credentials, store)
            async with AsyncHttpSender() as sender:
                await arun(polling.watch(session, checkpoints, first=2.0, longest=5.0), sender)

        async def main() -> None:
            beat = asyncio.create_task(heartbeat())
            await asyncio.gather(*map(watch, scopes))
            beat.cancel()

        cpu = time.process_time()
        asyncio.run(main())
        lags.sort()
        print(f"{TRIGGERS * REPORTS:,} reports in one event loop: longest block {lags[-1]:.3f} s,"
              f" 99th percentile {lags[int(len(lags) * 0.99)]:.3f} s,"
              f" {time.process_time() - cpu:.1f} CPU s in {SECONDS} s")  # fmt: skip
