"""What a series of days usually does on a weekday, and which days depart from it.

A day is expected to be the median of the same weekday in the weeks before. Its spread is the median
distance (MAD) of all those days from the median of the others of their weekday, as a share of it.
Both shrug off single bad days, which a mean and a standard deviation would learn. Pure arithmetic;
nothing is read here.

The constants were chosen on sandbox data of seeds 1 to 10; ``tests/bench/anomalies.py`` measures
them on seeds that had no part in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum
from statistics import median
from typing import Protocol

WEEKS = 12
"""How many weeks before a day are looked at."""
MIN_LIKE_DAYS = 4
"""Days of the same weekday with delivery, without which nothing is expected of a day."""
LIMIT = 4.6
"""From how many MADs on a day departs."""
LEAST_SPREAD = 0.05
"""The spread is taken to be at least this share of what is expected: for steady budgets."""
ALWAYS_THERE = 0.95
"""A day without anything is a gap where at least this share of the days before had something."""
MIN_DAYS_THERE = 21
"""Days with something, without which a day without anything is no gap."""

DAY = timedelta(days=1)
_WEEK = timedelta(days=7)

Values = Mapping[date, float]
"""By known day; 0 where nothing was delivered, absent where nobody knows."""


class Way(StrEnum):
    """In which way a day departs."""

    JUMP = "jump"
    DROP = "drop"
    GAP = "gap"

    @property
    def upwards(self) -> bool:
        """Whether there is more than expected."""
        return self is Way.JUMP


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """An episode: days in a row that depart in one direction.

    ``size`` is that of its worst day in MADs; ``observed`` and ``expected`` are that day's.
    """

    way: Way
    since: date
    until: date
    size: float
    observed: float
    expected: float

    @property
    def excess(self) -> float:
        """How much more there is than expected; negative where it is less."""
        return self.observed - self.expected

    def like(self, episode: Departure) -> bool:
        """Whether this day is the one that speaks for the episode."""
        return episode.since <= self.since <= episode.until and self.size == episode.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """One MAD, as a share of what is expected, below and above it; how steady days were.

    Distances above are often longer than those below, and count by themselves then. ``always``:
    no known day was without anything, and there were enough of them.
    """

    below: float
    above: float
    steady: bool
    always: bool


class Usual(Protocol):
    """What is usual of one series."""

    def expected(self, day: date) -> float | None:
        """What the day should be; None where nothing is expected of it."""

    def spread(self, before: date) -> Spread | None:
        """How far days lie from what they should be; None where nothing is expected of any."""


Baseline = Callable[[Values], Usual]
"""Finds out what is usual of a series."""


class LikeWeekdays:
    """The usual baseline: medians of like weekdays."""

    def __init__(self, values: Values) -> None:
        self._values = values

    def expected(self, day: date) -> float | None:
        """See the function."""
        return expected(self._values, day)

    def spread(self, before: date) -> Spread | None:
        """See the function."""
        return spread(self._values, before)


def expected(values: Values, day: date) -> float | None:
    """The median of like weekdays with delivery; None where there are too few."""
    like = [values.get(day - _WEEK * number, 0.0) for number in range(1, WEEKS + 1)]
    there = [value for value in like if value > 0]
    return median(there) if len(there) >= MIN_LIKE_DAYS else None


def spread(values: Values, before: date) -> Spread | None:
    """How far days lie from what they should be; None where nothing is expected of any."""
    weekdays: list[list[float]] = [[] for _ in range(7)]
    known = 0
    for number in range(1, 7 * WEEKS + 1):
        if (value := values.get(before - DAY * number)) is not None:
            known += 1
            if value > 0:
                weekdays[number % 7].append(value)
    shares = [share for like in weekdays for share in _shares(like)]
    if not shares:
        return None
    both = max(median(map(abs, shares)), LEAST_SPREAD)
    above = [share for share in shares if share > 0]
    there = sum(map(len, weekdays))
    return Spread(
        below=both,
        above=max(both, median(above) if above else 0.0),
        steady=there >= MIN_DAYS_THERE and there >= ALWAYS_THERE * known,
        always=there >= MIN_DAYS_THERE and there == known,
    )


def departure(
    values: Values, day: date, usual: Spread | None, should: float | None
) -> Departure | None:
    """How a known day departs from what it should be, if it does."""
    if usual is None or should is None:
        return None
    observed = values[day]
    share = observed / should - 1
    size = share / usual.above if share > 0 else -share / usual.below
    if observed <= 0:
        if not usual.steady:
            return None
        way = Way.GAP
    elif size < LIMIT:
        return None
    else:
        way = Way.JUMP if share > 0 else Way.DROP
    return Departure(way=way, since=day, until=day, size=size, observed=observed, expected=should)


def episodes(departures: Iterable[Departure]) -> Iterator[Departure]:
    """Days in a row that depart in one direction, as one; they come in the order of days.

    A drop may deepen into a gap.
    """
    running: Departure | None = None
    for found in departures:
        if running is None:
            running = found
        elif found.since - running.until == DAY and found.way.upwards == running.way.upwards:
            running = _joined(running, found)
        else:
            yield running
            running = found
    if running:
        yield running


def _shares(like: Sequence[float]) -> Iterator[float]:
    """How far each lies from the median of the others, which it had no part in."""
    if len(like) < MIN_LIKE_DAYS:
        return
    ordered = sorted(like)
    for position, value in enumerate(ordered):
        yield value / median(ordered[:position] + ordered[position + 1 :]) - 1


def _joined(first: Departure, then: Departure) -> Departure:
    worst = then if then.size > first.size else first
    way = Way.GAP if Way.GAP in {first.way, then.way} else first.way
    return replace(worst, way=way, since=first.since, until=then.until)
