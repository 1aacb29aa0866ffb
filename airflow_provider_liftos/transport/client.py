"""The client: HTTP, pooled, bounded in time and size, and silent about URLs; procedures beside it.

One pool per process, and per event loop: connections are kept alive across pages, opened when more
calls run side by side than there are, and closed when nobody has needed them for a while. What runs
side by side is the limiter's and the tasks' business. Tasks fork, and start their own.

With the library ``h2`` an event loop has one connection for all its calls to a host that speaks
HTTP/2. Threads never do: httpcore2 takes a stream's number and sends its headers without a lock, so
that two threads on one connection break it, or wait for ever.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import threading
import time
from functools import cache
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakKeyDictionary

from airflow_provider_liftos.model.errors import ConfigurationError, TooMuchData, Unavailable
from airflow_provider_liftos.model.wire import Request, Response, Transfer
from airflow_provider_liftos.transport import hosts
from airflow_provider_liftos.transport.procedures import ProcedureSender, is_procedure

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    import httpx2

MAX_BODY = 512 * 1024 * 1024
"""Bytes of one answer after decompression; more is refused, whoever sends it."""

MAX_STREAM = 64 * 1024 * 1024 * 1024
"""The same for a long answer that is not kept in memory; it fills a disk instead."""

LONGEST_ANSWER = 600.0
"""Seconds an answer may take in all; the client's own time-outs only bound each piece of it."""

SHORT_ANSWER = 65_536
"""Bytes up to which a long answer is kept whole: refusals with a good status are no longer."""

KEPT_SECONDS = 30.0
"""How long an idle connection is kept: a page every 15 s, the pace of small caps, needs one."""

_MOST_CONNECTIONS = 256
_MOST_IDLE = 32

_USER_AGENT = "airflow-provider-liftos"

_CODINGS = frozenset({"gzip", "deflate", "identity"})
"""Of answers, named in each call: these unpack a piece at a time, whatever else is installed."""


@cache
def _trust(_pid: int) -> ssl.SSLContext:
    """Certificates this process trusts: a tenth of a second to read, so read once."""
    import httpx2

    return httpx2.create_ssl_context()


def speaks_http2() -> bool:
    """Whether loops offer HTTP/2 to hosts: the library for it is installed (extra ``http2``)."""
    return importlib.util.find_spec("h2") is not None


def _timeout(seconds: float) -> httpx2.Timeout:
    import httpx2

    return httpx2.Timeout(seconds, connect=min(seconds, 10.0), pool=min(seconds, 10.0))


def _options() -> dict[str, object]:
    import httpx2

    # Both libraries log whole URLs at INFO; some vendors take secrets as query parameters.
    for name in ("httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return {
        "verify": _trust(os.getpid()),
        "limits": httpx2.Limits(
            max_connections=_MOST_CONNECTIONS,
            max_keepalive_connections=_MOST_IDLE,
            keepalive_expiry=KEPT_SECONDS,
        ),
        "follow_redirects": False,
        "headers": {"User-Agent": _USER_AGENT, "Accept-Encoding": "gzip, deflate"},
    }


class _Pool:
    """The blocking client of this process, for as long as somebody uses it."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew, as a child does: its parent's connections are not its own."""
        self._client: httpx2.Client | None = None
        self._users: set[int] = set()
        self._one_by_one = threading.Lock()

    def client(self, user: int) -> httpx2.Client:
        """The client, in which that user counts from now on."""
        import httpx2

        with self._one_by_one:
            if self._client is None:
                self._client = httpx2.Client(**_options())  # type: ignore[arg-type]
            self._users.add(user)
            return self._client

    def give_back(self, user: int) -> None:
        """Close the connections when the last one has gone."""
        with self._one_by_one:
            self._users.discard(user)
            if self._client is not None and not self._users:
                self._client.close()
                self._client = None


_POOL = _Pool()
os.register_at_fork(after_in_child=_POOL.forget)


