"""Workers that share a connection's tokens, each with a session: one process, one clock."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from airflow_provider_liftos.model.platform import Credentials, Grant, Granted, Platform
from airflow_provider_liftos.model.secret import Secret
from airflow_provider_liftos.model.wire import Request, Response
from airflow_provider_liftos.resilience.backoff import Backoff
from airflow_provider_liftos.resilience.breaker import Breaker
from airflow_provider_liftos.resilience.limiter import Limiter
from airflow_provider_liftos.state.clock import ManualClock
from airflow_provider_liftos.state.keyring import KeyRing, new_key
from airflow_provider_liftos.state.store import StateStore
from airflow_provider_liftos.state.tokens import Kept, Tokens
from airflow_provider_liftos.transport.flow import run
from airflow_provider_liftos.transport.session import Session
from tests.engine.harness import META
from tests.transport.conftest import NOW, answer

RING = KeyRing.read(new_key())


def ask(credentials: Credentials) -> Request:
    form = {"refresh_token": credentials.secret("refresh_token")}
    return Request(method="POST", path="token", base_url="http://127.0.0.1:2", form=form)


def read(body: bytes) -> Granted:
    value = json.loads(body)
    if "access_token" not in value:
        raise ValueError("no access token")
    refresh = value.get("refresh_token")
    return Granted(
        token=Secret(value["access_token"]),
        lifetime=float(value["expires_in"]),
        refresh_token=Secret(refresh) if refresh else None,
    )


PLAIN = replace(META, grant=Grant(request=ask, read=read, credential=("refresh_token",)))


ROTATING = replace(
    META, grant=Grant(request=ask, read=read, credential=("refresh_token",), rotates=True)
)


def token(value: str, refresh: str | None = None, seconds: int = 3600) -> Response:
    fresh = {"refresh_token": refresh} if refresh else {}
    return answer({"access_token": value, "expires_in": seconds, **fresh})


class Worker:
    """A process's session; its calls are answered by ``reply``, and what it sent is kept."""

    def __init__(self, office: Office, platform: Platform, **parts: Any) -> None:
        options = parts.pop("options", {})
        ring = parts.pop("ring", RING)
        secrets = {"refresh_token": "r0", "access_token": "", **parts.pop("secrets", {})}
        given = Credentials(
            org_id="default", conn_id=parts.pop("conn_id", "c"), base_url="http://127.0.0.1:1",
            version="v", secrets={n: Secret(v) for n, v in secrets.items()}, options=options,
        )  # fmt: skip
        store = office.store
        self.office = office
        self.seen: set[str] = set()
        self.kept: list[Kept] = []
        insist = parts.pop("insist", False)
        self.tokens = Tokens(store, "default", given.conn_id, ring, insist=insist)
        self.session = Session(
            platform, given, limiter=Limiter(store, "default"), breaker=Breaker(store, "default"),
            backoff=Backoff(attempts=4), now=store.clock.now, tokens=self.tokens,
            seen=lambda new: self.seen.update(s.reveal() for s in new.values()),
            after=self.kept.append,
        )  # fmt: skip

    def call(self, *answers: Response | Exception) -> list[str]:
        """Refresh tokens and access tokens that were sent."""
        self.answers, self.sent = list(answers), []
        run(self.session.call(Request(method="GET", path="x"), json.loads), self, self.sleep)
        return self.sent

    def send(self, _base_url: str, request: Request) -> Response:
        said = request.headers.get("Authorization", "").removeprefix("Bearer ")
        form = request.form or {}
        self.sent.append(form.get("refresh_token") or form.get("fb_exchange_token") or said)
        self.office.sending(self.sent[-1])
        found = self.answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    def receive(self, base_url: str, request: Request, take: Callable[[bytes], None]) -> Response:
        raise NotImplementedError

    def sleep(self, seconds: float) -> None:
        self.office.clock.advance(seconds)


class Office:
    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock(NOW)
        self.store = StateStore(f"sqlite:///{folder}/state.db", self.clock)
        self.sending: Callable[[str], Any] = lambda _sent: None

    def worker(self, platform: Platform = PLAIN, **parts: Any) -> Worker:
        return Worker(self, platform, **parts)
