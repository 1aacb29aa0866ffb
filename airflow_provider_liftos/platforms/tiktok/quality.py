"""What good data of TikTok looks like, and why it is not.

Facts without another source: TikTok's portal texts of v1.3 as of late 2025. Percentages have become
fractions by the time they are judged.
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
)

QUALITY = Quality(
    required=(
        Required(column="impressions", metric="impressions"),
        Required(column="clicks", metric="clicks"),
        Required(column="spend", metric="spend"),
    ),
    bounds=(
        Bound(name="profile_visits_rate", low=0, high=1, extra=True, why="a fraction"),
        Bound(name="result_rate", low=0, high=1, extra=True, why="a fraction"),
        Bound(name="video_watched_2s", low=0, extra=True, why="a count"),
        Bound(name="video_watched_6s", low=0, extra=True, why="a count"),
    ),
    quotients=(
        quotient("ctr", "clicks", "impressions", rounding=0.0001),
        quotient("cpm", "spend", "impressions", times=1e3),
        quotient("cpc", "spend", "clicks"),
        quotient("frequency", "impressions", "reach"),
        Quotient(metric="complete_payment_roas",
                 formula="try_cast(extra_metrics->>'$.total_complete_payment_rate' AS DOUBLE)"
                 " / nullif(spend, 0)",
                 needs=("extra_metrics", "spend")),
    ),
    lawful=(
        Lawful(rule="clicks_within_impressions", needs=("impressions", "spend"),
               when="impressions = 0 AND coalesce(spend, 0) = 0",
               why="a click after midnight on what was shown and paid for the day before"),
    ),
    hierarchy=AD_HIERARCHY,
    words={
        r"token is not valid|no access to (the account|it)|lacks a permission": Sign.ACCESS_LOST,
        r"does not exist \(any more\)": Sign.ACCOUNT_GONE,
        r"API version is switched off": Sign.VERSION_GONE,
        r"gave up on the report|took too long|too many days": Sign.GAVE_UP,
    },
    remedies=(
        Remedy(
            signs=frozenset({Sign.ACCESS_LOST}),
            cause="the advertiser withdrew the app's authorization, or its user left the Business"
            " Center.",
            step="authorize the app again for the advertiser (all of its scopes), put the new token"
            " into the connection and clear the run.",
        ),
        Remedy(
            signs=frozenset({Sign.ACCOUNT_GONE}),
            cause="the advertiser was closed or punished by TikTok.",
            step="see its status in the Business Center; take it out of account_ids if it is gone"
            " for good.",
        ),
        Remedy(
            rules=("settled_days_stay",),
            signs=frozenset({Sign.ONLY_CONVERSIONS}),
            cause="the attribution window of the advertiser, or what its ad groups are optimized"
            " for, changed.",
            step="see Attribution Manager; reload the history once, so that all days are counted"
            " alike.",
        ),
        Remedy(
            rules=("conversions_go_on",),
            cause="the TikTok pixel or the Events API sends nothing any more.",
            step="see Assets > Events: recent activity and diagnostics of the pixel.",
        ),
        Remedy(
            rules=("data_fresh",),
            signs=frozenset({Sign.LATE}),
            cause="TikTok finishes a day at 12:00 UTC of the next one.",
            step="run after that hour; the scheduled run of tomorrow reads the day again.",
        ),
    ),
)  # fmt: skip
