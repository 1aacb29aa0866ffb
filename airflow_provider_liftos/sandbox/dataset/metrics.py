"""What one ad did on one day, in whole numbers that may be added up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import add
from typing import NamedTuple


class Metrics(NamedTuple):
    """Additive metrics; money in minor units.

    ``buy_*`` counts purchases outside the platform by how they are credited: within one day
    of a click, from the second to the seventh day, from the eighth to the 28th, within one
    day of a view, within one day of an engaged view. ``*_click`` and ``*_view`` do the same
    for lesser events, without the finer steps. ``val_*`` is the value of the ``buy_*``.
    """

    impressions: int
    clicks: int
    link_clicks: int
    outbound_clicks: int
    spend: int
    landing_views: int
    reactions: int
    comments: int
    video_views: int
    video_25: int
    video_50: int
    video_75: int
    video_100: int
    thruplays: int
    buy_1c: int
    buy_7c: int
    buy_28c: int
    buy_1v: int
    buy_ev: int
    buy_onsite: int
    cart_click: int
    cart_view: int
    checkout_click: int
    checkout_view: int
    content_click: int
    content_view: int
    lead_click: int
    val_1c: int
    val_7c: int
    val_28c: int
    val_1v: int
    val_ev: int
    val_onsite: int


FIRST_CONVERSION = Metrics._fields.index("buy_1c")
FIRST_VALUE = Metrics._fields.index("val_1c")
BUYS = slice(FIRST_CONVERSION, FIRST_CONVERSION + 6)
NOTHING = Metrics(*(0,) * len(Metrics._fields))

WINDOWS = ("1d_click", "7d_click", "28d_click", "1d_view", "1d_ev")
DEFAULT_WINDOW = "default"  # seven days after a click or one day after a view


def total(rows: Iterable[Metrics]) -> Metrics:
    """Add up."""
    sums: Sequence[int] = NOTHING
    for row in rows:
        sums = list(map(add, sums, row))
    return Metrics(*sums)


def priced(counts: Sequence[int], price: int) -> Metrics:
    """Complete counts (everything before ``val_1c``) with the values of the purchases."""
    return Metrics(*counts, *[price * count for count in counts[BUYS]])


def purchases(row: Metrics, window: str) -> tuple[int, int]:
    """Return (number, value in minor units) of purchases credited within ``window``."""
    click = (row.buy_1c + row.buy_onsite, row.val_1c + row.val_onsite)
    week = (click[0] + row.buy_7c, click[1] + row.val_7c)
    if window == DEFAULT_WINDOW:
        return week[0] + row.buy_1v, week[1] + row.val_1v
    if window == "1d_click":
        return click
    if window == "7d_click":
        return week
    if window == "28d_click":
        return week[0] + row.buy_28c, week[1] + row.val_28c
    if window == "1d_view":
        return row.buy_1v, row.val_1v
    if window == "1d_ev":
        return row.buy_ev, row.val_ev
    return 0, 0


def joint_reach(whole: int, largest: int) -> int:
    """Return how many people several ad-days reached together.

    ``whole`` is the sum of their reaches, ``largest`` the greatest one. People overlap, so
    the answer lies between the two: reach does not add up.
    """
    return largest + (whole - largest) * 3 // 5
