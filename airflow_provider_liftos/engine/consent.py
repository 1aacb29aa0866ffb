"""Consent: from a connection to the platform's page, and from what comes back to secrets.

OAuth 2.0's authorization code (RFC 6749), with PKCE (RFC 7636, S256) where the platform takes it.
Written by hand because no library fits several of the platforms: one calls its code otherwise,
another needs a second exchange, none of them refresh alike.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode, urlsplit

from airflow_provider_liftos.model.consent import Code, Consent, Granted
from airflow_provider_liftos.model.errors import ConfigurationError, NotAuthorized, Unavailable
from airflow_provider_liftos.model.platform import Credentials, Platform
from airflow_provider_liftos.model.secret import Secret
from airflow_provider_liftos.model.wire import Request, Response, judge
from airflow_provider_liftos.state.oauth_states import OAuthStates, Pending
from airflow_provider_liftos.transport.flow import Flow, Send
from airflow_provider_liftos.transport.hosts import loopback
from airflow_provider_liftos.transport.redact import redact
from airflow_provider_liftos.transport.refusals import refuse

UNCHANGED = "Nothing was changed."
_LONGEST_WORDS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Where to send the person, what their answer will carry, and until when (epoch seconds)."""

    url: str
    state: str
    expires_at: float


def begin(
    platform: Platform,
    credentials: Credentials,
    states: OAuthStates,
    *,
    redirect_uri: str,
    actor: str,
    hosts: Sequence[str],
) -> Asked:
    """Ask for a consent: the page's address, good for ``actor`` alone and for ten minutes.

    ``hosts`` are those to which answers may be sent; one with a port admits no other.

    Raises:
        ConfigurationError: the platform has no consent, the connection lacks a field, the answer
            would go elsewhere, or there is no key to keep the verifier with.
    """
    consent = of(platform)
    lacks = missing(consent, credentials)
    if lacks:
        raise ConfigurationError(
            f"connection {credentials.conn_id!r} has no {' and no '.join(lacks)}",
            platform=platform.name,
            hint="They are the app's, and are filled in before anybody can consent.",
        )
    refuse_elsewhere(redirect_uri, hosts)
    verifier = Secret(secrets.token_urlsafe(48)) if consent.pkce else None
    page = consent.page(credentials)
    state, expires_at = states.open(
        Pending(
            org_id=credentials.org_id,
            platform=platform.name,
            conn_id=credentials.conn_id,
            actor=actor,
            redirect_uri=redirect_uri,
            verifier=verifier,
        )
    )
    query = {
        **consent.parameters(credentials),
        "redirect_uri": redirect_uri,
        "state": state,
        **(_challenge(verifier) if verifier else {}),
    }
    return Asked(url=f"{page}?{urlencode(query)}", state=state, expires_at=expires_at)


def of(platform: Platform) -> Consent:
    """The platform's consent; ConfigurationError where it has none."""
    if platform.consent is None:
        raise ConfigurationError(f"{platform.title} has no consent: enter its credentials")
    return platform.consent


def missing(consent: Consent, credentials: Credentials) -> list[str]:
    """Fields without which nothing can begin."""
    return [
        name
        for name in consent.needs
        if not (credentials.secrets.get(name) or credentials.options.get(name))
    ]


def refuse_elsewhere(redirect_uri: str, hosts: Sequence[str]) -> None:
    """ConfigurationError where an answer, which opens an account, would go to a foreign host.

    Nor does it travel in clear, but to a process of the same machine.
    """
    parts = urlsplit(redirect_uri)
    host = parts.hostname or ""
    setting = "[liftos] oauth_redirect_hosts"
    if parts.username or parts.fragment or parts.scheme not in {"http", "https"} or not host:
        raise ConfigurationError(f"answers cannot be sent to {redirect_uri!r}")
    if not {host, parts.netloc.lower()} & {one.strip().lower() for one in hosts}:
        raise ConfigurationError(
            f"answers may not be sent to {host}: {setting} names {', '.join(hosts) or 'no host'}",
            hint=f"Correct [api] base_url, or add the host to {setting}.",
        )
    if parts.scheme == "http" and not loopback(host):
        raise ConfigurationError(
            f"answers to http://{host} would travel in clear, and platforms refuse to send them",
            hint="Serve Airflow by https and say so in [api] base_url.",
        )


