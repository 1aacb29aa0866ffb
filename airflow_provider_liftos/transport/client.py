"""The HTTP client: pooled, bounded in time and size, and silent about URLs.

One client per process: connections are kept alive across pages, tasks fork and start their own.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Self

from airflow_provider_liftos.model.errors import Unavailable
from airflow_provider_liftos.model.wire import Request, Response

if TYPE_CHECKING:
    import httpx2

MAX_BODY = 512 * 1024 * 1024
"""Bytes of one answer after decompression; more is refused, whoever sends it."""

_USER_AGENT = "airflow-provider-liftos"


def _options() -> dict[str, object]:
    import httpx2

    # Both libraries log whole URLs at INFO; some vendors take secrets as query parameters.
    for name in ("httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return {
        "timeout": httpx2.Timeout(60.0, connect=10.0, pool=10.0),
        "limits": httpx2.Limits(max_connections=32, max_keepalive_connections=16),
        "follow_redirects": False,
        "headers": {"User-Agent": _USER_AGENT},
    }


def _arguments(base_url: str, request: Request) -> dict[str, object]:
    return {
        "method": request.method,
        "url": f"{base_url.rstrip('/')}/{request.path.lstrip('/')}",
        "params": dict(request.query) or None,
        "data": dict(request.form) if request.form is not None else None,
        "headers": dict(request.headers) or None,
    }


def _lower(headers: httpx2.Headers) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _too_large() -> Unavailable:
    return Unavailable(f"the answer is larger than {MAX_BODY >> 20} MiB; reading it was given up")


def _broken(error: Exception) -> Unavailable:
    # The library's own text may hold the URL: only the kind of failure is told.
    return Unavailable(f"no whole answer came ({type(error).__name__}); it will be tried again")


class HttpSender:
    """Blocking HTTP over one pool."""

    def __init__(self) -> None:
        self._client: httpx2.Client | None = None
        self._pid = 0

    def _open(self) -> httpx2.Client:
        import httpx2

        if self._client is None or self._pid != os.getpid():
            self._client = httpx2.Client(**_options())  # type: ignore[arg-type]
            self._pid = os.getpid()
        return self._client

    def send(self, base_url: str, request: Request) -> Response:
        """One exchange; raises Unavailable when no whole answer came."""
        import httpx2

        try:
            with self._open().stream(**_arguments(base_url, request)) as answer:  # type: ignore[arg-type]
                chunks, size = [], 0
                for chunk in answer.iter_bytes():
                    size += len(chunk)
                    if size > MAX_BODY:
                        raise _too_large()
                    chunks.append(chunk)
                return Response(
                    status=answer.status_code,
                    headers=_lower(answer.headers),
                    body=b"".join(chunks),
                )
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise _broken(error) from None

    def close(self) -> None:
        """Give the connections back."""
        if self._client is not None and self._pid == os.getpid():
            self._client.close()
        self._client = None


class AsyncHttpSender:
    """HTTP on an event loop over one pool; use as an async context manager."""

    def __init__(self) -> None:
        self._client: httpx2.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        import httpx2

        self._client = httpx2.AsyncClient(**_options())  # type: ignore[arg-type]
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
            arguments = _arguments(base_url, request)
            async with self._client.stream(**arguments) as answer:  # type: ignore[arg-type]
                chunks, size = [], 0
                async for chunk in answer.aiter_bytes():
                    size += len(chunk)
                    if size > MAX_BODY:
                        raise _too_large()
                    chunks.append(chunk)
                return Response(
                    status=answer.status_code,
                    headers=_lower(answer.headers),
                    body=b"".join(chunks),
                )
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise _broken(error) from None
