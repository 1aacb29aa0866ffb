"""What only Google Ads knows: channels, keywords, search terms, places, conversion actions.

Everything is divided from the facts of ads, so that parts add up: keywords to their search
campaigns, regions to countries to campaigns. What the platform hides (search terms of too few
people, demographics of shopping campaigns) is missing from the parts, on purpose.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import Any, NamedTuple

from .accounts import Account
from .chance import number
from .dimensions import DIMENSIONS as SHARED
from .dimensions import Dimension, Value
from .division import Cell, divide
from .entities import Entity
from .facts import Fact
from .metrics import NOTHING, Metrics

CHANNELS = ("SEARCH", "DISPLAY", "VIDEO", "SEARCH", "SHOPPING")
MATCH_TYPES = ("EXACT", "PHRASE", "BROAD")
_WORDS = ("garden chair", "outdoor table", "hängematte", "teak bench", "パラソル", "sun lounger")
_TAILS = (" buy", " near me", " günstig", " “sale” 50%", " best 2026", None)


def channel(campaign: Entity | None) -> str:
    """Return the advertising channel of a campaign."""
    return CHANNELS[campaign.index % len(CHANNELS)] if campaign else "SEARCH"


class Keyword(NamedTuple):
    """A criterion of an ad group that waits for searches."""

    id: str
    text: str
    match_type: str


@lru_cache(maxsize=20_000)
def _keywords(group_id: str, group_index: int) -> tuple[Keyword, ...]:
    return tuple(
        Keyword(
            id=str(30_000_000_000 + number(10**10, "keyword", group_id, step)),
            text=_WORDS[(group_index + step) % len(_WORDS)],
            match_type=MATCH_TYPES[step],
        )
        for step in range(len(MATCH_TYPES))
    )


def keywords(group: Entity) -> tuple[Keyword, ...]:
    """Return the keywords of an ad group; only search campaigns have any."""
    return _keywords(group.id, group.index) if channel(group.campaign) == "SEARCH" else ()


class Place(NamedTuple):
    """A region (or, without ``region``, a whole country) with the ids of both."""

    country: str
    country_id: int
    region: str = ""
    region_id: int = 0


_PLACES: dict[str, tuple[tuple[Place, int], ...]] = {
    "DE": (
        (Place("DE", 2276, "Bavaria", 20226), 34),
        (Place("DE", 2276, "Baden-Württemberg", 20225), 26),
        (Place("DE", 2276), 10),
        (Place("AT", 2040, "Vienna", 20044), 14),
        (Place("CH", 2756, "Zürich", 20141), 9),
        (Place("FR", 2250, "Île-de-France", 20321), 7),
    ),
    "US": (
        (Place("US", 2840, "California", 21137), 45),
        (Place("US", 2840, "New York", 21167), 30),
        (Place("US", 2840), 12),
        (Place("CA", 2124, "Ontario", 20121), 9),
        (Place("MX", 2484), 4),
    ),
    "JP": ((Place("JP", 2392, "Tokyo", 20636), 60), (Place("JP", 2392, "Osaka", 20641), 40)),
    "KW": ((Place("KW", 2414), 90), (Place("SA", 2682), 10)),
    "BR": ((Place("BR", 2076, "State of São Paulo", 20106), 80), (Place("BR", 2076), 20)),
    "IN": ((Place("IN", 2356, "Maharashtra", 20462), 70), (Place("NP", 2524), 30)),
}
_HOME = ((Place("GB", 2826, "England", 20339), 90), (Place("IE", 2372), 10))


def places(account: Account) -> tuple[tuple[Place, int], ...]:
    """Return where people see the ads of an account, with weights."""
    return _PLACES.get(account.country, _HOME)


def all_places() -> tuple[Place, ...]:
    """Return every place that may appear."""
    listed = {place: None for group in (*_PLACES.values(), _HOME) for place, _ in group}
    return tuple(listed)


@dataclass(frozen=True, slots=True, eq=False)
class Action:
    """A conversion action; ``primary`` ones count as conversions, all as all conversions.

    ``credit`` are metrics with what one of them is worth, in hundredths: attribution by data
    spreads a conversion over the clicks before it. ``value`` does the same for their values.
    """

    place: int
    name: str
    category: str
    primary: bool
    credit: Mapping[str, int]
    value: Mapping[str, int] = field(default_factory=dict)
    extra: Mapping[str, int] = field(
        default_factory=dict
    )  # counted in all conversions only: across devices


ACTIONS = (
    Action(
        0,
        'Purchase “web”, "incl. VAT"',
        "PURCHASE",
        primary=True,
        credit={"buy_1c": 100, "buy_onsite": 100, "buy_7c": 85, "buy_28c": 60},
        value={"val_1c": 100, "val_onsite": 100, "val_7c": 85, "val_28c": 60},
        extra={"buy_ev": 100},
    ),
    Action(1, "Lead form", "SUBMIT_LEAD_FORM", True, {"lead_click": 75}, {}, {}),
    Action(2, "Add to cart", "ADD_TO_CART", False, {"cart_click": 50}, {}, {}),
    Action(3, "ページビュー", "PAGE_VIEW", False, {"content_click": 30}, {}, {}),
)


def action_id(account: Account, action: Action) -> str:
    """Return the id of an account's conversion action."""
    return f"71{account.index:04d}{action.place:03d}"


Weights = tuple[tuple[int, int], ...]


def _weights(*parts: Mapping[str, int]) -> Weights:
    joint: dict[str, int] = {}
    for part in parts:
        joint.update(part)
    return tuple((Metrics._fields.index(name), weight) for name, weight in joint.items())


