"""What reports of Google Ads are read from, and by what their rows can be broken down.

Numbers come from resources. Four have the house's levels; the others, called views, have rows of
their own grain, so that a report that is coarser adds several of them up. Breakdowns have short
names here, those of the house's views where it has them; any other segment or attribute goes by its
name in queries.

Source: "Segmentation" and the reference of resources, API v26.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from airflow_provider_liftos.model.report import Level

IDS: dict[Level, tuple[tuple[str, str], ...]] = {
    Level.ACCOUNT: (),
    Level.CAMPAIGN: (("campaign", "campaign"),),
    Level.AD_GROUP: (("campaign", "campaign"), ("ad_group", "ad_group")),
    Level.AD: (("campaign", "campaign"), ("ad_group", "ad_group"), ("ad_group_ad.ad", "ad")),
}
"""Owners of a row at each level: where a query finds them, and what the house calls them."""

ACCOUNT = ("customer.id", "customer.descriptive_name", "customer.currency_code")
DAY = "segments.date"


@dataclass(frozen=True, slots=True)
class Breakdown:
    """The field behind a short name. ``tail`` takes the last part of a resource's name."""

    field: str
    tail: bool = False
    country: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """``level`` is the finest with rows; ``keys`` are the breakdowns that tell its rows apart.

    ``overlapping`` rows count some things several times; ``core`` ones are the house's levels.
    """

    name: str
    level: Level
    breakdowns: Mapping[str, Breakdown] = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    overlapping: bool = False
    core: bool = False


_CRITERION = "ad_group_criterion"
_LEVELS = {
    Level.ACCOUNT: Resource(name="customer", level=Level.ACCOUNT, core=True),
    Level.CAMPAIGN: Resource(name="campaign", level=Level.CAMPAIGN, core=True),
    Level.AD_GROUP: Resource(name="ad_group", level=Level.AD_GROUP, core=True),
    Level.AD: Resource(name="ad_group_ad", level=Level.AD, core=True),
}
_VIEWS = (
    Resource(
        name="keyword_view",
        level=Level.AD_GROUP,
        keys=("keyword_id",),
        breakdowns={
            "keyword_id": Breakdown(f"{_CRITERION}.criterion_id"),
            "keyword_text": Breakdown(f"{_CRITERION}.keyword.text"),
            "keyword_match_type": Breakdown(f"{_CRITERION}.keyword.match_type"),
        },
    ),
    Resource(
        name="search_term_view",
        level=Level.AD_GROUP,
        keys=("search_query",),
        breakdowns={
            "search_query": Breakdown("search_term_view.search_term"),
            "search_match_type": Breakdown("segments.search_term_match_type"),
            "keyword_id": Breakdown("segments.keyword.ad_group_criterion", tail=True),
            "keyword_text": Breakdown("segments.keyword.info.text"),
            "keyword_match_type": Breakdown("segments.keyword.info.match_type"),
        },
    ),
    Resource(
        name="geographic_view",
        level=Level.AD_GROUP,
        keys=("country", "location_type"),
        breakdowns={
            "country": Breakdown("geographic_view.country_criterion_id", country=True),
            "location_type": Breakdown("geographic_view.location_type"),
            "region": Breakdown("segments.geo_target_region", tail=True),
            "city": Breakdown("segments.geo_target_city", tail=True),
        },
    ),
    Resource(
        name="age_range_view",
        level=Level.AD_GROUP,
        keys=("age",),
        breakdowns={"age": Breakdown(f"{_CRITERION}.age_range.type")},
    ),
    Resource(
        name="gender_view",
        level=Level.AD_GROUP,
        keys=("gender",),
        breakdowns={"gender": Breakdown(f"{_CRITERION}.gender.type")},
    ),
    Resource(
        name="ad_group_ad_asset_view",
        level=Level.AD,
        keys=("asset_id", "asset_field_type"),
        overlapping=True,  # an impression counts for every asset that was part of it
        breakdowns={
            "asset_id": Breakdown("asset.id"),
            "asset_field_type": Breakdown("ad_group_ad_asset_view.field_type"),
            "asset_text": Breakdown("asset.text_asset.text"),
        },
    ),
    Resource(
        name="click_view",
        level=Level.AD_GROUP,
        keys=("gclid",),
        breakdowns={
            "gclid": Breakdown("click_view.gclid"),
            "ad": Breakdown("click_view.ad_group_ad", tail=True),
            "keyword_text": Breakdown("click_view.keyword_info.text"),
            "keyword_match_type": Breakdown("click_view.keyword_info.match_type"),
        },
    ),
)
VIEWS = {view.name: view for view in _VIEWS}
CORE = {resource.name: resource for resource in _LEVELS.values()}

SEGMENTS: dict[str, Breakdown] = {
    "device": Breakdown("segments.device"),
    "network": Breakdown("segments.ad_network_type"),
    "hour": Breakdown("segments.hour"),
    "click_type": Breakdown("segments.click_type"),
    "conversion_action": Breakdown("segments.conversion_action_name"),
    "conversion_action_id": Breakdown("segments.conversion_action", tail=True),
    "conversion_action_category": Breakdown("segments.conversion_action_category"),
}
"""Breakdowns that most resources have."""

OF_CONVERSIONS = (
    "segments.conversion_action",
    "segments.external_conversion_source",
    "segments.conversion_lag_bucket",
    "segments.conversion_attribution_event_type",
    "segments.conversion_or_adjustment_lag_bucket",
)
"""Beginnings of segments beside which only metrics of conversions may stand."""

OVERLAPPING = frozenset({"segments.click_type"})
"""Segments whose rows count one impression several times."""


def known() -> list[str]:
    """Every short name."""
    return sorted({*SEGMENTS, *(name for view in _VIEWS for name in view.breakdowns)})


def at(level: Level) -> Resource:
    """The resource whose rows are the level's."""
    return _LEVELS[level]


def breakdown(resource: Resource, name: str) -> Breakdown:
    """A breakdown of that resource by its short name, or the field itself."""
    return resource.breakdowns.get(name) or SEGMENTS.get(name) or Breakdown(name)
