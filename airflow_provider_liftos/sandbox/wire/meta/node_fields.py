"""What the fields of accounts, campaigns, ad sets, ads, creatives and audiences say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from airflow_provider_liftos.sandbox.dataset import Account, Dataset, Entity
from airflow_provider_liftos.sandbox.dataset.chance import digest, number, pick

GONE = ("DELETED", "ARCHIVED")
_OBJECTIVES = {
    "sales": "OUTCOME_SALES",
    "traffic": "OUTCOME_TRAFFIC",
    "awareness": "OUTCOME_AWARENESS",
    "leads": "OUTCOME_LEADS",
}
_GOALS = {
    "sales": "OFFSITE_CONVERSIONS",
    "traffic": "LINK_CLICKS",
    "awareness": "REACH",
    "leads": "LEAD_GENERATION",
}


@dataclass(frozen=True, slots=True)
class View:
    """Entities as one day shows them."""

    dataset: Dataset
    today: date
    now: datetime

    def ad_of_creative(self, creative: Entity) -> Entity:
        """Return the first ad that uses a creative."""
        return self.dataset.book(creative.account).ads[creative.index]

    def creative_of_ad(self, ad: Entity) -> Entity:
        """Return the creative of an ad."""
        return self.dataset.book(ad.account).creatives[ad.creative or 0]


Getter = Callable[[Any, View], Any]


def stamp(moment: datetime, account: Account) -> str:
    """Write a moment as the platform does: the account's clock, no colon in the offset."""
    return moment.astimezone(account.zone).strftime("%Y-%m-%dT%H:%M:%S%z")


def effective_status(entity: Entity, view: View) -> str:
    """Return the status that delivery obeys: that of the parents included."""
    own = entity.status(view.today)
    if own in GONE:
        return own
    if entity.campaign and entity.campaign.status(view.today) == "PAUSED":
        return "CAMPAIGN_PAUSED"
    if entity.group and entity.group.status(view.today) == "PAUSED":
        return "ADSET_PAUSED"
    if entity.kind == "ad" and entity.index % 23 == 11:
        return "DISAPPROVED"
    if entity.kind == "campaign" and entity.index % 31 == 13:
        return "WITH_ISSUES"
    return own


def _budget(entity: Entity, step: int) -> str:
    """Return a budget in minor units, as text; it moves with every edit."""
    major = 10 + number(90, entity.id, "budget", step)
    return str(major * entity.account.minor)


def _campaign_budget(entity: Entity, view: View, kind: str) -> str | None:
    """Campaigns have a daily budget, a lifetime budget, or leave it to the ad sets."""
    if ("daily", "lifetime", "none")[entity.index % 3] != kind:
        return None
    return _budget(entity, entity.revision(view.today))


def _group_budget(entity: Entity, view: View, kind: str) -> str:
    """Ad sets say "0" where the budget is the campaign's or of the other kind."""
    campaign = entity.campaign
    if campaign is None or campaign.index % 3 != 2:
        return "0"
    if ("daily", "lifetime")[entity.index % 2] != kind:
        return "0"
    return _budget(entity, entity.revision(view.today))


def _targeting(entity: Entity, view: View) -> dict[str, Any]:
    audiences = view.dataset.book(entity.account).audiences
    targeting: dict[str, Any] = {
        "age_max": 65,
        "age_min": 18 + entity.index % 3 * 7,
        "geo_locations": {"countries": [entity.account.country], "location_types": ["home"]},
        "publisher_platforms": ["facebook", "instagram"],
    }
    if audiences and entity.index % 2:
        chosen = audiences[entity.index % len(audiences)]
        targeting["custom_audiences"] = [{"id": chosen.id, "name": chosen.name(view.today)}]
    return targeting


def _signed(creative: Entity, view: View) -> str:
    """An address of the CDN: near to who asks, and signed for some days."""
    today = view.today.isoformat()
    host = pick(("scontent.xx", "scontent-fra3-1.xx", "scontent-ber1-1.xx"), creative.id, today)
    signature = digest("signature", creative.id, today).hex()
    return (
        f"https://{host}.fbcdn.net/v/t45.1600-4/{creative.id}_n.png"
        f"?_nc_cat=1&ccb=1-7&oh=00_{signature}&oe={view.today.toordinal():X}"
    )


def _story(creative: Entity, view: View) -> dict[str, Any] | None:
    """The text of a creative is scattered over four shapes."""
    if creative.index % 5 == 0:
        return None
    text = f"{view.ad_of_creative(creative).base_name}\n“Jetzt” & save 10 %"
    link = f"https://shop.example/p/{creative.index}?a=1&b=ü"
    call = {"type": "SHOP_NOW", "value": {"link": link}}
    shapes: tuple[dict[str, Any], ...] = (
        {"link_data": {"message": text, "link": link, "name": "Chair", "call_to_action": call}},
        {
            "video_data": {
                "message": text,
                "title": "Chair",
                "video_id": f"99{creative.index:015d}",
                "image_url": _signed(creative, view),
            }
        },
        {"photo_data": {"caption": text, "url": "https://cdn.example/1.jpg"}},
        {"template_data": {"message": text, "name": "{{product.name}}", "link": link}},
    )
    return {"page_id": "104000000000001", **shapes[creative.index % 4]}


