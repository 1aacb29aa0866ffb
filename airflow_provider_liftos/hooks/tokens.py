"""What workers share of a connection's tokens, as a session or a person's test needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.model.errors import LiftosError

if TYPE_CHECKING:
    from airflow_provider_liftos.model.platform import Credentials, Platform
    from airflow_provider_liftos.state.store import StateStore
    from airflow_provider_liftos.state.tokens import Kept, Tokens


def shared(
    platform: Platform, credentials: Credentials, store: StateStore, api_conn_id: str
) -> dict[str, Any]:
    """The parts of a session that keep tokens, mask them, and write them back where wanted."""
    from airflow_provider_liftos.hooks.masking import mask
    from airflow_provider_liftos.hooks.write_back import write_back
    from airflow_provider_liftos.state.tokens import Tokens

    def renewed(kept: Kept) -> None:
        if api_conn_id:
            write_back(platform, credentials, kept, api_conn_id)

    ring = config.keyring()
    tokens = Tokens(store, credentials.org_id, credentials.conn_id, ring)
    return {"tokens": tokens, "seen": mask, "after": renewed}


def asked_for(credentials: Credentials) -> Tokens | None:
    """The same for a person who wants to know how the connection is now, whatever was before.

    None where the store is out of reach: the connection can be looked at without it.
    """
    from airflow_provider_liftos.state.tokens import Tokens

    ring = config.keyring()
    try:
        store = config.state_store()
        with store.read():
            return Tokens(store, credentials.org_id, credentials.conn_id, ring, insist=True)
    except LiftosError:
        return None


def note_test(platform: Platform, credentials: Credentials, *, worked: bool) -> None:
    """Write down that a person tested the connection; where that cannot be, the test still counts.

    Who it was Airflow does not tell; its API server tests connections under names of its own.
    """
    from contextlib import suppress

    from airflow_provider_liftos.state.audit_log import AuditLog
    from airflow_provider_liftos.state.tokens import process

    with suppress(LiftosError):
        audit = AuditLog(config.state_store(), credentials.org_id)
        detail = {"platform": platform.name, "worked": worked}
        audit.note(process(), "tested", credentials.conn_id, detail)
