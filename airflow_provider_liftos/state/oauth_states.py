"""Consent under way: what must still be known when a person's browser comes back.

A state is looked at once, whoever brings it; of the state itself only a digest is kept.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import insert, select, update

from airflow_provider_liftos.model.errors import NotAuthorized
from airflow_provider_liftos.model.secret import Secret
from airflow_provider_liftos.state.keyring import KeyRing
from airflow_provider_liftos.state.store import StateStore
from airflow_provider_liftos.state.tables import oauth_states

LIFETIME = 600.0
"""Seconds that a person has for consenting."""

_AGAIN = "Begin again with Connect."


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A consent that was asked for: by whom, for which connection, and where the answer comes."""

    org_id: str
    platform: str
    conn_id: str
    actor: str
    redirect_uri: str
    verifier: Secret | None = None
    digest: str = ""


class StateRefused(NotAuthorized):
    """An answer that belongs to no consent of this user; ``pending`` tells whose, where known."""

    def __init__(self, message: str, pending: Pending | None = None) -> None:
        super().__init__(message, hint=_AGAIN)
        self.pending = pending


class OAuthStates:
    """The states of all organizations: an answer does not say whose it is."""

    def __init__(self, store: StateStore, ring: KeyRing) -> None:
        self._store = store
        self._ring = ring

    def open(self, pending: Pending) -> tuple[str, float]:
        """Remember a consent for LIFETIME seconds; its state, and the moment of its end.

        Raises:
            ConfigurationError: there is a verifier, and no key to keep it with.
        """
        state = secrets.token_urlsafe(32)
        digest = reference(state)
        sealed = None
        if pending.verifier:
            plain = pending.verifier.reveal().encode()
            sealed = self._ring.seal(plain, context(pending.org_id, digest))
        now = self._store.clock.now()
        row = insert(oauth_states).values(
            org_id=pending.org_id,
            digest=digest,
            platform=pending.platform,
            conn_id=pending.conn_id,
            actor=pending.actor,
            redirect_uri=pending.redirect_uri,
            verifier=sealed,
            expires_at=now + LIFETIME,
            created_at=now,
        )
        with self._store.write() as connection:
            connection.execute(row)
        return state, now + LIFETIME

    def take(self, state: str, actor: str) -> Pending:
        """What was asked for under this state, which from now on is used.

        Raises:
            StateRefused: nobody asked, or it is too late, was used, or is another user's.
            ConfigurationError: the verifier does not open.
        """
        digest, now = reference(state), self._store.clock.now()
        unused = (oauth_states.c.digest == digest) & oauth_states.c.used_at.is_(None)
        use = update(oauth_states).where(unused).values(used_at=now)
        with self._store.write() as connection:
            fresh = connection.execute(use).rowcount > 0
            row = connection.execute(
                select(oauth_states).where(oauth_states.c.digest == digest)
            ).one_or_none()
        if row is None:
            raise StateRefused("nobody here asked for this consent")
        pending = _pending(row)
        if row.actor != actor:
            raise StateRefused("another user began this; it is void now", pending)
        if not fresh:
            raise StateRefused("this answer was used already", pending)
        if row.expires_at <= now:
            raise StateRefused(f"the answer came after {LIFETIME / 60:.0f} minutes", pending)
        return self._opened(pending, row.verifier)

    def _opened(self, pending: Pending, sealed: str | None) -> Pending:
        if not sealed:
            return pending
        plain = self._ring.open(sealed, context(pending.org_id, pending.digest)).decode()
        return replace(pending, verifier=Secret(plain))

    def conclude(self, pending: Pending, outcome: Mapping[str, Any]) -> None:
        """Keep what came of it, for the page that shows it; forget the verifier."""
        kept = {"outcome": json.dumps(outcome), "verifier": None}
        own = (oauth_states.c.org_id == pending.org_id) & (oauth_states.c.digest == pending.digest)
        with self._store.write() as connection:
            connection.execute(update(oauth_states).where(own).values(**kept))

    def outcome(self, digest: str, actor: str) -> Mapping[str, Any] | None:
        """What came of a consent, for the user who began it."""
        own = (oauth_states.c.digest == digest) & (oauth_states.c.actor == actor)
        with self._store.read() as connection:
            found = connection.scalar(select(oauth_states.c.outcome).where(own))
        return dict(json.loads(found)) if found else None


def reference(state: str) -> str:
    """The name of a state that may be seen: it answers for nobody."""
    return hashlib.sha256(state.encode()).hexdigest()


def context(org_id: str, digest: str) -> str:
    """What a verifier is bound to."""
    return f"oauth_states\x1f{org_id}\x1f{digest}"


def _pending(row: Any) -> Pending:
    return Pending(
        org_id=row.org_id,
        platform=row.platform,
        conn_id=row.conn_id,
        actor=row.actor,
        redirect_uri=row.redirect_uri,
        digest=row.digest,
    )
