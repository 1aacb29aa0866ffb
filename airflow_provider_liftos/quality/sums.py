"""Comparing totals of two reports, in multiples of what is tolerated."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from math import nan

from airflow_provider_liftos.quality.days import METRICS, LoadedDay

RELATIVE, ABSOLUTE = 0.005, 0.01  # half a percent, or a cent

Days = Mapping[tuple[Hashable, str], LoadedDay]  # by day and attribution window


def drift(own: Days, reference: Days) -> tuple[float, str]:
    """How far totals lie apart, in tolerances (up to 1 is fine), and the worst of them in words.

    Not a number when there is nothing to compare.
    """
    return _worst(own, reference, abs)


def excess(own: Days, reference: Days) -> tuple[float, str]:
    """How far totals lie above the reference's; what lies below is no excess."""
    return _worst(own, reference, lambda difference: max(0.0, difference))


def _worst(own: Days, reference: Days, measure: Callable[[float], float]) -> tuple[float, str]:
    worst, words = nan, ""
    for window in sorted({w for _, w in own} & {w for _, w in reference}):
        for position, metric in enumerate(METRICS):
            mine, theirs = _total(own, window, position), _total(reference, window, position)
            if mine is None or theirs is None:
                continue
            value = measure(mine - theirs) / max(ABSOLUTE, RELATIVE * abs(theirs))
            if not worst >= value:  # also while it is no number yet
                worst, words = value, f"{metric} {mine:.12g} against {theirs:.12g}"
    return worst, words


def _total(days: Days, window: str, position: int) -> float | None:
    values = [day.sums[position] for (_, w), day in days.items() if w == window]
    known = [value for value in values if value is not None]
    return sum(known) if known else None
