"""Where Google's wire listens, and what it keeps in memory."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import grpc
import httpx2
import pytest

from airflow_provider_liftos.sandbox import Sandbox
from airflow_provider_liftos.sandbox.wire.google_ads import results
from airflow_provider_liftos.sandbox.wire.google_ads.results import Result, Results
from airflow_provider_liftos.sandbox.wire.google_ads.writer import Batch
from tests.ports import free_port
from tests.sandbox.google_client import HOLDING, GoogleWire, plain, sums, truth_sums

SERVE = [
    sys.executable, "-c",
    "import sys; from airflow_provider_liftos.sandbox.cli import main; sys.exit(main())", "serve",
]  # fmt: skip


@pytest.fixture
def process(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A sandbox process that speaks gRPC with TLS: its address, and the roots to trust."""
    port, roots = free_port(), tmp_path / "roots.pem"
    options = ["--http", f"127.0.0.1:{port}", "--grpc", "127.0.0.1:0", "--grpc-roots", str(roots)]
    started = subprocess.Popen([*SERVE, *options], stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    assert f"http://127.0.0.1:{port}" in started.stdout.readline()
    assert "gRPC on localhost:" in started.stdout.readline()
    yield f"http://127.0.0.1:{port}", roots
    started.send_signal(signal.SIGTERM)
    started.wait(timeout=60)


def test_a_process_speaks_grpc_where_it_says(process: tuple[str, Path]) -> None:
    url, roots = process
    with httpx2.Client(base_url=url, timeout=60, transport=httpx2.HTTPTransport(retries=8)) as http:
        address = http.get("/_sandbox/health").json()["grpc"]
        known = http.get("/_sandbox/connections").json()["google_ads"]
    assert known["grpc_endpoint"] == address
    assert known["token_uri"] == f"{url}/google_ads/token"
    assert known["login_customer_id"] == HOLDING
    trusted = grpc.ssl_channel_credentials(roots.read_bytes())
    with grpc.secure_channel(address.removeprefix("grpcs://"), trusted) as channel:
        call = channel.unary_unary(
            "/google.ads.googleads.v26.services.CustomerService/ListAccessibleCustomers"
        )
        assert call(b"", metadata=[("authorization", "Bearer sandbox-token")], timeout=60)


def test_a_taken_port_is_refused_when_it_was_asked_for() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        options = ["--http", f"127.0.0.1:{free_port()}", "--grpc", address]
        done = subprocess.run(
            [*SERVE, *options], capture_output=True, text=True, check=False, timeout=180
        )
    assert done.returncode == 1
    assert f"{address} cannot be listened on" in done.stderr


def test_a_result_is_read_again_and_from_any_page(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def make() -> Iterator[Batch]:
        made.append(1)
        for number in range(6):
            yield Batch(bytes([number]) * 1000, 10, last=number == 5)

    monkeypatch.setattr(results, "_CACHED_BYTES", 40)  # one compressed batch, and no more
    result = Result(make)
    whole = [batch.data[0] for batch in result.batches()]
    assert whole == [batch.data[0] for batch in result.batches()] == list(range(6))
    assert result.batch(4).data[0] == 4
    assert result.batch(2).data[0] == 2
    assert result.batch(6) is None
    assert result.total() == 60
    assert len(made) > 2
    monkeypatch.undo()
    kept = Result(make)
    made.clear()
    assert [len(list(kept.batches())) for _ in range(3)] == [6, 6, 6]
    assert len(made) == 1


def test_results_that_nobody_reads_go() -> None:
    kept = Results()
    first = kept.get("a", lambda: iter(()))
    assert kept.get("a", lambda: iter(())) is first
    for number in range(70):
        kept.get(number, lambda: iter(()))
    assert kept.get("a", lambda: iter(())) is not first


def test_thousands_of_ads_stream_while_others_ask() -> None:
    query = (
        "SELECT ad_group_ad.ad.id, metrics.impressions, metrics.clicks, metrics.cost_micros, "
        "metrics.conversions, metrics.conversions_value, segments.date FROM ad_group_ad "
        "WHERE segments.date BETWEEN '2026-11-01' AND '2026-11-07'"
    )
    with Sandbox(
        profile="large", start=datetime(2026, 11, 21, 11, tzinfo=UTC), frozen=True
    ) as large:
        wire = GoogleWire(large)
        batches = wire.batches(query)
        rows = [plain(row) for row in next(batches).results]
        assert wire.rest_stream("SELECT customer.id FROM customer")
        for batch in batches:
            rows += [plain(row) for row in batch.results]
        truth = large.truth(
            platform="google_ads",
            account=wire.cid,
            level="ad",
            since="2026-11-01",
            until="2026-11-07",
        )
        assert sums(rows) == truth_sums(truth)
        assert len(rows) == len(truth["rows"]) > 18_000
        tree = (
            "SELECT customer_client.id FROM customer_client WHERE customer_client.manager = FALSE"
        )
        assert len(wire.grpc_stream(tree, HOLDING)) == 300
        wire.close()
