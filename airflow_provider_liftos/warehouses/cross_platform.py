"""What every platform cost and earned, side by side, in one currency, from what was published."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from airflow_provider_liftos.warehouses.contract import Warehouse
from airflow_provider_liftos.warehouses.record_views import quoted

_SUMS = """
SELECT [platform], count(DISTINCT [account_id]), min([date_day]), max([date_day]),
  sum([impressions]), sum([clicks]), sum([spend_reporting]), sum([conversions]),
  sum([conversions_value_reporting]),
  sum(CASE WHEN [spend] IS NOT NULL AND [spend_reporting] IS NULL THEN 1 ELSE 0 END),
  max([reporting_currency])
FROM {account_report}
WHERE [org_id] = ? AND [date_day] BETWEEN ? AND ?
GROUP BY [platform] ORDER BY [platform]
"""
_LATEST = """
SELECT [platform], max([date]) FROM {loads} WHERE [org_id] = ? GROUP BY [platform]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformTotals:
    """One platform's days; money in the reporting currency, shares as fractions.

    ``unconverted`` counts account-days whose currency has no rate: they are in no sum of money.
    """

    platform: str
    accounts: int
    first_day: date
    last_day: date
    impressions: int
    clicks: int
    spend: Decimal | None
    conversions: Decimal | None
    conversions_value: Decimal | None
    unconverted: int
    currency: str | None

    @property
    def cpa(self) -> float | None:
        """Spend per conversion."""
        return _ratio(self.spend, self.conversions)

    @property
    def roas(self) -> float | None:
        """Value per spend."""
        return _ratio(self.conversions_value, self.spend)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; exact amounts as texts."""
        plain = {
            name: str(value) if isinstance(value, (date, Decimal)) else value
            for name, value in asdict(self).items()
        }
        return plain | {"cpa": self.cpa, "roas": self.roas}


def _ratio(top: Decimal | None, bottom: Decimal | None) -> float | None:
    return float(round(top / bottom, 4)) if top is not None and bottom else None


def totals(
    warehouse: Warehouse, org_id: str, since: date, until: date
) -> tuple[list[PlatformTotals], list[str]]:
    """Totals of each platform that published any of these days, and what to know of them.

    Days are each account's own, both ends included.
    """
    found = [
        PlatformTotals(
            platform=row[0], accounts=row[1], first_day=row[2], last_day=row[3],
            impressions=int(row[4] or 0), clicks=int(row[5] or 0), spend=row[6],
            conversions=row[7], conversions_value=row[8], unconverted=int(row[9] or 0),
            currency=row[10],
        )
        for row in _rows(warehouse, _SUMS, (org_id, since, until))
    ]  # fmt: skip
    latest: dict[str, date] = dict(_rows(warehouse, _LATEST, (org_id,)))
    return found, list(_warnings(found, latest))


def _rows(warehouse: Warehouse, text: str, params: Sequence[object]) -> list[tuple[Any, ...]]:
    layout = warehouse.layout
    names = {name: layout.published(name) for name in ("account_report", "loads")}
    return warehouse.query(quoted(layout.capabilities, text.format_map(names)), params)


def _warnings(found: Sequence[PlatformTotals], latest: Mapping[str, date]) -> Iterator[str]:
    newest = max(latest.values(), default=None)
    for platform, day in sorted(latest.items()):
        if newest and day < newest:
            yield f"{platform} is published up to {day} only, others up to {newest}"
    for one in found:
        if one.unconverted:
            yield (
                f"{one.platform}: {one.unconverted} account-days have no exchange rate and are in"
                " no sum of money; load rates with the DAG liftos_fx_rates"
            )
