"""Views with the columns that other tools know: advertisements, accounts by day, TikTok campaigns.

``ad_data`` and ``account_data`` call the platforms facebook, google, amazon and tiktok, and hold
amounts as floating point in the account's currency, as their readers expect; exact amounts are in
the reports. What a platform does not have is null: the end of an ad that has none, the relevance
and quality scores that nobody gives as numbers any more, the address of a video.
"""

from __future__ import annotations

import re

from airflow_provider_liftos.model.unified import SAID, Kind
from airflow_provider_liftos.warehouses.contract import Capabilities, Layout

# In these texts [name] is a column, {name} a table, a view or a type.
_AD_DATA = """
SELECT
  coalesce(t.[org_id], a.[org_id]) AS [org_id],
  coalesce(t.[ad_id], a.[ad_id]) AS [ad_id],
  {platform_name} AS [platform],
  coalesce(t.[account_id], a.[account_id]) AS [account_id],
  coalesce(a.[campaign_id], t.[campaign_id]) AS [campaign_id],
  coalesce(a.[ad_group_id], t.[ad_group_id]) AS [ad_group_id],
  c.[title] AS [headline],
  c.[body] AS [description],
  c.[call_to_action] AS [cta],
  c.[image_url] AS [image_url],
  CAST(NULL AS {text}) AS [video_url],
  c.[link_url] AS [landing_page_url],
  coalesce(CAST(coalesce(g.[start_at], k.[start_at], a.[created_at]) AS {date}), t.[first_day])
    AS [start_date],
  CAST(coalesce(g.[end_at], k.[end_at]) AS {date}) AS [end_date],
  {status} AS [status],
  CAST(t.[impressions] AS {int}) AS [impressions],
  CAST(t.[clicks] AS {int}) AS [clicks],
  {ratio_ctr} AS [ctr],
  CAST(t.[spend] AS {ratio}) AS [spend],
  CAST(round(t.[conversions]) AS {int}) AS [conversions],
  {ratio_conversion_rate} AS [conversion_rate],
  {ratio_cpa} AS [cpa],
  {ratio_roas} AS [roas],
  CAST(NULL AS {ratio}) AS [relevance_score],
  CAST(NULL AS {ratio}) AS [quality_score],
  t.[conversions] AS [conversions_exact],
  t.[currency] AS [currency],
  t.[first_day] AS [first_day],
  t.[last_day] AS [last_day]
FROM (
  SELECT [org_id], [platform], [account_id], [ad_id],
    max([campaign_id]) AS [campaign_id], max([ad_group_id]) AS [ad_group_id],
    max([currency]) AS [currency], min([date_day]) AS [first_day], max([date_day]) AS [last_day],
    sum([impressions]) AS [impressions], sum([clicks]) AS [clicks], sum([spend]) AS [spend],
    sum([conversions]) AS [conversions], sum([conversions_value]) AS [conversions_value]
  FROM {ad_report} GROUP BY [org_id], [platform], [account_id], [ad_id]
) AS t
FULL JOIN (SELECT * FROM {ads} WHERE [valid_to] IS NULL) AS a
  ON a.[org_id] = t.[org_id] AND a.[platform] = t.[platform]
  AND a.[account_id] = t.[account_id] AND a.[ad_id] = t.[ad_id]
LEFT JOIN {creatives} AS c
  ON c.[org_id] = a.[org_id] AND c.[platform] = a.[platform] AND c.[account_id] = a.[account_id]
  AND c.[creative_id] = a.[creative_id] AND c.[valid_to] IS NULL
LEFT JOIN {ad_groups} AS g
  ON g.[org_id] = a.[org_id] AND g.[platform] = a.[platform] AND g.[account_id] = a.[account_id]
  AND g.[ad_group_id] = a.[ad_group_id] AND g.[valid_to] IS NULL
LEFT JOIN {campaigns} AS k
  ON k.[org_id] = a.[org_id] AND k.[platform] = a.[platform] AND k.[account_id] = a.[account_id]
  AND k.[campaign_id] = a.[campaign_id] AND k.[valid_to] IS NULL
"""

