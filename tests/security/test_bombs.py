"""Small answers that become large ones, and rows that never end: they cost what they may, no more."""

from __future__ import annotations

import asyncio
import gzip
import http.server
import json
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from airflow_provider_liftos.model.errors import LiftosError, TooMuchData, Unavailable
from airflow_provider_liftos.model.wire import Request, Response
from airflow_provider_liftos.platforms import names
from airflow_provider_liftos.platforms.google_ads import decode
from airflow_provider_liftos.platforms.tiktok import table
from airflow_provider_liftos.transport import client, procedures
from airflow_provider_liftos.transport.client import AsyncHttpSender, HttpSender
from tests.engine.harness import Harness, basic, last
from tests.engine.totals import staged, truth
from tests.platforms.conftest import Make

MIB = 1 << 20
WHOLE = 512 * MIB
"""Bytes that the bombs become."""


def gzipped(size: int, wbits: int) -> bytes:
    """So many zeros, in a thousandth of their place."""
    packer = zlib.compressobj(9, wbits=wbits)
    zeros = bytes(MIB)
    return b"".join(packer.compress(zeros) for _ in range(size // MIB)) + packer.flush()


def packed(coding: str) -> bytes:
    if coding == "deflate":
        return gzipped(WHOLE, 15)
    once = gzipped(WHOLE, 31)
    return gzip.compress(once) if coding == "gzip, gzip" else once


@pytest.fixture
def asked() -> list[str]:
    """What callers say they can unpack."""
    return []


@pytest.fixture
def served(asked: list[str]) -> Iterator[Callable[[bytes, str], str]]:
    """Serves a body under a coding; the address."""
    told: dict[str, Any] = {}

    class Bomb(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers.get("Accept-Encoding", ""))
            self.send_response(200)
            self.send_header("Content-Encoding", told["coding"])
            self.send_header("Content-Length", str(len(told["body"])))
            self.end_headers()
            try:
                self.wfile.write(told["body"])
            except OSError:
                self.close_connection = True

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bomb)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def serve(body: bytes, coding: str) -> str:
        told.update(body=body, coding=coding)
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    server.shutdown()
    server.server_close()


class Keeps:
    """Hands on nothing, and knows how much there was."""

    size = 0

    def __call__(self, piece: bytes) -> None:
        self.size += len(piece)


def worker(url: str) -> Response:
    return HttpSender().send(url, Request(method="GET", path=""))


def stream(url: str) -> Response:
    return HttpSender().receive(url, Request(method="GET", path=""), Keeps())


def loop(url: str) -> Response:
    async def once() -> Response:
        async with AsyncHttpSender() as sender:
            return await sender.send(url, Request(method="GET", path=""))

    return asyncio.run(once())


@pytest.mark.parametrize("coding", ["gzip", "deflate", "gzip, gzip"])
@pytest.mark.parametrize("send", [worker, stream, loop])
def test_a_bomb_is_given_up_at_the_limit_and_never_unpacked(
    served: Callable[[bytes, str], str],
    monkeypatch: pytest.MonkeyPatch,
    send: Callable[[str], Response],
    coding: str,
) -> None:
    body = packed(coding)
    assert len(body) < MIB
    monkeypatch.setattr(client, "MAX_BODY", 8 * MIB)
    monkeypatch.setattr(client, "MAX_STREAM", 8 * MIB)
    url = served(body, coding)
    tracemalloc.start()
    try:
        with pytest.raises(TooMuchData, match="larger than 8 MiB"):
            send(url)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 40 * MIB


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, br", "ZSTD", "x-gzip"])
@pytest.mark.parametrize("send", [worker, stream, loop])
def test_what_nobody_asked_for_is_not_unpacked(
    served: Callable[[bytes, str], str],
    monkeypatch: pytest.MonkeyPatch,
    send: Callable[[str], Response],
    coding: str,
) -> None:
    class UnpackedError(Exception):
        pass

    def unpack() -> None:
        raise UnpackedError

    decoders = pytest.importorskip("httpx2._decoders").SUPPORTED_DECODERS
    for name in ("br", "zstd"):  # as where their libraries are installed
        monkeypatch.setitem(decoders, name, unpack)
    with pytest.raises(
        Unavailable, match=r"packed as '(br|zstd|x-gzip|ZSTD)', which nobody"
    ) as hit:
        send(served(b"{}", coding))
    assert hit.value.hint


@pytest.mark.parametrize("send", [worker, stream, loop])
def test_only_what_can_be_bounded_is_asked_for(
    served: Callable[[bytes, str], str],
    asked: list[str],
    monkeypatch: pytest.MonkeyPatch,
    send: Callable[[str], Response],
) -> None:
    # As where their libraries are installed.
    monkeypatch.setattr("httpx2._client.ACCEPT_ENCODING", "gzip, deflate, br, zstd")
    monkeypatch.setattr(client, "_POOL", client._Pool())
    assert send(served(b"{}", "identity")).body == b"{}"
    assert asked == ["gzip, deflate"]


def test_limits_are_what_a_worker_can_bear() -> None:
    assert client.MAX_BODY <= 512 * MIB
    assert client.MAX_STREAM <= 64 << 30
    assert table.LONGEST_ROW <= 16 * MIB
    assert decode.LONGEST_BATCH <= 256 * MIB


def feed(reader: Any, piece: bytes, times: int) -> None:
    for _ in range(times):
        reader.feed(piece)


@pytest.mark.parametrize("start", [b"", b'"', b'a,b\n"x'])
def test_a_row_of_a_file_that_never_ends_is_given_up(start: bytes) -> None:
    rows = table.Table(("a",) if start[:1] == b"a" else ())
    rows.feed(start)
    feed(rows, bytes(MIB), 15)
    with pytest.raises(ValueError, match="a row of more than 16 MiB"):
        feed(rows, bytes(MIB), 2)


@pytest.mark.parametrize("piece", [b'a,b\n"x"y,1\n', b'a,b\n"' + b"x" * 200_000 + b'",1\n'])
def test_what_is_no_table_is_nonsense_and_nothing_else(piece: bytes) -> None:
    with pytest.raises(ValueError, match="not comma-separated values"):
        table.Table(("a",)).feed(piece)


def test_a_batch_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "LONGEST_BATCH", 4 * MIB)
    batches = decode.Batches((), lambda rows: rows)
    batches.feed(b'[{"results":[')
    feed(batches, b" " * MIB, 3)
    with pytest.raises(ValueError, match="a batch of more than 4 MiB"):
        feed(batches, b" " * MIB, 2)