class _Shared:
    """The client of an event loop, and how many use it."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self.client = client
        self.users = 0


_OF_LOOPS: WeakKeyDictionary[asyncio.AbstractEventLoop, _Shared] = WeakKeyDictionary()


def _arguments(base_url: str, request: Request, timeout: float) -> dict[str, object]:
    hosts.refuse(base_url)
    return {
        "method": request.method,
        "url": f"{base_url.rstrip('/')}/{request.path.lstrip('/')}",
        "params": dict(request.query) or None,
        "data": dict(request.form) if request.form is not None else None,
        "content": request.body,
        "headers": dict(request.headers) or None,
        "timeout": _timeout(timeout),
    }


_CONNECTED = "connection.connect_tcp.complete"


class _Line:
    """What one call does to the pool: called by the library amid its work.

    Nothing has been sent when a connection is made, and nothing will be to whom we refuse.
    """

    def __init__(self) -> None:
        self.opened = 0

    def look(self, event: str, told: dict[str, Any]) -> None:
        if event != _CONNECTED:
            return
        self.opened += 1
        if error := hosts.refused_peer(told["return_value"]):
            told["return_value"].close()
            raise error

    async def alook(self, event: str, told: dict[str, Any]) -> None:
        if event != _CONNECTED:
            return
        self.opened += 1
        if error := hosts.refused_peer(told["return_value"]):
            await told["return_value"].aclose()
            raise error


def _lower(headers: httpx2.Headers) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


class _Reading:
    """An answer as it comes in, within its bounds of size and time.

    With ``take``, pieces are handed on once the answer is longer than a refusal would be.
    """

    def __init__(self, take: Callable[[bytes], None] | None = None) -> None:
        self._chunks: list[bytes] = []
        self._size = 0
        self._take = take
        self._until = time.monotonic() + LONGEST_ANSWER

    def add(self, chunk: bytes) -> None:
        """Keep a piece or hand it on; TooMuchData or Unavailable beyond the bounds."""
        if self._take:
            self._hand_on(chunk, self._take)
            return
        self._size += len(chunk)
        if self._size > MAX_BODY:
            raise _too_large(MAX_BODY)
        if time.monotonic() > self._until:
            raise Unavailable(f"the answer was not complete after {LONGEST_ANSWER:.0f} s")
        self._chunks.append(chunk)

    def _hand_on(self, chunk: bytes, take: Callable[[bytes], None]) -> None:
        long = self._size > SHORT_ANSWER
        self._size += len(chunk)
        if self._size > MAX_STREAM:
            raise _too_large(MAX_STREAM)
        if long:
            take(chunk)
            return
        self._chunks.append(chunk)
        if self._size > SHORT_ANSWER:
            take(b"".join(self._chunks))
            self._chunks.clear()

    def response(self, answer: httpx2.Response, line: _Line) -> Response:
        """The whole answer."""
        return Response(
            status=answer.status_code,
            headers=_lower(answer.headers),
            body=b"".join(self._chunks),
            transfer=Transfer(
                opened=line.opened,
                protocol=answer.http_version,
                bytes=answer.num_bytes_downloaded,
            ),
        )


def _too_large(most: int) -> TooMuchData:
    return TooMuchData(f"the answer is larger than {most >> 20} MiB; reading it was given up")


def _refuse_redirect(status: int, headers: httpx2.Headers) -> None:
    """Credentials go where the connection says, and nowhere else."""
    if 300 <= status < 400 and "location" in headers:
        raise Unavailable(
            "the address sends its callers elsewhere, and nobody is followed with a token",
            status=status,
            hint="Enter the address itself as host of the connection, with https.",
        )


def _refuse_coding(status: int, headers: httpx2.Headers) -> None:
    """Nothing is unpacked that was not asked for: it may become any size at once."""
    named = {part.strip().lower() for part in headers.get("content-encoding", "").split(",")}
    if unknown := sorted(named - _CODINGS - {""}):
        raise Unavailable(
            f"the answer is packed as {unknown[0][:40]!r}, which nobody asked for",
            status=status,
            hint="Something between here and the platform packs answers; have it leave them alone.",
        )


def _broken(error: Exception) -> Unavailable:
    # The library's own text may hold the URL: only the kind of failure is told.
    return Unavailable(f"no whole answer came ({type(error).__name__}); it will be tried again")


def _unsendable() -> ConfigurationError:
    return ConfigurationError(
        "the credentials hold characters that an HTTP header cannot carry",
        hint="Enter the token again in the connection, without quotes, spaces or line breaks.",
    )


class HttpSender:
    """The blocking client, over the process' pool. ``timeout`` is the longest silence, in seconds.

    Who closes it leaves the pool, which goes with the last one.
    """

    def __init__(self, timeout: float = 60.0) -> None:
        self._timeout = timeout
        self._procedures = ProcedureSender(timeout)

    def send(self, base_url: str, request: Request) -> Response:
        """One exchange; raises Unavailable when no whole answer came."""
        if is_procedure(base_url):
            return self._procedures.send(base_url, request)
        return self._exchange(base_url, request, None)

    def receive(self, base_url: str, request: Request, take: Callable[[bytes], None]) -> Response:
        """Hand on a long answer; raises Unavailable when it was cut short."""
        if is_procedure(base_url):
            return self._procedures.receive(base_url, request, take)
        return self._exchange(base_url, request, take)

    def _exchange(
        self, base_url: str, request: Request, take: Callable[[bytes], None] | None
    ) -> Response:
        import httpx2

        try:
            line = _Line()
            arguments = {
                **_arguments(base_url, request, self._timeout), "extensions": {"trace": line.look},
            }  # fmt: skip
            with _POOL.client(id(self)).stream(**arguments) as answer:  # type: ignore[arg-type]
                _refuse_redirect(answer.status_code, answer.headers)
                _refuse_coding(answer.status_code, answer.headers)
                reading = _Reading(take if answer.status_code < 400 else None)
                for chunk in answer.iter_bytes():
                    reading.add(chunk)
                return reading.response(answer, line)
        except UnicodeError:
            raise _unsendable() from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise _broken(error) from None

    def close(self) -> None:
        """Give the connections back."""
        _POOL.give_back(id(self))
        self._procedures.close()


class AsyncHttpSender:
    """HTTP on an event loop, over the loop's pool; use as an async context manager."""

    def __init__(self, timeout: float = 60.0) -> None:
        self._timeout = timeout
        self._shared: _Shared | None = None

    async def __aenter__(self) -> Self:
        # Off the loop: importing the library and reading certificates would block it.
        options = await asyncio.to_thread(_options)
        import httpx2

        loop = asyncio.get_running_loop()
        if loop not in _OF_LOOPS:
            client = httpx2.AsyncClient(**options, http2=speaks_http2())  # type: ignore[arg-type]
            _OF_LOOPS[loop] = _Shared(client)
        self._shared = _OF_LOOPS[loop]
        self._shared.users += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        shared, self._shared = self._shared, None
        if shared is None:
            return
        shared.users -= 1
        if not shared.users:
            _OF_LOOPS.pop(asyncio.get_running_loop(), None)
            await shared.client.aclose()

    async def send(self, base_url: str, request: Request) -> Response:
        """One exchange; raises Unavailable when no whole answer came."""
        import httpx2

        if self._shared is None:
            raise RuntimeError("AsyncHttpSender is used outside its context")
        try:
            line = _Line()
            arguments = {
                **_arguments(base_url, request, self._timeout), "extensions": {"trace": line.alook},
            }  # fmt: skip
            async with self._shared.client.stream(**arguments) as answer:  # type: ignore[arg-type]
                _refuse_redirect(answer.status_code, answer.headers)
                _refuse_coding(answer.status_code, answer.headers)
                reading = _Reading()
                async for chunk in answer.aiter_bytes():
                    reading.add(chunk)
                return reading.response(answer, line)
        except UnicodeError:
            raise _unsendable() from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise _broken(error) from None
