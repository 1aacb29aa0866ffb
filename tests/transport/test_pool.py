"""Connections: as many as calls run side by side, kept between calls, one where HTTP/2 is spoken."""

from __future__ import annotations

import asyncio
import datetime as dt
import http.server
import ipaddress
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from airflow_provider_liftos.model.wire import Request
from airflow_provider_liftos.transport import client
from airflow_provider_liftos.transport.client import AsyncHttpSender, HttpSender

GET = Request(method="GET", path="x")


class Counting(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.peers.add(self.client_address)  # type: ignore[attr-defined]
        barrier = self.server.together  # type: ignore[attr-defined]
        if barrier is not None:
            barrier.wait(60)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server() -> Iterator[http.server.ThreadingHTTPServer]:
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Counting)
    made.peers, made.together = set(), None  # type: ignore[attr-defined]
    threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def url(server: http.server.ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_port}"


def test_a_hundred_pages_take_one_connection(server) -> None:
    sender = HttpSender()
    opened = sum(sender.send(url(server), GET).transfer.opened for _ in range(100))
    sender.close()
    assert (opened, len(server.peers)) == (1, 1)


def test_as_many_connections_as_calls_run_side_by_side(
    server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_POOL", client._Pool())
    sender, others = HttpSender(), HttpSender()
    server.together = threading.Barrier(4)
    with ThreadPoolExecutor(4) as pool:
        first = list(pool.map(lambda _: sender.send(url(server), GET), range(4)))
    assert sum(answer.transfer.opened for answer in first) == 4
    server.together = None
    again = [others.send(url(server), GET) for _ in range(20)]
    assert sum(answer.transfer.opened for answer in again) == 0, "one pool for the process"
    others.close()
    assert sender.send(url(server), GET).transfer.opened == 0, "one still uses it"
    sender.close()
    assert HttpSender().send(url(server), GET).transfer.opened == 1


def test_idle_connections_are_closed(server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "KEPT_SECONDS", 0.0)
    monkeypatch.setattr(client, "_POOL", client._Pool())
    sender = HttpSender()
    assert [sender.send(url(server), GET).transfer.opened for _ in range(3)] == [1, 1, 1]
    sender.close()


def test_a_forked_task_opens_its_own(server) -> None:
    sender = HttpSender()
    sender.send(url(server), GET)
    pid = os.fork()
    if not pid:
        os._exit(sender.send(url(server), GET).transfer.opened)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    assert sender.send(url(server), GET).transfer.opened == 0
    sender.close()


async def test_triggers_of_a_process_share_connections(server) -> None:
    async def one() -> int:
        async with AsyncHttpSender() as sender:
            await asyncio.sleep(0)
            return (await sender.send(url(server), GET)).transfer.opened

    async with AsyncHttpSender() as keeper:
        await keeper.send(url(server), GET)
        assert sum([await one() for _ in range(10)]) == 0
    assert len(client._OF_LOOPS) == 0
    assert await one() == 1


# --- HTTP/2 --------------------------------------------------------------------------------------


def certificate(folder: Path) -> Path:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(
            [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    file = folder / "both.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ) + made.public_bytes(serialization.Encoding.PEM)
    )  # fmt: skip
    return file


def serve_h2(line: ssl.SSLSocket) -> None:
    """Answer every stream of one connection."""
    import h2.config
    import h2.connection
    import h2.events

    speaker = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    speaker.initiate_connection()
    line.sendall(speaker.data_to_send())
    while data := line.recv(65_536):
        for event in speaker.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                speaker.send_headers(event.stream_id, [(":status", "200"), ("x-a", "1")])
                speaker.send_data(event.stream_id, b"ok", end_stream=True)
        line.sendall(speaker.data_to_send())


def serve_h1(line: ssl.SSLSocket) -> None:
    """Answer every request of one connection; they have no body."""
    while asked := line.recv(65_536):
        if asked.endswith(b"\r\n\r\n"):
            line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


@pytest.fixture
def both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a host that speaks HTTP/2 to whoever offers it."""
    pytest.importorskip("h2")
    file = certificate(tmp_path)
    offer = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    offer.load_cert_chain(file)
    offer.set_alpn_protocols(["h2", "http/1.1"])
    monkeypatch.setattr(client, "_trust", lambda _pid: ssl.create_default_context(cafile=str(file)))
    monkeypatch.setattr(client, "_POOL", client._Pool())
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                line = offer.wrap_socket(listener.accept()[0], server_side=True)
            except OSError:
                return
            serve = serve_h2 if line.selected_alpn_protocol() == "h2" else serve_h1
            threading.Thread(target=serve, args=(line,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield f"https://127.0.0.1:{listener.getsockname()[1]}"
    listener.close()


async def test_http2_is_spoken_where_offered_over_one_connection(both: str) -> None:
    async with AsyncHttpSender() as sender:
        first = await sender.send(both, GET)
        answers = await asyncio.gather(*(sender.send(both, GET) for _ in range(99)))
    assert {answer.transfer.protocol for answer in (first, *answers)} == {"HTTP/2"}
    assert {answer.body for answer in answers} == {b"ok"}
    assert sum(answer.transfer.opened for answer in (first, *answers)) == 1


def test_threads_do_not_share_one_connection_of_http2(both: str) -> None:
    # Its streams are numbered without a lock in the library: calls would break one another.
    sender = HttpSender()
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: sender.send(both, GET), range(99)))
    sender.close()
    assert {answer.transfer.protocol for answer in answers} == {"HTTP/1.1"}
    assert {answer.body for answer in answers} == {b"ok"}
    assert 1 <= sum(answer.transfer.opened for answer in answers) <= 4
