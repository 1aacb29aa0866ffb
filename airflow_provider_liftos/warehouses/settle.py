"""When a restatement window closes, its day is no estimate any more, read again or not.

The flag that rows come with is of the moment at which they were asked for. A day that a daily run
reads again loses it by that; one that only a backfill has read would keep it for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from airflow_provider_liftos.model.unified import PERFORMANCE
from airflow_provider_liftos.warehouses.contract import Layout
from airflow_provider_liftos.warehouses.job import instant
from airflow_provider_liftos.warehouses.record_views import quoted

Statement: TypeAlias = tuple[str, tuple[object, ...]]
"""With ``?`` placeholders, and their parameters."""

ESTIMATED = "is_estimated"
SETTLED_BY = ("org_id", "platform", "day_end_utc")
"""Columns by which rows to settle are found among those that are ``ESTIMATED``."""

_OPEN = "[org_id] = ? AND [platform] = ? AND [is_estimated] AND [day_end_utc] <= ?"
_FIND = f"SELECT min([day_end_utc]) FROM {{table}} WHERE {_OPEN}"
# Planners take it that few estimates are new, as few rows are: only by its start they see how
# little is asked for, and use an index.
_CHANGE = f"UPDATE {{table}} SET [is_estimated] = FALSE WHERE {_OPEN} AND [day_end_utc] >= ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settling:
    """What is to be settled: an organization's rows of a platform that end by ``closed``."""

    layout: Layout
    org_id: str
    platform: str
    closed: datetime

    @property
    def find(self) -> Statement:
        """One row: the end of the first of them, or null where there are none."""
        return self._statement(_FIND)

    def change(self, first: datetime) -> Statement:
        """Settles them, as found."""
        return self._statement(_CHANGE, first)

    def _statement(self, text: str, *more: object) -> Statement:
        sql = text.format(table=self.layout.published(PERFORMANCE.name))
        params = (self.org_id, self.platform, self.closed, *more)
        return quoted(self.layout.capabilities, sql), params


def settling(
    layout: Layout, org_id: str, platform: str, restatement_days: int, now: float
) -> Settling:
    """What to ask and to do; ``now`` is epoch seconds.

    The window closes when the account's day that many days after the row's last one begins, as it
    does for rows that are read then: that is a day less after the row's end.
    """
    closed = instant(now) - timedelta(days=restatement_days - 1)
    return Settling(layout=layout, org_id=org_id, platform=platform, closed=closed)
