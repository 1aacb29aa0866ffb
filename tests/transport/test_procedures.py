from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from airflow_provider_liftos.model.errors import Unavailable
from airflow_provider_liftos.model.wire import Request, Response
from airflow_provider_liftos.transport import procedures
from airflow_provider_liftos.transport.client import HttpSender

grpc = pytest.importorskip("grpc")

ASKED = Request(
    method="POST", path="liftos.Test/Say", body=b"hello", headers={"Authorization": "s"}
)


def say(body: bytes, context: Any) -> bytes:
    if body == b"no":
        context.set_trailing_metadata((("request-id", "rq-1"), ("why-bin", b"\x00\xff")))
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too often")
    context.set_trailing_metadata((("request-id", "rq-2"),))
    return body + b"|" + dict(context.invocation_metadata())["authorization"].encode()


def count(body: bytes, context: Any) -> Iterator[bytes]:
    for number in range(3):
        yield str(number).encode()
    if body == b"no":
        context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
    while body == b"wait" and context.is_active():
        time.sleep(0.01)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(2))
    handlers = {
        "Say": grpc.unary_unary_rpc_method_handler(say),
        "Count": grpc.unary_stream_rpc_method_handler(count),
    }
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("liftos.Test", handlers),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"grpc://127.0.0.1:{port}"
    server.stop(None)


@pytest.fixture
def sender() -> Iterator[HttpSender]:
    made = HttpSender(60.0)
    yield made
    made.close()


def parts(request: Request, **changed: Any) -> Request:
    from dataclasses import replace

    return replace(request, **changed)


def test_bytes_go_and_bytes_come_back_with_the_metadata(sender: HttpSender, address: str) -> None:
    answer = sender.send(address, ASKED)
    assert (answer.status, answer.body) == (200, b"hello|s")
    assert answer.headers["request-id"] == "rq-2"


def test_a_refusal_is_an_answer_whose_binary_facts_are_base64(
    sender: HttpSender, address: str
) -> None:
    answer = sender.send(address, parts(ASKED, body=b"no"))
    assert (answer.status, answer.body) == (429, b"too often")
    assert answer.headers["request-id"] == "rq-1"
    assert answer.headers["why-bin"] == "AP8="


@pytest.mark.parametrize(("body", "status"), [(b"yes", 200), (b"no", 503)])
def test_messages_are_handed_on_one_by_one(
    sender: HttpSender, address: str, body: bytes, status: int
) -> None:
    found: list[bytes] = []
    asked = parts(ASKED, path="liftos.Test/Count", body=body)
    answer = sender.receive(address, asked, found.append)
    assert found == [b"0", b"1", b"2"]
    assert answer.status == status


def test_a_reader_that_fails_ends_the_stream(sender: HttpSender, address: str) -> None:
    def refuse(_message: bytes) -> None:
        raise ValueError("not a row")

    with pytest.raises(ValueError, match="not a row"):
        sender.receive(address, parts(ASKED, path="liftos.Test/Count"), refuse)


def test_threads_that_begin_together_share_one_channel(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, gate, real = [], threading.Barrier(4), procedures._open

    def slowly(base_url: str):
        channel = real(base_url)
        opened.append(channel)
        gate.wait(60)
        return channel

    monkeypatch.setattr(procedures, "_open", slowly)
    sender = procedures.ProcedureSender()
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: sender._channel(address), range(4)))
    assert len(opened) == 4
    assert len(found) == 1
    closed = [channel for channel in opened if channel not in found]
    for channel in closed:
        with pytest.raises(ValueError, match="closed"):
            channel.unary_unary("/x")(b"", timeout=1)
    sender.close()


def test_nobody_there_is_an_answer_that_is_tried_again(sender: HttpSender) -> None:
    answer: Response = sender.send("grpc://127.0.0.1:1", ASKED)
    assert answer.status == 503


def test_a_stream_that_falls_silent_is_ended(address: str) -> None:
    sender, got = HttpSender(0.4), list[bytes]()
    with pytest.raises(Unavailable, match="nothing came"):
        sender.receive(address, parts(ASKED, path="liftos.Test/Count", body=b"wait"), got.append)
    sender.close()
    assert got == [b"0", b"1", b"2"]
