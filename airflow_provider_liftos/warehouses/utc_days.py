"""Exact days of UTC, from hourly rows of the accounts' own zones; and why a day is not there.

They read the report ``hourly``, of any level, whose ``breakdowns`` hold ``hour``: 0 to 23 by the
account's clock. A UTC day is shown when every local day that has a part of it was published, and
when no labelled hour lies on both sides of one of its midnights.
"""

from __future__ import annotations

from airflow_provider_liftos.model.unified import PERFORMANCE, Kind, Role
from airflow_provider_liftos.warehouses.contract import Capabilities, Layout

REPORT = "hourly"

_KEY = ("org_id", "platform", "level", "account_id")
_IDS = ("campaign_id", "ad_group_id", "ad_id")
_NAMES = ("account_name", "campaign_name", "ad_group_name", "ad_name")

# In these texts [name] is a column, {name} a table, a type or an expression.
_DAYS = """
WITH h AS (
  SELECT p.*, CAST({utc_hour} AS {date}) AS [utc_day]
  FROM {performance} AS p
  WHERE p.[report] = {report} AND p.[date] = p.[date_end] AND {hour} IS NOT NULL
), d AS (
  SELECT DISTINCT {key}, [account_timezone], [utc_day] FROM h
), m AS (
  SELECT d.*, {first} AS [first], {before_first} AS [before_first],
    {last} AS [last], {after_last} AS [after_last]
  FROM d
), j AS (
  SELECT m.*, CASE
    WHEN extract(minute FROM m.[first]) <> 0 OR extract(minute FROM m.[after_last]) <> 0
      THEN 'the zone is not whole hours from UTC; an hour cannot be divided'
    WHEN m.[before_first] = m.[first] OR m.[last] = m.[after_last]
      THEN 'an hour that comes twice lies on both sides of midnight in UTC'
    WHEN a.[date] IS NULL OR z.[date] IS NULL
      THEN 'not every local day with a part of it is loaded'
  END AS [reason]
  FROM m
  LEFT JOIN {loads} AS a ON {same_a} AND a.[date] = CAST(m.[first] AS {date})
  LEFT JOIN {loads} AS z ON {same_z} AND z.[date] = CAST(m.[last] AS {date})
)
"""
_SHOWN = """
SELECT {key_h}, h.[utc_day] AS [date_day], {ids}, h.[attribution_window] AS [attribution_window],
  {names}, max(h.[currency]) AS [currency], max(h.[account_timezone]) AS [account_timezone],
  {sums}, max(CASE WHEN h.[is_estimated] THEN 1 ELSE 0 END) = 1 AS [is_estimated]
FROM h JOIN j ON {same_j} AND j.[utc_day] = h.[utc_day]
  AND j.[account_timezone] = h.[account_timezone]
WHERE j.[reason] IS NULL
GROUP BY {key_h}, h.[utc_day], {ids}, h.[attribution_window]
"""
_REFUSED = """
SELECT {key}, [account_timezone], [utc_day] AS [date_day], [reason] FROM j
WHERE [reason] IS NOT NULL
"""


def utc_day_views(layout: Layout) -> dict[str, str]:
    """SELECT statements, quoting left to do, of ``utc_day_report`` and ``utc_day_gaps``."""
    parts = _parts(layout)
    days = _DAYS.format_map(parts)
    return {
        "utc_day_report": days + _SHOWN.format_map(parts),
        "utc_day_gaps": days + _REFUSED.format_map(parts),
    }


def _parts(layout: Layout) -> dict[str, str]:
    capabilities = layout.capabilities
    types = capabilities.types
    hour = capabilities.json_text.format(column="p.[breakdowns]", key=capabilities.text("hour"))
    began = _plus(capabilities, "p.[date]", f"CAST({hour} AS {types[Kind.INT]})")
    metrics = [c.name for c in PERFORMANCE.columns if c.role is Role.METRIC]
    here = "d.[account_timezone]"
    moments = {"first": 0, "before_first": -1, "last": 23, "after_last": 24}
    return {
        "date": types[Kind.DATE],
        "performance": layout.published(PERFORMANCE.name),
        "loads": layout.published("loads"),
        "report": capabilities.text(REPORT),
        "hour": hour,
        "utc_hour": _zoned(capabilities, began, "p.[account_timezone]", capabilities.text("UTC")),
        **{
            name: _zoned(
                capabilities,
                _plus(capabilities, "d.[utc_day]", str(hours)),
                capabilities.text("UTC"),
                here,
            )
            for name, hours in moments.items()
        },
        "key": ", ".join(f"[{name}]" for name in _KEY),
        "key_h": ", ".join(f"h.[{name}]" for name in _KEY),
        "ids": ", ".join(f"h.[{name}]" for name in _IDS),
        "names": ", ".join(f"max(h.[{name}]) AS [{name}]" for name in _NAMES),
        "sums": ", ".join(
            f"CAST(sum(h.[{n}]) AS {types[PERFORMANCE.column(n).kind]}) AS [{n}]" for n in metrics
        ),
        "same_j": _same("j", "h"),
        "same_a": f"{_same('a', 'm')} AND a.[report] = {capabilities.text(REPORT)}",
        "same_z": f"{_same('z', 'm')} AND z.[report] = {capabilities.text(REPORT)}",
    }


def _plus(capabilities: Capabilities, day: str, hours: str) -> str:
    return capabilities.plus_hours.format(day=day, hours=hours)


def _zoned(capabilities: Capabilities, clock: str, here: str, there: str) -> str:
    return capabilities.zoned.format(clock=clock, here=here, there=there)


def _same(one: str, other: str) -> str:
    return " AND ".join(f"{one}.[{name}] = {other}.[{name}]" for name in _KEY)
