"""What good data of Google Ads looks like, and why it is not.

Facts without another source: Google Ads API documentation as of v26. CTR comes as a fraction,
averages of money in millionths; shares below ten percent are given as 0.0999.
"""

from __future__ import annotations

from airflow_provider_liftos.model.quality import (
    AD_HIERARCHY,
    Bound,
    Lawful,
    Quality,
    Remedy,
    Required,
    Sign,
    quotient,
)

_SHARES = (
    "search_impression_share", "search_top_impression_share", "search_click_share",
    "search_absolute_top_impression_share", "search_exact_match_impression_share",
    "search_budget_lost_impression_share", "search_rank_lost_impression_share",
    "content_impression_share", "content_budget_lost_impression_share",
    "content_rank_lost_impression_share",
)  # fmt: skip

QUALITY = Quality(
    required=(
        Required(column="impressions", metric="metrics.impressions"),
        Required(column="clicks", metric="metrics.clicks"),
        Required(column="spend", metric="metrics.cost_micros"),
    ),
    bounds=(
        *(Bound(name=f"metrics.{name}", low=0, high=1, extra=True, why="a fraction")
          for name in _SHARES),
        Bound(name="metrics.historical_quality_score", low=1, high=10, extra=True,
              rule="quality_score_in_range",
              why="Google's scale; keywords too rarely seen have none"),
    ),
    quotients=(
        quotient("metrics.ctr", "clicks", "impressions", rounding=0.0001),
        quotient("metrics.average_cpm", "spend", "impressions", times=1e9, rounding=10_000),
        quotient("metrics.average_cpc", "spend", "clicks", times=1e6, rounding=10_000),
        quotient("metrics.conversions_value_per_cost", "conversions_value", "spend"),
    ),
    lawful=(
        Lawful(rule="clicks_within_impressions", needs=("impressions", "breakdown_key"),
               when="impressions = 0 OR breakdown_key <> ''",
               why="Google counts a click on its own day, and in the segment it came from: a row"
               " of a device may have clicks and no impression"),
    ),
    hierarchy=AD_HIERARCHY,
    words={
        r"may not see the account|lacks a permission|login_customer_id": Sign.ACCESS_LOST,
        r"does not take the token|invalid_grant|not allowed to|may not use": Sign.ACCESS_LOST,
        r"gives no access token|the token has no access to it": Sign.ACCESS_LOST,
        r"account is not active|account does not exist": Sign.ACCOUNT_GONE,
        r"API version is switched off|no such API version": Sign.VERSION_GONE,
        r"takes Google too long|too much data": Sign.GAVE_UP,
    },
    remedies=(
        Remedy(
            signs=frozenset({Sign.ACCESS_LOST}),
            cause="the refresh token was revoked, its user lost access, or the account left the"
            " manager of login_customer_id.",
            step="in the manager account see Accounts > Sub-account settings and Access; consent"
            " again if the token is dead, and clear the run.",
        ),
        Remedy(
            signs=frozenset({Sign.ACCOUNT_GONE}),
            cause="the customer was cancelled, or not set up to the end.",
            step="reactivate it in its account settings, or take it out of account_ids.",
        ),
        Remedy(
            rules=("settled_days_stay",),
            signs=frozenset({Sign.ONLY_CONVERSIONS}),
            cause="a conversion action changed its attribution model, or became (or ceased to be)"
            " primary; or actions with a window of up to 90 days were still counted.",
            step="see Goals > Conversions > Change history; raise [liftos] restatement_days for"
            " google_ads if windows are longer than 30 days.",
        ),
        Remedy(
            rules=("conversions_go_on",),
            cause="the tag, or the import of conversions, stopped.",
            step="see Goals > Conversions > Summary: the status of the primary actions.",
        ),
        Remedy(
            rules=("quality_score_in_range",),
            cause="the score came as 0 or as text, which is Google's way of having none.",
            step="treat it as unknown; ask for metrics.historical_quality_score of keywords only.",
        ),
        Remedy(
            rules=("levels_add_up",),
            signs=frozenset({Sign.UNSETTLED}),
            cause="Google was still counting: the two reports are of different moments of the"
            " conversion window.",
            step="nothing; the next scheduled run reads the days again.",
        ),
    ),
)  # fmt: skip
