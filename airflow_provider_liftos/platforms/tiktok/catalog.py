"""Names that TikTok's reports know, as of Business API v1.3 (portal texts of late 2025).

A name missing here is refused before it is sent; a name TikTok has removed since is dropped and
reported when TikTok says so.
"""

from __future__ import annotations

_CORE = """
spend cash_spend voucher_spend billed_cost impressions gross_impressions clicks ctr cpc cpm
engagements engagement_rate
reach frequency cost_per_1000_reached
conversion cost_per_conversion conversion_rate conversion_rate_v2
real_time_conversion real_time_cost_per_conversion real_time_conversion_rate
real_time_conversion_rate_v2
result cost_per_result result_rate real_time_result real_time_cost_per_result real_time_result_rate
secondary_goal_result cost_per_secondary_goal_result secondary_goal_result_rate
skan_result skan_cost_per_result skan_result_rate skan_conversion skan_cost_per_conversion
skan_conversion_rate skan_conversion_rate_v2
video_play_actions video_watched_2s video_watched_6s average_video_play average_video_play_per_user
video_views_p25 video_views_p50 video_views_p75 video_views_p100
engaged_view engaged_view_15s paid_engaged_view paid_engaged_view_15s
paid_engagement_engaged_view paid_engagement_engaged_view_15s
follows likes comments shares profile_visits profile_visits_rate
clicks_on_music_disc clicks_on_hashtag_challenge duet_clicks stitch_clicks sound_usage_clicks
anchor_clicks anchor_click_rate
live_views live_unique_views live_effective_views live_product_clicks live_play_count
interactive_add_on_impressions interactive_add_on_destination_clicks
interactive_add_on_activity_clicks
real_time_app_install real_time_app_install_cost
ix_page_view_count ix_button_click_count ix_product_click_count ix_page_duration_avg
ix_page_viewrate_avg ix_video_views ix_average_video_play
total_complete_payment_rate complete_payment_roas total_active_pay_roas onsite_shopping_roas
""".split()

_EVENTS = """
app_install registration total_registration purchase total_purchase app_event_add_to_cart
total_app_event_add_to_cart checkout total_checkout view_content total_view_content
next_day_open total_next_day_open add_payment_info total_add_payment_info add_to_wishlist
total_add_to_wishlist launch_app total_launch_app complete_tutorial total_complete_tutorial
create_group total_create_group join_group total_join_group create_gamerole total_create_gamerole
spend_credits total_spend_credits achieve_level total_achieve_level unlock_achievement
total_unlock_achievement sales_lead total_sales_lead in_app_ad_click total_in_app_ad_click
in_app_ad_impr total_in_app_ad_impr loan_apply total_loan_apply loan_credit total_loan_credit
loan_disbursement total_loan_disbursement login total_login ratings total_ratings search
total_search start_trial total_start_trial subscribe total_subscribe
complete_payment landing_page_view page_browse_view button_click online_consult user_registration
product_details_page_browse web_event_add_to_cart on_web_order initiate_checkout on_web_subscribe
on_web_add_to_wishlist on_web_search form download_start page_event_search
offline_shopping_events onsite_form onsite_download_start onsite_shopping onsite_on_web_detail
onsite_on_web_cart onsite_add_to_cart onsite_add_to_wishlist onsite_initiate_checkout_count
onsite_add_billing
""".split()
"""Events of apps, websites and shops; each has a family of metrics."""

_FAMILY = (
    "{0}", "cost_per_{0}", "{0}_rate", "value_per_{0}", "total_{0}", "total_{0}_value",
    "cost_per_total_{0}", "{0}_value",
)  # fmt: skip

METRICS = frozenset(_CORE) | {part.format(event) for event in _EVENTS for part in _FAMILY}
"""What can be measured; all values are texts."""

PEOPLE = frozenset(
    """
reach frequency cost_per_1000_reached average_video_play_per_user result cost_per_result result_rate
real_time_result real_time_cost_per_result real_time_result_rate live_play_count
""".split()
)
"""Counted per person; TikTok refuses them beside audience dimensions (tasks do, always)."""

VALUES = {
    "complete_payment": "total_complete_payment_rate",
    "total_purchase": "total_purchase_value",
}
"""The metric that holds the value of an event. The first, whatever its name says, is the value of
all payments on websites; TikTok has not renamed it."""

HOUR = "stat_time_hour"
COUNTRY = "country_code"

AUDIENCE = frozenset(
    """
gender age country_code province_id dma_id ac language platform placement interest_category
interest_category_v2 device_brand_id contextual_tag
""".split()
)
"""Ways to cut a row by who saw it and where."""

BELOW = {"province_id": COUNTRY, "dma_id": COUNTRY, "device_brand_id": "platform"}
"""Dimensions that only exist beside a coarser one."""

MOST_AUDIENCE = 2


def is_percent(metric: str) -> bool:
    """Whether TikTok writes it in percent, without a sign."""
    rate = metric.endswith(("_rate", "_rate_v2")) and metric not in VALUES.values()
    return rate or metric == "ctr"
