"""The campaign report of one account as a document: campaigns with breakdowns, sums, warnings.

Its schema is ``include/schemas/campaign_report.schema.json``. Unlike tables and views it shows the
click-through rate in percent. Money is in the account's currency, days are the account's own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

from airflow_provider_liftos.model.audience import dimension
from airflow_provider_liftos.model.errors import WarehouseError
from airflow_provider_liftos.model.report import DEFAULT_WINDOW, Window
from airflow_provider_liftos.warehouses.contract import Warehouse
from airflow_provider_liftos.warehouses.record_views import STATUSES, quoted

Row: TypeAlias = dict[str, Any]

_METRICS = ("spend", "impressions", "clicks", "conversions", "conversions_value")
_PLACES = 4
_LABELS = {"age": "age_range"}
_MOST_NAMED = 5

_CAMPAIGNS = """
SELECT [campaign_id], max([campaign_name]) AS [campaign_name], max([currency]) AS [currency],
  max([account_timezone]) AS [account_timezone],
  max(CASE WHEN [is_estimated] THEN 1 ELSE 0 END) AS [is_estimated], {sums}
FROM {campaign_report} WHERE {account} AND [date_day] BETWEEN ? AND ?
GROUP BY [campaign_id] ORDER BY [campaign_id]
"""
_ENTITIES = """
SELECT [campaign_id], [name], [status], [effective_status], [objective], [is_deleted], [start_at],
  [end_at], coalesce([daily_budget], [lifetime_budget]) AS [budget]
FROM {campaigns} WHERE {account} AND [valid_to] IS NULL
"""
_ACCOUNT = "SELECT [currency], [timezone] FROM {accounts} WHERE {account} AND [valid_to] IS NULL"
_LOADS = """
SELECT [report], [date], [as_of] FROM {loads}
WHERE {account} AND [level] = 'campaign' AND [date] BETWEEN ? AND ? ORDER BY [report], [date]
"""
_BREAKDOWNS = """
SELECT [report], [campaign_id], [breakdowns], {sums} FROM {performance}
WHERE {account} AND [date] BETWEEN ? AND ? AND [level] = 'campaign' AND [date] = [date_end]
  AND [attribution_window] = ? AND [breakdown_key] <> '' AND [impressions] IS NOT NULL
GROUP BY [report], [campaign_id], [breakdowns]
"""
_PUBLISHED = """
SELECT [account_id], max([date]) AS [newest] FROM {loads}
WHERE [org_id] = ? AND [platform] = ? AND [level] = 'campaign' GROUP BY [account_id]
ORDER BY [account_id]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignReport:
    """Writes documents from what a warehouse has published; asks the platform nothing.

    ``report`` is the un-broken report that the views read, ``attribution_window`` the one in which
    breakdowns are counted. ``now`` is epoch seconds.
    """

    warehouse: Warehouse
    org_id: str
    platform: str
    now: float
    report: str = "basic"
    attribution_window: str = DEFAULT_WINDOW

    def accounts(self) -> dict[str, date]:
        """Accounts with published campaigns, and the newest day of each."""
        rows = self._rows(_PUBLISHED, (self.org_id, self.platform), ("account_id", "newest"))
        return {row["account_id"]: row["newest"] for row in rows}

    def document(self, account_id: str, window: Window) -> dict[str, Any]:
        """The document of one account.

        Raises:
            WarehouseError: nothing of the account was ever published, or the warehouse is out of
                reach.
        """
        mine = (self.org_id, self.platform, account_id)
        days = (*mine, window.since, window.until)
        sums = ("campaign_id", "campaign_name", "currency", "account_timezone", "is_estimated")
        rows = self._rows(_CAMPAIGNS, days, (*sums, *_METRICS))
        account = self._account(mine, rows, window)
        zone = ZoneInfo(account["timezone"])
        entities = {e["campaign_id"]: e for e in self._rows(_ENTITIES, mine, _ENTITY)}
        loads = self._rows(_LOADS, days, ("report", "date", "as_of"))
        breakdowns = self._breakdowns(days)
        campaigns = [
            _campaign(row, entities.get(row["campaign_id"], {}), zone)
            | {"breakdowns": breakdowns.get(row["campaign_id"], {})}
            for row in rows
        ]
        asked = [r["as_of"] for r in loads if r["report"] == self.report]
        moment = max(asked, default=datetime.fromtimestamp(self.now, UTC)).astimezone(UTC)
        return {
            "metadata": {
                "platform": self.platform,
                "account_id": account_id,
                "extraction_timestamp": f"{moment:%Y-%m-%dT%H:%M:%SZ}",
                "date_range": {"start": str(window.since), "end": str(window.until)},
                **account,
            },
            "campaigns": campaigns,
            "summary": _summary(rows),
            "warnings": [*self._incomplete(loads, window), *_estimated(rows)],
        }

    def _account(self, mine: Sequence[object], rows: Sequence[Row], window: Window) -> Row:
        """Currency and zone, of the account itself or else of its rows."""
        names = ("currency", "timezone")
        for row in self._rows(_ACCOUNT, mine, names):
            return {"timezone": row["timezone"], "currency": row["currency"]}
        for row in rows:
            return {"timezone": row["account_timezone"], "currency": row["currency"]}
        raise WarehouseError(
            f"nothing is published from {window.since} to {window.until}",
            platform=self.platform,
            account=str(mine[-1]),
            hint="Load the account's campaigns first, or correct its id or the organization.",
        )

    def _breakdowns(self, days: Sequence[object]) -> dict[str, dict[str, list[Row]]]:
        """Of each campaign its dimensions, each from one report, so that nothing counts twice."""
        rows = self._rows(
            _BREAKDOWNS,
            (*days, self.attribution_window),
            ("report", "campaign_id", "breakdowns", *_METRICS),
        )
        for row in rows:
            row["breakdowns"] = json.loads(row["breakdowns"] or "{}")
        sums: dict[str, dict[str, dict[str, list[Row]]]] = {}
        for name, (report, key) in _sources(rows).items():
            for row in rows:
                if row["report"] == report:
                    values = sums.setdefault(row["campaign_id"], {}).setdefault(name, {})
                    values.setdefault(str(row["breakdowns"].get(key, "")), []).append(row)
        return {
            campaign: {
                name: [
                    {_LABELS.get(name, name): value, **_sums(parts)}
                    for value, parts in sorted(values.items())
                ]
                for name, values in sorted(found.items())
            }
            for campaign, found in sums.items()
        }

    def _incomplete(self, loads: Iterable[Row], window: Window) -> Iterator[str]:
        present: dict[str, set[date]] = {self.report: set()}
        for row in loads:
            present.setdefault(row["report"], set()).add(row["date"])
        for report, days in present.items():
            missing = [day for day in window.dates() if day not in days]
            if missing:
                more = len(missing) - _MOST_NAMED
                named = ", ".join(map(str, missing[:_MOST_NAMED]))
                yield (
                    f"Data of report '{report}' is incomplete: nothing was published for {named}"
                    + (f" and {more} more days" if more > 0 else "")
                )

    def _rows(self, text: str, params: Sequence[object], names: Sequence[str]) -> list[Row]:
        layout = self.warehouse.layout
        tables = ("campaign_report", "campaigns", "accounts", "loads", "performance")
        sql = text.format_map(
            {
                **{name: layout.published(name) for name in tables},
                "account": "[org_id] = ? AND [platform] = ? AND [account_id] = ?",
                "sums": ", ".join(f"sum([{name}]) AS [{name}]" for name in _METRICS),
            }
        )
        found = self.warehouse.query(quoted(layout.capabilities, sql), params)
        return [dict(zip(names, row, strict=True)) for row in found]


