"""The restatement ledger: how much each past day moved since it was last published."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from sqlalchemy import insert, select

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
    """Keep (date, metric, old, new) of the days that a load changes, each move of a load once.

    It is written before the load is committed: a publication that dies in between, and is repeated,
    leaves no gap and says nothing twice. One that is never repeated leaves moves of a load that
    ``loads`` does not know.
    """
    whose = {
        "org_id": org_id,
        "platform": platform,
        "account_id": account_id,
        "report": report,
        "level": level,
        "load_id": load_id,
    }
    columns = [restatements.c[n] for n in ("date", "metric", "old_value", "new_value")]
    mine = [restatements.c[name] == value for name, value in whose.items()]
    with store.write() as connection:
        known = {tuple(row) for row in connection.execute(select(*columns).where(*mine))}
        now = store.clock.now()
        rows = [
            {
                **whose,
                "date": day,
                "metric": metric,
                "old_value": _text(old),
                "new_value": _text(new),
                "created_at": now,
            }
            for day, metric, old, new in moved
            if (day, metric, _text(old), _text(new)) not in known
        ]
        if rows:
            connection.execute(insert(restatements), rows)


def _text(value: Decimal | None) -> str | None:
    return None if value is None else str(value)
