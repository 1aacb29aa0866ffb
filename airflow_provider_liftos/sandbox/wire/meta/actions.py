"""The lists of actions in a row: numbers, values, costs and returns by type and window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_liftos.sandbox.dataset.chance import shares
from airflow_provider_liftos.sandbox.dataset.metrics import Metrics
from airflow_provider_liftos.sandbox.truth import major

from .query import LIVE_WINDOWS

# One day after a click, seven, twenty-eight; one day after a view, after an engaged view.
Tally = tuple[int, int, int, int, int]

_OFF_PLATFORM = ("purchase", "omni_", "offsite_", "add_to", "initiate", "view_content", "lead")
_DEVICES = (("iphone", 45), ("android_smartphone", 42), ("desktop", 13))
# action breakdown -> its values with weights, and the only type it concerns (None: all types)
_SPLITS: dict[str, tuple[tuple[tuple[str, int], ...], str | None]] = {
    "action_device": (_DEVICES, None),
    "action_destination": ((("104000000000001", 60), ("shop.example", 40)), None),
    "action_target_id": ((("104000000000001", 70), ("104000000000002", 30)), None),
    "action_reaction": ((("like", 70), ("love", 25), ("haha", 5)), "post_reaction"),
    "action_video_sound": ((("on", 40), ("off", 60)), "video_view"),
    "action_video_type": ((("total", 90), ("autoplayed", 10)), "video_view"),
    "action_carousel_card_id": ((("1", 60), ("2", 40)), "link_click"),
    "action_carousel_card_name": ((("Chair “A”", 60), ("Table, B", 40)), "link_click"),
}


def _plain(count: int) -> Tally:
    return (count, count, count, 0, 0)


def _seen(click: int, view: int) -> Tally:
    return (click, click, click, view, 0)


def _purchase_tally(m: Metrics, *, values: bool) -> tuple[Tally, Tally]:
    """Return (off the platform, on it) for numbers or values of purchases."""
    first = Metrics._fields.index("val_1c" if values else "buy_1c")
    day, week, month, view, engaged, onsite = m[first : first + 6]
    off = (day, day + week, day + week + month, view, engaged)
    return off, _plain(onsite)


def _sum(one: Tally, other: Tally) -> Tally:
    a, b, c, d, e = one
    v, w, x, y, z = other
    return (a + v, b + w, c + x, d + y, e + z)


def _purchases(m: Metrics, *, values: bool, omni: bool) -> list[tuple[str, Tally]]:
    """The same purchases under several names: adding them up would count them twice."""
    off, on = _purchase_tally(m, values=values)
    both = _sum(off, on)
    found = [
        ("purchase", both),
        ("offsite_conversion.fb_pixel_purchase", off),
        ("onsite_conversion.purchase", on),
    ]
    return [("omni_purchase", both), *found] if omni else found


def tallies(m: Metrics, *, omni: bool) -> list[tuple[str, Tally]]:
    """Return every type of action with its numbers; some are zero."""
    engaged = m.link_clicks + m.reactions + m.comments + m.video_views
    cart, checkout = _seen(m.cart_click, m.cart_view), _seen(m.checkout_click, m.checkout_view)
    content = _seen(m.content_click, m.content_view)
    return [
        ("link_click", _plain(m.link_clicks)),
        ("landing_page_view", _plain(m.landing_views)),
        ("post_engagement", _plain(engaged)),
        ("page_engagement", _plain(engaged)),
        ("post_reaction", _plain(m.reactions)),
        ("comment", _plain(m.comments)),
        ("video_view", _plain(m.video_views)),
        ("view_content", content),
        ("offsite_conversion.fb_pixel_view_content", content),
        ("add_to_cart", cart),
        ("offsite_conversion.fb_pixel_add_to_cart", cart),
        ("initiate_checkout", checkout),
        ("offsite_conversion.fb_pixel_initiate_checkout", checkout),
        *_purchases(m, values=False, omni=omni),
        ("lead", _plain(m.lead_click)),
        ("offsite_conversion.fb_pixel_lead", _plain(m.lead_click)),
    ]


def _default(tally: Tally) -> int:
    """Return what the account's own setting counts: seven days' clicks, one day's views."""
    return tally[1] + tally[3]


