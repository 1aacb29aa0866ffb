"""What is usual by STL: a trend and a week that changes slowly, taken apart by loess.

The other baseline of ``anomalies``, for who prefers it: days are forecast from the trend that was
reached and from the season of their weekday, so that an account that grows week after week does not
make its own days jump. Needs statsmodels, of the extra ``forecast``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from statistics import median
from typing import Any

from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.quality import seasons
from airflow_provider_liftos.quality.seasons import DAY, WEEKS, Spread, Values

LEAST_DAYS = 28
"""Days from the first with delivery on, without which nothing is taken apart."""
SEASON, TREND = 35, 43
"""Weeks that a weekday's season, and days that the trend is smoothed over (odd): long, because what
follows every week learns its noise. Fixed, as the next two, on seeds 1 to 4 of the sandbox."""
ROUNDS = 3
"""How many times outliers are weighed anew; more change little, and each costs as much again."""
WIDER = 1.2
"""A forecast from a trend misses by so much more than medians do."""


def prepare() -> None:
    """Raises ConfigurationError where statsmodels is not installed."""
    _library()


def _library() -> Any:
    try:
        from statsmodels.tsa.seasonal import (  # type: ignore[import-untyped,import-not-found,unused-ignore]
            STL,
        )
    except ImportError:
        raise ConfigurationError(
            "the baseline 'stl' of anomalies needs statsmodels, which is not installed",
            hint="pip install 'airflow-provider-liftos[forecast]', or ask for the baseline median.",
        ) from None
    return STL


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fit:
    """Days before ``anchor`` taken apart; in logarithms, because weeks multiply."""

    anchor: date
    trend: float
    week: Sequence[float]

    def ahead(self, day: date) -> float:
        """What the day should be. ``week`` begins with the anchor's weekday."""
        return math.exp(self.trend + self.week[(day - self.anchor).days % 7])


class Stl:
    """What is usual of one series; it is taken apart once for every seven days."""

    def __init__(self, values: Values) -> None:
        self._values = values
        self._fits: dict[date, _Fit | None] = {}

    def expected(self, day: date) -> float | None:
        """The forecast of a day; None where ``seasons`` would expect nothing either."""
        if seasons.expected(self._values, day) is None:
            return None
        fit = self._fit(day)
        return fit.ahead(day) if fit else None

    def spread(self, before: date) -> Spread | None:
        """As for medians, a bit wider: how days lie off their own trend says too little of it."""
        usual = seasons.spread(self._values, before)
        if usual is None:
            return None
        return replace(usual, below=WIDER * usual.below, above=WIDER * usual.above)

    def _fit(self, day: date) -> _Fit | None:
        anchor = day - DAY * (day.toordinal() % 7)
        if anchor not in self._fits:
            self._fits[anchor] = self._taken_apart(anchor)
        return self._fits[anchor]

    def _taken_apart(self, anchor: date) -> _Fit | None:
        days = [anchor - DAY * number for number in range(7 * WEEKS, 0, -1)]
        first = next((n for n, day in enumerate(days) if self._values.get(day, 0.0) > 0), len(days))
        days = days[first:]
        if len(days) < LEAST_DAYS:
            return None
        parts = _library()(
            list(self._logs(days)), period=7, seasonal=SEASON, trend=TREND, robust=True
        ).fit(inner_iter=1, outer_iter=ROUNDS)
        return _Fit(
            anchor=anchor,
            trend=float(parts.trend[-1]),
            week=[float(value) for value in parts.seasonal[-7:]],
        )

    def _logs(self, days: Sequence[date]) -> Iterator[float]:
        """Days with delivery; for the others, the median of those of their weekday."""
        logs = [
            math.log(value) if (value := self._values.get(day, 0.0)) > 0 else None for day in days
        ]
        all_there = [log for log in logs if log is not None]
        for number, log in enumerate(logs):
            like = [one for one in logs[number % 7 :: 7] if one is not None]
            yield log if log is not None else median(like or all_there)
