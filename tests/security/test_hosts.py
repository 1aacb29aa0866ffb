"""A connection cannot make our workers talk to the machine's own cloud, however it is written."""

from __future__ import annotations

import asyncio
import http.server
import ipaddress
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_liftos.hooks.ecb import EcbHook
from airflow_provider_liftos.hooks.google_ads import GoogleAdsHook
from airflow_provider_liftos.hooks.liftos import read_connection
from airflow_provider_liftos.model.errors import ConfigurationError, Unavailable
from airflow_provider_liftos.model.wire import Request, Response
from airflow_provider_liftos.platforms import get, names
from airflow_provider_liftos.transport import hosts
from airflow_provider_liftos.transport.client import AsyncHttpSender, HttpSender

FORBIDDEN = (
    "169.254.169.254",
    "169.254.169.254.",
    "169.254.170.2",
    "169.254.43518",
    "169.16689662",
    "2852039166",
    "0xa9fea9fe",
    "0xa9.0xfe.0xa9.0xfe",
    "0251.0376.0251.0376",
    "025177524776",
    "①⑥⑨.254.169.254",
    "169。254。169。254",
    "%31%36%39.254.169.254",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[0:0:0:0:0:ffff:a9fe:a9fe]",
    "[::169.254.169.254]",
    "[64:ff9b::a9fe:a9fe]",
    "[2002:a9fe:a9fe::1]",
    "[fe80::1]",
    "[fe80::1%25eth0]",
    "[fd00:ec2::254]",
    "[fd20:ce::254]",
    "0.0.0.0",
    "0",
    "[::]",
    "[ff02::1]",
    "224.0.0.1",
    "255.255.255.255",
    "100.100.100.200",
    "168.63.129.16",
    "metadata.google.internal",
    "METADATA.google.internal.",
    "metadata",
    "metadata.goog",
    "instance-data.ec2.internal",
)
ALLOWED = (
    "127.0.0.1", "127.1", "localhost", "[::1]", "10.0.0.1", "192.168.1.4", "172.16.0.9",
    "[fd12:3456::1]", "graph.facebook.com", "metadata.example.com", "proxy.internal",
    "169.254.example.com", "8.8.8.8", "[2001:db8::1]",
)  # fmt: skip


def connection(host: str = "", **extra: Any) -> Any:
    return SimpleNamespace(
        conn_id="c", host=host, schema="", port=None, password=None, extra_dejson=extra
    )


@pytest.mark.parametrize("platform", names())
@pytest.mark.parametrize("host", FORBIDDEN)
def test_no_connection_names_such_a_host(platform: str, host: str) -> None:
    for given in (host, f"https://{host}/x", f"https://{host}:443"):
        with pytest.raises(ConfigurationError) as caught:
            read_connection(get(platform), connection(given, allow_insecure=True))
        said = str(caught.value)
        assert "connection 'c', host" in said
        assert "nothing is sent there" in said
        assert "\n" not in said


@pytest.mark.parametrize("host", ALLOWED)
def test_loopback_private_networks_and_names_are_as_good_as_any(host: str) -> None:
    found = read_connection(get("meta"), connection(f"https://{host}"))
    assert found.base_url == f"https://{host}"


@pytest.mark.parametrize("field", ["grpc_endpoint", "token_uri"])
def test_nor_do_the_other_addresses_of_a_connection(field: str) -> None:
    scheme = "grpcs" if field == "grpc_endpoint" else "https"
    for host in FORBIDDEN:
        with pytest.raises(ConfigurationError, match=f"'c', {field}.*nothing is sent there"):
            read_connection(get("google_ads"), connection(**{field: f"{scheme}://{host}/token"}))


def test_nor_does_a_service_accounts_key_nor_a_bare_endpoint(liftos: Any) -> None:
    liftos.connect(
        "keyed", conn_type="liftosgoogleads",
        extra={
            "keyfile_dict": {
                "client_email": "x", "private_key": "x", "token_uri": "https://169.254.169.254/t",
            },
        },
    )  # fmt: skip
    with pytest.raises(ConfigurationError, match="link-local address; nothing is sent there"):
        GoogleAdsHook("keyed").get_conn()
    liftos.connect(
        "bare", conn_type="liftosgoogleads", extra={"grpc_endpoint": "169.254.169.254:443"}
    )
    with pytest.raises(ConfigurationError, match="link-local address; nothing is sent there"):
        GoogleAdsHook("bare").get_conn()


def test_nor_does_the_connection_of_the_reference_rates(liftos: Any) -> None:
    liftos.connect("rates", conn_type="http", host="http://169.254.169.254")
    with pytest.raises(ConfigurationError, match=r"'rates', host: 169.254.169.254 is a link-local"):
        EcbHook.get_connection("rates")


