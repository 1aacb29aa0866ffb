"""What good data of Meta looks like, and why it is not.

Facts without another source: Meta's pages on insights and their limits, as of v26.0. CTR comes in
percent; people and what is derived of them are estimates of Meta's.
"""

from __future__ import annotations

from airflow_provider_liftos.model.quality import (
    AD_HIERARCHY,
    Bound,
    Lawful,
    Quality,
    Quotient,
    Remedy,
    Required,
    Sign,
    quotient,
    ratio,
)

QUALITY = Quality(
    required=(
        Required(column="impressions", metric="impressions"),
        Required(column="clicks", metric="clicks"),
        Required(column="spend", metric="spend"),
    ),
    bounds=(
        Bound(name="unique_ctr", low=0, high=100, extra=True, why="percent of people"),
        Bound(name="estimated_ad_recall_rate", low=0, high=100, extra=True,
              why="percent of people"),
        Bound(name="estimated_ad_recallers", low=0, extra=True, why="people"),
        Bound(name="social_spend", low=0, extra=True, why="a part of spend"),
    ),
    quotients=(
        quotient("ctr", "clicks", "impressions", times=1e2),
        quotient("cpm", "spend", "impressions", times=1e3),
        quotient("cpc", "spend", "clicks"),
        quotient("frequency", "impressions", "reach"),
        # Of purchases alone, whatever counts as a conversion here: compared where that is the same.
        Quotient(metric="purchase_roas", path="[0].value", rounding=0.02,
                 formula="CASE WHEN slice_usual_conversions AND attribution_window = 'default'"
                 f" THEN {ratio('conversions_value', 'spend')} END",
                 needs=("conversions_value", "spend", "attribution_window")),
    ),
    lawful=(
        Lawful(rule="clicks_within_impressions", needs=("impressions", "spend"),
               when="impressions = 0 AND coalesce(spend, 0) = 0",
               why="a click after midnight on what was shown and paid for the day before"),
        Lawful(rule="reach_within_impressions", needs=("impressions",),
               when="impressions = 0",
               why="reach is estimated, also where rounding leaves no impression"),
    ),
    hierarchy=AD_HIERARCHY,
    words={
        r"token is not valid": Sign.ACCESS_LOST,
        r"lacks a permission|#200\b|#10\b|missing permissions": Sign.ACCESS_LOST,
        r"does not exist, or the token": Sign.ACCOUNT_GONE,
        r"API version is switched off": Sign.VERSION_GONE,
        r"gave up on the report|report .* was given up|too much data": Sign.GAVE_UP,
    },
    remedies=(
        Remedy(
            signs=frozenset({Sign.ACCESS_LOST}),
            cause="the token was withdrawn, or the system user lost ads_read or the ad account.",
            step="in Business settings > System users, assign the ad account again and generate a"
            " token with ads_read; put it into the connection and clear the run.",
        ),
        Remedy(
            signs=frozenset({Sign.ACCOUNT_GONE}),
            cause="the ad account was closed, or removed from the business of the token.",
            step="look for it in Business settings > Accounts; take it out of account_ids if it is"
            " gone for good.",
        ),
        Remedy(
            signs=frozenset({Sign.GAVE_UP}),
            cause="the report is too large for Meta, or its servers are overloaded.",
            step="clear the extract task; if it fails again, ask for fewer metrics or days"
            " (slice_days).",
        ),
        Remedy(
            rules=("settled_days_stay",),
            signs=frozenset({Sign.ONLY_CONVERSIONS}),
            cause="the attribution setting of the ad account, or conversion_actions of the"
            " connection, changed: Meta counts old days by it, too.",
            step="compare attribution_setting of the rows; reload the history once, so that all"
            " days are counted alike.",
        ),
        Remedy(
            rules=("hierarchy_intact",),
            cause="ad sets or campaigns were archived or deleted while Meta listed their ads, or"
            " the listing was cut short.",
            step="run again with the streams campaigns, ad_groups and ads together; what is"
            " deleted then leaves all three.",
        ),
        Remedy(
            rules=("conversions_go_on",),
            cause="the pixel or the Conversions API sends no purchases any more.",
            step="look at Events Manager > Data sources: last received, and diagnostics.",
        ),
        Remedy(
            rules=("levels_add_up",),
            signs=frozenset({Sign.UNSETTLED}),
            cause="Meta was still counting: the two reports are of different moments within its"
            " 28 days.",
            step="nothing; the next scheduled run reads the days again.",
        ),
    ),
)  # fmt: skip
