"""When a restatement window closes, its day is no estimate any more, read again or not.

The flag that rows come with is of the moment at which they were asked for. A day that a daily run
reads again loses it by that; one that only a backfill has read would keep it for ever.
"""

from __future__ import annotations

from datetime import timedelta

from airflow_provider_liftos.model.unified import PERFORMANCE
from airflow_provider_liftos.warehouses.contract import Layout
from airflow_provider_liftos.warehouses.job import instant
from airflow_provider_liftos.warehouses.record_views import quoted

_SETTLE = """
UPDATE {table} SET [is_estimated] = FALSE
WHERE [org_id] = ? AND [platform] = ? AND [is_estimated] AND [day_end_utc] <= ?
"""


def settling(
    layout: Layout, org_id: str, platform: str, restatement_days: int, now: float
) -> tuple[str, tuple[object, ...]]:
    """A statement and its parameters; ``now`` is epoch seconds.

    The window closes when the account's day that many days after the row's last one begins, as it
    does for rows that are read then: that is a day less after the row's end.
    """
    closed = instant(now) - timedelta(days=restatement_days - 1)
    text = _SETTLE.format(table=layout.published(PERFORMANCE.name))
    return quoted(layout.capabilities, text), (org_id, platform, closed)