Send = Callable[[str], Response]
TOLD = Request(method="GET", path="latest/meta-data", headers={"Authorization": "Bearer s3cret"})


@pytest.fixture(params=["worker", "stream", "loop"])
def send(request: pytest.FixtureRequest) -> Send:
    """Every way to send, called alike."""
    if request.param == "worker":
        return lambda url: HttpSender(2.0).send(url, TOLD)
    if request.param == "stream":
        return lambda url: HttpSender(2.0).receive(url, TOLD, lambda _: None)

    async def once(url: str) -> Response:
        async with AsyncHttpSender(2.0) as sender:
            return await sender.send(url, TOLD)

    return lambda url: asyncio.run(once(url))


@pytest.fixture
def heard() -> Iterator[tuple[int, list[str]]]:
    """A server that remembers what it was asked; its port, and the paths."""
    asked: list[str] = []

    class Listening(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            moved = self.path.endswith("moved/latest/meta-data")
            self.send_response(307 if moved else 200)
            self.send_header("Location", "http://169.254.169.254/latest/meta-data")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Listening)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server.server_port, asked
    server.shutdown()
    server.server_close()


def test_whatever_made_the_address_the_client_does_not_send(send: Send) -> None:
    for host in FORBIDDEN:
        with pytest.raises(ConfigurationError, match="nothing is sent there"):
            send(f"http://{host}")


@pytest.mark.parametrize("target", ["unix:/run/x", "ipv4:169.254.169.254:80", "dns://8.8.8.8/x"])
@pytest.mark.parametrize("scheme", ["grpc", "grpcs"])
def test_procedures_are_called_by_host_and_port_only(scheme: str, target: str) -> None:
    with pytest.raises(ConfigurationError, match=r"is no host and port|is no address"):
        HttpSender().send(f"{scheme}://{target}", Request(method="POST", path="a.B/C"))
    with pytest.raises(ConfigurationError, match="nothing is sent there"):
        HttpSender().send(f"{scheme}://169.254.169.254", Request(method="POST", path="a.B/C"))


def test_a_name_that_leads_there_is_found_out_before_anything_is_sent(
    send: Send, heard: tuple[int, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, asked = heard
    assert send(f"http://localhost:{port}").status == 200
    assert len(asked) == 1
    here = (ipaddress.ip_network("127.0.0.0/8"), "a link-local address")
    monkeypatch.setattr(hosts, "_NEVER", [here])
    with pytest.raises(ConfigurationError, match=r"leads elsewhere: 127.0.0.1 is a link-local"):
        send(f"http://localhost:{port}")
    assert len(asked) == 1


@pytest.mark.parametrize("method", ["send", "receive"])
@pytest.mark.parametrize("scheme", ["grpc", "grpcs"])
@pytest.mark.parametrize(
    ("leads", "says"),
    [
        (["169.254.169.254"], "169.254.169.254 is a link-local address"),
        (["10.0.0.1", "fd00:ec2::254"], "fd00:ec2::254 is where a cloud keeps"),
        (["::ffff:169.254.169.254"], "link-local"),
    ],
)
def test_nor_is_a_procedure_called_where_a_name_leads(
    monkeypatch: pytest.MonkeyPatch, method: str, scheme: str, leads: list[str], says: str
) -> None:
    def known(host: str, port: int, **_: Any) -> list[Any]:
        assert (host, port) == ("innocent.example", 8443)
        return [(None, None, 6, "", (address, port)) for address in leads]

    monkeypatch.setattr(hosts.socket, "getaddrinfo", known)
    more = {"take": bytes} if method == "receive" else {}
    with pytest.raises(
        ConfigurationError, match=f"name innocent.example leads elsewhere: .*{says}"
    ):
        getattr(HttpSender(2.0), method)(
            f"{scheme}://innocent.example:8443", Request(method="POST", path="a.B/C"), **more
        )


def test_procedures_may_be_in_private_networks_and_where_only_a_proxy_knows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        hosts.socket, "getaddrinfo", lambda *_, **__: [(None, None, 6, "", ("10.0.0.1", 1))]
    )
    hosts.refuse_resolved("proxy.internal", 443)

    def unknown(*_: Any, **__: Any) -> Any:
        raise OSError

    monkeypatch.setattr(hosts.socket, "getaddrinfo", unknown)
    hosts.refuse_resolved("googleads.example", 443)


def test_nobody_is_followed_elsewhere_and_the_line_says_so(
    send: Send, heard: tuple[int, list[str]]
) -> None:
    port, asked = heard
    with pytest.raises(Unavailable, match=r"nobody is followed with a token .*HTTP 307") as caught:
        send(f"http://127.0.0.1:{port}/moved")
    assert len(asked) == 1
    assert "169.254" not in str(caught.value)
    assert "s3cret" not in str(caught.value)
