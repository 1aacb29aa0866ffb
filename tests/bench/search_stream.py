"""A million rows of Google Ads by SearchStream: onto staging, beside the bare decoding of them.

``python -m tests.bench.search_stream``: interleaved, three rounds, a process each, against a server
of its own process that has its batches ready.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from tests.bench.measure import contestant

ROWS, BATCH = 1_000_000, 10_000
METHOD = "google.ads.googleads.v26.services.GoogleAdsService"
DAY = date(2026, 11, 1)
FIELDS = (
    "segments.date", "customer.id", "customer.descriptive_name", "customer.currency_code",
    "campaign.id", "campaign.name", "ad_group.id", "ad_group.name", "ad_group_ad.ad.id",
    "ad_group_ad.ad.name", "metrics.impressions", "metrics.clicks", "metrics.cost_micros",
    "metrics.conversions", "metrics.conversions_value", "metrics.all_conversions",
    "metrics.all_conversions_value", "metrics.view_through_conversions",
)  # fmt: skip
"""What the report basic:ad selects."""


def batches() -> list[bytes]:
    """Messages as Google's own library makes them; four kinds, again and again."""
    from google.ads.googleads.v26.services.types.google_ads_service import (
        SearchGoogleAdsStreamResponse,
    )

    found = []
    for kind in range(4):
        message = SearchGoogleAdsStreamResponse.pb()()
        for number in range(BATCH):
            row = message.results.add()
            row.customer.id, row.customer.currency_code = 1234567890, "EUR"
            row.customer.descriptive_name = "Northwind EU"
            row.campaign.id, row.campaign.name = 17_000 + number % 40, f"Brand {number % 40}"
            row.ad_group.id, row.ad_group.name = 27_000 + number % 400, f"Group {number % 400}"
            row.ad_group_ad.ad.id, row.ad_group_ad.ad.name = 7 * 10**11 + number, f"Ad {number}"
            row.segments.date = str(DAY + timedelta(days=kind))
            numbers = row.metrics
            numbers.impressions, numbers.clicks = 100 + number, number % 97
            numbers.cost_micros = 10_000 * (number % 1000)
            numbers.conversions, numbers.conversions_value = number % 7 / 3, number % 11 * 1.25
            numbers.all_conversions, numbers.all_conversions_value = number % 5, 2.5
            numbers.view_through_conversions = number % 2
        found.append(message.SerializeToString())
    return found


def serve() -> None:
    """Serve until killed; says its port on the first line of output."""
    from concurrent.futures import ThreadPoolExecutor

    import grpc

    ready = batches()

    def stream(_body: bytes, _context: Any) -> Iterator[bytes]:
        return itertools.islice(itertools.cycle(ready), ROWS // BATCH)

    server = grpc.server(
        ThreadPoolExecutor(2), options=[("grpc.max_send_message_length", 64 << 20)]
    )
    handler = grpc.unary_stream_rpc_method_handler(stream)
    handlers = {"SearchStream": handler}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(METHOD, handlers),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    server.wait_for_termination()


@contextmanager
def server() -> Iterator[str]:
    command = [sys.executable, "-m", "tests.bench.search_stream", "serve"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        yield f"127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.terminate()
        process.wait()


def bare(address: str) -> tuple[int, float]:
    """The library's raw messages, every field of every row read, and nothing done with it."""
    from operator import attrgetter

    import grpc
    from google.ads.googleads.v26.services.types.google_ads_service import (
        SearchGoogleAdsStreamResponse,
    )

    channel = grpc.insecure_channel(
        address, options=[("grpc.max_receive_message_length", 64 << 20)]
    )
    call = channel.unary_stream(
        f"/{METHOD}/SearchStream",
        response_deserializer=SearchGoogleAdsStreamResponse.pb().FromString,
    )
    read = attrgetter(*FIELDS)
    rows, spend = 0, 0
    for message in call(b""):
        values = [read(row) for row in message.results]
        rows += len(values)
        spend += sum(value[12] for value in values)
    return rows, spend / 1e6


def staged(address: str, folder: Path) -> tuple[int, float]:
    """Through our session onto staging: rows as JSON, compressed, with checksums."""
    from airflow_provider_liftos.engine import fetch
    from airflow_provider_liftos.engine.staging import Staging
    from airflow_provider_liftos.hooks.liftos import open_session
    from airflow_provider_liftos.model.platform import Credentials
    from airflow_provider_liftos.model.report import Level, Slice, Window
    from airflow_provider_liftos.model.secret import Secret
    from airflow_provider_liftos.platforms import get
    from airflow_provider_liftos.state.store import StateStore
    from airflow_provider_liftos.transport.client import HttpSender
    from airflow_provider_liftos.transport.flow import run

    platform = replace(get("google_ads"), grant=None)
    credentials = Credentials(
        org_id="default", conn_id="bench", base_url="", version="v26",
        secrets={"access_token": Secret("bench-token")}, options={"grpc_endpoint": address},
    )  # fmt: skip
    report = platform.check(platform.preset("basic", Level.AD))
    window = Window(since=DAY, until=DAY + timedelta(days=3))
    cut = Slice(platform="google_ads", account_id="1234567890", window=window, report=report)
    reading = platform.reading(cut, credentials)
    assert reading
    session = open_session(platform, credentials, StateStore(f"sqlite:///{folder}/state.db"))
    staging = Staging(str(folder))
    files = run(fetch.rows(session, reading, staging, str(folder / "raw")), HttpSender())
    return sum(file.rows for file in files), 0.0


def report() -> None:
    """Medians of rows per second, each client's own imports included; largest memory."""
    found: dict[str, list[dict[str, Any]]] = {"bare": [], "staged": []}
    with server() as address:
        for _ in range(3):
            for name, runs in found.items():
                command = [sys.executable, "-m", "tests.bench.search_stream", name, address]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                result = json.loads(done.stdout.strip().splitlines()[-1])
                assert result["rows"] == ROWS, result
                runs.append(result)
    decoding, ours = (sorted(runs, key=lambda one: one["wall"])[1] for runs in found.values())
    peak = max(run["rss"] for run in found["staged"])
    print(f"SearchStream, {ROWS:,} rows of {len(FIELDS)} fields: bare decoding"
          f" {ROWS / decoding['wall']:,.0f} rows/s, ours onto staging {ROWS / ours['wall']:,.0f}"
          f" rows/s = {decoding['wall'] / ours['wall']:.0%} by wall,"
          f" {decoding['cpu'] / ours['cpu']:.0%} by CPU; peak {peak:,} MB")  # fmt: skip


def main(name: str, *arguments: str) -> None:
    if name == "serve":
        serve()
    elif name == "bare":
        contestant(lambda: bare(*arguments))
    else:
        with tempfile.TemporaryDirectory() as folder:
            contestant(lambda: staged(*arguments, Path(folder)))


if __name__ == "__main__":
    main(*sys.argv[1:]) if len(sys.argv) > 1 else report()
