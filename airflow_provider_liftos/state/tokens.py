"""Tokens that were made of a connection's credential, laid over the connection for all workers.

A row is sealed (AES-256-GCM) and bound to its place and generation. It is found by a fingerprint of
the credential in the connection: when a person puts another one there, what was made of the former
is never looked at again. Where tokens were written back, or are held by two connections, any
credential of the row's past finds it.
"""

from __future__ import annotations

import json
import math
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, delete, or_, select, update
from sqlalchemy.engine import Connection

from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.model.secret import Secret
from airflow_provider_liftos.state.audit_log import AuditLog
from airflow_provider_liftos.state.keyring import KeyRing
from airflow_provider_liftos.state.leases import Leases
from airflow_provider_liftos.state.store import StateStore, insert_into
from airflow_provider_liftos.state.tables import tokens

KIND = "grant"
LEASE_SECONDS = 90.0
"""How long an exchange may take: a minute of silence is what an HTTP client bears."""

_TRAIL = 12
"""How many credentials of its past a row is found by."""

_FORGOTTEN = 90 * 86_400.0
"""Seconds after which tokens of a former credential are deleted, once another one is in use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is kept of one credential.

    ``secrets`` lie over those of the connection. ``generation`` grows with every change of them.
    ``expires_at`` is when the access token ends (epoch seconds). ``trail`` are fingerprints of the
    credential, newest first. ``intent_at`` is set while an exchange is under way, or was when its
    process died. ``refused`` says why the platform wants a person to consent again, and
    ``refused_for`` which state of the connection that is about.
    """

    conn_id: str
    root: str
    generation: int = 0
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    expires_at: float = -math.inf
    trail: tuple[str, ...] = ()
    intent_at: float | None = None
    refused: str = ""
    refused_for: str = ""


