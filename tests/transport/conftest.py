from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_liftos.model.errors import Unavailable
from airflow_provider_liftos.model.platform import Platform
from airflow_provider_liftos.model.wire import Request, Response
from airflow_provider_liftos.resilience.backoff import Backoff
from airflow_provider_liftos.resilience.breaker import Breaker
from airflow_provider_liftos.resilience.flights import Flights
from airflow_provider_liftos.resilience.limiter import Limiter
from airflow_provider_liftos.state.clock import ManualClock
from airflow_provider_liftos.state.store import StateStore
from airflow_provider_liftos.transport.flow import run
from airflow_provider_liftos.transport.session import Session
from tests.engine.harness import META, credentials

NOW = 1_795_258_800.0


def answer(body: Any, status: int = 200, **headers: Any) -> Response:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    texts = {
        name.replace("_", "-"): value if isinstance(value, str) else json.dumps(value)
        for name, value in headers.items()
    }
    return Response(status=status, headers=texts, body=text)


def refusal(code: int, subcode: int | None = None, message: str = "no", **parts: Any) -> Any:
    return {"error": {"code": code, "error_subcode": subcode, "message": message, **parts}}


class Script:
    """A sender that answers from a list, the last answer for ever, and remembers."""

    def __init__(self, answers: Sequence[Response | Exception], clock: ManualClock) -> None:
        self._answers = list(answers)
        self._clock = clock
        self.sent: list[Request] = []
        self.times: list[float] = []

    def send(self, base_url: str, request: Request) -> Response:
        self.sent.append(request)
        self.times.append(self._clock.now())
        found = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(found, Exception):
            raise found
        return found

    def receive(self, base_url: str, request: Request, take: Callable[[bytes], None]) -> Response:
        """Hand a good answer on in small pieces; a cut one ends in CUT and breaks there."""
        found = self.send(base_url, request)
        if found.status >= 400:
            return found
        whole = found.body.removesuffix(CUT)
        for start in range(0, len(whole), 7):
            take(whole[start : start + 7])
        if whole != found.body:
            raise Unavailable("no whole answer came")
        return Response(status=found.status, headers=found.headers, body=b"")


CUT = b"<cut>"


class Caller:
    """A session whose time is a number."""

    def __init__(self, folder: Path, platform: Platform = META, **options: Any) -> None:
        self.clock = ManualClock(NOW)
        self.store = StateStore(f"sqlite:///{folder}/state.db", self.clock)
        self.limiter = Limiter(self.store, "default")
        self.breaker = Breaker(self.store, "default")
        self.flights = Flights(self.store, "default")
        self.session = Session(
            platform, credentials("http://127.0.0.1:1", **options), limiter=self.limiter,
            breaker=self.breaker, backoff=Backoff(attempts=4), now=self.clock.now,
            seating=self.flights,
        )  # fmt: skip
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(seconds)

    def call(
        self,
        *answers: Response | Exception,
        account: str | None = "501",
        read: Callable[[bytes], Any] = json.loads,
        **parts: Any,
    ) -> Any:
        self.script = Script(answers, self.clock)
        request = Request(method="GET", path="x", account=account, **parts)
        return run(self.session.call(request, read), self.script, self.sleep)

    def paused(self) -> Mapping[str, float]:
        """Seconds for which each limit is paused, without those that are not."""
        states = {s.key: s.paused_until - self.clock.now() for s in self.limiter.state()}
        return {key: seconds for key, seconds in states.items() if seconds > 0}


@pytest.fixture
def caller(tmp_path: Path) -> Iterator[Caller]:
    made = Caller(tmp_path)
    yield made
    made.store.close()
