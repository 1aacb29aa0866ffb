"""Remote procedures (gRPC) beside HTTP: bytes go in, bytes come out, and who sent them reads them.

A channel per process and address; tasks fork and open their own. Nothing here knows a message.
"""

from __future__ import annotations

import base64
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_liftos.model.errors import ConfigurationError, TooMuchData, Unavailable
from airflow_provider_liftos.model.wire import Request, Response
from airflow_provider_liftos.transport import hosts

if TYPE_CHECKING:
    import grpc

MAX_MESSAGE = 64 * 1024 * 1024
"""Bytes of one message: the most that Google sends."""

LONGEST_ANSWER = 3600.0
"""Seconds a stream may take: the reader's own work counts, and Google's default is no smaller."""

_SILENCES = 5
"""How many times longer than a single answer the next message of a stream may be in coming."""

_TOO_LARGE = "message larger than max"
"""What gRPC says when it gives up a message, compressed or not."""

_HTTPS = 443
_PLACE = re.compile(r"([\w.-]+|\[[\da-fA-F:.]+\])(:\d+)?")

_STATUS = {
    "OK": 200, "CANCELLED": 499, "UNKNOWN": 500, "INVALID_ARGUMENT": 400, "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404, "ALREADY_EXISTS": 409, "PERMISSION_DENIED": 403, "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400, "ABORTED": 409, "OUT_OF_RANGE": 400, "UNIMPLEMENTED": 501,
    "INTERNAL": 500, "UNAVAILABLE": 503, "DATA_LOSS": 500, "UNAUTHENTICATED": 401,
}  # fmt: skip
"""HTTP's word for each status, as Google's own gateway translates them (google.rpc.Code)."""


def is_procedure(base_url: str) -> bool:
    """Whether an address is one of remote procedures."""
    return base_url.startswith(("grpc://", "grpcs://"))


def _plain(value: Any) -> bytes:
    return bytes(value)


class ProcedureSender:
    """Blocking calls; ``timeout`` is in seconds, for calls with one answer.

    Silence within those with many may last some times longer.
    """

    def __init__(self, timeout: float = 60.0) -> None:
        self._timeout = timeout
        self._channels: dict[tuple[int, str], grpc.Channel] = {}

    def send(self, base_url: str, request: Request) -> Response:
        """One question, one answer."""
        call = self._channel(base_url).unary_unary(
            f"/{request.path}", request_serializer=None, response_deserializer=_plain
        )
        return self._hear(call.with_call, request, self._timeout)

    def _hear(self, call: Callable[..., Any], request: Request, timeout: float) -> Response:
        import grpc

        try:
            body, told = call(request.body or b"", timeout=timeout, metadata=_metadata(request))
        except grpc.RpcError as error:
            return _refused(error)
        return Response(status=200, headers=_headers(told), body=body)

    def receive(self, base_url: str, request: Request, take: Callable[[bytes], None]) -> Response:
        """One question, many messages, each handed to ``take``."""
        import grpc

        call = self._channel(base_url).unary_stream(
            f"/{request.path}", request_serializer=None, response_deserializer=_plain
        )
        answer = call(request.body or b"", timeout=LONGEST_ANSWER, metadata=_metadata(request))
        patience = _Patience(self._timeout * _SILENCES, answer.cancel)
        try:
            for message in patience.with_each(answer):
                take(message)
        except grpc.RpcError as error:
            if patience.ended:
                raise Unavailable(
                    f"nothing came for {patience.seconds:.0f} s; it will be tried again"
                ) from None
            return _refused(error)
        finally:
            answer.cancel()
        return Response(status=200, headers=_headers(answer), body=b"")

    def _channel(self, base_url: str) -> grpc.Channel:
        key = (os.getpid(), base_url)
        if key in self._channels:
            return self._channels[key]
        opened = _open(base_url)
        channel = self._channels.setdefault(key, opened)
        if channel is not opened:  # another thread was quicker
            opened.close()
        return channel

    def close(self) -> None:
        """Give the connections back."""
        for (pid, _), channel in self._channels.items():
            if pid == os.getpid():
                channel.close()
        self._channels.clear()


class _Patience:
    """Ends a stream that falls silent. What the reader does with a message takes its time."""

    def __init__(self, seconds: float, end: Callable[[], Any]) -> None:
        self.seconds = seconds
        self.ended = False
        self._end = end

    def with_each(self, messages: Iterator[bytes]) -> Iterator[bytes]:
        """The same messages."""
        while True:
            timer = threading.Timer(self.seconds, self._lose)
            timer.daemon = True
            timer.start()
            try:
                message = next(messages, None)
            finally:
                timer.cancel()
            if message is None:
                return
            yield message

    def _lose(self) -> None:
        self.ended = True
        self._end()


def _open(base_url: str) -> grpc.Channel:
    hosts.refuse(base_url)
    try:
        import grpc
    except ImportError:
        raise ConfigurationError(
            "remote procedures need the library grpcio",
            hint="Install this provider with the platform's extra, or choose another transport in"
            " the connection.",
        ) from None
    parts = urlsplit(base_url)
    if not _PLACE.fullmatch(parts.netloc):
        # The library knows more: unix:/path, ipv4:address, dns://server/name.
        raise ConfigurationError(
            f"{parts.netloc!r} is no host and port",
            hint="Correct the address of procedures in the connection, or leave it empty.",
        )
    hosts.refuse_resolved(parts.hostname or "", parts.port or _HTTPS)
    options = [
        ("grpc.max_receive_message_length", MAX_MESSAGE),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.enable_retries", 0),  # ours are counted, spread and bounded
    ]
    if parts.scheme == "grpc":
        return grpc.insecure_channel(parts.netloc, options=options)
    return grpc.secure_channel(parts.netloc, grpc.ssl_channel_credentials(), options=options)


def _metadata(request: Request) -> list[tuple[str, str]]:
    return [(name.lower(), value) for name, value in request.headers.items()]


def _refused(error: Any) -> Response:
    """A refusal as a Response: its text as the body, its trailing metadata as headers.

    TooMuchData when the library gave the answer up: by its status, calls would have come too fast.
    """
    code = error.code()
    if _TOO_LARGE in (error.details() or ""):
        raise TooMuchData(
            f"a message of the answer is larger than {MAX_MESSAGE >> 20} MiB; reading it was"
            " given up"
        )
    name = code.name if code is not None else "UNKNOWN"
    text = (error.details() or "").encode()
    return Response(status=_STATUS.get(name, 500), headers=_headers(error), body=text)


def _headers(call: Any) -> Mapping[str, str]:
    return dict(_texts((*(call.initial_metadata() or ()), *(call.trailing_metadata() or ()))))


def _texts(metadata: Any) -> Iterator[tuple[str, str]]:
    """Binary values (names that end in ``-bin``) as base64."""
    for name, value in metadata:
        text = base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)
        yield name.lower(), text