# A campaign or an ad is active on a day when it delivered. Where that level of the day was never
# published the count is null, not 0.
_ACCOUNT_DATA = """
SELECT
  t.[org_id] AS [org_id],
  t.[account_id] AS [account_id],
  {platform_name} AS [platform],
  t.[account_name] AS [account_name],
  t.[currency] AS [currency],
  t.[account_timezone] AS [timezone],
  t.[date_day] AS [date],
  CAST(t.[spend] AS {ratio}) AS [daily_spend],
  t.[impressions] AS [daily_impressions],
  t.[clicks] AS [daily_clicks],
  CAST(round(t.[conversions]) AS {int}) AS [daily_conversions],
  CAST(t.[conversions_value] AS {ratio}) AS [daily_revenue],
  {ratio_roas} AS [daily_roas],
  {campaign_count} AS [campaign_count],
  {ad_count} AS [ad_count],
  t.[conversions] AS [daily_conversions_exact]
FROM {account_report} AS t
{join_campaigns}
{join_ads}
"""
_ACTIVE = """
LEFT JOIN (
  SELECT l.[org_id], l.[platform], l.[account_id], l.[date],
    count(DISTINCT CASE WHEN r.[impressions] > 0 OR r.[spend] > 0 THEN r.[{id}] END) AS [active]
  FROM (
    SELECT DISTINCT [org_id], [platform], [account_id], [date] FROM {loads}
    WHERE [level] = {level} AND [report] = {report}
  ) AS l
  LEFT JOIN {view} AS r
    ON r.[org_id] = l.[org_id] AND r.[platform] = l.[platform]
    AND r.[account_id] = l.[account_id] AND r.[date_day] = l.[date]
  GROUP BY l.[org_id], l.[platform], l.[account_id], l.[date]
) AS {alias}
  ON {alias}.[org_id] = t.[org_id] AND {alias}.[platform] = t.[platform]
  AND {alias}.[account_id] = t.[account_id] AND {alias}.[date] = t.[date_day]
"""

_TIKTOK_CAMPAIGNS = """
SELECT
  coalesce(t.[org_id], a.[org_id]) AS [org_id],
  coalesce(t.[account_id], a.[account_id]) AS [account_id],
  coalesce(t.[campaign_id], a.[campaign_id]) AS [campaign_id],
  coalesce(a.[name], t.[campaign_name]) AS [campaign_name],
  a.[objective] AS [objective],
  a.[status] AS [status],
  CAST(coalesce(a.[daily_budget], a.[lifetime_budget]) AS {ratio}) AS [budget],
  CAST(t.[spend] AS {ratio}) AS [spend],
  CAST(t.[impressions] AS {int}) AS [impressions],
  CAST(t.[clicks] AS {int}) AS [clicks],
  CAST(round(t.[conversions]) AS {int}) AS [conversions],
  {ratio_ctr} AS [ctr],
  {ratio_cpc} AS [cpc],
  {ratio_cpm} AS [cpm],
  {ratio_conversion_rate} AS [conversion_rate],
  CAST(a.[created_at] AS {text}) AS [created_time],
  CAST(a.[updated_at] AS {text}) AS [updated_time],
  coalesce(t.[currency], a.[currency]) AS [currency]
FROM (
  SELECT [org_id], [account_id], [campaign_id], max([campaign_name]) AS [campaign_name],
    max([currency]) AS [currency], sum([impressions]) AS [impressions], sum([clicks]) AS [clicks],
    sum([spend]) AS [spend], sum([conversions]) AS [conversions]
  FROM {campaign_report} WHERE [platform] = {tiktok}
  GROUP BY [org_id], [account_id], [campaign_id]
) AS t
FULL JOIN (SELECT * FROM {campaigns} WHERE [valid_to] IS NULL AND [platform] = {tiktok}) AS a
  ON a.[org_id] = t.[org_id] AND a.[account_id] = t.[account_id]
  AND a.[campaign_id] = t.[campaign_id]
"""

