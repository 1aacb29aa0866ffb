"""A platform with a token endpoint whose refresh tokens are good for one exchange, and its clients.

``strict``: what was exchanged is dead. Otherwise it is taken again until its successor was used, as
platforms do that know of lost answers.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import httpx2  # noqa: F401  loaded before workers are forked

from airflow_provider_liftos.model.errors import NotAuthorized, Throttled, Unavailable
from airflow_provider_liftos.model.platform import Credentials, Grant, Granted
from airflow_provider_liftos.model.secret import Secret
from airflow_provider_liftos.model.wire import Request
from airflow_provider_liftos.resilience.backoff import Backoff
from airflow_provider_liftos.resilience.breaker import Breaker
from airflow_provider_liftos.resilience.limiter import Limiter
from airflow_provider_liftos.state.keyring import KeyRing
from airflow_provider_liftos.state.store import StateStore
from airflow_provider_liftos.state.tokens import Tokens
from airflow_provider_liftos.transport.client import HttpSender
from airflow_provider_liftos.transport.flow import run
from airflow_provider_liftos.transport.session import Session
from tests.engine.harness import META
from tests.quick_sender import quick_sender


class TokenServer:
    """``lifetime`` of access tokens and ``delay`` of answers are in seconds."""

    def __init__(self, *, strict: bool, lifetime: float = 3600.0, delay: float = 0.0) -> None:
        self.strict, self.lifetime, self.delay = strict, lifetime, delay
        self.exchanges: list[str] = []
        self.arrived = threading.Event()
        self.refusals: list[str] = []
        self.used: list[str] = []
        self.on_use: Callable[[str], None] = lambda _token: None
        self._successor: dict[str, str | None] = {}
        self._parent: dict[str, str] = {}
        self._refresh_of: dict[str, str] = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def consent(self, value: str) -> str:
        """A refresh token that a person has just brought."""
        self._successor[value] = None
        return value

    def refresh_of(self, access: str) -> str:
        return self._refresh_of[access]

    def exchange(self, refresh: str) -> dict[str, Any] | None:
        with self._lock:
            again = not self.strict and self._successor.get(refresh, "") != ""
            if refresh not in self._successor or (self._successor[refresh] and not again):
                self.refusals.append(refresh)
                return None
            self.exchanges.append(refresh)
            number = len(self.exchanges)
            fresh, access = f"refresh-token-{number}", f"access-token-{number}"
            self._successor[refresh], self._successor[fresh] = fresh, None
            self._parent[fresh] = refresh
            if parent := self._parent.get(refresh):
                self._successor.pop(parent, None)  # the successor was used: that one is dead
            self._refresh_of[access] = fresh
        return {"access_token": access, "refresh_token": fresh, "expires_in": self.lifetime}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers["content-length"])
                form = parse_qs(self.rfile.read(size).decode())
                if "refresh_token" not in form:
                    return  # whoever asked was killed amid the question
                made = server.exchange(form["refresh_token"][0])
                server.arrived.set()
                time.sleep(random.uniform(0, server.delay))
                refused = {"error": {"code": 190, "message": "invalid_grant"}}
                self._answer(400 if made is None else 200, made or refused)

            def do_GET(self) -> None:
                access = self.headers["authorization"].removeprefix("Bearer ")
                server.on_use(access)
                server.used.append(access)
                self._answer(200, {"ok": access})

            def _answer(self, status: int, value: Any) -> None:
                body = json.dumps(value).encode()
                try:
                    self.send_response(status)
                    self.send_header("content-length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    pass  # whoever asked was killed

            def log_message(self, *_: Any) -> None: ...

        return Handler


def _read(body: bytes) -> Granted:
    value = json.loads(body)
    return Granted(
        token=Secret(value["access_token"]),
        lifetime=float(value["expires_in"]),
        refresh_token=Secret(value["refresh_token"]),
    )


def session(url: str, store: StateStore, key: str, refresh: str) -> Session:
    def ask(credentials: Credentials) -> Request:
        form = {"refresh_token": credentials.secret("refresh_token")}
        return Request(method="POST", path="token", base_url=url, form=form)

    grant = Grant(request=ask, read=_read, credential=("refresh_token",), rotates=True)
    given = Credentials(
        org_id="default", conn_id="c", base_url=url, version="v",
        secrets={"refresh_token": Secret(refresh)},
    )  # fmt: skip
    return Session(
        replace(META, grant=grant, limits=()), given, limiter=Limiter(store, "default"),
        breaker=Breaker(store, "default"), backoff=Backoff(base=0.01), now=store.clock.now,
        tokens=Tokens(store, "default", "c", KeyRing.read(key)),
    )  # fmt: skip


def call(made: Session, sender: HttpSender) -> str:
    request = Request(method="GET", path="x")
    return run(made.call(request, lambda body: json.loads(body)["ok"]), sender)


def work(url: str, store_url: str, key: str, refresh: str, ready: Any) -> None:
    """Call again and again, each time with a session of its own, until killed or refused."""
    store, sender = StateStore(store_url), quick_sender()
    ready.send_bytes(b".")
    while True:
        try:
            call(session(url, store, key, refresh), sender)
        except NotAuthorized:
            ready.send_bytes(b"R")
            return
        except (Throttled, Unavailable):
            time.sleep(0.01)


def once(url: str, store_url: str, key: str, refresh: str, gate: Any, told: Any) -> None:
    """Call once, together with others."""
    store, sender = StateStore(store_url), quick_sender()
    gate.wait()
    told.put(call(session(url, store, key, refresh), sender))
