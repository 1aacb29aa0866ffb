"""Connecting: a person's consent, from the button to the connection that works, written down."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from airflow_provider_liftos.engine import consent
from airflow_provider_liftos.engine.consent import Asked
from airflow_provider_liftos.hooks import config, probe, stored, tokens
from airflow_provider_liftos.hooks.liftos import choose
from airflow_provider_liftos.hooks.masking import mask
from airflow_provider_liftos.model.consent import Granted
from airflow_provider_liftos.model.errors import ConfigurationError, LiftosError, NotAuthorized
from airflow_provider_liftos.model.platform import Credentials, Platform, TokenFacts
from airflow_provider_liftos.model.report import Account
from airflow_provider_liftos.platforms import get
from airflow_provider_liftos.state.audit_log import AuditLog
from airflow_provider_liftos.state.oauth_states import OAuthStates, Pending, StateRefused

ASKED, CONNECTED, FAILED = "asked_consent", "connected", "failed_consent"
REFUSED = "refused"
"""What the audit log calls the steps."""

_EXCHANGE_SECONDS = 15.0
_LOOK_SECONDS = 20.0
_SHOWN = 50
_LONGEST_ID = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who connects: a user of Airflow, or of the machine, and from where."""

    name: str
    where: str
    id: str = ""

    @property
    def key(self) -> str:
        """What tells people apart, also those of one name."""
        return self.id or self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """What came of a consent; holds no secret. ``accounts`` are ids and names, the first ones."""

    conn_id: str
    platform: str
    title: str
    count: int
    accounts: Sequence[Sequence[str]]
    scopes: Sequence[str]
    expires_at: float
    token: str
    notes: Sequence[str] = ()


def start(conn_id: str, person: Person, *, redirect_uri: str, platform: str | None = None) -> Asked:
    """The page to send a person to, for this connection; without ``platform`` its type tells.

    Raises:
        LiftosError: it cannot be connected, and what to do.
    """
    known, credentials = stored.read(conn_id, get(platform) if platform else None)
    audit = AuditLog(config.state_store(), credentials.org_id)
    facts = {"platform": known.name, "from": person.where}
    try:
        _refuse_shadowed(conn_id)
        asked = consent.begin(
            known,
            credentials,
            _states(),
            redirect_uri=redirect_uri,
            actor=person.key,
            hosts=config.oauth_redirect_hosts(),
        )
    except LiftosError as error:
        audit.note(person.name, FAILED, conn_id, {**facts, "why": error.message})
        raise
    audit.note(person.name, ASKED, conn_id, {**facts, "redirect_uri": redirect_uri})
    return asked


def finish(
    answer: Mapping[str, str],
    person: Person,
    *,
    may_edit: Callable[[str], bool] = lambda _conn_id: True,
) -> Connected:
    """Take what the browser brought back, and write the connection.

    Raises:
        LiftosError: why not, and what to do. Nothing was changed then.
    """
    states, pending = _states(), None
    try:
        pending = states.take(answer.get("state", ""), person.key)
        if not may_edit(pending.conn_id):
            raise NotAuthorized(f"you may not edit connection {pending.conn_id!r} (any more)")
        connected = _connect(pending, answer)
    except LiftosError as error:
        known = error.pending if isinstance(error, StateRefused) else pending
        _note_failure(known, person, error)
        raise
    states.conclude(pending, asdict(connected))
    facts = {
        "platform": connected.platform,
        "from": person.where,
        "accounts": connected.count,
        "scopes": list(connected.scopes),
        "expires_at": connected.expires_at,
    }
    audit = AuditLog(config.state_store(), pending.org_id)
    audit.note(person.name, CONNECTED, connected.conn_id, facts)
    return connected


def refused(what: str, person: Person, conn_id: str = "") -> None:
    """Write down that a person tried this and has no right to, with the connection's organization.

    An id that is none of ours is kept short: it may be any text.
    """
    try:
        org_id = stored.read(conn_id)[1].org_id if conn_id else "default"
    except LiftosError:
        org_id = "default"
    audit = AuditLog(config.state_store(), org_id)
    audit.note(person.name, REFUSED, conn_id[:_LONGEST_ID], {"from": person.where, "what": what})


