"""Reports of Google Ads: prebuilt ones, checks before anything is sent, queries for a slice."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.model.platform import Coverage, Credentials, Streamed
from airflow_provider_liftos.model.report import DEFAULT_WINDOW, Level, Report, Slice
from airflow_provider_liftos.platforms.google_ads import gaql, resources, schema, wire
from airflow_provider_liftos.platforms.google_ads.resources import DAY, IDS, Resource

NEWEST = "v26"
"""The version whose fields reports are checked by."""

CONVERSIONS = (
    "metrics.conversions",
    "metrics.conversions_value",
    "metrics.all_conversions",
    "metrics.all_conversions_value",
)
DELIVERY = (
    "metrics.impressions",
    "metrics.clicks",
    "metrics.cost_micros",
    *CONVERSIONS,
    "metrics.view_through_conversions",
)
_QUOTIENT = re.compile(
    r"average_|_rate|\.ctr|_share|_percentage|_score|cost_per_|value_per_|benchmark_"
)
"""Metrics that cannot be added up."""

UNIFIED = {
    "metrics.impressions": "impressions",
    "metrics.clicks": "clicks",
    "metrics.cost_micros": "spend",
    "metrics.conversions": "conversions",
    "metrics.conversions_value": "conversions_value",
    "metrics.video_trueview_views": "video_views",
}
"""Metrics that fill a column of their own."""

_PRESETS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "basic": ((), DELIVERY),
    "keyword": (("keyword_id", "keyword_text", "keyword_match_type"), DELIVERY),
    "search_term": (
        ("keyword_id", "keyword_text", "search_query", "search_match_type"),
        DELIVERY,
    ),
    "demographics_country": (("country",), DELIVERY),
    "demographics_region": (("country", "region"), DELIVERY),
    "demographics_age": (("age",), DELIVERY),
    "demographics_gender": (("gender",), DELIVERY),
    "delivery_device": (("device",), DELIVERY),
    "delivery_network": (("network",), DELIVERY),
    "hourly": (("hour",), DELIVERY),
    "conversion_action": (("conversion_action", "conversion_action_id"), CONVERSIONS),
    "click_view": (("gclid", "ad", "keyword_text", "keyword_match_type"), ("metrics.clicks",)),
    "asset": (("asset_id", "asset_field_type", "asset_text"), DELIVERY),
}
"""Breakdowns and metrics by name; the names are Meta's where a report is the same."""
_OF_SINGLE_ROWS: Mapping[str, tuple[str, ...]] = {
    "keyword": ("metrics.historical_quality_score",),
}
"""Further metrics that cannot be added up, for the level at which nothing has to be."""


def _preset(name: str) -> Callable[[Level], Report]:
    breakdowns, metrics = _PRESETS[name]

    def make(level: Level) -> Report:
        report = Report(name=name, level=level, breakdowns=breakdowns, metrics=metrics)
        _at_level(report)
        more = _OF_SINGLE_ROWS.get(name, ())
        return replace(report, metrics=(*metrics, *more)) if not is_added(report) else report

    return make


PRESETS = {name: _preset(name) for name in _PRESETS}


# -- what a report is read from -----------------------------------------------------------------


def resource(report: Report) -> Resource:
    """What the report's query is FROM: a view that one of its breakdowns needs, or its level."""
    if report.query:
        name = gaql.parse(report.query).resource
        known = resources.VIEWS.get(name) or resources.CORE.get(name)
        return known or Resource(name=name, level=report.level)
    found = [
        view
        for view in resources.VIEWS.values()
        if all(_fits(view, name) for name in report.breakdowns)
    ]
    plain = resources.at(report.level)
    return plain if all(_fits(plain, name) for name in report.breakdowns) else _one(found, report)


def _fits(resource: Resource, name: str) -> bool:
    if name in resource.breakdowns or name in resources.SEGMENTS:
        return True
    if "." not in name:
        return False
    head = name.partition(".")[0]
    views = [
        v for v in resources.VIEWS.values() if any(b.field == name for b in v.breakdowns.values())
    ]
    return head == resource.name or (head in _OWNERS and (not views or resource in views))


