"""Fields that exist but of which the data knows nothing: they are null."""

from __future__ import annotations

CAMPAIGN = frozenset(
    "app_promotion_type virtual_objective_type sales_destination is_search_campaign app_id "
    "is_advanced_dedicated_campaign disable_skan_campaign bid_align_type "
    "campaign_app_profile_page_state rf_campaign_type campaign_product_source catalog_enabled "
    "bid_type optimization_goal rta_id rta_bid_enabled rta_product_selection_enabled "
    "postback_window_mode is_promotional_campaign po_number split_test_variable rf_buying_type "
    "deep_funnel_optimization_status gaming_ad_compliance_agreement".split()
)
AD_GROUP = frozenset(
    "shopping_ads_type identity_id identity_type product_source catalog_id store_id app_id "
    "app_type app_download_url deep_funnel_optimization_status comment_disabled "
    "video_download_disabled share_disabled actions interest_category_ids interest_keyword_ids "
    "operating_systems min_android_version min_ios_version network_types device_model_ids "
    "device_price_ranges carrier_ids isp_ids household_income spending_power "
    "blocked_pangle_app_ids brand_safety_type scheduled_budget dayparting "
    "secondary_optimization_event frequency "
    "frequency_schedule deep_bid_type roas_bid vbo_window bid_display_mode deep_cpa_bid "
    "cpv_video_duration statistic_type is_hfss creative_material_mode skip_learning_phase "
    "purchased_impression purchased_reach rf_estimated_cpr rf_purchased_type category_id "
    "search_result_enabled targeting_expansion auto_targeting_enabled next_day_retention "
    "delivery_mode feed_type adgroup_app_profile_page_state automated_keywords_enabled".split()
)
AD = frozenset(
    "identity_authorized_bc_id catalog_id product_specific_type item_group_ids "
    "carousel_image_index music_id tiktok_item_id promotional_music_disabled item_duet_status "
    "item_stitch_status dark_post_status call_to_action_id card_id landing_page_urls "
    "utm_params page_id cpp_url deeplink_type playable_url tracking_app_id "
    "tracking_offline_event_set_ids impression_tracking_url click_tracking_url "
    "avatar_icon_web_uri profile_image_url app_name creative_authorized "
    "is_aco optimization_event vast_moat_enabled viewability_postbid_partner "
    "viewability_vast_url brand_safety_postbid_partner brand_safety_vast_url dynamic_format "
    "dynamic_destination vehicle_ids showcase_products fallback_type shopping_ads_fallback_type "
    "video_thumbnail_url phone_region_code phone_number disclaimer_type disclaimer_text".split()
)
VIDEO = frozenset(
    "preview_url preview_url_expire_time allowed_placements fix_task_id flaw_types".split()
)
ADVERTISER = frozenset(
    "address brand cellphone_number contacter license_city license_no license_province license_url "
    "promotion_area promotion_center_city promotion_center_province rejection_reason".split()
)
