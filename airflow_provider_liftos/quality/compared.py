"""Series in which days can be compared: without what ads that began or ended delivered."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date

from airflow_provider_liftos.quality import delivery, seasons
from airflow_provider_liftos.quality.delivery import METRICS, Delivery
from airflow_provider_liftos.quality.seasons import Baseline, Departure

PRICE = "cpm"
"""What a thousand impressions cost, on days on which something was shown and spent."""
IN_SEASON = ("impressions", "spend", PRICE)
"""Metrics whose days are compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Comparable days, what is usual of them, and how wide they spread."""

    values: Mapping[date, float]
    usual: seasons.Usual
    spread: seasons.Spread | None

    def departure(self, day: date) -> Departure | None:
        """How a day departs, if it is known and does."""
        if day not in self.values or self.spread is None:
            return None
        return seasons.departure(self.values, day, self.spread, self.usual.expected(day))


class Compared:
    """Days of an account or a campaign without what cannot be compared, for each day to judge."""

    def __init__(self, one: Delivery, campaign_id: str, baseline: Baseline) -> None:
        self._one = one
        self._baseline = baseline
        self._campaigns = [campaign_id] if campaign_id else list(one.campaigns)
        self._cohorts = [
            cohort for cohort in one.cohorts if not campaign_id or cohort.campaign_id == campaign_id
        ]
        self._kept: dict[tuple[str, frozenset[object]], Series] = {}

    def series(self, metric: str, day: date) -> Series:
        """The series that the day is compared in."""
        without = frozenset(cohort for cohort in self._cohorts if cohort.differs(day))
        stopped = frozenset(c for c in self._campaigns if self._silent(c, day))
        key = (metric, without | stopped)
        if key not in self._kept:
            values = self._values(metric, without, stopped)
            usual = self._baseline(values)
            self._kept[key] = Series(values=values, usual=usual, spread=usual.spread(day))
        return self._kept[key]

    def any_expected(self, judged: Collection[date]) -> bool:
        """Whether there is enough history for any of the days."""
        return any(
            self.series(metric, day).usual.expected(day) is not None
            for metric in IN_SEASON
            for day in judged
        )

    def _silent(self, campaign_id: str, day: date) -> bool:
        """Whether the campaign has stopped, and is there neither on the day nor later.

        One that delivered later had not stopped yet: its silence is a gap.
        """
        if campaign_id not in self._one.stopped:
            return False
        days = self._one.campaigns.get(campaign_id, {})
        return not any(any(totals) for on, totals in days.items() if on >= day)

    def _values(
        self, metric: str, without: Collection[delivery.Cohort], stopped: Collection[str]
    ) -> dict[date, float]:
        if metric != PRICE:
            return self._totals(METRICS.index(metric), without, stopped)
        shown = self._totals(METRICS.index("impressions"), without, stopped)
        spent = self._totals(METRICS.index("spend"), without, stopped)
        return {
            day: 1000 * spent[day] / count
            for day, count in shown.items()
            if count > 0 and spent[day] > 0
        }

    def _totals(
        self, metric: int, without: Collection[delivery.Cohort], stopped: Collection[str]
    ) -> dict[date, float]:
        series = dict.fromkeys(self._one.days, 0.0)
        for campaign_id in self._campaigns:
            if campaign_id in stopped:
                continue
            for day, totals in self._one.campaigns.get(campaign_id, {}).items():
                series[day] += totals[metric]
        for cohort in without:
            if cohort.campaign_id in stopped:
                continue
            for day, totals in self._one.cohorts[cohort].items():
                if day in series:
                    series[day] = max(0.0, series[day] - totals[metric])
        return series