def _feed(creative: Entity, _: View) -> dict[str, Any] | None:
    if creative.index % 5:
        return None
    return {
        "bodies": [{"text": 'Buy "now"'}, {"text": "Jetzt 🔥"}],
        "titles": [{"text": "Chair"}],
        "images": [{"hash": digest("image", creative.id).hex()}],
        "link_urls": [{"website_url": f"https://shop.example/p/{creative.index}"}],
        "ad_formats": ["SINGLE_IMAGE"],
        "call_to_action_types": ["SHOP_NOW"],
    }


def _lookalike(audience: Entity) -> bool:
    return audience.index % 3 == 2


def _lookalike_spec(audience: Entity, view: View) -> dict[str, Any] | None:
    if not _lookalike(audience):
        return None
    origin = view.dataset.book(audience.account).audiences[audience.index - 1]
    return {
        "type": "similarity",
        "ratio": 0.01,
        "country": audience.account.country,
        "origin": [{"id": origin.id, "name": origin.name(view.today), "type": "custom_audience"}],
    }


def _size(audience: Entity, factor: int) -> int:
    # Audiences under a thousand people are not counted out: minus one.
    people = number(200_000, audience.id, "size")
    return people * factor // 100 if people >= 1000 else -1


def _spent(account: Account, _: View) -> str:
    return str(0 if account.empty else (1 + number(90_000, account.id)) * account.minor)


def _offset_hours(account: Account, view: View) -> float:
    offset = view.now.astimezone(account.zone).utcoffset() or timedelta()
    return offset.total_seconds() / 3600


_CLICK_WEEK = [
    {"event_type": "CLICK_THROUGH", "window_days": 7},
    {"event_type": "VIEW_THROUGH", "window_days": 1},
]

