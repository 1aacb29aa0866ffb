"""Comparing totals of two reports, in multiples of what is tolerated."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from math import nan

from airflow_provider_liftos.quality.days import METRICS, LoadedDay

RELATIVE, ABSOLUTE = 0.005, 0.01  # half a percent, or a cent
OF_A_DAY = 0.1, 5.0  # a tenth, or five units: reports of one run are not of one moment

Days = Mapping[tuple[Hashable, str], LoadedDay]  # by day and attribution window


def drift(own: Days, reference: Days) -> tuple[float, str]:
    """How far totals lie apart, in tolerances (up to 1 is fine), and the worst of them in words.

    Not a number when there is nothing to compare.
    """
    return _worst(own, reference, abs)


def excess(own: Days, reference: Days) -> tuple[float, str]:
    """How far totals lie above the reference's; what lies below is no excess."""
    return _worst(own, reference, above)


def by_day(
    own: Days, reference: Days, measure: Callable[[float], float] = abs
) -> tuple[float, str]:
    """The same day by day, more roughly: what is too much on one and too little on another."""
    worst, words = nan, ""
    windows = {w for _, w in own} & {w for _, w in reference}
    for (day, window), found in reference.items():
        if window not in windows:
            continue
        mine = own.get((day, window))
        for position, metric in enumerate(METRICS):
            theirs = found.sums[position]
            ours = 0.0 if mine is None else mine.sums[position]
            if ours is None or theirs is None:
                continue
            relative, absolute = OF_A_DAY
            value = measure(ours - theirs) / max(absolute, relative * abs(theirs))
            if not worst >= value:
                worst, words = value, f"{metric} of {day} {ours:.12g} against {theirs:.12g}"
    return worst, words


def above(difference: float) -> float:
    """What is too much; what lies below is no excess."""
    return max(0.0, difference)


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