def _item(kind: str, tally: Tally, windows: Sequence[str], minor: int | None) -> dict[str, str]:
    """Write one entry; ``minor`` is set for money. Windows without anything are absent."""
    show = str if minor is None else (lambda amount: major(amount, minor))
    item = {"action_type": kind, "value": show(_default(tally))}
    for name in windows:
        amount = tally[LIVE_WINDOWS.index(name)]
        if amount:
            item[name] = show(amount)
    return item


def _told(tally: Tally, windows: Sequence[str]) -> bool:
    return bool(_default(tally)) or any(tally[LIVE_WINDOWS.index(name)] for name in windows)


def counted(
    m: Metrics, *, omni: bool, windows: Sequence[str], breakdowns: Sequence[str]
) -> list[dict[str, str]]:
    """Return ``actions``."""
    found: list[dict[str, str]] = []
    for kind, tally in tallies(m, omni=omni):
        if _told(tally, windows):
            if breakdowns:
                found.extend(_broken(kind, tally, windows, breakdowns))
            else:
                found.append(_item(kind, tally, windows, None))
    return found


def valued(m: Metrics, *, omni: bool, windows: Sequence[str], minor: int) -> list[dict[str, str]]:
    """Return ``action_values``: money, in major units."""
    return [
        _item(kind, tally, windows, minor)
        for kind, tally in _purchases(m, values=True, omni=omni)
        if _told(tally, windows)
    ]


def _broken(
    kind: str, tally: Tally, windows: Sequence[str], breakdowns: Sequence[str]
) -> list[dict[str, str]]:
    """Divide one entry by action breakdowns.

    What happens off the platform comes without the breakdown's value, as do types that the
    breakdown does not concern.
    """
    entries: list[tuple[dict[str, str], Tally]] = [({}, tally)]
    for name in breakdowns:
        values, only = _SPLITS.get(name, ((), None))
        if not values or kind.startswith(_OFF_PLATFORM) or only not in (None, kind):
            continue
        entries = [
            ({**labels, name: value}, part)
            for labels, whole in entries
            for value, part in _divided(whole, values)
        ]
    return [
        {**_item(kind, part, windows, None), **labels}
        for labels, part in entries
        if _told(part, windows)
    ]


def _divided(whole: Tally, values: Sequence[tuple[str, int]]) -> list[tuple[str, Tally]]:
    weights = [weight for _, weight in values]
    columns = [shares(amount, weights) for amount in whole]
    parts = zip(*columns, strict=True)
    return [(value, part) for (value, _), part in zip(values, parts, strict=True)]


def ratios(
    m: Metrics, *, omni: bool, windows: Sequence[str], kinds: Sequence[str]
) -> list[dict[str, str]]:
    """Return the return on spend by purchase type: value for every unit spent."""
    if not m.spend:
        return []
    found = []
    for kind, tally in _purchases(m, values=True, omni=omni):
        if kind in kinds and _told(tally, windows):
            item = {"action_type": kind, "value": quotient(_default(tally), m.spend) or "0"}
            for name in windows:
                share = quotient(tally[LIVE_WINDOWS.index(name)], m.spend)
                if share:
                    item[name] = share
            found.append(item)
    return found


def costs(m: Metrics, *, omni: bool, minor: int) -> list[dict[str, str]]:
    """Return ``cost_per_action_type``."""
    return [
        {"action_type": kind, "value": price}
        for kind, tally in tallies(m, omni=omni)
        if (price := quotient(m.spend, minor * _default(tally)))
    ]


def single(kind: str, count: int) -> list[dict[str, Any]] | None:
    """Return a list of one entry, as video and outbound metrics come; None without any."""
    return [{"action_type": kind, "value": str(count)}] if count else None


def quotient(above: int, below: int) -> str | None:
    """Divide, to six places, half up, without trailing zeros; None if either is zero."""
    if not above or not below:
        return None
    scaled = (above * 2_000_000 + below) // (2 * below)
    whole, rest = divmod(scaled, 1_000_000)
    return f"{whole}.{rest:06d}".rstrip("0").rstrip(".")
