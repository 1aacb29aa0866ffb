"""The restatement ledger: how much each past day moved since it was last published."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from sqlalchemy import insert

from airflow_provider_liftos.state.store import StateStore
from airflow_provider_liftos.state.tables import restatements


def note(
    store: StateStore,
    org_id: str,
    *,
    platform: str,
    account_id: str,
    report: str,
    level: str,
    load_id: str,
    moved: Sequence[tuple[str, str, Decimal | None, Decimal | None]],
) -> None:
    """Keep (date, metric, old, new) of the days that a load changed."""
    now = store.clock.now()
    rows = [
        {
            "org_id": org_id,
            "platform": platform,
            "account_id": account_id,
            "report": report,
            "level": level,
            "date": day,
            "metric": metric,
            "old_value": None if old is None else str(old),
            "new_value": None if new is None else str(new),
            "load_id": load_id,
            "created_at": now,
        }
        for day, metric, old, new in moved
    ]
    if rows:
        with store.write() as connection:
            connection.execute(insert(restatements), rows)
