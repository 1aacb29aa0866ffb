"""The file of a finished task: comma-separated, with titles in one of two languages."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from .query import Query
from .rows import Written

# Titles as the ads manager shows them; the platform changes them when it likes.
_TITLES = {
    "spend": "Cost",
    "advertiser_id": "Account ID",
    "advertiser_name": "Account name",
    "campaign_id": "Campaign ID",
    "campaign_name": "Campaign name",
    "adgroup_id": "Ad group ID",
    "adgroup_name": "Ad group name",
    "ad_id": "Ad ID",
    "ad_id_v2": "Ad ID",
    "ad_name": "Ad name",
    "stat_time_day": "By Day",
    "stat_time_hour": "By Hour",
    "country_code": "Country/region",
    "clicks": "Clicks (destination)",
    "ctr": "CTR (destination)",
    "cpc": "CPC (destination)",
    "cpm": "CPM",
    "conversion": "Conversions",
    "complete_payment": "Payment completions",
    "total_complete_payment_rate": "Payment completion value",
    "video_play_actions": "Video views",
}
# Tasks return names of countries under ``country_code``: a defect that clients have to know.
_COUNTRIES = {
    "AT": "Austria", "AU": "Australia", "BR": "Brazil", "CA": "Canada", "CH": "Switzerland",
    "CL": "Chile", "DE": "Germany", "FR": "France", "GB": "United Kingdom", "HU": "Hungary",
    "IN": "India", "JP": "Japan", "KW": "Kuwait", "LK": "Sri Lanka", "MX": "Mexico",
    "NP": "Nepal", "NZ": "New Zealand", "US": "United States", "NONE": "Unknown",
}  # fmt: skip


def csv_of(query: Query, lines: Iterable[Written], *, translated: bool) -> tuple[str, int]:
    """Return the text of the file and how many rows it has."""
    names = (*query.dimensions, *(name for name in query.metrics if name not in query.dimensions))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([title_of(name) if translated else name for name in names])
    count = 0
    for parts in lines:
        values = {**parts["metrics"], **parts["dimensions"]}
        if "country_code" in values:
            values["country_code"] = _COUNTRIES[values["country_code"]]
        writer.writerow([values[name] for name in names])
        count += 1
    return text.getvalue(), count


def title_of(name: str) -> str:
    """Return the title of a column as the ads manager shows it."""
    return _TITLES.get(name, name.replace("_", " ").capitalize())