_OWNERS = {"segments", "customer", "campaign", "ad_group", "ad_group_ad", "ad_group_criterion",
           "asset", "campaign_budget", "bidding_strategy"}  # fmt: skip


def _one(found: list[Resource], report: Report) -> Resource:
    if found:
        return found[0]
    known = resources.known()
    for name in report.breakdowns:
        if "." not in name and name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
            raise ConfigurationError(f"Google Ads has no breakdown {name!r}; {hint}")
    raise ConfigurationError(
        f"Google Ads does not combine the breakdowns {', '.join(report.breakdowns)}: they come from"
        " different views; ask for them in reports of their own"
    )


def is_added(report: Report) -> bool:
    """Whether several rows of the view make one of the report."""
    view = resource(report)
    if view.core or f"{view.name}.resource_name" in report.breakdowns:
        return False
    levels = list(Level)
    finer = levels.index(view.level) > levels.index(report.level)
    by_owner = view.name != "geographic_view" and finer  # geographic rows are of no owner
    return by_owner or not set(view.keys) <= set(report.breakdowns)


def coverage(report: Report) -> Coverage:
    """Rows whose selected metrics are all zero are dropped by Google as soon as days are asked for.

    So a row stands for every day with delivery only where delivery is selected, of everything that
    delivers: views and segments of conversions leave parts out, and campaigns of Performance Max
    have no ad groups and no ads.
    """
    view = resource(report)
    dense = view.core and "metrics.impressions" in report.metrics and not _of_conversions(report)
    named = {resources.breakdown(view, name).field for name in report.breakdowns}
    return Coverage(
        sparse=not dense or bool(report.query),
        partial=not dense or report.level in {Level.AD_GROUP, Level.AD},
        overlapping=view.overlapping or bool(named & resources.OVERLAPPING),
    )


def kept_days(report: Report) -> int | None:
    """Clicks are kept for 90 days, which are 89 where a zone is a day behind."""
    return 89 if resource(report).name == "click_view" else None


def longest(report: Report) -> int | None:
    """Clicks are told day by day."""
    return 1 if resource(report).name == "click_view" else None


# -- checks -------------------------------------------------------------------------------------


def check(report: Report) -> Report:
    """The report with full names; ConfigurationError names what Google would refuse."""
    if report.query:
        report = _of_query(report)
    metrics = tuple(dict.fromkeys(_full(name) for name in report.metrics)) or DELIVERY
    report = replace(report, metrics=metrics, attribution_windows=(DEFAULT_WINDOW,)
                     if not report.attribution_windows else report.attribution_windows)  # fmt: skip
    if len(set(report.breakdowns)) != len(report.breakdowns):
        raise ConfigurationError(f"a breakdown is named twice: {', '.join(report.breakdowns)}")
    if report.action_breakdowns:
        raise ConfigurationError(
            "Google Ads has no action breakdowns; take the breakdown conversion_action"
        )
    if report.attribution_windows != (DEFAULT_WINDOW,):
        raise ConfigurationError(
            "Google Ads has no attribution windows to choose from: each conversion action has its"
            " own; leave attribution_windows out"
        )
    if report.time_increment != 1:
        raise ConfigurationError(f"time_increment is {report.time_increment}; Google counts days")
    _possible(report)
    for name in fields(report):
        schema.require(NEWEST, name)
    return report


def _full(name: str) -> str:
    return name if "." in name else f"metrics.{name}"


def _at_level(report: Report) -> None:
    view, levels = resource(report), list(Level)
    if levels.index(report.level) > levels.index(view.level):
        raise ConfigurationError(
            f"report {report.name!r} is read from {view.name}, which has no rows of level"
            f" {report.level}; ask at level {view.level} or coarser"
        )


def _possible(report: Report) -> None:
    view = resource(report)
    _at_level(report)
    for name in report.metrics:
        if not name.startswith("metrics."):
            raise ConfigurationError(f"{name!r} is no metric; name it among the breakdowns")
        if _of_conversions(report) and "conversion" not in name:
            raise ConfigurationError(
                f"metric {name!r} cannot be broken down by conversion actions; ask for it in a"
                " report of its own"
            )
        if is_added(report) and _QUOTIENT.search(name):
            raise ConfigurationError(
                f"metric {name!r} cannot be added up over rows of {view.name}; ask at level"
                f" {view.level} with the breakdowns {', '.join(view.keys)}"
            )