_ENTITY = ("campaign_id", "name", "status", "effective_status", "objective", "is_deleted",
           "start_at", "end_at", "budget")  # fmt: skip


def _sources(rows: Iterable[Row]) -> dict[str, tuple[str, str]]:
    """For each dimension the report that cuts it least further, and its key there."""
    keys: dict[str, set[str]] = {}
    for row in rows:
        keys.setdefault(row["report"], set()).update(row["breakdowns"])
    found: dict[str, tuple[str, str]] = {}
    for report in sorted(keys, key=lambda name: (len(keys[name]), name)):
        for key in sorted(keys[report]):
            name = dimension(key)
            if name and name not in found:
                found[name] = report, key
    return found


def _campaign(row: Row, entity: Mapping[str, Any], zone: ZoneInfo) -> Row:
    spend, clicks, impressions = row["spend"], row["clicks"], row["impressions"]
    return {
        "campaign_id": row["campaign_id"],
        "campaign_name": entity.get("name") or row["campaign_name"],
        "status": _status(entity),
        "objective": _lower(entity.get("objective")),
        "budget": _number(entity.get("budget")),
        "spend": _number(spend),
        "impressions": _number(impressions),
        "clicks": _number(clicks),
        "ctr": _ratio(clicks, impressions, 100),
        "cpc": _ratio(spend, clicks),
        "cpm": _ratio(spend, impressions, 1000),
        "conversions": _number(row["conversions"]),
        "conversion_value": _number(row["conversions_value"]),
        "roas": _ratio(row["conversions_value"], spend),
        "start_date": _day(entity.get("start_at"), zone),
        "end_date": _day(entity.get("end_at"), zone),
    }


def _status(entity: Mapping[str, Any]) -> str | None:
    if entity.get("is_deleted"):
        return "archived"
    theirs = entity.get("effective_status") or entity.get("status")
    known = (ours for ours, words in STATUSES.items() if theirs and theirs.upper() in words)
    return next(known, _lower(theirs))


def _lower(text: str | None) -> str | None:
    return text.lower() if text else None


def _day(moment: datetime | None, zone: ZoneInfo) -> str | None:
    return str(moment.astimezone(zone).date()) if moment else None


def _number(value: Any) -> int | float | None:
    """A JSON number; whole ones without a fraction."""
    if value is None:
        return None
    exact = Decimal(value)
    return int(exact) if exact == exact.to_integral_value() else float(exact)


def _ratio(top: Any, bottom: Any, factor: int = 1) -> int | float | None:
    if top is None or not bottom:
        return None
    return _number(round(Decimal(top) * factor / Decimal(bottom), _PLACES))


def _total(rows: Iterable[Row], name: str) -> Any:
    """Their sum; null only where none of them has a value."""
    values = [row[name] for row in rows if row[name] is not None]
    return _number(sum(values)) if values else None


def _sums(rows: Sequence[Row]) -> Row:
    return {name: _total(rows, name) for name in ("impressions", "clicks", "spend", "conversions")}


def _summary(rows: Sequence[Row]) -> Row:
    totals = {f"total_{name}": _total(rows, name) or 0
              for name in ("spend", "impressions", "clicks", "conversions")}  # fmt: skip
    return {"total_campaigns": len(rows), **totals}


def _estimated(rows: Iterable[Row]) -> Iterator[str]:
    for row in rows:
        if row["is_estimated"]:
            yield (f"Some metrics for campaign '{row['campaign_id']}' are estimated and may change")


def last_days(newest: date, days: int) -> Window:
    """The window of that many days up to the newest published one."""
    return Window(since=newest - timedelta(days=days - 1), until=newest)
