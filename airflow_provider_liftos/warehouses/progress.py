"""What is published since when, read from ``loads``.

``loads`` is written in the transaction that publishes, so it cannot say other than what people see:
a second book, in the state store, could, when a process dies between the two, when the warehouse
is restored from a backup, or when a pipeline is pointed at another one.
"""

from __future__ import annotations

from datetime import date

from airflow_provider_liftos.engine.incremental import Known, Progress
from airflow_provider_liftos.model.report import SNAPSHOT, Window
from airflow_provider_liftos.warehouses.contract import Warehouse
from airflow_provider_liftos.warehouses.record_views import quoted

_DAY_BEFORE = (
    "lag([date]) OVER (PARTITION BY [account_id], [report], [level], [is_final] ORDER BY [date])"
)
# Days in a row are one row of the answer, which so stays small for years of many accounts.
_SPANS = """
SELECT [account_id], [report], [level], [is_final], min([date]), max([date])
FROM (
  SELECT *, sum([is_new]) OVER (
    PARTITION BY [account_id], [report], [level], [is_final] ORDER BY [date]) AS [span]
  FROM (
    SELECT *, CASE WHEN [date] = {day_after} THEN 0 ELSE 1 END AS [is_new]
    FROM (
      SELECT [account_id], [report], [level], [date],
        CASE WHEN [as_of] >= {final} THEN 1 ELSE 0 END AS [is_final]
      FROM {loads} WHERE [org_id] = ? AND [platform] = ? AND [level] NOT IN ('snapshot', 'changes')
    ) AS judged
  ) AS marked
) AS spans
GROUP BY [account_id], [report], [level], [is_final], [span]
"""


def published(warehouse: Warehouse, org_id: str, platform: str, restatement_days: int) -> Known:
    """The published days of every account, report and level.

    A day is final when it was read ``restatement_days`` after it began, or later, by UTC: zones are
    hours, the window is weeks. Raises WarehouseError as the warehouse does.
    """
    plus_days = warehouse.layout.capabilities.plus_days
    text = _SPANS.format(
        loads=warehouse.layout.published("loads"),
        day_after=plus_days.format(day=_DAY_BEFORE, days=1),
        final=plus_days.format(day="CAST([date] AS TIMESTAMP)", days=int(restatement_days)),
    )
    spans: dict[tuple[str, str, str], tuple[list[Window], list[Window]]] = {}
    for account, report, level, is_final, since, until in warehouse.query(
        quoted(warehouse.layout.capabilities, text), (org_id, platform)
    ):
        early, final = spans.setdefault((account, report, level), ([], []))
        (final if is_final else early).append(Window(since=_day(since), until=_day(until)))
    return {
        key: Progress(final=tuple(final), early=tuple(early))
        for key, (early, final) in spans.items()
    }


def listed(warehouse: Warehouse, org_id: str, platform: str) -> dict[tuple[str, str], float]:
    """When all entities were last listed (epoch seconds), by account and stream.

    Of what is published only. Raises WarehouseError as the warehouse does.
    """
    text = (
        f"SELECT [account_id], [report], max([as_of]) FROM {warehouse.layout.published('loads')}"
        " WHERE [org_id] = ? AND [platform] = ? AND [level] = ? GROUP BY [account_id], [report]"
    )
    found = warehouse.query(
        quoted(warehouse.layout.capabilities, text), (org_id, platform, SNAPSHOT)
    )
    return {(account, stream): as_of.timestamp() for account, stream, as_of in found}


def _day(value: date) -> date:
    return date(value.year, value.month, value.day)
