"""Leases: who may do a thing alone, for how long, across processes and hosts."""

from __future__ import annotations

import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import ColumnElement, and_, select, update
from sqlalchemy.engine import Connection

from airflow_provider_liftos.model.errors import Unavailable
from airflow_provider_liftos.state.store import StateStore, alone, insert_into
from airflow_provider_liftos.state.tables import leases

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.02, 0.5


class Leases:
    """The leases of one organization.

    A lease ends by itself after its ``ttl``, so a holder that dies blocks nobody for long. A
    holder that is merely slow may lose it without noticing: what it then does must carry the
    fencing token, which grows with every acquisition, or be bounded well below the ``ttl``.
    """

    def __init__(
        self, store: StateStore, org_id: str, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._store = store
        self._org_id = org_id
        self._sleep = sleep

    def acquire(self, name: str, holder: str, ttl: float) -> int | None:
        """Take the lease for ``ttl`` seconds; the fencing token, or None while it is held.

        A holder does not get it twice: use ``renew``.
        """
        with self._alone(name) as (connection, now):
            taken = {"holder": holder, "expires_at": now + ttl}
            token = connection.scalar(
                insert_into(connection, leases)
                .values(org_id=self._org_id, name=name, token=1, **taken)
                .on_conflict_do_update(
                    index_elements=["org_id", "name"],
                    set_={**taken, "token": leases.c.token + 1},
                    where=leases.c.expires_at <= now,
                )
                .returning(leases.c.token)
            )
        return None if token is None else int(token)

    def renew(self, name: str, token: int, ttl: float) -> bool:
        """Hold on for ``ttl`` more seconds from now; False when it has been lost."""
        with self._alone(name) as (connection, now):
            alive = leases.c.expires_at > now
            return self._set_expiry(connection, name, token, now + ttl, alive)

    def release(self, name: str, token: int) -> bool:
        """Give it back; False when it was no longer held under this token."""
        # Negative: it is given back, and since when; the row must outlast every former holder.
        with self._alone(name) as (connection, now):
            return self._set_expiry(connection, name, token, -now, leases.c.expires_at > 0.0)

    def holder(self, name: str) -> str | None:
        """Who holds the lease now."""
        alive = leases.c.expires_at > self._store.clock.now()
        with self._store.read() as connection:
            return connection.scalar(select(leases.c.holder).where(self._is(name), alive))

    @contextmanager
    def held(
        self, name: str, *, ttl: float = 30.0, wait: float = 60.0, holder: str | None = None
    ) -> Iterator[int]:
        """Hold the lease inside the block, which gets the fencing token.

        ``ttl`` must exceed what the block may take; ``wait`` bounds the time to get it (seconds).

        Raises:
            Unavailable: somebody else held it all the time.
        """
        token = self._wait(name, holder or _this_thread(), ttl, wait)
        try:
            yield token
        finally:
            self.release(name, token)

    def _wait(self, name: str, holder: str, ttl: float, wait: float) -> int:
        deadline = self._store.clock.now() + wait
        pause = _SHORTEST_PAUSE
        while (token := self.acquire(name, holder, ttl)) is None:
            left = deadline - self._store.clock.now()
            if left <= 0:
                current = self.holder(name) or "somebody who has just let it go"
                raise Unavailable(
                    f"The lease {name!r} was not free within {wait:g} s: held by {current}.",
                    hint="Nothing was done; run it again. A dead holder's lease ends by itself.",
                )
            # Full jitter, so that waiters do not knock together.
            self._sleep(min(left, random.uniform(_SHORTEST_PAUSE, pause)))  # noqa: S311
            pause = min(_LONGEST_PAUSE, pause * 2)
        return token

    @contextmanager
    def _alone(self, name: str) -> Iterator[tuple[Connection, float]]:
        """A transaction in which nobody else comes to this lease, and its moment.

        The moment is told once others have gone: a lease that began when its holder began to wait
        for them could be over when it is given out.
        """
        with self._store.write() as connection:
            alone(connection, f"{self._org_id}/leases/{name}")
            yield connection, self._store.clock.now()

    def _set_expiry(
        self,
        connection: Connection,
        name: str,
        token: int,
        expires_at: float,
        condition: ColumnElement[bool],
    ) -> bool:
        change = update(leases).where(self._is(name), leases.c.token == token, condition)
        return connection.execute(change.values(expires_at=expires_at)).rowcount == 1

    def _is(self, name: str) -> ColumnElement[bool]:
        return and_(leases.c.org_id == self._org_id, leases.c.name == name)


def _this_thread() -> str:
    return f"{socket.gethostname()}/{os.getpid()}/{threading.get_ident()}"
