"""An account's ratios beside those of the organization's other platforms.

They differ lawfully by tens: searching people click more, and cost more. What differs by hundreds
is in another unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from math import nan

from airflow_provider_liftos.engine.manifest import Manifest
from airflow_provider_liftos.model.unified import PERFORMANCE
from airflow_provider_liftos.quality.days import METRICS, LoadedDays, Reader
from airflow_provider_liftos.quality.facts import NOTHING, Number

ENOUGH = 1000  # impressions that make a ratio
PAST = timedelta(days=27)  # that long before the run's window others are looked at, too


@dataclass(slots=True)
class Tally:
    """What was shown, clicked and spent."""

    impressions: float = 0
    clicks: float = 0
    spend: float = 0

    def add(self, impressions: float | None, clicks: float | None, spend: float | None) -> None:
        """Add a day's, or a platform's."""
        self.impressions += impressions or 0
        self.clicks += clicks or 0
        self.spend += spend or 0


def others(warehouse: Reader, manifest: Manifest) -> dict[str, Tally]:
    """Other platforms' published totals by currency, around the days of the manifest."""
    windows = [r.slice.window for r in manifest.slices if r.slice.report]
    if not windows:
        return {}
    ident = warehouse.layout.capabilities.ident
    sums = ", ".join(f"SUM({ident(metric)})" for metric in METRICS)
    found = warehouse.query(
        f"SELECT {ident('currency')}, {sums} FROM {warehouse.layout.published(PERFORMANCE.name)}"
        f" WHERE {ident('org_id')} = ? AND {ident('platform')} <> ? AND {ident('report')} = ?"
        f" AND {ident('level')} = ? AND {ident('date')} BETWEEN ? AND ?"
        f" GROUP BY {ident('currency')}",
        (manifest.org_id, manifest.platform, "basic", "account",
         min(w.since for w in windows) - PAST, max(w.until for w in windows)),
    )  # fmt: skip
    tallies: dict[str, Tally] = {}
    for currency, *totals in found:
        numbers = [None if total is None else float(total) for total in totals]
        tallies.setdefault(currency, Tally()).add(*numbers)
    return tallies


def agreement(
    manifest: Manifest, loaded: LoadedDays, theirs: Mapping[str, Tally]
) -> dict[str, Number]:
    """For each account that delivered, by how many times its ratios differ from the others'."""
    own: dict[str, Tally] = {}
    for (account, report, level), by_day in loaded.items():
        if (report, level) == ("basic", "account"):
            for of_day in by_day.values():
                for day in of_day.values():
                    own.setdefault(account, Tally()).add(*day.sums)
    currencies = {r.slice.account_id: r.account.currency for r in manifest.slices}
    every = Tally()
    for one in theirs.values():
        every.add(one.impressions, one.clicks, one.spend)
    return {
        account: _worst(mine, every, theirs.get(currencies.get(account, "")))
        for account, mine in own.items()
    }


def _worst(mine: Tally, every: Tally, same_currency: Tally | None) -> Number:
    worst, note = nan, ""
    pairs = [("CTR", _ratio(mine.clicks, mine), _ratio(every.clicks, every))]
    if same_currency:
        pairs.append(
            ("CPM", _ratio(1000 * mine.spend, mine),
             _ratio(1000 * same_currency.spend, same_currency))
        )  # fmt: skip
    for name, ours, other in pairs:
        if not ours or not other:
            continue
        value = max(ours / other, other / ours)
        if not worst >= value:
            worst, note = value, f"{name} {ours:.4g}, {other:.4g} on other platforms"
    return (worst, note) if note else NOTHING


def _ratio(amount: float, of: Tally) -> float:
    return amount / of.impressions if of.impressions >= ENOUGH else 0.0
