"""Flows: generators that say what they need done and are told the outcome.

Everything that both a worker (blocking) and a triggerer (event loop) must do is written once, as a
generator that yields effects. ``run`` carries them out blocking, ``arun`` on an event loop, with
blocking work (the state store) moved off the loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from airflow_provider_liftos.model.wire import Request, Response

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Send:
    """Send this authorized request to ``base_url``; the outcome is a Response."""

    base_url: str
    request: Request


@dataclass(frozen=True, slots=True)
class Receive:
    """The same for a long answer, of which ``take`` is handed each piece as it comes in.

    The outcome is a Response. Its body holds an answer that was refused, or too short to be handed
    on, and is empty when ``take`` has had it.
    """

    base_url: str
    request: Request
    take: Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait that many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Do:
    """Call something that blocks (the state store, a disk); the outcome is what it returns."""

    call: Callable[[], Any]


Effect = Send | Receive | Sleep | Do
Flow = Generator[Effect, Any, T]


class Sender(Protocol):
    """The blocking way to a platform."""

    def send(self, base_url: str, request: Request) -> Response:
        """Raises Unavailable when no whole answer came."""
        ...

    def receive(self, base_url: str, request: Request, take: Callable[[bytes], None]) -> Response:
        """Hand on each piece of a long answer; raises Unavailable when it was cut short."""
        ...


class AsyncSender(Protocol):
    """HTTP on an event loop."""

    async def send(self, base_url: str, request: Request) -> Response:
        """Raises Unavailable when no whole answer came."""
        ...


def run(flow: Flow[T], sender: Sender, sleep: Callable[[float], None] = time.sleep) -> T:
    """Carry out a flow, blocking."""
    step: Callable[[], Effect] = lambda: next(flow)  # noqa: E731
    while True:
        try:
            effect = step()
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        try:
            outcome = _perform(effect, sender, sleep)
        except Exception as error:  # noqa: BLE001  the flow decides what to do with it
            failure = error
            step = lambda failure=failure: flow.throw(failure)  # type: ignore[misc]  # noqa: E731
        else:
            step = lambda outcome=outcome: flow.send(outcome)  # type: ignore[misc]  # noqa: E731


def _perform(effect: Effect, sender: Sender, sleep: Callable[[float], None]) -> Any:
    match effect:
        case Send(base_url, request):
            return sender.send(base_url, request)
        case Receive(base_url, request, take):
            return sender.receive(base_url, request, take)
        case Sleep(seconds):
            return sleep(seconds)
        case Do(call):
            return call()


async def arun(flow: Flow[T], sender: AsyncSender) -> T:
    """Carry out a flow on an event loop; blocking work goes to a thread."""
    step: Callable[[], Effect] = lambda: next(flow)  # noqa: E731
    while True:
        try:
            effect = step()
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        try:
            outcome = await _aperform(effect, sender)
        except Exception as error:  # noqa: BLE001  the flow decides what to do with it
            failure = error
            step = lambda failure=failure: flow.throw(failure)  # type: ignore[misc]  # noqa: E731
        except BaseException:
            flow.close()  # now: who was thrown an error is in a cycle, and found late
            raise
        else:
            step = lambda outcome=outcome: flow.send(outcome)  # type: ignore[misc]  # noqa: E731


async def _aperform(effect: Effect, sender: AsyncSender) -> Any:
    match effect:
        case Send(base_url, request):
            return await sender.send(base_url, request)
        case Receive():
            raise TypeError("long answers are read by workers: rows have no place on an event loop")
        case Sleep(seconds):
            return await asyncio.sleep(seconds)
        case Do(call):
            return await asyncio.to_thread(call)