ACCOUNT_FIELDS: dict[str, Getter] = {
    "account_id": lambda a, _: a.id,
    "name": lambda a, _: a.name,
    "account_status": lambda a, _: 2 if a.empty else 1,
    "disable_reason": lambda a, _: 1 if a.empty else 0,
    "currency": lambda a, _: a.currency,
    "timezone_name": lambda a, _: a.timezone,
    "timezone_id": lambda a, _: 1 + number(400, a.timezone),
    "timezone_offset_hours_utc": _offset_hours,
    "min_daily_budget": lambda a, _: a.minor,
    "min_campaign_group_spend_cap": lambda a, _: str(100 * a.minor),
    "amount_spent": _spent,
    "balance": lambda a, _: str(number(5000, a.id, "balance") * a.minor),
    "spend_cap": lambda a, _: str(0 if a.index % 2 else 100_000 * a.minor),
    "business": lambda a, v: business_of(a, v.dataset),
    "business_name": lambda a, v: business_of(a, v.dataset)["name"],
    "owner": lambda a, v: business_of(a, v.dataset)["id"],
    "business_country_code": lambda a, _: a.country,
    "is_prepay_account": lambda _, __: False,
    "created_time": lambda a, _: stamp(datetime(2019, 3, 31, 1, 30, tzinfo=UTC), a),
    "attribution_spec": lambda _, __: _CLICK_WEEK,
}
_LIFE: dict[str, Getter] = {
    "account_id": lambda e, _: e.account.id,
    "name": lambda e, v: e.name(v.today),
    "status": lambda e, v: e.status(v.today),
    "configured_status": lambda e, v: e.status(v.today),
    "effective_status": effective_status,
    "created_time": lambda e, _: stamp(e.created_at, e.account),
    "updated_time": lambda e, v: stamp(e.updated_at(v.today), e.account),
    "campaign": lambda e, _: e.campaign,
    "campaign_id": lambda e, _: e.campaign.id,
}
CAMPAIGN_FIELDS: dict[str, Getter] = {
    **{name: getter for name, getter in _LIFE.items() if not name.startswith("campaign")},
    "objective": lambda e, _: "CONVERSIONS" if e.index % 7 == 6 else _OBJECTIVES[e.goal],
    "buying_type": lambda _, __: "AUCTION",
    "daily_budget": lambda e, v: _campaign_budget(e, v, "daily"),
    "lifetime_budget": lambda e, v: _campaign_budget(e, v, "lifetime"),
    "budget_remaining": lambda e, v: (
        str(int(_budget(e, e.revision(v.today))) // 3) if e.index % 3 < 2 else "0"
    ),
    "spend_cap": lambda e, _: str(5000 * e.account.minor) if e.index % 4 == 0 else None,
    "bid_strategy": lambda e, _: "LOWEST_COST_WITHOUT_CAP" if e.index % 3 < 2 else None,
    "special_ad_categories": lambda e, _: ["HOUSING"] if e.index % 9 == 8 else [],
    "start_time": lambda e, _: stamp(e.created_at, e.account),
    "stop_time": lambda e, _: (
        stamp(e.created_at + timedelta(days=900), e.account) if e.index % 3 == 1 else None
    ),
}
GROUP_FIELDS: dict[str, Getter] = {
    **_LIFE,
    "daily_budget": lambda e, v: _group_budget(e, v, "daily"),
    "lifetime_budget": lambda e, v: _group_budget(e, v, "lifetime"),
    "budget_remaining": lambda _, __: "0",
    "bid_amount": lambda e, _: 2 * e.account.minor if e.index % 4 == 3 else None,
    "bid_strategy": lambda e, _: (
        "LOWEST_COST_WITH_BID_CAP" if e.index % 4 == 3 else "LOWEST_COST_WITHOUT_CAP"
    ),
    "billing_event": lambda _, __: "IMPRESSIONS",
    "optimization_goal": lambda e, _: _GOALS[e.goal],
    "attribution_spec": lambda _, __: _CLICK_WEEK,
    "promoted_object": lambda e, _: (
        {"pixel_id": "917000000000001", "custom_event_type": "PURCHASE"}
        if e.goal == "sales"
        else None
    ),
    "targeting": _targeting,
    "start_time": lambda e, _: stamp(e.created_at, e.account),
    "end_time": lambda e, _: (
        stamp(e.created_at + timedelta(days=900), e.account) if e.index % 2 else None
    ),
    "learning_stage_info": lambda e, _: {"status": pick(("SUCCESS", "LEARNING"), e.id)},
}
AD_FIELDS: dict[str, Getter] = {
    **_LIFE,
    "adset": lambda e, _: e.group,
    "adset_id": lambda e, _: e.group.id,
    "creative": lambda e, v: v.creative_of_ad(e),
    "tracking_specs": lambda _, __: [
        {"action.type": ["offsite_conversion"], "fb_pixel": ["917000000000001"]}
    ],
}
CREATIVE_FIELDS: dict[str, Getter] = {
    "account_id": lambda e, _: e.account.id,
    "name": lambda e, _: e.base_name,
    "title": lambda e, _: "Chair “Ö” — 50%" if e.index % 2 else None,
    "body": lambda e, v: v.ad_of_creative(e).base_name if e.index % 3 else None,
    "object_type": lambda e, _: ("SHARE", "VIDEO", "PHOTO", "SHARE")[e.index % 4],
    "object_story_spec": _story,
    "asset_feed_spec": _feed,
    "link_url": lambda e, _: f"https://shop.example/p/{e.index}" if e.index % 4 == 0 else None,
    "call_to_action_type": lambda _, __: "SHOP_NOW",
    "image_hash": lambda e, _: digest("image", e.id).hex(),
    "image_url": _signed,
    "thumbnail_url": _signed,
    "video_id": lambda e, _: f"99{e.index:015d}" if e.index % 4 == 1 else None,
    "url_tags": lambda e, _: (
        "utm_source=facebook&utm_campaign={{campaign.name}}" if e.index % 2 else None
    ),
    "status": lambda _, __: "ACTIVE",
}
AUDIENCE_FIELDS: dict[str, Getter] = {
    "account_id": lambda e, _: e.account.id,
    "name": lambda e, v: e.name(v.today),
    "description": lambda e, _: "" if e.index % 2 else "Made by hand; see sheet “A/B”",
    "subtype": lambda e, _: (
        "LOOKALIKE" if _lookalike(e) else ("CUSTOM", "WEBSITE")[e.index // 3 % 2]
    ),
    "approximate_count_lower_bound": lambda e, _: _size(e, 94),
    "approximate_count_upper_bound": lambda e, _: _size(e, 110),
    "delivery_status": lambda _, __: {
        "code": 200, "description": "This audience is ready for use."
    },
    "operation_status": lambda _, __: {"code": 200, "description": "Normal"},
    "lookalike_spec": _lookalike_spec,
    "customer_file_source": lambda e, _: None if _lookalike(e) else "USER_PROVIDED_ONLY",
    "retention_days": lambda e, _: 90 if e.index // 3 % 2 else 0,
    "time_created": lambda e, _: int(e.created_at.timestamp()),
    "time_updated": lambda e, v: int(e.updated_at(v.today).timestamp()),
    "time_content_updated": lambda e, v: int(e.updated_at(v.today).timestamp()),
}  # fmt: skip


BUSINESSES = {"201000000000001": "Northwind Holding", "201000000000002": "Agency & Söhne"}


def business_of(account: Account, dataset: Dataset) -> dict[str, Any]:
    """Return the business that owns an account: one owns the first half, one the rest."""
    first = account.index < (len(dataset.accounts) + 1) // 2
    identity, name = list(BUSINESSES.items())[0 if first else 1]
    return {"id": identity, "name": name}
