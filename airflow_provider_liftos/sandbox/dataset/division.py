"""Dividing a fact by dimensions, so that the parts add up."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

from .chance import digest, shares
from .dimensions import DIMENSIONS, HOURLY, PLACEMENTS, Dimension, Value
from .facts import Fact
from .metrics import FIRST_CONVERSION, FIRST_VALUE, Metrics, priced

Cells = list[tuple[tuple[Value, ...], int]]


class Cell(NamedTuple):
    """One part of a fact: the values of the dimensions, the metrics, the people reached."""

    values: tuple[Value, ...]
    metrics: Metrics
    reach: int


def _weights(fact: Fact, names: Sequence[str], known: Mapping[str, Dimension]) -> Cells:
    """Return every combination of values with its weight."""
    columns = [known[name].parts(fact) for name in names if name != "platform_position"]
    cells: Cells = []
    for combination in product(*columns):
        values = [value for value, _ in combination]
        weight = math.prod(part for _, part in combination)
        if "platform_position" in names:
            cells.extend(_placed(values, names, weight))
        else:
            cells.append((tuple(values), weight))
    return cells


def _placed(values: list[Value], names: Sequence[str], weight: int) -> Cells:
    """Add the positions that exist on the publisher at hand, in the order asked for."""
    at = list(names).index("platform_position")
    others = [name for name in names if name != "platform_position"]
    publisher = values[others.index("publisher_platform")]
    positions = PLACEMENTS[str(publisher)]
    return [
        ((*values[:at], position, *values[at:]), weight * (len(positions) - step))
        for step, position in enumerate(positions)
    ]


def cells_per_fact(names: Sequence[str]) -> int:
    """Return about how many parts a fact has, without making one."""
    sizes = {"age": 7, "gender": 3, "publisher_platform": 5, "platform_position": 2}
    return math.prod(24 if name in HOURLY else sizes.get(name, 4) for name in names)


def divide(
    fact: Fact, names: Sequence[str], known: Mapping[str, Dimension] = DIMENSIONS
) -> list[Cell]:
    """Divide a fact by the named dimensions, leaving out parts in which nothing happened.

    Every additive metric adds up to the fact's own, except conversions where the platform
    withholds them. Reach overlaps: its parts add up to a little more. ``known`` are the
    dimensions of the platform; one without parts for this fact leaves nothing of it.
    """
    if not names:
        return [Cell((), fact.metrics, fact.reach)]
    cells = _weights(fact, names, known)
    if not cells:
        return []
    rule = {known[name].conversions for name in names}
    if any(known[name].people_only for name in names):
        return _people(fact, cells)
    columns = _split_counts(fact, cells, names, conversions="split" in rule and len(rule) == 1)
    made = [
        Cell(values, priced(counts, fact.price), _reach(fact, counts[0], weight))
        for (values, weight), counts in zip(cells, zip(*columns, strict=True), strict=True)
        if any(counts)
    ]
    if "apart" in rule:
        made.extend(_apart(fact, len(names)))
    return made


def _split_counts(
    fact: Fact, cells: Cells, names: Sequence[str], *, conversions: bool
) -> list[list[int]]:
    count = len(cells)
    noise = digest(fact.salt, *names, size=64) * (count // 64 + 1)
    last = FIRST_VALUE if conversions else FIRST_CONVERSION
    columns = []
    for at, metric in enumerate(fact.metrics[:FIRST_VALUE]):
        if at >= last or not metric:
            columns.append([0] * count)
            continue
        turn = at * 7 % count
        weights = [
            weight * (80 + noise[(step + turn) % count]) for step, (_, weight) in enumerate(cells)
        ]
        columns.append(shares(metric, weights))
    return columns


def _reach(fact: Fact, impressions: int, weight: int) -> int:
    """Return the people reached in a part: a little more than its share, never more than all."""
    if not impressions:
        return 0
    share = fact.reach * impressions * (1060 + weight % 30) // fact.metrics.impressions // 1000
    return max(1, min(impressions, fact.reach, share))


def _people(fact: Fact, cells: Cells) -> list[Cell]:
    reached = shares(fact.reach, [weight for _, weight in cells])
    empty = priced((0,) * FIRST_VALUE, 0)
    return [
        Cell(values, empty, reach)
        for (values, _), reach in zip(cells, reached, strict=True)
        if reach
    ]


def _apart(fact: Fact, width: int) -> list[Cell]:
    counts = (0,) * FIRST_CONVERSION + fact.metrics[FIRST_CONVERSION:FIRST_VALUE]
    if not any(counts):
        return []
    return [Cell((None,) * width, priced(counts, fact.price), 0)]


def describe(value: Any) -> Any:
    """Return a dimension's value in a form that can be a key."""
    if isinstance(value, dict):
        return tuple(sorted(value.items()))
    return value
