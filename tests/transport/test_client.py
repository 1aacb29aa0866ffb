from __future__ import annotations

import asyncio
import contextlib
import http.server
import logging
import threading
import time
from collections.abc import Iterator
from typing import Protocol

import pytest

from airflow_provider_liftos.model.errors import ConfigurationError, TooMuchData, Unavailable
from airflow_provider_liftos.model.wire import Request, Response
from airflow_provider_liftos.transport import client
from airflow_provider_liftos.transport.client import AsyncHttpSender, HttpSender


class Send(Protocol):
    """Asks an address, and waits so many seconds for a word."""

    def __call__(self, base_url: str, asked: Request, patience: float = 60.0) -> Response: ...


SECRET = Request(method="GET", path="x", query={"access_token": "s3cret-in-a-url"})


class Odd(http.server.BaseHTTPRequestHandler):
    """Answers as its path says."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        getattr(self, self.path.strip("/").split("?")[0])()

    def fine(self) -> None:
        self.send_response(200)
        self.send_header("X-UPPER", "1")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def short(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "100")
        self.end_headers()
        self.wfile.write(b"half")
        self.close_connection = True

    def silent(self) -> None:
        self.server.leave.wait(120)  # type: ignore[attr-defined]
        self.close_connection = True

    def drip(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            while not self.server.leave.wait(0.02):  # type: ignore[attr-defined]
                self.wfile.write(b"1\r\n \r\n")
        except OSError:
            pass
        self.close_connection = True

    def huge(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(b"x" * 100_000)
        self.close_connection = True

    def away(self) -> None:
        self.send_response(302)
        self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def odd() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Odd)
    server.leave = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.leave.set()  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()


@pytest.fixture(params=["worker", "loop"])
def send(request: pytest.FixtureRequest) -> Send:
    """Both clients, called alike."""

    def in_worker(base_url: str, asked: Request, patience: float = 60.0) -> Response:
        return HttpSender(timeout=patience).send(base_url, asked)

    def on_loop(base_url: str, asked: Request, patience: float = 60.0) -> Response:
        async def once() -> Response:
            async with AsyncHttpSender(timeout=patience) as sender:
                return await sender.send(base_url, asked)

        return asyncio.run(once())

    return in_worker if request.param == "worker" else on_loop


def get(path: str) -> Request:
    return Request(method="GET", path=path, query=SECRET.query)


def test_an_answer_has_lower_case_headers(odd: str, send: Send) -> None:
    answer = send(odd, get("fine"))
    assert (answer.status, answer.body, answer.headers["x-upper"]) == (200, b"ok", "1")


@pytest.mark.parametrize("path", ["short", "silent"])
def test_no_whole_answer_is_unavailable_and_tells_no_address(
    odd: str, send: Send, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with pytest.raises(Unavailable) as caught:
        send(odd, get(path), 1.5 if path == "silent" else 60.0)
    assert "s3cret" not in f"{caught.value!r} {caught.value} {caplog.text}"
    assert caught.value.__suppress_context__


def test_nobody_there_is_unavailable(send: Send) -> None:
    with pytest.raises(Unavailable):
        send("http://127.0.0.1:1", SECRET)


def test_an_answer_that_drips_is_given_up(
    odd: str, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "LONGEST_ANSWER", 0.3)
    begun = time.monotonic()
    with pytest.raises(Unavailable, match="not complete"):
        send(odd, get("drip"))
    assert time.monotonic() - begun < 50, "before it would have been silent for too long"


def test_an_answer_beyond_all_measure_is_too_much(
    odd: str, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "MAX_BODY", 10_000)
    with pytest.raises(TooMuchData):
        send(odd, get("huge"))


def test_nobody_is_followed_elsewhere_with_a_token(odd: str, send: Send) -> None:
    with pytest.raises(Unavailable, match="nobody is followed with a token"):
        send(odd, get("away"))


@pytest.mark.parametrize("token", ["with\nbreak", "with…ellipsis"])
def test_a_token_that_no_header_can_carry_is_not_told(odd: str, send: Send, token: str) -> None:
    request = Request(method="GET", path="fine", headers={"Authorization": f"Bearer {token}"})
    with pytest.raises((ConfigurationError, Unavailable)) as caught:
        send(odd, request)
    assert "with" not in str(caught.value).replace("without", "")


def test_whole_addresses_are_not_logged(
    odd: str, send: Send, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    send(odd, get("fine"))
    assert "s3cret" not in caplog.text
