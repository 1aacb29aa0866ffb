"""Testing a connection: quick, cheap, and worth reading."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooSlow
from datetime import UTC, datetime

from airflow_provider_liftos.model.errors import LiftosError, NotAuthorized, Unavailable
from airflow_provider_liftos.model.platform import Credentials, Platform, TokenFacts
from airflow_provider_liftos.model.wire import Request, Response, judge
from airflow_provider_liftos.transport.client import HttpSender
from airflow_provider_liftos.transport.redact import redact

TEST_SECONDS = 10.0
"""Longest a test may take: it may run inside the API server."""


def probe(platform: Platform, credentials: Credentials) -> tuple[bool, str]:
    """Whether the connection works, and what it is: accounts, scopes, expiry, version, sunset."""
    # No shared limits here: a test must answer within seconds, and it is two calls.
    pool = ThreadPoolExecutor(max_workers=1)
    try:
        return True, pool.submit(_look, platform, credentials).result(timeout=TEST_SECONDS)
    except TooSlow:
        return False, f"{platform.name}: no answer within {TEST_SECONDS:.0f} s; check the host"
    except LiftosError as error:
        return False, str(error)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _look(platform: Platform, credentials: Credentials) -> str:
    sender = HttpSender()
    try:
        token = platform.read_token(
            _send(sender, platform, credentials, platform.token(credentials))
        )
        _check(platform, token, credentials)
        body = _send(sender, platform, credentials, platform.accounts(None, 100))
        accounts, more = platform.read_accounts(body)
    except ValueError as error:
        raise Unavailable(f"the answer is not what it should be ({error})") from None
    finally:
        sender.close()
    count = f"{len(accounts)}{'+' if more else ''} accounts"
    names = ", ".join(account.account_id for account in accounts[:5])
    return "; ".join((f"{count} ({names})", _words(token), _version(platform, credentials)))


def _send(
    sender: HttpSender, platform: Platform, credentials: Credentials, request: Request
) -> bytes:
    base = f"{credentials.base_url.rstrip('/')}/{credentials.version}"
    response: Response = sender.send(base, platform.authorize(request, credentials))
    error = platform.error(response)
    if error is None:
        return response.body
    from airflow_provider_liftos.transport.session import refuse

    judgement = judge(platform.rules, response.status, error)
    raise refuse(platform, credentials, judgement, None, response.status)


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


def _words(token: TokenFacts) -> str:
    scopes = f"scopes {', '.join(token.scopes)}"
    if not token.expires_at:
        return f"{scopes}; token does not expire"
    day = datetime.fromtimestamp(token.expires_at, UTC)
    return f"{scopes}; token expires {day:%Y-%m-%d} UTC"


def _version(platform: Platform, credentials: Credentials) -> str:
    sunset = {v.name: v.sunset for v in platform.versions}.get(credentials.version)
    return f"API {credentials.version}" + (
        f", switched off {sunset}" if sunset else ", no sunset set"
    )
