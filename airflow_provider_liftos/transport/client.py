"""The client: HTTP, pooled, bounded in time and size, and silent about URLs; procedures beside it.

One client per process: connections are kept alive across pages, tasks fork and start their own.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from functools import cache
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_liftos.model.errors import ConfigurationError, TooMuchData, Unavailable
from airflow_provider_liftos.model.wire import Request, Response
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

_USER_AGENT = "airflow-provider-liftos"


@cache
def _trust(_pid: int) -> ssl.SSLContext:
    """Certificates this process trusts: a tenth of a second to read, so read once."""
    import httpx2

    return httpx2.create_ssl_context()


def _options(timeout: float) -> dict[str, object]:
    import httpx2

    # Both libraries log whole URLs at INFO; some vendors take secrets as query parameters.
    for name in ("httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return {
        "verify": _trust(os.getpid()),
        "timeout": httpx2.Timeout(timeout, connect=min(timeout, 10.0), pool=min(timeout, 10.0)),
        "limits": httpx2.Limits(max_connections=32, max_keepalive_connections=16),
        "follow_redirects": False,
        "headers": {"User-Agent": _USER_AGENT},
    }


def _arguments(base_url: str, request: Request) -> dict[str, object]:
    hosts.refuse(base_url)
    return {
        "method": request.method,
        "url": f"{base_url.rstrip('/')}/{request.path.lstrip('/')}",
        "params": dict(request.query) or None,
        "data": dict(request.form) if request.form is not None else None,
        "content": request.body,
        "headers": dict(request.headers) or None,
    }


_CONNECTED = "connection.connect_tcp.complete"


def _look(event: str, told: dict[str, Any]) -> None:
    """Called by the library amid its work: nothing has been sent when a connection is made."""
    if event == _CONNECTED and (error := hosts.refused_peer(told["return_value"])):
        told["return_value"].close()
        raise error


async def _alook(event: str, told: dict[str, Any]) -> None:
    if event == _CONNECTED and (error := hosts.refused_peer(told["return_value"])):
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

    def response(self, status: int, headers: httpx2.Headers) -> Response:
        """The whole answer."""
        return Response(status=status, headers=_lower(headers), body=b"".join(self._chunks))


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


def _broken(error: Exception) -> Unavailable:
    # The library's own text may hold the URL: only the kind of failure is told.
    return Unavailable(f"no whole answer came ({type(error).__name__}); it will be tried again")


def _unsendable() -> ConfigurationError:
    return ConfigurationError(
        "the credentials hold characters that an HTTP header cannot carry",
        hint="Enter the token again in the connection, without quotes, spaces or line breaks.",
    )


class HttpSender:
    """The blocking client, over one pool. ``timeout`` is the longest silence, in seconds."""

    def __init__(self, timeout: float = 60.0) -> None:
        self._timeout = timeout
        self._client: httpx2.Client | None = None
        self._pid = 0
        self._procedures = ProcedureSender(timeout)

    def _open(self) -> httpx2.Client:
        import httpx2

        if self._client is None or self._pid != os.getpid():
            self._client = httpx2.Client(**_options(self._timeout))  # type: ignore[arg-type]
            self._pid = os.getpid()
        return self._client

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
            arguments = {**_arguments(base_url, request), "extensions": {"trace": _look}}
            with self._open().stream(**arguments) as answer:  # type: ignore[arg-type]
                _refuse_redirect(answer.status_code, answer.headers)
                reading = _Reading(take if answer.status_code < 400 else None)
                for chunk in answer.iter_bytes():
                    reading.add(chunk)
                return reading.response(answer.status_code, answer.headers)
        except UnicodeError:
            raise _unsendable() from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise _broken(error) from None

    def close(self) -> None:
        """Give the connections back."""
        if self._client is not None and self._pid == os.getpid():
            self._client.close()
        self._client = None
        self._procedures.close()


class AsyncHttpSender:
    """HTTP on an event loop over one pool; use as an async context manager."""

    def __init__(self, timeout: float = 60.0) -> None:
        self._timeout = timeout
        self._client: httpx2.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        # Off the loop: importing the library and reading certificates would block it.
        options = await asyncio.to_thread(_options, self._timeout)
        import httpx2

        self._client = httpx2.AsyncClient(**options)  # type: ignore[arg-type]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._client is not None:
            await self._client.aclose()

    async def send(self, base_url: str, request: Request) -> Response:
        """One exchange; raises Unavailable when no whole answer came."""
        import httpx2

        if self._client is None:
            raise RuntimeError("AsyncHttpSender is used outside its context")
        try:
            arguments = {**_arguments(base_url, request), "extensions": {"trace": _alook}}
            async with self._client.stream(**arguments) as answer:  # type: ignore[arg-type]
                _refuse_redirect(answer.status_code, answer.headers)
                reading = _Reading()
                async for chunk in answer.aiter_bytes():
                    reading.add(chunk)
                return reading.response(answer.status_code, answer.headers)
        except UnicodeError:
            raise _unsendable() from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise _broken(error) from None
