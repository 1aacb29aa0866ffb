"""What a row is about, and the attributes that the platform shows of it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from airflow_provider_liftos.sandbox.dataset import Entity
from airflow_provider_liftos.sandbox.dataset.chance import number
from airflow_provider_liftos.sandbox.dataset.google_ads import Keyword, channel

from .hierarchy import Customer

_STATUS = {"ACTIVE": "ENABLED", "PAUSED": "PAUSED", "DELETED": "REMOVED", "ARCHIVED": "REMOVED"}
_AGE_IDS = {
    "AGE_RANGE_18_24": 503001, "AGE_RANGE_25_34": 503002, "AGE_RANGE_35_44": 503003,
    "AGE_RANGE_45_54": 503004, "AGE_RANGE_55_64": 503005, "AGE_RANGE_65_UP": 503006,
    "AGE_RANGE_UNDETERMINED": 503999,
}  # fmt: skip
_GENDER_IDS = {"MALE": 10, "FEMALE": 11, "UNDETERMINED": 20}
_GROUP_TYPES = {
    "SEARCH": "SEARCH_STANDARD", "DISPLAY": "DISPLAY_STANDARD",
    "VIDEO": "VIDEO_RESPONSIVE", "SHOPPING": "SHOPPING_PRODUCT_ADS",
}  # fmt: skip
_AD_TYPES = {
    "SEARCH": "RESPONSIVE_SEARCH_AD", "DISPLAY": "RESPONSIVE_DISPLAY_AD",
    "VIDEO": "VIDEO_RESPONSIVE_AD", "SHOPPING": "SHOPPING_PRODUCT_AD",
}  # fmt: skip
_BIDDING = {
    "SEARCH": "TARGET_CPA", "DISPLAY": "MAXIMIZE_CONVERSIONS",
    "SHOPPING": "TARGET_ROAS",
}  # fmt: skip


@dataclass(slots=True, eq=False)
class Subject:
    """``values`` holds what entities do not: a keyword, an age, a place, a click.

    ``prefix`` is its part of a row once it was written.
    """

    customer: Customer
    today: date
    campaign: Entity | None = None
    group: Entity | None = None
    ad: Entity | None = None
    values: dict[str, Any] = field(default_factory=dict)
    prefix: bytes | None = None

    @property
    def cid(self) -> str:
        """Return the ten digits of the customer."""
        return self.customer.id

    @property
    def channel(self) -> str:
        """Return the advertising channel."""
        return channel(self.campaign)

    def name(self, *path: str) -> str:
        """Return a resource name below the customer."""
        return "/".join((f"customers/{self.cid}", *path))


Getter = Callable[[Subject], Any]


def _status(entity: Entity | None, today: date) -> str:
    return _STATUS[entity.status(today)] if entity else "UNKNOWN"


def _id(entity: Entity | None) -> str:
    return entity.id if entity else ""


def _number(entity: Entity | None) -> int | None:
    return int(entity.id) if entity else None


def _title(entity: Entity | None, today: date) -> str | None:
    return entity.name(today) if entity else None


def _budget(s: Subject) -> str:
    return _id(s.campaign)[:8] + "9" + _id(s.campaign)[9:]


def _ends(entity: Entity | None, today: date) -> str | None:
    gone = entity.end() if entity else None
    return f"{gone[0]} 23:59:59" if gone and gone[0] <= today else None


_CUSTOMER: dict[str, Getter] = {
    "resource_name": lambda s: s.customer.resource_name,
    "id": lambda s: int(s.cid),
    "descriptive_name": lambda s: s.customer.name,
    "currency_code": lambda s: s.customer.currency,
    "time_zone": lambda s: s.customer.timezone,
    "manager": lambda s: s.customer.manager,
    "test_account": lambda _: False,
    "status": lambda s: s.customer.status,
    "auto_tagging_enabled": lambda s: not s.customer.manager,
}
_CAMPAIGN: dict[str, Getter] = {
    "resource_name": lambda s: s.name("campaigns", _id(s.campaign)),
    "id": lambda s: _number(s.campaign),
    "name": lambda s: _title(s.campaign, s.today),
    "status": lambda s: _status(s.campaign, s.today),
    "serving_status": lambda s: "ENDED" if _status(s.campaign, s.today) == "REMOVED" else "SERVING",
    "primary_status": lambda s: {"ENABLED": "ELIGIBLE"}.get(
        _status(s.campaign, s.today), _status(s.campaign, s.today)
    ),
    "advertising_channel_type": lambda s: s.channel,
    # A strategy newer than the client's library: an enum's number that it has no name for.
    "bidding_strategy_type": lambda s: _BIDDING[s.channel] if s.channel != "VIDEO" else 97,
    "campaign_budget": lambda s: s.name("campaignBudgets", _budget(s)),
    "start_date_time": lambda s: (
        f"{s.campaign.created_at:%Y-%m-%d} 00:00:00" if s.campaign else None
    ),
    "end_date_time": lambda s: _ends(s.campaign, s.today),
}
_BUDGET: dict[str, Getter] = {
    "resource_name": _CAMPAIGN["campaign_budget"],
    "id": lambda s: int(_budget(s)),
    "name": lambda s: f"Budget {s.campaign.index}" if s.campaign else None,
    "amount_micros": lambda s: (10 + number(400, "budget", _id(s.campaign))) * 1_000_000,
    "period": lambda _: "DAILY",
    "status": lambda s: "REMOVED" if _status(s.campaign, s.today) == "REMOVED" else "ENABLED",
    "delivery_method": lambda _: "STANDARD",
    "explicitly_shared": lambda _: False,
    "reference_count": lambda _: 1,
}
_GROUP: dict[str, Getter] = {
    "resource_name": lambda s: s.name("adGroups", _id(s.group)),
    "id": lambda s: _number(s.group),
    "name": lambda s: _title(s.group, s.today),
    "status": lambda s: _status(s.group, s.today),
    "type": lambda s: _GROUP_TYPES[s.channel],
    "campaign": _CAMPAIGN["resource_name"],
    "cpc_bid_micros": lambda s: (20 + number(200, "bid", _id(s.group))) * 10_000,
}
_AD: dict[str, Getter] = {
    "resource_name": lambda s: s.name("adGroupAds", f"{_id(s.group)}~{_id(s.ad)}"),
    "status": lambda s: _status(s.ad, s.today),
    "ad_group": _GROUP["resource_name"],
    "ad.resource_name": lambda s: s.name("ads", _id(s.ad)),
    "ad.id": lambda s: _number(s.ad),
    # Ads of search and shopping have no name: a client must live with that.
    "ad.name": lambda s: _title(s.ad, s.today) if s.channel in ("DISPLAY", "VIDEO") else None,
    "ad.type": lambda s: _AD_TYPES[s.channel],
    "ad.final_urls": lambda s: (
        [] if s.channel == "SHOPPING" else [f"https://shop.example/p/{s.ad.index if s.ad else 0}"]
    ),
    "policy_summary.approval_status": lambda s: (
        "DISAPPROVED" if s.ad and s.ad.index % 13 == 11 else "APPROVED"
    ),
    "primary_status": lambda s: (
        "ELIGIBLE" if _status(s.ad, s.today) == "ENABLED" else _status(s.ad, s.today)
    ),
}


def _criterion(s: Subject) -> int:
    if "keyword" in s.values:
        return int(s.values["keyword"].id)
    return _AGE_IDS.get(s.values.get("age", ""), 0) or _GENDER_IDS[s.values["gender"]]


def _criterion_type(s: Subject) -> str:
    return next(name.upper() for name in ("keyword", "age", "gender") if name in s.values)


def _word(s: Subject) -> Keyword | None:
    return s.values.get("keyword")


def _under_group(collection: str) -> Getter:
    return lambda s: s.name(collection, f"{_id(s.group)}~{_criterion(s)}")


_CRITERION: dict[str, Getter] = {
    "resource_name": _under_group("adGroupCriteria"),
    "criterion_id": _criterion,
    "display_name": lambda s: word.text if (word := _word(s)) else None,
    "status": lambda s: "ENABLED" if _status(s.group, s.today) != "REMOVED" else "REMOVED",
    "type": lambda s: {"AGE": "AGE_RANGE"}.get(_criterion_type(s), _criterion_type(s)),
    "negative": lambda _: False,
    "ad_group": _GROUP["resource_name"],
    "keyword.text": lambda s: word.text if (word := _word(s)) else None,
    "keyword.match_type": lambda s: word.match_type if (word := _word(s)) else None,
    "age_range.type": lambda s: s.values.get("age"),
    "gender.type": lambda s: s.values.get("gender"),
}


def _term_name(s: Subject) -> str:
    term = base64.urlsafe_b64encode(s.values["search_term"].encode()).rstrip(b"=").decode()
    return s.name("searchTermViews", f"{_id(s.campaign)}~{_id(s.group)}~{term}")


def asset_of(s: Subject) -> tuple[str, int, str]:
    """Return field type, id and text of the asset that a subject is about."""
    kind, ad, step = s.values["asset"].split(":")
    text = f"{kind.capitalize()} {step} of ad {ad[-4:]} 🔥"
    return kind, 50_000_000_000 + number(10**10, kind, ad, step), text


def _asset_view(s: Subject) -> str:
    kind, identity, _ = asset_of(s)
    return s.name("adGroupAdAssetViews", f"{_id(s.group)}~{_id(s.ad)}~{identity}~{kind}")


_ASSET: dict[str, Getter] = {
    "resource_name": lambda s: s.name("assets", str(asset_of(s)[1])),
    "id": lambda s: asset_of(s)[1],
    "name": lambda _: None,
    "type": lambda _: "TEXT",
    "text_asset.text": lambda s: asset_of(s)[2],
}
ATTRIBUTES: dict[str, dict[str, Getter]] = {
    "customer": _CUSTOMER,
    "campaign": _CAMPAIGN,
    "campaign_budget": _BUDGET,
    "ad_group": _GROUP,
    "ad_group_ad": _AD,
    "ad_group_criterion": _CRITERION,
    "keyword_view": {"resource_name": _under_group("keywordViews")},
    "age_range_view": {"resource_name": _under_group("ageRangeViews")},
    "gender_view": {"resource_name": _under_group("genderViews")},
    "search_term_view": {
        "resource_name": _term_name,
        "search_term": lambda s: s.values["search_term"],
        "ad_group": _GROUP["resource_name"],
        "status": lambda s: "ADDED" if len(s.values["search_term"]) % 3 == 0 else "NONE",
    },
    "geographic_view": {
        "resource_name": lambda s: s.name(
            "geographicViews", f"{s.values['country_id']}~{s.values['location_type']}"
        ),
        "location_type": lambda s: s.values["location_type"],
        "country_criterion_id": lambda s: s.values["country_id"],
    },
    "ad_group_ad_asset_view": {
        "resource_name": _asset_view,
        "ad_group_ad": _AD["resource_name"],
        "asset": _ASSET["resource_name"],
        "field_type": lambda s: asset_of(s)[0],
        "enabled": lambda _: True,
    },
    "asset": _ASSET,
}
