"""What is published of a source: whose days, and whether a former run's have all arrived."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from airflow_provider_liftos.model.report import Report, Window
from airflow_provider_liftos.warehouses.contract import Warehouse
from airflow_provider_liftos.warehouses.job import instant
from airflow_provider_liftos.warehouses.record_views import quoted

_MINE = "[org_id] = ? AND [platform] = ? AND [report] = ? AND [level] = ?"

_ACCOUNTS = (
    f"SELECT DISTINCT [account_id] FROM {{loads}} WHERE {_MINE}"
    " AND [date] BETWEEN CAST(? AS DATE) AND CAST(? AS DATE)"
)

# Days in a row are one row of the answer, which so stays small for years of many accounts.
_SPANS = f"""
SELECT [account_id], min([date]), max([date])
FROM (
  SELECT *, sum([is_new]) OVER (PARTITION BY [account_id] ORDER BY [date]) AS [span]
  FROM (
    SELECT [account_id], [date], CASE WHEN [date] = lag([date]) OVER (
      PARTITION BY [account_id] ORDER BY [date]) + INTERVAL '1' DAY THEN 0 ELSE 1 END AS [is_new]
    FROM {{loads}} WHERE {_MINE} AND [as_of] >= ?
  ) AS marked
) AS spans
GROUP BY [account_id], [span]
"""


def accounts(
    warehouse: Warehouse, org_id: str, platform: str, report: Report, window: Window
) -> list[str]:
    """Accounts that have published days in a window. Raises WarehouseError."""
    mine = (org_id, platform, report.name, str(report.level))
    rows = warehouse.query(_text(warehouse, _ACCOUNTS), (*mine, window.since, window.until))
    return sorted(account for (account,) in rows)


def arrived(
    warehouse: Warehouse,
    org_id: str,
    platform: str,
    report: Report,
    *,
    as_of: float,
    days: Mapping[str, Sequence[Sequence[str]]],
) -> bool:
    """Whether all days that were read at ``as_of`` are published as of then, or of later.

    Raises WarehouseError.
    """
    if not days:
        return True
    mine = (org_id, platform, report.name, str(report.level))
    found: dict[str, list[tuple[date, date]]] = {}
    for account, since, until in warehouse.query(_text(warehouse, _SPANS), (*mine, instant(as_of))):
        found.setdefault(account, []).append((since, until))
    return all(
        any(
            first <= date.fromisoformat(since) and date.fromisoformat(until) <= last
            for first, last in found.get(account, ())
        )
        for account, windows in days.items()
        for since, until in windows
    )


def _text(warehouse: Warehouse, text: str) -> str:
    loads = warehouse.layout.published("loads")
    return quoted(warehouse.layout.capabilities, text.format(loads=loads))