class Tokens:
    """The kept tokens of one connection. ``insist``: refusals of the past are not believed.

    Raises of all that reads: ConfigurationError when a row was sealed with a key that is not on
    the ring, or was changed, or moved.
    """

    def __init__(
        self, store: StateStore, org_id: str, conn_id: str, ring: KeyRing, *, insist: bool = False
    ) -> None:
        self._store = store
        self._org_id = org_id
        self._conn_id = conn_id
        self._ring = ring
        self._insist = insist
        self._leases = Leases(store, org_id)

    @property
    def sealing(self) -> bool:
        """Whether there is a key to keep anything with."""
        return bool(self._ring)

    def find(self, fingerprint: str) -> Kept | None:
        """What is kept of the credential with that fingerprint."""
        query = select(tokens).where(
            tokens.c.org_id == self._org_id,
            tokens.c.kind == KIND,
            or_(
                tokens.c.root == fingerprint, tokens.c.trail.contains(fingerprint, autoescape=True)
            ),
        )
        with self._store.read() as connection:
            found = connection.execute(query).all()
        if not found:
            return None
        # Two connections may hold the same credential; it has one row.
        row = max(found, key=lambda row: (row.conn_id == self._conn_id, row.generation))
        return self._opened(row)

    def intend(self, fingerprint: str, kept: Kept | None) -> Kept | None:
        """Note that an exchange begins: whoever finds this knows that its answer was lost.

        None when somebody else has begun or ended one since ``kept`` was found.
        """
        return self._put(fingerprint, kept, intent_at=self._store.clock.now())

    def refuse(self, fingerprint: str, kept: Kept | None, *, why: str, of: str) -> bool:
        """Remember that only a person can help; ``of`` is the connection as it is.

        False when somebody else has begun or ended an exchange meanwhile: what was refused is then
        no longer what counts, and nothing is remembered.
        """
        if self._put(fingerprint, kept, refused=why, refused_for=of) is None:
            return False
        self._note("refused", kept, {"why": why})
        return True

    def keep(
        self,
        fingerprint: str,
        kept: Kept | None,
        secrets: Mapping[str, Secret],
        expires_at: float,
        *,
        now_found_by: str,
    ) -> Kept | None:
        """Keep new tokens in place of ``kept``; None when somebody else has done so meanwhile.

        ``now_found_by`` is the fingerprint of the credential as it is with the new secrets.
        """
        # What the connection holds comes early: it stays there however long the past gets.
        trail = tuple(dict.fromkeys((now_found_by, fingerprint, *(kept.trail if kept else ()))))
        made = Kept(
            conn_id=kept.conn_id if kept else self._conn_id,
            root=kept.root if kept else fingerprint,
            generation=(kept.generation if kept else 0) + 1,
            secrets=dict(secrets),
            expires_at=expires_at,
            trail=trail[:_TRAIL],
        )
        sealed = self._sealed(made) if secrets else None
        if not self._write(made, None if kept is None else kept.generation, sealed):
            return None
        if secrets:
            before = kept.trail[0] if kept else fingerprint
            self._note("refreshed" if before == now_found_by else "rotated", made, {})
        return made

    def acquire(self, root: str) -> int | None:
        """The lease under which tokens of that credential are exchanged, or None while held."""
        return self._leases.acquire(f"token/{root}", process(), LEASE_SECONDS)

    def release(self, root: str, lease: int) -> None:
        """Give it back."""
        self._leases.release(f"token/{root}", lease)

    def _put(self, fingerprint: str, kept: Kept | None, **changed: Any) -> Kept | None:
        """Change what is not sealed, in a row that may not be there yet, or is as it was known.

        A lease does not stop a process that stood still for longer than it lasts.
        """
        made = kept or Kept(conn_id=self._conn_id, root=fingerprint, trail=(fingerprint,))
        values = {"trail": " ".join(made.trail), "updated_at": self._store.clock.now(), **changed}
        as_known = and_(
            tokens.c.generation == made.generation,
            tokens.c.intent_at.is_not_distinct_from(made.intent_at),
        )
        with self._store.write() as connection:
            done = connection.scalar(
                insert_into(connection, tokens)
                .values(**self._key(made), generation=made.generation, **values)
                .on_conflict_do_update(
                    index_elements=list(self._key(made)), set_=values, where=as_known
                )
                .returning(tokens.c.root)
            )
        return None if done is None else Kept(**{**_fields(made), **changed})

    def _write(self, made: Kept, after: int | None, sealed: str | None) -> bool:
        values = {
            "generation": made.generation,
            "sealed": sealed,
            "expires_at": None if made.expires_at == math.inf else made.expires_at,
            "trail": " ".join(made.trail),
            "intent_at": None,
            "refused": None,
            "refused_for": None,
            "updated_at": self._store.clock.now(),
        }
        with self._store.write() as connection:
            if after is None:
                insert = insert_into(connection, tokens).values(**self._key(made), **values)
                change = insert.on_conflict_do_nothing().returning(tokens.c.root)
                done = connection.scalar(change) is not None
            else:
                same = and_(self._at(made), tokens.c.generation == after)
                done = connection.execute(update(tokens).where(same).values(**values)).rowcount == 1
            if done:
                self._forget(connection, made)
        return done

    def _forget(self, connection: Connection, made: Kept) -> None:
        """Former credentials of the connection, once nobody can be at work with them any more."""
        long_ago = self._store.clock.now() - _FORGOTTEN
        connection.execute(
            delete(tokens).where(
                tokens.c.org_id == self._org_id,
                tokens.c.conn_id == made.conn_id,
                tokens.c.kind == KIND,
                tokens.c.root != made.root,
                tokens.c.updated_at < long_ago,
            )
        )

    def _key(self, made: Kept) -> dict[str, str]:
        return {
            "org_id": self._org_id, "conn_id": made.conn_id, "kind": KIND, "root": made.root,
        }  # fmt: skip

    def _at(self, made: Kept) -> ColumnElement[bool]:
        return and_(*(tokens.c[name] == value for name, value in self._key(made).items()))

    def _sealed(self, made: Kept) -> str:
        plain = json.dumps({name: secret.reveal() for name, secret in made.secrets.items()})
        place = {**self._key(made), "generation": made.generation}
        return self._ring.seal(plain.encode(), context(place))

    def _opened(self, row: Row[Any]) -> Kept:
        plain: dict[str, str] = {}
        if row.sealed:
            try:
                plain = json.loads(self._ring.open(row.sealed, context(row._asdict())))
            except ConfigurationError as error:
                error.message = f"connection {self._conn_id!r}: {error.message}"
                error.hint = (
                    f"{error.hint} Where the key is lost: enter a new credential in the connection,"
                    " and `airflow liftos rotate-keys --drop-unreadable`."
                )
                raise
        endless = row.expires_at is None and row.generation
        return Kept(
            conn_id=row.conn_id,
            root=row.root,
            generation=row.generation,
            secrets={name: Secret(value) for name, value in plain.items()},
            expires_at=math.inf if endless else (row.expires_at or -math.inf),
            trail=tuple(row.trail.split()),
            intent_at=row.intent_at,
            refused="" if self._insist else (row.refused or ""),
            refused_for=row.refused_for or "",
        )

    def _note(self, action: str, kept: Kept | None, detail: Mapping[str, Any]) -> None:
        facts = {"generation": kept.generation if kept else 0, **detail}
        AuditLog(self._store, self._org_id).note(process(), action, self._conn_id, facts)


def context(row: Mapping[str, Any]) -> str:
    """What a row's secrets are bound to."""
    place: Sequence[Any] = [row[c] for c in ("org_id", "conn_id", "kind", "root", "generation")]
    return json.dumps(["tokens", *place])


def _fields(kept: Kept) -> dict[str, Any]:
    return {name: getattr(kept, name) for name in Kept.__slots__}


def process() -> str:
    """Who acts where no person does: host and process."""
    return f"{socket.gethostname()}/{os.getpid()}"
