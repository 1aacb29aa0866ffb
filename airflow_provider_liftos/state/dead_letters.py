"""Dead letters: what could not be processed, kept with the reason for somebody to look at."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from airflow_provider_liftos.state.store import StateStore, insert_into
from airflow_provider_liftos.state.tables import dead_letters

_LONGEST_PAYLOAD = 10_000


def keep(
    store: StateStore,
    org_id: str,
    *,
    platform: str,
    account_id: str,
    kind: str,
    letters: Sequence[tuple[str, str]],
) -> None:
    """Keep (reason, payload) pairs; the same letter twice is one letter."""
    now = store.clock.now()
    rows = [
        {
            "org_id": org_id,
            "id": _digest(platform, account_id, kind, reason, payload),
            "platform": platform,
            "account_id": account_id,
            "kind": kind,
            "reason": reason,
            "payload": payload[:_LONGEST_PAYLOAD],
            "attempts": 1,
            "state": "open",
            "created_at": now,
            "updated_at": now,
        }
        for reason, payload in letters
    ]
    unique = list({row["id"]: row for row in rows}.values())
    if unique:
        with store.write() as connection:
            insert = insert_into(connection, dead_letters).on_conflict_do_nothing()
            connection.execute(insert, unique)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]
