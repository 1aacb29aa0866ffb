"""A session: one connection's way to one platform, as a flow per call.

Order of a call: place under the limits, leave of the breaker, authorize, send, hear what the answer
says of limits, judge it, and then return, wait and repeat, or raise an error of ``model.errors``.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

from airflow_provider_liftos.model.errors import (
    CircuitOpen,
    LiftosError,
    NotAuthorized,
    Throttled,
    Unavailable,
    Unreadable,
    VersionGone,
)
from airflow_provider_liftos.model.platform import Credentials, Platform
from airflow_provider_liftos.model.secret import Secret
from airflow_provider_liftos.model.wire import (
    BrokenStream,
    Judgement,
    Lane,
    Request,
    Response,
    Transfer,
    VendorError,
    Verdict,
    judge,
)
from airflow_provider_liftos.resilience.backoff import EXTRACTION, Backoff
from airflow_provider_liftos.resilience.budget import RetryBudget
from airflow_provider_liftos.state.tokens import Kept, Tokens
from airflow_provider_liftos.transport.boarding import Seating, Seats
from airflow_provider_liftos.transport.flow import Do, Flow, Receive, Send, Sleep
from airflow_provider_liftos.transport.grants import Grants, Held
from airflow_provider_liftos.transport.observe import Call, Watch
from airflow_provider_liftos.transport.pace import LONGEST_SLEEP, Limits, Pace
from airflow_provider_liftos.transport.redact import redact
from airflow_provider_liftos.transport.refusals import refuse
from airflow_provider_liftos.transport.versions import Versions, told

log = logging.getLogger(__name__)

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_NONSENSE = (ValueError, RecursionError)
"""What readers raise of a body that is not as it should be, such as brackets without end."""

_JITTER = random.Random()  # noqa: S311  spreads retries, guards nothing

Departure = Callable[[float], None]
"""Told of the moment (epoch seconds of the session's clock) at which a request goes out."""


@dataclass(slots=True)
class Usage:
    """What the session did so far; goes into the run ledger.

    ``cached`` counts questions answered by what was known, ``opened`` connections made, ``reused``
    calls that needed none; ``bytes`` are of bodies, ``wire_bytes`` as they came, maybe compressed.
    ``version`` says which API version is ``used`` instead of the one ``asked`` for, and ``why``.
    """

    requests: int = 0
    retries: int = 0
    resent: int = 0
    bytes: int = 0
    cached: int = 0
    opened: int = 0
    reused: int = 0
    wire_bytes: int = 0
    throttled_seconds: float = 0.0
    warnings: list[str] = field(default_factory=list)
    version: dict[str, str] = field(default_factory=dict)

    def told(self) -> dict[str, Any]:
        """How the calls went, for the ledger's detail."""
        http = {"opened": self.opened, "reused": self.reused, "bytes": self.wire_bytes,
                "cached": self.cached}  # fmt: skip
        return {"http": http, **({"api_version": self.version} if self.version else {})}

    def came(self, transfer: Transfer) -> None:
        """An answer came over a new connection or an old one."""
        self.opened += transfer.opened
        self.reused += not transfer.opened
        self.wire_bytes += transfer.bytes

    def warn(self, text: str) -> None:
        """Keep a warning once."""
        if text not in self.warnings:
            self.warnings.append(text)
            log.warning(text)


class Gate(Protocol):
    """What a session asks of a circuit breaker."""

    def admit(self, key: str) -> None:
        """Raises CircuitOpen."""
        ...

    def succeed(self, key: str) -> None:
        """It worked."""
        ...

    def fail(self, key: str) -> None:
        """It did not."""
        ...

    def abstain(self, key: str) -> None:
        """It was refused by a platform that is well."""
        ...


class Intake(Protocol[T_co]):
    """Where a long answer goes."""

    def take(self, piece: bytes) -> None:
        """Take a piece in; ValueError or BrokenStream when it makes no sense or bad news."""
        ...

    def finish(self) -> T_co:
        """What the whole answer came to; ValueError when it is not whole."""
        ...

    def close(self) -> None:
        """Give up what was taken in, unless it was finished."""
        ...


class Session:
    """Calls a platform with a connection's credentials under shared limits.

    ``via`` names for some accounts another one through which the token reaches them. ``tokens`` are
    shared with other processes; ``seen`` is told of each new secret, ``after`` of what was kept.
    ``caps`` are the deployment's, by the names of the limits' options.
    ``fallbacks`` are API versions to speak when the connection's is refused, best first. ``watch``
    is told of every call. ``seating`` counts requests in flight, where they are capped.
    """

    def __init__(
        self,
        platform: Platform,
        credentials: Credentials,
        *,
        limiter: Limits,
        breaker: Gate,
        backoff: Backoff | None = None,
        now: Callable[[], float],
        tokens: Tokens | None = None,
        seen: Callable[[Mapping[str, Secret]], None] = lambda _secrets: None,
        after: Callable[[Kept], None] = lambda _kept: None,
        caps: Mapping[str, float] = MappingProxyType({}),
        lane: Lane = Lane.FRESH,
        fallbacks: Sequence[str] = (),
        watch: Watch | None = None,
        seating: Seating | None = None,
    ) -> None:
        self.platform = platform
        self.credentials = credentials
        self.usage = Usage()
        self.pace = Pace(
            platform, credentials, limiter, now, self.usage.warn, caps=caps, lane=lane,
            seating=seating,
        )  # fmt: skip
        self._budget = RetryBudget()
        self._breaker = breaker
        self._backoff = backoff or EXTRACTION
        self._now = now
        self._versions = Versions(fallbacks)
        self.watch = watch or Watch(platform.name, trace_header=platform.trace_header)
        self._grants = Grants(
            platform, credentials, tokens=tokens, now=now, ask=self._ask, notice=self.usage.warn,
            seen=seen, after=after,
        )  # fmt: skip
        self.via: dict[str, str] = {}

    def call(
        self, request: Request, read: Callable[[bytes], T], departs: Departure | None = None
    ) -> Flow[T]:
        """Send until there is an answer that ``read`` understands.

        Raises Throttled when the wait is longer than LONGEST_SLEEP, Unavailable when attempts are
        used up, CircuitOpen without sending, and what the platform's rules make of its errors.
        ``read`` raises ValueError for a body that is not what it should be: that is retried.
        ``departs`` is told of each attempt after all waits: the answer is no older than the last.
        """
        work = lambda n: self._answered(request, n, read, departs)  # noqa: E731
        return (yield from self._persist(request, work))

    def stream(
        self, request: Request, begin: Callable[[], Intake[T]], departs: Departure | None = None
    ) -> Flow[T]:
        """The same for a long answer; every attempt begins with an intake of its own."""
        work = lambda n: self._taken_in(request, n, begin, departs)  # noqa: E731
        return (yield from self._persist(request, work))

    def _answered(
        self, request: Request, attempt: int, read: Callable[[bytes], T], departs: Departure | None
    ) -> Flow[T]:
        response = yield from self._exchange(request, attempt, departs)
        try:
            return read(response.body)
        except _NONSENSE as error:
            raise self._nonsense(error, response.status) from None

    def _taken_in(
        self,
        request: Request,
        attempt: int,
        begin: Callable[[], Intake[T]],
        departs: Departure | None,
    ) -> Flow[T]:
        intake = begin()
        try:
            response = yield from self._exchange(request, attempt, departs, intake.take)
            if response.body:
                intake.take(response.body)
            return intake.finish()
        except BrokenStream as broken:
            key = self._key(request)
            yield from self._judge(key, request, broken.status, {}, broken.error)
            raise
        except _NONSENSE as error:
            raise self._nonsense(error, None) from None
        finally:
            intake.close()

    def _persist(self, request: Request, work: Callable[[int], Flow[T]]) -> Flow[T]:
        attempt = 0
        renewed = False
        failure: Unavailable | None = None
        while True:
            attempt += 1
            try:
                return (yield from work(attempt))
            except NotAuthorized as error:
                # An access token may end before its time; what it was made from may still hold.
                if renewed or not error.renewable:
                    raise
                renewed, wait = (yield from self._grants.doubt(error.token)), 0.0
                if not renewed:
                    raise
            except VersionGone as error:
                self.outlive(error)
                if request.version:
                    raise  # whoever put it in that version's words finds others
                wait = 0.0
            except (Throttled, Unavailable) as error:
                wait = self._pause(error, attempt, request)
                failure = error if isinstance(error, Unavailable) else None
            except CircuitOpen:
                self.watch.refused()
                # Opened by this very request: what went wrong says more, and it ends some day.
                if failure is None:
                    raise
                raise failure from None
            self.usage.retries += 1
            self.watch.retried()
            yield Sleep(wait)

    def _pause(self, error: Throttled | Unavailable, attempt: int, request: Request) -> float:
        error.platform, error.account = self.platform.name, request.account
        if isinstance(error, Throttled):
            wait = error.retry_at - self._now()
            if wait > LONGEST_SLEEP or self._backoff.exhausted(attempt):
                raise error
            self.usage.throttled_seconds += max(wait, 0.0)
            return max(wait, 0.0)
        if self._backoff.exhausted(attempt) or not request.repeatable:
            raise error
        if not self._budget.spend(self._key(request)):
            raise error
        self.usage.resent += 1
        return self._backoff.delay(attempt, _JITTER)

    def _exchange(
        self,
        request: Request,
        attempt: int,
        departs: Departure | None,
        take: Callable[[bytes], None] | None = None,
    ) -> Flow[Response]:
        seats = self.pace.seats(request)
        return (yield from seats.around(self._exchanged(request, attempt, departs, take, seats)))

    def _exchanged(
        self,
        request: Request,
        attempt: int,
        departs: Departure | None,
        take: Callable[[bytes], None] | None,
        seats: Seats,
    ) -> Flow[Response]:
        key = self._key(request)
        waited = yield from self.pace.enter(request, seats)
        self.usage.throttled_seconds += waited
        held = yield from self._admitted(key)
        self._lay(held)
        request = replace(request, via=request.via or self.via.get(request.account or ""))
        version = request.version or self.credentials.version
        authorized = self.platform.authorize(request, self.credentials)
        call = self.watch.call(request, attempt, waited)
        if departs:
            departs(self._now())
        response = yield from self._send(key, authorized, take, call)
        yield from seats.leave()
        yield from self.pace.heed(request, {request.account: [response.headers]}, response.body)
        try:
            yield from self._weigh(key, request, response, call)
        except NotAuthorized as error:
            error.token = held.number  # not the one that another thread has taken meanwhile
            raise
        except VersionGone as gone:
            gone.version = version  # not what another thread has changed it to meanwhile
            raise
        if said := self.platform.outlived(response.headers):
            self._replace_version(version, said)
        return response

    def _admitted(self, key: str) -> Flow[Held]:
        """Leave of the breaker, then a token; who gets none gives the leave back."""
        yield Do(lambda: self._breaker.admit(key))
        self._budget.asked(key)
        try:
            return (yield from self._grants.ready())
        except LiftosError:
            yield Do(lambda: self._breaker.abstain(key))
            raise

    def outlive(self, error: VersionGone) -> None:
        """Speak another API version from now on; raises the error where there is none to take."""
        if not self._replace_version(error.version, error.message):
            raise error

    def _replace_version(self, dead: str, why: str) -> bool:
        version = self._versions.after(dead)
        if version and version != self.credentials.version:
            self.credentials = replace(self.credentials, version=version)
            self.usage.version = {"asked": dead, "used": version, "why": why}
            self.usage.warn(told(self.platform, self.credentials, dead, why))
        return bool(version)

    def _send(
        self, key: str, request: Request, take: Callable[[bytes], None] | None, call: Call
    ) -> Flow[Response]:
        credentials = self.credentials
        base = request.base_url or f"{credentials.base_url.rstrip('/')}/{credentials.version}"
        self.usage.requests += 1
        try:
            if take is None:
                response: Response = yield Send(base, request)
            else:
                response = yield Receive(base, request, self._counted(call.counting(take)))
        except Unavailable as lost:
            call.lost(lost.message)
            yield from self._written(call)
            yield Do(lambda: self._breaker.fail(key))
            raise
        self.usage.bytes += len(response.body)
        self.usage.came(response.transfer)
        return response

    def _written(self, call: Call) -> Flow[None]:
        """Into the wire log, where somebody asked for one."""
        if call.wire is not None:
            yield Do(lambda: call.write(self.credentials.secrets.values()))

    def _counted(self, take: Callable[[bytes], None]) -> Callable[[bytes], None]:
        def counted(piece: bytes) -> None:
            self.usage.bytes += len(piece)
            take(piece)

        return counted

    def _key(self, request: Request) -> str:
        return self.platform.name + (f"/{request.account}" if request.account else "")

    def ready(self) -> Flow[Credentials]:
        """The credentials, with an access token that lasts where the platform gives them out."""
        self._lay((yield from self._grants.ready()))
        return self.credentials

    def _lay(self, held: Held) -> None:
        """The secrets that lie over the connection's, unless they do already."""
        secrets = {**self.credentials.secrets, **held.secrets}
        if secrets != self.credentials.secrets:
            self.credentials = replace(self.credentials, secrets=secrets)

    def _ask(self, asked: Request) -> Flow[Response]:
        """Ask for an access token, or about one, without one and without a limit."""
        key = f"{self.platform.name}/grant"
        yield Do(lambda: self._breaker.admit(key))
        call = self.watch.call(asked, private=True)
        response = yield from self._send(key, asked, None, call)
        yield from self._weigh(key, asked, response, call)
        return response

    def _weigh(self, key: str, request: Request, response: Response, call: Call) -> Flow[None]:
        """Judge the answer; a bad one raises."""
        try:
            error = self.platform.error(response)
        except _NONSENSE as nonsense:
            call.ended(response, None)
            yield Do(lambda: self._breaker.abstain(key))
            raise self._nonsense(nonsense, response.status) from None
        call.ended(response, error)
        yield from self._written(call)
        if error is None:
            yield Do(lambda: self._breaker.succeed(key))
            return
        yield from self._judge(key, request, response.status, response.headers, error)

    def _judge(
        self,
        key: str,
        request: Request,
        status: int,
        headers: Mapping[str, str],
        error: VendorError,
    ) -> Flow[None]:
        """Raise what the platform's error stands for."""
        judgement = judge(self.platform.rules, status, error)
        if judgement.verdict is Verdict.RETRY:
            yield Do(lambda: self._breaker.fail(key))
            if wait := self.pace.retry_after(headers):
                scope = "account" if request.account else "app"
                yield from self.pace.hold(request, scope, self._now() + wait)
        else:
            yield Do(lambda: self._breaker.abstain(key))
        if judgement.verdict is Verdict.THROTTLED:
            until = self._now() + (error.wait or self.pace.penalty(headers, request.account))
            # One locked account is no reason to keep the others waiting.
            alone = self._alone(headers, request) if judgement.one_account else ()
            for account in alone:
                yield from self.pace.hold(replace(request, account=account), "account", until)
            if not alone:
                yield from self.pace.hold(request, "app", until)
            raise self.refusal(judgement, request.account, status, retry_at=until)
        raise self.refusal(judgement, request.account, status)

    def _alone(self, headers: Mapping[str, str], request: Request) -> Sequence[str]:
        """Accounts that a refusal concerns: the one asked about, or those it names."""
        if request.account:
            return [request.account]
        told = self.platform.signals(headers, None)
        return list(dict.fromkeys(s.account for s in told if s.account and s.wait > 0))

    def refusal(
        self, judgement: Judgement, account: str | None, status: int | None, retry_at: float = 0.0
    ) -> LiftosError:
        """The error that a judgement stands for."""
        return refuse(self.platform, self.credentials, judgement, account, status, retry_at)

    def _nonsense(self, error: Exception, status: int | None) -> Unreadable:
        return Unreadable(
            "the answer is not what the platform documents"
            f" ({redact(str(error), self.credentials.secrets.values())[:120]})",
            status=status,
        )