def _of_conversions(report: Report) -> bool:
    view = resource(report)
    named = [resources.breakdown(view, name).field for name in report.breakdowns]
    return any(name.startswith(resources.OF_CONVERSIONS) for name in named)


def _of_query(report: Report) -> Report:
    """A report of the user's own query: its fields as metrics and breakdowns, days by the window.

    Whatever is neither a metric nor the id or name of an owner tells its rows apart.
    """
    query = gaql.parse(report.query)
    if query.rest:
        raise ConfigurationError(
            f"a report holds all rows of its days; take {query.rest.partition(' ')[0]} out of the"
            " query"
        )
    if not schema.is_resource(NEWEST, query.resource):
        raise ConfigurationError(f"Google Ads has no resource {query.resource!r}")
    dated = [one for one in query.conditions if one.startswith("segments.date ")]
    if dated:
        raise ConfigurationError(
            f"the run's window says which days are asked for; take {dated[0]!r} out of the query"
        )
    level = _level(query)
    owners = {f"{owner}.{part}" for owner, _ in IDS[level] for part in ("id", "name")}
    metrics = tuple(name for name in query.fields if name.startswith("metrics."))
    if not metrics:
        raise ConfigurationError("a report needs a metric; for lists use the hook's search()")
    rest = [
        name for name in query.fields if name not in {*metrics, *owners, *resources.ACCOUNT, DAY}
    ]
    if query.resource not in resources.CORE:
        rest.append(f"{query.resource}.resource_name")
    return replace(report, level=level, metrics=metrics, breakdowns=tuple(dict.fromkeys(rest)))


def _level(query: gaql.Query) -> Level:
    """The finest owner that is asked for, or that the resource has rows of."""
    if query.resource in resources.CORE:
        return resources.CORE[query.resource].level
    for level in reversed(Level):
        if IDS[level] and f"{IDS[level][-1][0]}.id" in query.fields:
            return level
    return Level.ACCOUNT


# -- queries ------------------------------------------------------------------------------------


def fields(report: Report) -> list[str]:
    """Everything that the query of a report selects."""
    view = resource(report)
    owners = [f"{owner}.{part}" for owner, _ in IDS[report.level] for part in ("id", "name")]
    parts = [resources.breakdown(view, name).field for name in report.breakdowns]
    if is_added(report):
        parts.append(f"{view.name}.resource_name")  # rows that are alike are two nevertheless
    return list(dict.fromkeys((DAY, *resources.ACCOUNT, *owners, *parts, *report.metrics)))


def question(cut: Slice) -> gaql.Query:
    """The query of a slice; a search for ids asks for ids alone."""
    report = cut.report
    if report is None:
        raise ConfigurationError(f"slice {cut.label} is not of a report")
    own = f"{IDS[report.level][-1][0]}.id" if IDS[report.level] else ""
    asked = [own] if cut.find_ids else [n for n in fields(report) if n not in cut.without]
    conditions = [f"{DAY} BETWEEN '{cut.window.since}' AND '{cut.window.until}'"]
    if report.query:
        conditions += gaql.parse(report.query).conditions
    if cut.ids and cut.ids.values and own:
        conditions.append(gaql.one_of(own, cut.ids.values, negated=cut.ids.everything_else))
    return gaql.Query(
        fields=tuple(asked),
        resource=resource(report).name,
        conditions=tuple(conditions),
        rest="PARAMETERS omit_unselected_resource_names=true",
    )


def at_once(cut: Slice, credentials: Credentials) -> Streamed:
    """Every report is read in one stream."""
    query = question(cut)
    version = credentials.version
    # What a version does not know it will refuse by name; the rest of the row is read without.
    leaves = [leaf for name in query.fields if (leaf := schema.leaf(version, name))]
    return wire.stream(query.text, tuple(leaves), cut.account_id, credentials)
