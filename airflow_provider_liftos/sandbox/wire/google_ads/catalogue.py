"""What may stand behind FROM, what may be selected beside it, and at which grain it has rows."""

from __future__ import annotations

from dataclasses import dataclass

from .schema import METRICS, SEGMENTS

CORE_DATES = ("date", "week", "month", "quarter", "year")
_COMMON = frozenset(
    {
        *CORE_DATES, "day_of_week", "month_of_year", "device", "ad_network_type", "hour", "slot",
        "click_type", "conversion_action", "conversion_action_name", "conversion_action_category",
        "external_conversion_source", "conversion_lag_bucket", "conversion_adjustment",
        "conversion_attribution_event_type", "conversion_or_adjustment_lag_bucket",
    }
)  # fmt: skip
OF_CONVERSIONS = frozenset(
    name for name in _COMMON if "conversion" in name and name != "conversion_adjustment"
)
_GEO = frozenset(
    f"geo_target_{name}"
    for name in (
        *("region", "city", "metro", "state", "province", "county", "district", "canton"),
        *("airport", "postal_code", "most_specific_location"),
    )
)
# The segments that divide a day's numbers, by the dimension of the data set behind them.
DIVIDING = {
    "device": "device",
    "ad_network_type": "network",
    "hour": "hour",
    "conversion_action": "conversion_action",
    "conversion_action_name": "conversion_action",
    "conversion_action_category": "conversion_action",
}
CONSTANT = "geo_target_constant"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One resource.

    ``level`` is the grain (empty: a list without numbers), ``divided`` the dimensions whose
    values make rows of their own, ``beside`` the resources that may be selected with it,
    ``metrics`` which metrics it has (None: all), ``listed`` whether it has rows with nothing
    but zeros (as long as no segment is selected).
    """

    level: str = ""
    divided: tuple[tuple[str, ...], ...] = ((),)
    beside: frozenset[str] = frozenset({"customer"})
    segments: frozenset[str] = _COMMON
    metrics: frozenset[str] | None = None
    listed: bool = True


_NONE: frozenset[str] = frozenset()
_UP_TO_CAMPAIGN = frozenset({"customer", "campaign"})
_UP_TO_GROUP = _UP_TO_CAMPAIGN | {"ad_group"}
_CRITERIA = _UP_TO_GROUP | {"ad_group_criterion", "bidding_strategy"}

SOURCES: dict[str, Source] = {
    "customer": Source(level="account", beside=_NONE),
    "campaign": Source(
        level="campaign",
        beside=frozenset({"customer", "campaign_budget", "bidding_strategy", "campaign_group"}),
    ),
    "campaign_budget": Source(level="campaign"),
    "ad_group": Source(level="ad_group", beside=_UP_TO_CAMPAIGN | {"bidding_strategy"}),
    "ad_group_ad": Source(level="ad", beside=_UP_TO_GROUP),
    "keyword_view": Source(level="ad_group", divided=(("keyword",),), beside=_CRITERIA),
    "age_range_view": Source(level="ad_group", divided=(("age",),), beside=_CRITERIA),
    "gender_view": Source(level="ad_group", divided=(("gender",),), beside=_CRITERIA),
    "search_term_view": Source(
        level="ad_group",
        divided=(("search_term",),),
        beside=_UP_TO_GROUP | {"ad_group_ad"},
        segments=_COMMON | {"keyword", "search_term_match_type", "search_term_match_source"},
        listed=False,
    ),
    "geographic_view": Source(
        level="account",
        divided=(("place",),),
        beside=_UP_TO_GROUP,
        segments=_COMMON | _GEO,
        listed=False,
    ),
    "ad_group_ad_asset_view": Source(
        level="ad",
        divided=(("headline",), ("description",)),
        beside=_UP_TO_GROUP | {"ad_group_ad", "asset"},
        listed=False,
    ),
    "conversion_action": Source(
        level="account",
        divided=(("conversion_action",),),
        metrics=frozenset({"all_conversions", "all_conversions_value"}),
    ),
    "click_view": Source(
        beside=_UP_TO_GROUP,
        segments=frozenset({"date", "device", "ad_network_type", "slot", "click_type"}),
        metrics=frozenset({"clicks"}),
    ),
    "ad_group_criterion": Source(beside=_UP_TO_GROUP, segments=_NONE, metrics=_NONE),
    "customer_client": Source(segments=_NONE, metrics=_NONE),
    "change_status": Source(segments=_NONE, metrics=_NONE),
    "change_event": Source(segments=_NONE, metrics=_NONE),
    "user_list": Source(segments=_NONE, metrics=_NONE),
    "asset": Source(segments=_NONE, metrics=_NONE),
    CONSTANT: Source(beside=_NONE, segments=_NONE, metrics=_NONE),
}
# Resources that exist and of which nobody has any here.
_VACANT = Source(beside=frozenset({"customer", "campaign", "ad_group", "ad_group_ad", "asset"}))


def source(resource: str) -> Source:
    """Return what is known of a resource; one that has no data here is simply empty."""
    return SOURCES.get(resource, _VACANT)


def selectable_with(resource: str, other: str) -> bool:
    """Say whether ``other`` (a resource) may be selected FROM ``resource``."""
    return other in (resource, METRICS, SEGMENTS) or other in source(resource).beside


def conversion_metric(name: str) -> bool:
    """Say whether a metric may stand beside segments of conversions."""
    return name.startswith(("conversions", "all_conversions", "value_per_", "cross_device_conv"))
