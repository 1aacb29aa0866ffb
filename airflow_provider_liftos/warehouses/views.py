"""The views people report from, named and shaped as dbt_ad_reporting's.

Each reads one un-broken report per platform in one attribution window, so that spend never fans
out. ``keyword_report`` and ``search_report`` appear with the first platform that has the level.
The columns in a reporting currency are null until exchange rates are loaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from airflow_provider_liftos.model.report import DEFAULT_WINDOW, Level
from airflow_provider_liftos.model.unified import PERFORMANCE, Kind
from airflow_provider_liftos.warehouses.contract import Capabilities, Layout

_IDS: dict[Level, tuple[str, ...]] = {
    Level.ACCOUNT: ("account_id", "account_name"),
    Level.CAMPAIGN: ("campaign_id", "campaign_name"),
    Level.AD_GROUP: ("ad_group_id", "ad_group_name"),
    Level.AD: ("ad_id", "ad_name"),
}
_METRICS = ("clicks", "impressions", "spend", "conversions", "conversions_value")
_RATIOS = (
    ("ctr", "clicks", "impressions", 1),
    ("cpc", "spend", "clicks", 1),
    ("cpm", "spend", "impressions", 1000),
    ("conversion_rate", "conversions", "clicks", 1),
    ("cpa", "spend", "conversions", 1),
    ("roas", "conversions_value", "spend", 1),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewSettings:
    """Which report and which attribution window the views read.

    ``reports`` and ``attribution_windows`` override the former two for single platforms.
    """

    report: str = "basic"
    attribution_window: str = DEFAULT_WINDOW
    country_report: str = "demographics_country"
    region_report: str = "demographics_region"
    reports: Mapping[str, str] = field(default_factory=dict)
    attribution_windows: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A view: all levels' ids down to ``level``, and maybe one breakdown value as a column."""

    name: str
    level: Level
    breakdown: str | None = None


VIEWS = (
    View(name="account_report", level=Level.ACCOUNT),
    View(name="campaign_report", level=Level.CAMPAIGN),
    View(name="ad_group_report", level=Level.AD_GROUP),
    View(name="ad_report", level=Level.AD),
    View(name="country_report", level=Level.CAMPAIGN, breakdown="country"),
    View(name="region_report", level=Level.CAMPAIGN, breakdown="region"),
)


def create_views(layout: Layout, settings: ViewSettings) -> list[str]:
    """Statements that create all views, or bring them up to date."""
    return [
        f"CREATE OR REPLACE VIEW {layout.published(view.name)} AS {_select(layout, settings, view)}"
        for view in VIEWS
    ]


def _select(layout: Layout, settings: ViewSettings, view: View) -> str:
    capabilities = layout.capabilities
    columns = ", ".join(
        f"{sql} AS {capabilities.ident(name)}" for name, sql in _columns(capabilities, view)
    )
    conditions = " AND ".join(_conditions(capabilities, settings, view))
    return f"SELECT {columns} FROM {layout.published(PERFORMANCE.name)} WHERE {conditions}"


def _columns(capabilities: Capabilities, view: View) -> Iterator[tuple[str, str]]:
    ident, types = capabilities.ident, capabilities.types
    ids = [name for level in _levels(view.level) for name in _IDS[level]]
    yield from ((name, ident(name)) for name in ("org_id", "platform"))
    yield "date_day", ident("date")
    yield from ((name, ident(name)) for name in ids)
    if view.breakdown:
        yield (
            view.breakdown,
            capabilities.json_text.format(
                column=ident("breakdowns"), key=capabilities.text(view.breakdown)
            ),
        )
    yield from (
        (name, ident(name))
        for name in ("currency", "account_timezone", "attribution_window", *_METRICS)
    )
    for name, kind in (
        ("spend_reporting", Kind.MONEY),
        ("conversions_value_reporting", Kind.MONEY),
        ("reporting_currency", Kind.TEXT),
        ("fx_date", Kind.DATE),
    ):
        yield name, f"CAST(NULL AS {types[kind]})"
    yield "is_estimated", ident("is_estimated")
    for name, top, bottom, factor in _RATIOS:
        dividend = f"CAST({ident(top)} AS {capabilities.ratio})"
        dividend = dividend if factor == 1 else f"{factor} * {dividend}"
        yield name, f"{dividend} / NULLIF(CAST({ident(bottom)} AS {capabilities.ratio}), 0)"


def _levels(level: Level) -> tuple[Level, ...]:
    levels = tuple(Level)
    return levels[: levels.index(level) + 1]


def _conditions(capabilities: Capabilities, settings: ViewSettings, view: View) -> Iterator[str]:
    ident, text = capabilities.ident, capabilities.text
    yield f"{ident('level')} = {text(view.level)}"
    yield f"{ident('date')} = {ident('date_end')}"
    windows = _by_platform(capabilities, settings.attribution_window, settings.attribution_windows)
    yield f"{ident('attribution_window')} = {windows}"
    if view.breakdown:
        reports = {"country": settings.country_report, "region": settings.region_report}
        yield f"{ident('report')} = {text(reports[view.breakdown])}"
    else:
        reports_sql = _by_platform(capabilities, settings.report, settings.reports)
        yield f"{ident('report')} = {reports_sql}"
        yield f"{ident('breakdown_key')} = ''"


def _by_platform(capabilities: Capabilities, default: str, overrides: Mapping[str, str]) -> str:
    text = capabilities.text
    if not overrides:
        return text(default)
    cases = " ".join(
        f"WHEN {text(platform)} THEN {text(value)}" for platform, value in overrides.items()
    )
    return f"CASE {capabilities.ident('platform')} {cases} ELSE {text(default)} END"
