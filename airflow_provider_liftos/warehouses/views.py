"""The views people report from, named and shaped as dbt_ad_reporting's.

Each reads one un-broken report per platform in one attribution window, so that spend never fans
out. ``keyword_report`` and ``search_report`` read the reports ``keyword`` and ``search_term``: rows
of level ad_group that hold, under ``breakdowns``, the values that become columns here.

Money stands in the account's currency and, beside it, in the reporting currency: spend and
conversion value of a row by the same rate, that of the row's day, crossed over the euro.
``fx_date`` is the day it was published for, null where nothing had to be converted. Without a rate
(or with two of them) the converted amounts are null, never 0, and ``fx_gaps`` names the account.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from airflow_provider_liftos.model.report import DEFAULT_WINDOW, Level
from airflow_provider_liftos.model.unified import FX_RATES, PERFORMANCE, Kind
from airflow_provider_liftos.transforms.rates import BASE
from airflow_provider_liftos.warehouses.contract import Capabilities, Layout
from airflow_provider_liftos.warehouses.record_views import quoted, record_views
from airflow_provider_liftos.warehouses.utc_days import utc_day_views

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
    ``reporting_currency`` is an ISO 4217 code.
    """

    report: str = "basic"
    attribution_window: str = DEFAULT_WINDOW
    country_report: str = "demographics_country"
    region_report: str = "demographics_region"
    keyword_report: str = "keyword"
    search_report: str = "search_term"
    reports: Mapping[str, str] = field(default_factory=dict)
    attribution_windows: Mapping[str, str] = field(default_factory=dict)
    reporting_currency: str = "USD"


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A view: all levels' ids down to ``level``, and maybe breakdown values as columns.

    ``columns`` are named as their keys in ``breakdowns``; the setting of the view's own name says
    which report has them.
    """

    name: str
    level: Level
    columns: tuple[str, ...] = ()


VIEWS = (
    View(name="account_report", level=Level.ACCOUNT),
    View(name="campaign_report", level=Level.CAMPAIGN),
    View(name="ad_group_report", level=Level.AD_GROUP),
    View(name="ad_report", level=Level.AD),
    View(name="country_report", level=Level.CAMPAIGN, columns=("country",)),
    View(name="region_report", level=Level.CAMPAIGN, columns=("region",)),
    View(
        name="keyword_report",
        level=Level.AD_GROUP,
        columns=("keyword_id", "keyword_text", "keyword_match_type"),
    ),
    View(
        name="search_report",
        level=Level.AD_GROUP,
        columns=("keyword_id", "keyword_text", "search_query", "search_match_type"),
    ),
)
FX_GAPS = "fx_gaps"


def create_views(layout: Layout, settings: ViewSettings) -> list[str]:
    """Statements that create all views, or bring them up to date."""
    selects = {view.name: _select(layout, settings, view) for view in VIEWS}
    selects[FX_GAPS] = _gaps(layout, settings)
    selects |= record_views(layout, _report(layout.capabilities, settings))
    selects |= {
        name: quoted(layout.capabilities, text) for name, text in utc_day_views(layout).items()
    }
    return [
        f"CREATE OR REPLACE VIEW {layout.published(name)} AS {select}"
        for name, select in selects.items()
    ]


def _select(layout: Layout, settings: ViewSettings, view: View) -> str:
    capabilities = layout.capabilities
    columns = ", ".join(
        f"{sql} AS {capabilities.ident(name)}"
        for name, sql in _columns(capabilities, settings, view)
    )
    conditions = " AND ".join(_conditions(capabilities, settings, view))
    return f"SELECT {columns} FROM {_with_rates(layout, settings)} WHERE {conditions}"


def _with_rates(layout: Layout, settings: ViewSettings) -> str:
    """Rows of ``performance`` with the rates of their day from and to, where they need them."""
    ident, text = layout.capabilities.ident, layout.capabilities.text
    org, day, currency = ident("org_id"), ident("rate_date"), ident("currency")
    # One row for each key whatever was written into the table: a join must not multiply spend.
    rates = (
        f"(SELECT {org}, {day}, {currency}, min({ident('rate')}) AS {ident('rate')},"
        f" min({ident('fx_date')}) AS {ident('fx_date')} FROM {layout.published(FX_RATES.name)}"
        f" WHERE {ident('base')} = {text(BASE)} GROUP BY {org}, {day}, {currency}"
        f" HAVING count(*) = 1)"
    )
    wanted = text(settings.reporting_currency)
    same_day = f"{{0}}.{org} = p.{org} AND {{0}}.{day} = p.{ident('date')}"
    return (
        f"(SELECT p.*, f.{ident('rate')} AS fx_from, t.{ident('rate')} AS fx_to,"
        f" least(f.{ident('fx_date')}, t.{ident('fx_date')}) AS fx_day"
        f" FROM {layout.published(PERFORMANCE.name)} AS p"
        f" LEFT JOIN {rates} AS f ON {same_day.format('f')} AND f.{currency} = p.{currency}"
        f" LEFT JOIN {rates} AS t ON {same_day.format('t')} AND t.{currency} = {wanted}) AS r"
    )


def _gaps(layout: Layout, settings: ViewSettings) -> str:
    """Accounts with money that cannot be converted, and on how many days."""
    ident, text = layout.capabilities.ident, layout.capabilities.text
    key = ", ".join(map(ident, ("org_id", "platform", "account_id", "currency")))
    day = ident("date")
    return (
        f"SELECT {key}, min({day}) AS {ident('first_day')}, max({day}) AS {ident('last_day')},"
        f" count(DISTINCT {day}) AS {ident('days')} FROM {_with_rates(layout, settings)}"
        f" WHERE {ident('currency')} <> {text(settings.reporting_currency)}"
        f" AND (fx_from IS NULL OR fx_to IS NULL)"
        f" AND ({ident('spend')} <> 0 OR {ident('conversions_value')} <> 0) GROUP BY {key}"
    )


def _columns(
    capabilities: Capabilities, settings: ViewSettings, view: View
) -> Iterator[tuple[str, str]]:
    ident = capabilities.ident
    ids = [name for level in _levels(view.level) for name in _IDS[level]]
    yield from ((name, ident(name)) for name in ("org_id", "platform"))
    yield "date_day", ident("date")
    yield from ((name, ident(name)) for name in ids)
    for name in view.columns:
        key = capabilities.text(name)
        yield name, capabilities.json_text.format(column=ident("breakdowns"), key=key)
    yield from (
        (name, ident(name))
        for name in ("currency", "account_timezone", "attribution_window", *_METRICS)
    )
    yield from _converted(capabilities, settings)
    yield "is_estimated", ident("is_estimated")
    for name, top, bottom, factor in _RATIOS:
        dividend = f"CAST({ident(top)} AS {capabilities.ratio})"
        dividend = dividend if factor == 1 else f"{factor} * {dividend}"
        yield name, f"{dividend} / NULLIF(CAST({ident(bottom)} AS {capabilities.ratio}), 0)"


def _converted(capabilities: Capabilities, settings: ViewSettings) -> Iterator[tuple[str, str]]:
    ident, wanted = capabilities.ident, capabilities.text(settings.reporting_currency)
    same = f"{ident('currency')} = {wanted}"
    for name in ("spend", "conversions_value"):
        sql = capabilities.convert.format(amount=ident(name), times="fx_to", by="fx_from")
        yield f"{name}_reporting", f"CASE WHEN {same} THEN {ident(name)} ELSE {sql} END"
    yield "reporting_currency", f"CAST({wanted} AS {capabilities.types[Kind.TEXT]})"
    known = "fx_from IS NOT NULL AND fx_to IS NOT NULL"
    yield "fx_date", f"CASE WHEN NOT ({same}) AND {known} THEN fx_day END"


def _levels(level: Level) -> tuple[Level, ...]:
    levels = tuple(Level)
    return levels[: levels.index(level) + 1]


def _conditions(capabilities: Capabilities, settings: ViewSettings, view: View) -> Iterator[str]:
    ident, text = capabilities.ident, capabilities.text
    yield f"{ident('level')} = {text(view.level)}"
    yield f"{ident('date')} = {ident('date_end')}"
    windows = _by_platform(capabilities, settings.attribution_window, settings.attribution_windows)
    yield f"{ident('attribution_window')} = {windows}"
    if view.columns:
        yield f"{ident('report')} = {text(getattr(settings, view.name))}"
    else:
        yield f"{ident('report')} = {_report(capabilities, settings)}"
        yield f"{ident('breakdown_key')} = ''"


def _report(capabilities: Capabilities, settings: ViewSettings) -> str:
    """The un-broken report that a row's platform is read from."""
    return _by_platform(capabilities, settings.report, settings.reports)


def _by_platform(capabilities: Capabilities, default: str, overrides: Mapping[str, str]) -> str:
    text = capabilities.text
    if not overrides:
        return text(default)
    cases = " ".join(
        f"WHEN {text(platform)} THEN {text(value)}" for platform, value in overrides.items()
    )
    return f"CASE {capabilities.ident('platform')} {cases} ELSE {text(default)} END"
