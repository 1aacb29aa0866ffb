"""How a row of TikTok's reports becomes a row of ``performance``.

All values are texts; ``-`` stands for what is not known. ``conversion`` counts what the ad groups
are optimized for; the value is that of payments on websites and purchases in apps, since TikTok
gives none for other goals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_liftos.model.audience import dimension
from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.model.platform import RowMapping
from airflow_provider_liftos.model.report import DEFAULT_WINDOW, Level, Report
from airflow_provider_liftos.model.sql import identifier, literal
from airflow_provider_liftos.platforms.tiktok import catalog

DAY = "stat_time_day"
IDS = {
    Level.ACCOUNT: "advertiser_id",
    Level.CAMPAIGN: "campaign_id",
    Level.AD_GROUP: "adgroup_id",
    # Of an upgraded Smart+ ad, ``ad_id`` is one of its creatives; this is the ad, of every kind.
    Level.AD: "ad_id_v2",
}
ATTRIBUTES: Mapping[Level, Mapping[str, str]] = {
    Level.ACCOUNT: {},
    Level.CAMPAIGN: {"campaign_name": "campaign_name"},
    Level.AD_GROUP: {
        "campaign_id": "campaign_id", "campaign_name": "campaign_name",
        "adgroup_name": "ad_group_name",
    },
    Level.AD: {
        "campaign_id": "campaign_id", "campaign_name": "campaign_name",
        "adgroup_id": "ad_group_id", "adgroup_name": "ad_group_name", "ad_name": "ad_name",
    },
}  # fmt: skip
"""What a row tells besides its own id, asked for like metrics; and the column it fills."""

_COLUMNS = {Level.CAMPAIGN: "campaign_id", Level.AD_GROUP: "ad_group_id", Level.AD: "ad_id"}
_PLAIN = {
    "impressions": "impressions",
    # All of TikTok's clicks lead to the destination; likes and the like are not among them.
    "clicks": "clicks",
    "spend": "spend",
    "reach": "reach",
    "frequency": "frequency",
    "video_play_actions": "video_views",
}
_CONVERSIONS = (("conversion",),)


def mapping(report: Report, facts: Mapping[str, Any]) -> RowMapping:
    """SQL of every unified column that rows of this report fill.

    ``facts`` may hold ``conversion_actions``, groups of metrics that count events; of each group
    the first one the report asks for counts. ConfigurationError for what is no such metric.
    """
    attributes = ATTRIBUTES[report.level]
    own, time = IDS[report.level], time_of(report)
    names = (time, own, *audience(report), *attributes, *report.metrics)
    return RowMapping(
        raw=dict.fromkeys(names, "VARCHAR"),
        select=_dimensions(report) | _metrics(report) | _breakdowns(report),
        windows={DEFAULT_WINDOW: _conversions(report, facts.get("conversion_actions"))},
        required=(time, own),
        measures=(*attributes, *report.metrics),
    )


def time_of(report: Report) -> str:
    """The dimension that tells when."""
    return catalog.HOUR if catalog.HOUR in report.breakdowns else DAY


def audience(report: Report) -> tuple[str, ...]:
    """Breakdowns by who and where."""
    return tuple(name for name in report.breakdowns if name != catalog.HOUR)


def known(name: str) -> str:
    """SQL: the value of a column, null where TikTok does not know it."""
    return f"nullif({identifier(name)}, '-')"


def _dimensions(report: Report) -> dict[str, str]:
    time = identifier(time_of(report))
    select = {"date": time, "date_end": time, "account_id": "NULL", "account_name": "NULL"}
    if report.level in _COLUMNS:
        select[_COLUMNS[report.level]] = identifier(IDS[report.level])
    return select | {column: known(name) for name, column in ATTRIBUTES[report.level].items()}


def _metrics(report: Report) -> dict[str, str]:
    select = {ours: known(name) for name, ours in _PLAIN.items() if name in report.metrics}
    if "clicks" in report.metrics:
        select["link_clicks"] = known("clicks")
    extra = [name for name in report.metrics if name not in _PLAIN and name != "conversion"]
    if extra:
        pairs = ", ".join(f"{literal(name)}, {_text(name)}" for name in extra)
        select["extra_metrics"] = f"json_object({pairs})"
    return select


def _text(name: str) -> str:
    """A metric as it is, except that percent become fractions: all our ratios are."""
    if not catalog.is_percent(name):
        return known(name)
    return f"(try_cast({known(name)} AS DECIMAL(18,6)) * 0.01::DECIMAL(3,2))::VARCHAR"


def _breakdowns(report: Report) -> dict[str, str]:
    """Under the names that breakdowns have on every platform."""
    columns = {dimension(name) or name: identifier(name) for name in audience(report)}
    if catalog.HOUR in report.breakdowns:
        columns["hour"] = f"hour(try_cast({identifier(catalog.HOUR)} AS TIMESTAMP))::VARCHAR"
    if not columns:
        return {"breakdown_key": "''"}
    cuts = dict(sorted(columns.items()))
    key = ", ".join(
        f"{literal(name)} || coalesce('=' || url_encode({column}), '')"
        for name, column in cuts.items()
    )
    pairs = ", ".join(f"{literal(name)}, {column}" for name, column in cuts.items())
    return {"breakdown_key": f"concat_ws('&', {key})", "breakdowns": f"json_object({pairs})"}


def _conversions(report: Report, groups: Sequence[Sequence[str]] | None) -> dict[str, str]:
    counted = []
    for group in groups or _CONVERSIONS:
        for name in group:
            if name not in catalog.METRICS:
                raise ConfigurationError(
                    f"TikTok has no metric {name!r} to count conversions by",
                    hint="Name metrics in conversion_actions, such as complete_payment.",
                )
        counted += [name for name in group if name in report.metrics][:1]
    select = {}
    if len(counted) == len(groups or _CONVERSIONS):
        select["conversions"] = _sum(counted)
    values = [v for name in counted for v in _values(name)]
    if counted and values and all(name in report.metrics for name in values):
        select["conversions_value"] = _sum(list(dict.fromkeys(values)))
    return select


def _values(event: str) -> Sequence[str]:
    if event in VALUED_BY_ALL:
        return tuple(catalog.VALUES.values())
    return (catalog.VALUES[event],) if event in catalog.VALUES else ()


VALUED_BY_ALL = frozenset({"conversion", "real_time_conversion"})


def _sum(names: Sequence[str]) -> str:
    """Their sum as text; null where TikTok knows none of them, unreadable if one is no number."""
    if len(names) == 1:
        return known(names[0])
    nothing = " AND ".join(f"{known(name)} IS NULL" for name in names)
    total = " + ".join(f"try_cast(coalesce({known(n)}, '0') AS DECIMAL(18,6))" for n in names)
    return f"CASE WHEN {nothing} THEN NULL ELSE coalesce(({total})::VARCHAR, 'unreadable') END"