DEEP = b"[" * 200_000
NESTED = b'{"a":' * 200_000


class Poisoned(HttpSender):
    """Puts something else in the place of good answers."""

    def __init__(self, change: Callable[[bytes], bytes]) -> None:
        super().__init__(5.0)
        self.change = change
        self.changed = 0

    def send(self, base_url: str, request: Request) -> Response:
        found = super().send(base_url, request)
        if found.status != 200 or "token" in request.path:
            return found
        self.changed += 1
        return Response(status=200, headers=found.headers, body=self.change(found.body))

    def receive(self, base_url: str, request: Request, take: Callable[[bytes], None]) -> Response:
        found = self.send(base_url, request)
        for start in range(0, len(found.body), 65_536):
            take(found.body[start : start + 65_536])
        return Response(status=found.status, headers=found.headers, body=b"")


def poisoned(make: Make, platform: str, change: Callable[[bytes], bytes]) -> Harness:
    options = {"google_ads": {"transport": "rest"}, "tiktok": {"report_tasks": "false"}}
    harness = make(platform, **options.get(platform, {}))
    harness.sender.close()
    harness.sender = Poisoned(change)
    return harness


@pytest.mark.parametrize(
    "body", [DEEP, NESTED, b'{"data":' + DEEP, b'{"error":' + DEEP, b"\xff" * 99]
)
@pytest.mark.parametrize("platform", names())
def test_brackets_without_end_are_nonsense_like_any_other(
    make: Make, platform: str, body: bytes
) -> None:
    harness = poisoned(make, platform, lambda _: body)
    with pytest.raises(LiftosError) as caught:
        harness.extract(harness.slices([basic(platform=harness.platform)], last(1)))
    assert isinstance(caught.value, Unavailable)
    assert len(harness.journal()) < 20
    assert len(str(caught.value)) < 600


def test_a_row_that_is_nested_too_deeply_costs_itself_alone(make: Make) -> None:
    """Meta's rows are kept as they came; one of them is a pit."""
    inner = b'{"x":' * 900 + b"1" + b"}" * 900
    pit = b'{"date_start":"2026-11-20","account_id":"1","ad_id":"1","actions":[' + inner + b"]}"

    def change(body: bytes) -> bytes:
        return (
            body.replace(b'"data":[{', b'"data":[' + pit + b",{")
            if b"impressions" in body
            else body
        )

    harness = make("meta")
    cuts = harness.slices([basic()], last(1))
    harness.sender.close()
    harness.sender = Poisoned(change)
    done = harness.normalize(harness.extract(cuts))
    wanted = truth(harness.platform, harness.sandbox, cuts)
    found = staged(done)
    assert {key: found[key] for key in wanted} == wanted
    assert json.dumps([letter[0] for letter in harness.rejected])


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("method", ["send", "receive"])
def test_a_message_beyond_all_measure_is_too_much_and_no_limit_of_calls(
    method: str, *, compressed: bool
) -> None:
    """The library says RESOURCE_EXHAUSTED for both; waiting would not help here."""
    grpc = pytest.importorskip("grpc")
    zeros = bytes(procedures.MAX_MESSAGE + MIB)
    handler = (
        grpc.unary_unary_rpc_method_handler(lambda _body, _context: zeros)
        if method == "send"
        else grpc.unary_stream_rpc_method_handler(lambda _body, _context: iter([zeros]))
    )
    coding = grpc.Compression.Gzip if compressed else grpc.Compression.NoCompression
    server = grpc.server(ThreadPoolExecutor(1), compression=coding)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", {"M": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sender, keeps = HttpSender(20.0), Keeps()
    more = {"take": keeps} if method == "receive" else {}
    try:
        with pytest.raises(TooMuchData, match="larger than 64 MiB"):
            getattr(sender, method)(
                f"grpc://127.0.0.1:{port}", Request(method="POST", path="t.T/M", body=b""), **more
            )
    finally:
        sender.close()
        server.stop(None)
    assert keeps.size == 0