# The platforms' own words, in upper case; what is in none of the lists stays as it is.
STATUSES = {
    "active": ("ACTIVE", "ENABLE", "ENABLED", "AD_STATUS_DELIVERY_OK"),
    "paused": ("PAUSED", "DISABLE", "DISABLED", "CAMPAIGN_PAUSED", "ADSET_PAUSED"),
    "archived": ("ARCHIVED", "DELETED", "DELETE", "REMOVED"),
}
_RATIOS = {
    "ctr": ("clicks", "impressions", ""),
    "cpc": ("spend", "clicks", ""),
    "cpm": ("spend", "impressions", "1000 * "),
    "conversion_rate": ("conversions", "clicks", ""),
    "cpa": ("spend", "conversions", ""),
    "roas": ("conversions_value", "spend", ""),
}
_TABLES = ("ads", "creatives", "ad_groups", "campaigns", "loads",
           "ad_report", "campaign_report", "account_report")  # fmt: skip


def record_views(layout: Layout, report: str) -> dict[str, str]:
    """SELECT statements by the name of their view; they read views of reports.

    ``report`` is the expression of the un-broken report that each platform's views read.
    """
    names = _names(layout)
    both = "coalesce(t.[platform], a.[platform])"
    accounts = {
        **names,
        "platform_name": _cases(layout.capabilities, "t.[platform]", SAID),
        "campaign_count": "c.[active]",
        "ad_count": "d.[active]",
        "join_campaigns": _active(names, layout, "campaign", "c", report),
        "join_ads": _active(names, layout, "ad", "d", report),
    }
    ads = {**names, "platform_name": _cases(layout.capabilities, both, SAID)}
    texts = {
        "ad_data": _AD_DATA.format_map(ads),
        "account_data": _ACCOUNT_DATA.format_map(accounts),
        "tiktok_campaigns": _TIKTOK_CAMPAIGNS.format_map(names),
    }
    return {name: quoted(layout.capabilities, text) for name, text in texts.items()}


def quoted(capabilities: Capabilities, text: str) -> str:
    """The text as one line of the engine's SQL, with every ``[name]`` quoted."""
    named = re.sub(r"\[(\w+)\]", lambda found: capabilities.ident(found[1]), text)
    return " ".join(named.split())


def _names(layout: Layout) -> dict[str, str]:
    capabilities = layout.capabilities
    types = {kind.value: capabilities.types[kind] for kind in (Kind.TEXT, Kind.DATE, Kind.INT)}
    ratio = capabilities.ratio
    quotients = {
        f"ratio_{name}": f"{factor}CAST(t.[{top}] AS {ratio})"
        f" / NULLIF(CAST(t.[{bottom}] AS {ratio}), 0)"
        for name, (top, bottom, factor) in _RATIOS.items()
    }
    tables = {name: layout.published(name) for name in _TABLES}
    status = "coalesce(a.[effective_status], a.[status])"
    words = {word: ours for ours, words in STATUSES.items() for word in words}
    archived = capabilities.text("archived")
    own = _cases(capabilities, f"upper({status})", words, f"lower({status})")
    return {
        **types,
        **quotients,
        **tables,
        "ratio": ratio,
        "tiktok": capabilities.text("tiktok"),
        "status": f"CASE WHEN a.[is_deleted] THEN {archived} ELSE {own} END",
    }


def _cases(
    capabilities: Capabilities, value: str, names: dict[str, str], otherwise: str = ""
) -> str:
    text = capabilities.text
    whens = " ".join(f"WHEN {text(theirs)} THEN {text(ours)}" for theirs, ours in names.items())
    return f"CASE {value} {whens} ELSE {otherwise or value} END"


def _active(names: dict[str, str], layout: Layout, level: str, alias: str, report: str) -> str:
    return _ACTIVE.format_map(
        {
            "id": f"{level}_id",
            "loads": names["loads"],
            "level": layout.capabilities.text(level),
            "report": report,
            "view": names[f"{level}_report"],
            "alias": alias,
        }
    )
