"""The lists of actions in a row: numbers, values, costs and returns by type and window."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from airflow_provider_liftos.sandbox.dataset.chance import shares
from airflow_provider_liftos.sandbox.dataset.metrics import Metrics
from airflow_provider_liftos.sandbox.truth import major

from .query import LIVE_WINDOWS

# One day after a click, seven, twenty-eight; one day after a view, after an engaged view.
Tally = tuple[int, int, int, int, int]
Show = Callable[[int], str | None]
_PLACES = {name: at for at, name in enumerate(LIVE_WINDOWS)}

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
    """Return every type of action with its numbers, zeros included.

    The account's own setting counts the second and the fourth number: seven days' clicks and
    one day's views.
    """
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


def _item(
    kind: str, tally: Tally, windows: Sequence[str], show: Show = str
) -> dict[str, str] | None:
    """Write one entry; windows without anything are absent, and None says that all are."""
    whole = tally[1] + tally[3]
    item = {"action_type": kind, "value": show(whole) or "0"}
    for name in windows:
        amount = tally[_PLACES[name]]
        if amount and (shown := show(amount)):
            item[name] = shown
    return item if whole or len(item) > 2 else None


def _items(
    found: Iterable[tuple[str, Tally]], windows: Sequence[str], show: Show = str
) -> list[dict[str, str]]:
    written = (_item(kind, tally, windows, show) for kind, tally in found if any(tally))
    return [item for item in written if item]


def counted(
    m: Metrics, *, omni: bool, windows: Sequence[str], breakdowns: Sequence[str]
) -> list[dict[str, str]]:
    """Return ``actions``."""
    found = tallies(m, omni=omni)
    if not breakdowns:
        return _items(found, windows)
    return [item for kind, tally in found for item in _broken(kind, tally, windows, breakdowns)]


def valued(m: Metrics, *, omni: bool, windows: Sequence[str], minor: int) -> list[dict[str, str]]:
    """Return ``action_values``: money, in major units."""
    return _items(
        _purchases(m, values=True, omni=omni), windows, lambda amount: major(amount, minor)
    )


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
    written = ((labels, _item(kind, part, windows)) for labels, part in entries)
    return [{**item, **labels} for labels, item in written if item]


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
    found = [one for one in _purchases(m, values=True, omni=omni) if one[0] in kinds]
    return _items(found, windows, lambda amount: quotient(amount, m.spend))


def costs(m: Metrics, *, omni: bool, minor: int) -> list[dict[str, str]]:
    """Return ``cost_per_action_type``."""
    return [
        {"action_type": kind, "value": price}
        for kind, tally in tallies(m, omni=omni)
        if (price := quotient(m.spend, minor * (tally[1] + tally[3])))
    ]


def single(kind: str, count: int) -> list[dict[str, Any]] | None:
    """Return a list of one entry, as video and outbound metrics come; None without any."""
    return [{"action_type": kind, "value": str(count)}] if count else None


def quotient(above: int, below: int) -> str | None:
    """Divide, to six places, half up, without trailing zeros; None if nothing is left."""
    if not above or not below:
        return None
    scaled = (above * 2_000_000 + below) // (2 * below)
    if not scaled:
        return None
    whole, rest = divmod(scaled, 1_000_000)
    return f"{whole}.{rest:06d}".rstrip("0").rstrip(".")
