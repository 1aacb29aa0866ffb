"""What the fields of campaigns, ad groups and ads say."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from airflow_provider_liftos.sandbox.dataset import Entity
from airflow_provider_liftos.sandbox.dataset.chance import number, pick
from airflow_provider_liftos.sandbox.dataset.tiktok import is_smart

from .library_fields import image_id, is_video, video_id
from .view import Getter, View, named, secondary_status, stamp

OBJECTIVES = {
    "sales": "WEB_CONVERSIONS",
    "traffic": "TRAFFIC",
    "awareness": "REACH",
    "leads": "LEAD_GENERATION",
}
_GOALS = {"sales": "CONVERT", "traffic": "CLICK", "awareness": "REACH", "leads": "LEAD_GENERATION"}
_BILLING = {"sales": "OCPM", "traffic": "CPC", "awareness": "CPM", "leads": "OCPM"}


def budget(entity: Entity, view: View) -> float:
    """Return a budget in units of the currency; it moves with every edit."""
    step = entity.revision(view.today)
    amount = 20 + number(180, entity.id, "budget", step)
    return float(amount * (100 if entity.account.minor == 1 else 1))


def _operation(entity: Entity, _: View) -> str:
    return "DISABLE" if entity.paused else "ENABLE"


def _modified(entity: Entity, view: View) -> str:
    return stamp(entity.updated_at(view.today))


_COMMON: Mapping[str, Getter] = {
    "advertiser_id": lambda one, _: one.account.id,
    "operation_status": _operation,
    "secondary_status": secondary_status,
    "create_time": lambda one, _: stamp(one.created_at),
    "modify_time": _modified,
    "campaign_system_origin": lambda _, __: "TT_ADS_PLATFORM",
    "is_new_structure": lambda _, __: True,
    "is_smart_performance_campaign": lambda _, __: False,
}
CAMPAIGN_FIELDS: Mapping[str, Getter] = {
    **_COMMON,
    "campaign_id": lambda one, _: one.id,
    "campaign_name": named,
    "objective": lambda _, __: "LANDING_PAGE",
    "objective_type": lambda one, _: OBJECTIVES[one.goal],
    "campaign_type": lambda _, __: "REGULAR_CAMPAIGN",
    "campaign_automation_type": lambda one, _: (
        "UPGRADED_SMART_PLUS" if is_smart(one) else "MANUAL"
    ),
    "budget_mode": lambda one, _: (
        "BUDGET_MODE_DAY", "BUDGET_MODE_TOTAL", "BUDGET_MODE_INFINITE"
    )[one.index % 3],
    "budget": lambda one, view: 0.0 if one.index % 3 == 2 else budget(one, view),
    "budget_optimize_on": lambda one, _: one.index % 3 == 0,
    "deep_bid_type": lambda _, __: None,
    "roas_bid": lambda _, __: 0.0,
    "special_industries": lambda _, __: [],
}  # fmt: skip
GROUP_FIELDS: Mapping[str, Getter] = {
    **_COMMON,
    "adgroup_id": lambda one, _: one.id,
    "adgroup_name": named,
    "campaign_id": lambda one, _: one.campaign and one.campaign.id,
    "campaign_name": lambda one, view: named(one.campaign, view),
    "optimization_goal": lambda one, _: _GOALS[one.goal],
    "optimization_event": lambda one, _: "SHOPPING" if one.goal == "sales" else None,
    "billing_event": lambda one, _: _BILLING[one.goal],
    "bid_type": lambda _, __: "BID_TYPE_NO_BID",
    "conversion_bid_price": lambda _, __: 0.0,
    "bid_price": lambda _, __: 0.0,
    "budget_mode": lambda _, __: "BUDGET_MODE_DAY",
    "budget": budget,
    "placement_type": lambda _, __: "PLACEMENT_TYPE_NORMAL",
    "placements": lambda _, __: ["PLACEMENT_TIKTOK"],
    "promotion_type": lambda _, __: "WEBSITE",
    "pacing": lambda _, __: "PACING_MODE_SMOOTH",
    "schedule_type": lambda _, __: "SCHEDULE_FROM_NOW",
    "schedule_start_time": lambda one, _: stamp(one.created_at),
    "schedule_end_time": lambda one, _: stamp(one.created_at + timedelta(days=3650)),
    "pixel_id": lambda one, _: f"69{number(10**17, one.account.id, 'pixel'):017d}",
    "click_attribution_window": lambda _, __: "SEVEN_DAYS",
    "view_attribution_window": lambda _, __: "ONE_DAY",
    "engaged_view_attribution_window": lambda _, __: "ONE_DAY",
    "attribution_event_count": lambda _, __: "EVERY",
    "gender": lambda _, __: "GENDER_UNLIMITED",
    "age_groups": lambda one, _: ["AGE_18_24", "AGE_25_34"] if one.index % 2 else None,
    "languages": lambda _, __: [],
    "location_ids": lambda _, __: ["2921044"],
    "audience_ids": lambda _, __: [],
    "excluded_audience_ids": lambda _, __: [],
}
AD_FIELDS: Mapping[str, Getter] = {
    **_COMMON,
    "ad_id": lambda one, _: one.id,
    "ad_name": named,
    "adgroup_id": lambda one, _: one.group and one.group.id,
    "adgroup_name": lambda one, view: named(one.group, view),
    "campaign_id": lambda one, _: one.campaign and one.campaign.id,
    "campaign_name": lambda one, view: named(one.campaign, view),
    "smart_plus_ad_id": lambda one, view: view.smart_ad(one) if is_smart(one) else None,
    "modify_time": lambda one, view: None if is_smart(one) else _modified(one, view),
    "ad_format": lambda one, view: (
        "SINGLE_VIDEO" if is_video(view.creative(one)) else "SINGLE_IMAGE"
    ),
    "ad_text": lambda one, _: pick(("Sitzt. Immer. 🪑", 'Buy "now" & save', "買い物"), one.id),
    "call_to_action": lambda one, _: pick(("SHOP_NOW", "LEARN_MORE"), one.id, "call"),
    "landing_page_url": lambda one, _: f"https://shop.example/p/{one.index}?utm_source=tiktok",
    "video_id": lambda one, view: (
        video_id(view.creative(one)) if is_video(view.creative(one)) else None
    ),
    "image_ids": lambda one, view: [image_id(view.creative(one))],
    "identity_id": lambda one, _: f"71{number(10**17, one.account.id, 'identity'):017d}",
    "identity_type": lambda _, __: "TT_USER",
    "display_name": lambda one, _: one.account.name,
    "tracking_pixel_id": lambda one, _: f"69{number(10**17, one.account.id, 'pixel'):017d}",
    "creative_type": lambda _, __: None,
    "deeplink": lambda _, __: "",
}
SMART_AD_FIELDS: Mapping[str, Getter] = {
    **{name: AD_FIELDS[name] for name in _COMMON if name != "modify_time"},
    **{name: AD_FIELDS[name] for name in ("adgroup_id", "adgroup_name")},
    **{name: AD_FIELDS[name] for name in ("campaign_id", "campaign_name", "ad_name")},
    "smart_plus_ad_id": lambda one, view: view.smart_ad(one),
    "creative_list": lambda one, view: [
        {"ad_material_id": ad.id, "creative_info": {"material_name": ad.name(view.today)}}
        for ad in view.dataset.book(one.account).ads[one.index : one.index + 2]
    ],
    "landing_page_url_list": lambda one, view: [
        {"landing_page_url": AD_FIELDS["landing_page_url"](one, view)}
    ],
    "ad_text_list": lambda one, view: [{"ad_text": AD_FIELDS["ad_text"](one, view)}],
}
