"""A platform that counts: a server for tests that notes when each request came.

It may announce a pause in a header, or lock everybody out for a while, as platforms do.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from types import MappingProxyType
from typing import Self

from airflow_provider_liftos.model.platform import Credentials, Limit, Platform
from airflow_provider_liftos.model.wire import Response, Rule, Signal, VendorError, Verdict
from airflow_provider_liftos.platforms import get
from airflow_provider_liftos.resilience.breaker import Breaker
from airflow_provider_liftos.resilience.limiter import Limiter
from airflow_provider_liftos.state.store import StateStore
from airflow_provider_liftos.transport.session import Session


@dataclass(slots=True)
class Arrival:
    """When a request came (seconds of the steady clock), from which worker, and what it was told."""

    at: float
    worker: str
    status: int


@dataclass(slots=True)
class Shop:
    """``told`` makes headers of how many came before; a status other than 200 refuses.

    Each is served for so many ``seconds``; ``at_once`` says how many were, and since when.
    """

    told: Callable[[int, float], tuple[int, Mapping[str, str]]] = lambda _count, _at: (200, {})
    seconds: float = 0.0
    at_once: list[tuple[float, int]] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, worker: str) -> tuple[int, Mapping[str, str]]:
        with self.lock:
            at = time.monotonic()
            status, headers = self.told(len(self.arrivals), at)
            self.arrivals.append(Arrival(at, worker, status))
        if self.seconds:
            self._serve()
        return status, headers

    def _serve(self) -> None:
        self._count(1)
        time.sleep(self.seconds)
        self._count(-1)

    def _count(self, more: int) -> None:
        with self.lock:
            now = self.at_once[-1][1] if self.at_once else 0
            self.at_once.append((time.monotonic(), now + more))

    def most(self) -> int:
        """Served at once, at most."""
        return max((count for _, count in self.at_once), default=0)

    def used(self, begin: float, end: float) -> float:
        """Seconds of serving between two moments, summed over all that were served."""
        moments = [*self.at_once, (end, 0)]
        return sum(
            count * max(0.0, min(until, end) - max(since, begin))
            for (since, count), (until, _) in pairwise(moments)
        )


class Server(ThreadingHTTPServer):
    """Serves a shop; bound at once, so that processes may be forked before threads are started."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, shop: Shop) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.shop = shop
        self.address = f"http://127.0.0.1:{self.server_address[1]}"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, *_: object) -> None:
        """Workers are killed amid a request."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def do_GET(self) -> None:
        worker = self.path.rpartition("/")[2]
        status, headers = (200, {}) if worker == "warm" else self.server.shop.answer(worker)
        body = b"{}"
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


def signals(headers: Mapping[str, str], _account: str | None) -> Sequence[Signal]:
    """``pause``: seconds; Amazon's rate; what is left of a window (IETF's names)."""
    found = []
    if "pause" in headers:
        found.append(Signal(key="app", wait=float(headers["pause"])))
    if rate := headers.get("x-amzn-ratelimit-limit"):
        found.append(Signal(key="app", rate=float(rate)))
    if left := headers.get("ratelimit-remaining"):
        wait = float(headers.get("ratelimit-reset", 0)) if left == "0" else 0.0
        found.append(Signal(key="app", left=float(left), wait=wait))
    return found


def costs(body: bytes) -> Sequence[Signal]:
    """Shopify's points, in the body."""
    told = json.loads(body or b"{}").get("extensions", {}).get("cost")
    if not told:
        return ()
    bucket = told["throttleStatus"]
    return [
        Signal(
            key="app", left=bucket["currentlyAvailable"], rate=bucket["restoreRate"],
            cost=told["actualQueryCost"],
        )
    ]  # fmt: skip


def error(response: Response) -> VendorError | None:
    if response.status == 200:
        return None
    return VendorError(code=response.status, message="no")


RULES = (Rule(verdict=Verdict.THROTTLED, why="a limit is used up", status=frozenset({429})),)


def platform(*limits: Limit) -> Platform:
    """One that has these limits and no other peculiarity."""
    return replace(
        get("meta"), name="shop", limits=limits, rules=RULES, signals=signals, error=error,
        body_signals=costs, authorize=lambda request, _credentials: request, grant=None,
        notices=lambda _headers: (),
    )  # fmt: skip


def session(
    store: StateStore,
    url: str,
    org_id: str,
    *limits: Limit,
    options: Mapping[str, object] = MappingProxyType({}),
    **parts: object,
) -> Session:
    credentials = Credentials(
        org_id=org_id, conn_id="shop", base_url=url, version="v1", secrets=MappingProxyType({}),
        options=options,
    )  # fmt: skip
    return Session(
        platform(*limits), credentials, limiter=Limiter(store, org_id),
        breaker=Breaker(store, org_id), now=store.clock.now, **parts,
    )  # fmt: skip
