"""Testing a connection: quick, cheap, and worth reading."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooSlow
from datetime import UTC, date, datetime

from airflow_provider_liftos.hooks import versions
from airflow_provider_liftos.hooks.liftos import discover
from airflow_provider_liftos.hooks.masking import mask
from airflow_provider_liftos.model.errors import LiftosError, NotAuthorized, Unavailable
from airflow_provider_liftos.model.platform import Credentials, Platform, TokenFacts
from airflow_provider_liftos.model.report import Account
from airflow_provider_liftos.model.wire import Lane
from airflow_provider_liftos.resilience.backoff import Backoff
from airflow_provider_liftos.resilience.limiter import Place, Turn
from airflow_provider_liftos.state.tokens import Tokens
from airflow_provider_liftos.transport.client import HttpSender
from airflow_provider_liftos.transport.flow import run
from airflow_provider_liftos.transport.redact import redact
from airflow_provider_liftos.transport.session import Session
from airflow_provider_liftos.transport.versions import anew

TEST_SECONDS = 10.0
"""Longest a test may take: it may run inside the API server."""


def probe(
    platform: Platform, credentials: Credentials, tokens: Tokens | None = None
) -> tuple[bool, str]:
    """Whether the connection works, and what it is: accounts, scopes, expiry, version, sunset."""
    try:
        token, accounts, spoken = _looked(
            platform, credentials, lambda t: _check(platform, t, credentials), TEST_SECONDS, tokens
        )
    except LiftosError as error:
        return False, str(error)
    names = ", ".join(account.account_id for account in accounts[:5])
    version = _version(platform, spoken, credentials, datetime.now(UTC).date())
    return True, "; ".join((f"{len(accounts)} accounts ({names})", lasting(token), version))


def look(
    platform: Platform,
    credentials: Credentials,
    accept: Callable[[TokenFacts], None],
    seconds: float,
    tokens: Tokens | None = None,
) -> tuple[TokenFacts, Sequence[Account]]:
    """What the token is, and the accounts it sees; not these if ``accept`` raises.

    ``tokens`` are what workers share, for platforms whose credentials do not bear being used twice.

    Raises:
        LiftosError: what is wrong, or that nothing came within ``seconds``.
    """
    return _looked(platform, credentials, accept, seconds, tokens)[:2]


def _looked(
    platform: Platform,
    credentials: Credentials,
    accept: Callable[[TokenFacts], None],
    seconds: float,
    tokens: Tokens | None,
) -> tuple[TokenFacts, Sequence[Account], Credentials]:
    pool = ThreadPoolExecutor(max_workers=1)
    try:
        return pool.submit(_look, platform, credentials, accept, tokens).result(timeout=seconds)
    except TooSlow:
        raise Unavailable(
            f"no answer within {seconds:.0f} s; check the host", platform=platform.name
        ) from None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def shadowed(platform: Platform) -> list[str]:
    """Words about connections of this type that Airflow reads from elsewhere than its database.

    All of them, because the API server tests a connection under a name of its own. Only there the
    database can be looked at.
    """
    if os.environ.get("_AIRFLOW_PROCESS_CONTEXT") != "server":
        return []
    from airflow_provider_liftos.hooks import stored

    mine = [one.conn_id for one in stored.listed() if one.platform.name == platform.name]
    sources = {conn_id: stored.shadow(conn_id) for conn_id in mine}
    return [
        f"note: connection {conn_id!r} is also defined by {source}, which Airflow reads first: what"
        " is entered here is not used"
        for conn_id, source in sources.items()
        if source
    ]


class _Unlimited:
    """No shared limits here: a test must answer within seconds, and it is a few calls."""

    def reserve(
        self,
        places: Sequence[Place],  # noqa: ARG002
        max_wait: float | None = None,  # noqa: ARG002
        lane: Lane = Lane.INTERACTIVE,  # noqa: ARG002
        *,
        had_turn: bool = False,  # noqa: ARG002
    ) -> Turn:
        return Turn(0.0)

    def paused(self, keys: Collection[str]) -> bool:  # noqa: ARG002
        return False

    def correct(self, place: Place, **told: float | None) -> None: ...

    def pause(self, key: str, until: float) -> None: ...


class _Unbroken:
    def admit(self, key: str) -> None: ...

    def succeed(self, key: str) -> None: ...

    def fail(self, key: str) -> None: ...

    def abstain(self, key: str) -> None: ...


def _look(
    platform: Platform,
    credentials: Credentials,
    accept: Callable[[TokenFacts], None],
    tokens: Tokens | None,
) -> tuple[TokenFacts, Sequence[Account], Credentials]:
    """With the credentials as they were used in the end: the API version may be another one."""
    today = datetime.now(UTC).date()
    sender = HttpSender()
    session = Session(
        platform, credentials,
        limiter=_Unlimited(), breaker=_Unbroken(), backoff=Backoff(attempts=1), now=time.time,
        fallbacks=versions.fallbacks(platform, credentials.version, credentials.options, today),
        tokens=tokens, seen=mask,
    )  # fmt: skip
    ask = lambda: session.call(platform.token(session.credentials), platform.read_token)  # noqa: E731
    try:
        run(session.ready(), sender)
        token = anew(session, ask, sender)
        accept(token)
        return token, discover(session, sender), session.credentials
    finally:
        sender.close()


def _check(platform: Platform, token: TokenFacts, credentials: Credentials) -> None:
    if not token.valid:
        note = redact(token.note, credentials.secrets.values())
        raise NotAuthorized(
            f"the access token is not valid{': ' + note if note else ''}",
            platform=platform.name,
            hint="Put a new token into the connection.",
        )
    if missing := [scope for scope in platform.scopes if scope not in token.scopes]:
        raise NotAuthorized(
            f"the token lacks the scope {', '.join(missing)}",
            platform=platform.name,
            hint="Grant it and put the new token into the connection.",
        )


def lasting(token: TokenFacts) -> str:
    """Words about a token: its scopes, and how long it lasts."""
    scopes = f"scopes {', '.join(token.scopes)}" if token.scopes else "token accepted"
    if not token.expires_at:
        return f"{scopes}; token does not expire"
    day = datetime.fromtimestamp(token.expires_at, UTC)
    return f"{scopes}; token expires {day:%Y-%m-%d} UTC"


def _version(platform: Platform, used: Credentials, read: Credentials, today: date) -> str:
    """What is spoken, until when, and what the connection asks for, where that is dead."""
    asked = read.asked_version or read.version
    if asked != used.version:
        dead = f"api_version {asked} is switched off, API {used.version} is used instead"
        return f"{dead}: set api_version to {used.version} or leave it empty"
    if warning := versions.ending(platform, used, today):
        return warning
    sunset = {v.name: v.sunset for v in platform.versions}.get(used.version)
    return f"API {used.version}" + (f", switched off {sunset}" if sunset else ", no sunset set")