def outcome(digest: str, person: str) -> Connected | None:
    """What came of a consent that this person gave, by the digest of its state."""
    found = _states().outcome(digest, person)
    return Connected(**found) if found else None


def _states() -> OAuthStates:
    return OAuthStates(config.state_store(), config.keyring())


def _note_failure(pending: Pending | None, person: Person, error: LiftosError) -> None:
    """Of an answer that nobody asked for it is not known whose it would be."""
    audit = AuditLog(config.state_store(), pending.org_id if pending else "default")
    facts: dict[str, Any] = {"from": person.where, "why": error.message}
    if pending:
        facts |= {"platform": pending.platform, "asked_by": pending.actor}
    audit.note(person.name, FAILED, pending.conn_id if pending else "", facts)


def _refuse_shadowed(conn_id: str) -> None:
    if source := stored.shadow(conn_id):
        raise ConfigurationError(
            f"connection {conn_id!r} is also defined by {source}, which Airflow reads first:"
            " what a consent brings would never be used",
            hint="Remove it there, or put the credentials there by hand.",
        )


def _connect(pending: Pending, answer: Mapping[str, str]) -> Connected:
    from airflow_provider_liftos.transport.client import HttpSender
    from airflow_provider_liftos.transport.flow import run

    platform, credentials = stored.read(pending.conn_id, get(pending.platform))
    _refuse_shadowed(pending.conn_id)
    if credentials.org_id != pending.org_id:
        raise ConfigurationError(f"connection {pending.conn_id!r} has changed its organization")
    sender = HttpSender(timeout=_EXCHANGE_SECONDS)
    try:
        granted = run(consent.finish(platform, credentials, pending, answer), sender)
    finally:
        sender.close()
    mask(granted.secrets)
    opened = replace(credentials, secrets={**credentials.secrets, **granted.secrets})
    connected = _seen(platform, opened, granted)
    stored.write(pending.conn_id, granted.secrets)
    return connected


def _seen(platform: Platform, credentials: Credentials, granted: Granted) -> Connected:
    """Ask with the new token what it is worth; NotAuthorized where that is too little.

    A platform that is merely unwell is no reason to throw the token away.
    """
    facts: list[TokenFacts] = []

    def accept(token: TokenFacts) -> None:
        facts.append(token)
        if granted.scopes is None:
            consent.require(platform, token.scopes)

    accounts: Sequence[Account] = ()
    notes: list[str] = []
    try:
        _, accounts = probe.look(
            platform, credentials, accept, _LOOK_SECONDS, tokens.asked_for(credentials)
        )
        notes += _unseen(platform, credentials, accounts)
    except NotAuthorized as error:
        if consent.UNCHANGED not in (error.hint or ""):
            error.hint = f"{consent.UNCHANGED} {error.hint or ''}".rstrip()
        raise
    except LiftosError as error:
        notes.append(f"The accounts could not be looked at now: {error}")
    token = facts[0] if facts else TokenFacts(valid=True)
    if granted.scopes is not None:
        token = replace(token, scopes=granted.scopes)
    return Connected(
        conn_id=credentials.conn_id,
        platform=platform.name,
        title=platform.title,
        count=len(accounts),
        accounts=[(one.account_id, one.name or "") for one in accounts[:_SHOWN]],
        scopes=list(token.scopes),
        expires_at=token.expires_at,
        token=probe.lasting(token),
        notes=notes,
    )


def _unseen(platform: Platform, credentials: Credentials, accounts: Sequence[Account]) -> list[str]:
    """Words about accounts that the connection names and this person does not see."""
    try:
        _, unseen = choose(accounts, credentials, platform)
    except NotAuthorized as error:
        return [str(error)]
    return [str(error) for error in unseen]
