"""What a session tells of its calls: one structured line each, and counts for a sink of metrics.

Nothing here can hold a secret: lines are made of the request as it was before it was authorized,
without its parameters, and of numbers.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from typing import Protocol

from airflow_provider_liftos.model.secret import Secret
from airflow_provider_liftos.model.wire import Request, Response, VendorError
from airflow_provider_liftos.transport.wirelog import Exchange, WireLog

log = logging.getLogger("airflow_provider_liftos.requests")

RUN: ContextVar[str] = ContextVar("liftos_run", default="")
"""The id that all tasks of one run of one pipeline share; sessions take it when they are made."""

_IDS = re.compile(r"\d{3,}")


class Sink(Protocol):
    """Where lines and metrics go. Nothing it does may fail."""

    def line(self, fields: Mapping[str, object]) -> None:
        """One call, at level debug."""
        ...

    def count(self, name: str, tags: Mapping[str, str]) -> None:
        """One more of these."""
        ...

    def took(self, name: str, seconds: float, tags: Mapping[str, str]) -> None:
        """It lasted so long."""
        ...

    def level(self, name: str, value: float, tags: Mapping[str, str]) -> None:
        """So many are there now."""
        ...


class _Logged:
    """Lines into Python's logging, as text and as fields of the record; no metrics."""

    def line(self, fields: Mapping[str, object]) -> None:
        text = " ".join(f"{name}={_shown(value)}" for name, value in fields.items())
        log.debug("request %s", text, extra={f"liftos_{n}": v for n, v in fields.items()})

    def count(self, name: str, tags: Mapping[str, str]) -> None: ...

    def took(self, name: str, seconds: float, tags: Mapping[str, str]) -> None: ...

    def level(self, name: str, value: float, tags: Mapping[str, str]) -> None: ...


def _shown(value: object) -> str:
    text = str(value)
    return f'"{text}"' if " " in text else text


class Watch:
    """One session's. ``trace_header`` is the platform's, ``wire`` where whole exchanges go."""

    def __init__(
        self,
        platform: str,
        *,
        trace_header: str = "",
        sink: Sink | None = None,
        wire: WireLog | None = None,
        run: str = "",
    ) -> None:
        self.platform = platform
        self.trace_header = trace_header
        self.sink: Sink = sink or _Logged()
        self.wire = wire
        self.run = run or RUN.get()
        self._tags = {"platform": platform}

    def call(
        self, request: Request, attempt: int = 1, wait: float = 0.0, *, private: bool = False
    ) -> Call:
        """A call that is about to be sent; ``private`` ones never show their bodies."""
        if wait > 0:
            self.sink.took("wait", wait, self._tags)
        return Call(self, request, attempt, wait, private=private)

    def retried(self) -> None:
        """A call is sent once more."""
        self.sink.count("retries", self._tags)

    def refused(self) -> None:
        """A circuit is open: nothing was sent."""
        self.sink.count("circuit_open", self._tags)

    def queue(self, waiting: int) -> None:
        """So many slices wait for the platform, or for a place."""
        self.sink.level("queue", waiting, self._tags)

    def sent(self, status: str, seconds: float) -> None:
        """An answer came, or did not."""
        tags = {**self._tags, "status": status}
        self.sink.count("requests", tags)
        self.sink.took("request", seconds, tags)


class Call:
    """One request on its way; times begin when it is made."""

    def __init__(
        self, watch: Watch, request: Request, attempt: int, wait: float, *, private: bool
    ) -> None:
        self._watch = watch
        self._request = request
        self._attempt = attempt
        self._wait = wait
        self._began = time.perf_counter()
        keeps = watch.wire is not None and not private
        self._exchange = Exchange(watch.platform, request, attempt, shows=keeps)
        self.size = 0

    @property
    def wire(self) -> WireLog | None:
        """Where the whole exchange goes."""
        return self._watch.wire

    def counting(self, take: Callable[[bytes], None]) -> Callable[[bytes], None]:
        """The same taker of pieces, which this call counts."""

        def counted(piece: bytes) -> None:
            self.size += len(piece)
            self._exchange.take(piece)
            take(piece)

        return counted

    def ended(self, response: Response, error: VendorError | None) -> None:
        """An answer came, good or bad."""
        seconds = time.perf_counter() - self._began
        self.size += len(response.body)
        self._exchange.answered(response, seconds, self.size)
        watch = self._watch
        watch.sent(f"{response.status // 100}xx", seconds)
        if log.isEnabledFor(logging.DEBUG):
            said = error.request_id if error else None
            watch.sink.line(
                self._fields(
                    seconds,
                    status=response.status,
                    code=_code(error),
                    request_id=said or response.headers.get(watch.trace_header, ""),
                )
            )

    def lost(self, why: str) -> None:
        """No whole answer came."""
        seconds = time.perf_counter() - self._began
        self._exchange.lost(why, seconds)
        self._watch.sent("lost", seconds)
        if log.isEnabledFor(logging.DEBUG):
            self._watch.sink.line(self._fields(seconds, status="lost", code="", request_id=""))

    def write(self, secrets: Iterable[Secret]) -> None:
        """Into the wire log, without these secrets; blocks for a moment."""
        if self.wire is not None:
            self.wire.write(self._watch.run, self._exchange, secrets)

    def _fields(self, seconds: float, **told: object) -> dict[str, object]:
        return {
            "platform": self._watch.platform,
            "account": self._request.account or "",
            "endpoint": f"{self._request.method} {_IDS.sub('{id}', self._request.path)}",
            "attempt": self._attempt,
            "status": told["status"],
            "code": told["code"],
            "ms": round(seconds * 1000, 1),
            "bytes": self.size,
            "wait": round(self._wait, 3),
            "request_id": told["request_id"],
            "run": self._watch.run,
        }


def _code(error: VendorError | None) -> str:
    if error is None or error.code is None:
        return ""
    return f"{error.code}/{error.subcode}" if error.subcode else str(error.code)
