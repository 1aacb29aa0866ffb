"""What one ad did on one day, in whole numbers that may be added up."""

from __future__ import annotations

from collections.abc import Sequence
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
VALUES = slice(FIRST_VALUE, FIRST_VALUE + 6)
NOTHING = Metrics(*(0,) * len(Metrics._fields))

WINDOWS = ("1d_click", "7d_click", "28d_click", "1d_view", "1d_ev")
DEFAULT_WINDOW = "default"  # seven days after a click or one day after a view


def priced(counts: Sequence[int], price: int) -> Metrics:
    """Complete counts (everything before ``val_1c``) with the values of the purchases."""
    return Metrics(*counts, *[price * count for count in counts[BUYS]])


def purchases(row: Metrics, window: str) -> tuple[int, int]:
    """Return (number, value in minor units) of purchases credited within ``window``."""
    all_metrics: Sequence[int] = row
    return _credited(all_metrics[BUYS], window), _credited(all_metrics[VALUES], window)


def _credited(kinds: Sequence[int], window: str) -> int:
    day, week, month, view, engaged, onsite = kinds
    return {
        DEFAULT_WINDOW: day + onsite + week + view,
        "1d_click": day + onsite,
        "7d_click": day + onsite + week,
        "28d_click": day + onsite + week + month,
        "1d_view": view,
        "1d_ev": engaged,
    }[window]


def joint_reach(whole: int, largest: int) -> int:
    """Return how many people several ad-days reached together.

    ``whole`` is the sum of their reaches, ``largest`` the greatest one. People overlap, so
    the answer lies between the two: reach does not add up.
    """
    return largest + (whole - largest) * 3 // 5