_PRIMARY = [action for action in ACTIONS if action.primary]
CONVERSIONS = _weights(*(one.credit for one in _PRIMARY))
VALUES = _weights(*(one.value for one in _PRIMARY))
ALL_CONVERSIONS = _weights(*(one.credit for one in ACTIONS), *(one.extra for one in ACTIONS))
ALL_VALUES = VALUES


def hundredths(metrics: Sequence[int], weights: Weights) -> int:
    """Return a weighted sum of metrics: conversions, or (in minor units) values, times 100."""
    return sum(metrics[at] * weight for at, weight in weights)


def _by_channel(
    parts: Callable[[Fact], list[tuple[Value, int]]], *without: str
) -> Callable[[Fact], list[tuple[Value, int]]]:
    return lambda fact: [] if channel(fact.ad.campaign) in without else parts(fact)


def _fixed(*weighted: tuple[Any, int]) -> Callable[[Fact], list[tuple[Value, int]]]:
    listed = list(weighted)
    return lambda _: listed


_AGES = (
    *(("AGE_RANGE_18_24", 12), ("AGE_RANGE_25_34", 30), ("AGE_RANGE_35_44", 24)),
    *(("AGE_RANGE_45_54", 15), ("AGE_RANGE_55_64", 8), ("AGE_RANGE_65_UP", 5)),
    ("AGE_RANGE_UNDETERMINED", 6),
)
_DEVICES = (("MOBILE", 58), ("DESKTOP", 31), ("TABLET", 7), ("CONNECTED_TV", 3), ("OTHER", 1))
_NETWORKS = {
    "SEARCH": (("SEARCH", 85), ("SEARCH_PARTNERS", 15)),
    "DISPLAY": (("CONTENT", 100),),
    "VIDEO": (("YOUTUBE", 92), ("GOOGLE_TV", 8)),
    "SHOPPING": (("SEARCH", 90), ("YOUTUBE", 10)),
}
AGES = tuple(name for name, _ in _AGES)
GENDERS = ("FEMALE", "MALE", "UNDETERMINED")


def _keyword_parts(fact: Fact) -> list[Any]:
    group = fact.ad.group
    return [(word, 50 - 15 * step) for step, word in enumerate(keywords(group) if group else ())]


def _term_parts(fact: Fact) -> list[Any]:
    """Return search terms with the keyword that found them; None is what Google hides."""
    group = fact.ad.group
    found: list[Any] = []
    for word in keywords(group) if group else ():
        found += [
            ((word, f"{word.text}{tail}") if tail else None, 20 - 3 * step)
            for step, tail in enumerate(_TAILS)
        ]
    return found


def _hours(fact: Fact) -> list[Any]:
    """Return the hours of the day on the customer's clock: 0 to 23, none that was skipped."""
    words = SHARED["hourly_stats_aggregated_by_advertiser_time_zone"].parts(fact)
    return [(str(int(str(word)[:2])), weight) for word, weight in words]


def _texts(kind: str, number_of: int) -> Callable[[Fact], list[Any]]:
    return lambda fact: [(f"{kind}:{fact.ad.id}:{step}", 9 - step) for step in range(number_of)]


def _place_parts(fact: Fact) -> list[Any]:
    return list(places(fact.ad.account))


# In the order in which several of them divide a fact.
DIMENSIONS: dict[str, Dimension] = {
    "keyword": Dimension(parts=_keyword_parts),
    "search_term": Dimension(parts=_term_parts),
    "age": Dimension(parts=_by_channel(_fixed(*_AGES), "SHOPPING")),
    "gender": Dimension(
        parts=_by_channel(_fixed(("FEMALE", 50), ("MALE", 43), ("UNDETERMINED", 7)), "SHOPPING")
    ),
    "place": Dimension(parts=_place_parts),
    "headline": Dimension(parts=_texts("HEADLINE", 3)),
    "description": Dimension(parts=_texts("DESCRIPTION", 2)),
    "device": Dimension(parts=_fixed(*_DEVICES)),
    "network": Dimension(parts=lambda fact: list(_NETWORKS[channel(fact.ad.campaign)])),
    "hour": Dimension(parts=_hours),
}
ACTION = "conversion_action"
ORDER = (*DIMENSIONS, ACTION)


def cells(fact: Fact, names: Sequence[str]) -> list[Cell]:
    """Divide a fact by dimensions named in ``ORDER``; hidden parts are left out.

    ``conversion_action`` divides conversions and nothing else: what was shown and paid is zero.
    """
    plain = [name for name in names if name != ACTION]
    found = divide(fact, plain, DIMENSIONS)
    found = [cell for cell in found if None not in cell.values]
    return [part for cell in found for part in _by_action(cell)] if ACTION in names else found


def _by_action(cell: Cell) -> list[Cell]:
    made = []
    for action in ACTIONS:
        kept = {**action.credit, **action.value, **action.extra}
        counts = {name: getattr(cell.metrics, name) for name in kept}
        if any(counts.values()):
            values: tuple[Any, ...] = (*cell.values, action)
            made.append(Cell(values, NOTHING._replace(**counts), 0))
    return made


def location_type(ad: Entity) -> str:
    """Return how an ad's places are known: where people are, or what they ask about."""
    return "AREA_OF_INTEREST" if ad.index % 7 == 3 else "LOCATION_OF_PRESENCE"


def clicked(fact: Fact) -> list[tuple[str, int]]:
    """Return an id for every click of an ad's day, with its number."""
    day: date = fact.day
    return [
        (f"Cj0KCQ{number(10**16, 'gclid', fact.ad.id, day, at):016d}_wcB", at)
        for at in range(fact.metrics.clicks)
    ]