def _challenge(verifier: Secret) -> dict[str, str]:
    digest = hashlib.sha256(verifier.reveal().encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return {"code_challenge": challenge, "code_challenge_method": "S256"}


def finish(
    platform: Platform, credentials: Credentials, pending: Pending, answer: Mapping[str, str]
) -> Flow[Granted]:
    """What the person's consent is worth: secrets for the connection, scopes as far as told.

    ``answer`` are the parameters that the browser brought; ``pending`` was taken by their state.

    Raises:
        NotAuthorized: the person declined, scopes are missing, or the platform takes no code.
        Unavailable: no answer came; the code is spent all the same.
    """
    consent = of(platform)
    code = Code(
        value=_code(platform, consent, answer),
        redirect_uri=pending.redirect_uri,
        verifier=pending.verifier,
    )
    told = {"code": code.value, **({"verifier": code.verifier} if code.verifier else {})}
    held = replace(credentials, secrets={**credentials.secrets, **told})
    asked = consent.exchange(credentials, code)
    granted = yield from _exchanged(platform, held, asked, consent.read)
    require(platform, granted.scopes)
    if consent.lengthen is None:
        return granted
    held = replace(held, secrets={**held.secrets, **granted.secrets})
    longer = yield from _exchanged(platform, held, consent.lengthen(held), consent.read)
    return replace(longer, scopes=granted.scopes)


def _code(platform: Platform, consent: Consent, answer: Mapping[str, str]) -> Secret:
    if failure := answer.get("error"):
        words = answer.get("error_description") or answer.get("error_message") or failure
        said = " ".join(redact(words).split())[:_LONGEST_WORDS]
        declined = failure == "access_denied"
        raise NotAuthorized(
            f"the consent was {'declined' if declined else 'refused'}: {said}",
            platform=platform.name,
            hint=f"{UNCHANGED} Begin again and allow access.",
        )
    code = answer.get(consent.code)
    if not code:
        raise NotAuthorized(
            f"the answer has no {consent.code}",
            platform=platform.name,
            hint=f"{UNCHANGED} Begin again.",
        )
    return Secret(code)


def require(platform: Platform, scopes: Sequence[str] | None) -> None:
    """NotAuthorized names the scopes that were not granted; None: it is not known which were."""
    if scopes is None:
        return
    if lacking := [scope for scope in platform.scopes if scope not in scopes]:
        raise NotAuthorized(
            f"not granted: {', '.join(lacking)}",
            platform=platform.name,
            hint=f"{UNCHANGED} Begin again and leave all permissions ticked.",
        )


def _exchanged(
    platform: Platform,
    credentials: Credentials,
    request: Request,
    read: Callable[[bytes], Granted],
) -> Flow[Granted]:
    """Once only: a code is spent by the first attempt, whatever becomes of the answer."""
    base = request.base_url or f"{credentials.base_url.rstrip('/')}/{credentials.version}"
    try:
        response: Response = yield Send(base, request)
    except Unavailable as error:
        raise _lost(platform, error.message, None) from None
    failure = platform.error(response)
    if failure is not None:
        judgement = judge(platform.rules, response.status, failure)
        refusal = refuse(platform, credentials, judgement, None, response.status)
        refusal.hint = f"{UNCHANGED} Check the app's id and secret, and begin again."
        raise refusal
    try:
        return read(response.body)
    except ValueError:
        raise _lost(platform, "the answer holds no token", response.status) from None


def _lost(platform: Platform, why: str, status: int | None) -> Unavailable:
    return Unavailable(
        why.partition(";")[0],
        platform=platform.name,
        status=status,
        hint="Nothing was changed, but the code is spent. Begin again.",
    )
