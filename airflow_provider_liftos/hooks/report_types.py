"""Report types by name: which of a platform's reports a person means by them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from airflow_provider_liftos.hooks.configuration import Extraction, unknown
from airflow_provider_liftos.model.audience import AUDIENCE, DIMENSIONS, dimension
from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.model.platform import Platform
from airflow_provider_liftos.model.report import Level, Report
from airflow_provider_liftos.model.unified import PERFORMANCE, Role

LEVEL = Level.CAMPAIGN
BASIC = "basic"
DERIVED = ("ctr", "cpc", "cpm", "conversion_rate", "cpa", "roas")
_UNIFIED = tuple(
    column.name
    for column in PERFORMANCE.columns
    if column.role in (Role.METRIC, Role.UNIQUE_METRIC)
)


def reports_for(
    platform: Platform, extraction: Extraction, note: Callable[[str], Any] = lambda _line: None
) -> list[Report | str]:
    """The reports to ask this platform for; ``note`` hears what it does not offer.

    ``campaign_performance`` is every level, and each breakdown at campaign level.
    ``audience_insights`` is the campaigns by age, gender, country, device and interest, or by the
    breakdowns named. ``custom`` is the campaigns by all breakdowns together, or by each of them
    where the platform does not combine them. Quotients are computed by the views, from the numbers
    that every report brings, so none has to be asked for.

    Raises:
        ConfigurationError: a metric or a breakdown that neither we nor the platform know.
    """
    if extraction.report_type == "custom":
        return [f"{BASIC}:{LEVEL}", *_custom(platform, extraction, note)]
    for metric in extraction.metrics:
        if metric not in (*_UNIFIED, *DERIVED):
            raise unknown(metric, (*_UNIFIED, *DERIVED), "extraction.metrics")
    levels: Iterable[Level] = (LEVEL,)
    wanted = extraction.breakdowns
    if extraction.report_type == "campaign_performance":
        levels = Level
    elif not wanted:
        wanted = AUDIENCE
    presets = [_preset(platform, name, note) for name in wanted]
    chosen = dict.fromkeys(f"{preset}:{LEVEL}" for preset in presets if preset)
    return [*(f"{BASIC}:{level}" for level in levels), *chosen]


def _preset(platform: Platform, wanted: str, note: Callable[[str], Any]) -> str | None:
    """The platform's prebuilt report that cuts by this and by as little else as possible."""
    if wanted not in DIMENSIONS:
        raise unknown(wanted, tuple(DIMENSIONS), "extraction.breakdowns")
    offers = [
        (len(report.breakdowns), name)
        for name, report in _presets(platform)
        if wanted in map(dimension, report.breakdowns)
    ]
    if not offers:
        note(f"{platform.name}: no prebuilt report by {wanted}; it is left out there")
        return None
    return min(offers)[1]


def _presets(platform: Platform) -> Iterable[tuple[str, Report]]:
    for name, make in platform.presets.items():
        try:
            report = make(LEVEL)
        except ConfigurationError:  # not at this level
            continue
        if not report.action_breakdowns:
            yield name, report


def _custom(platform: Platform, extraction: Extraction, note: Callable[[str], Any]) -> list[Report]:
    names = [_own(platform, name) for name in extraction.breakdowns]
    breakdowns = [name for name in names if name]
    for name in set(extraction.breakdowns) & set(DIMENSIONS):
        if not _own(platform, name):
            note(f"{platform.name}: no breakdown by {name}; it is left out there")
    own = [metric for metric in extraction.metrics if metric not in (*_UNIFIED, *DERIVED)]

    def report(name: str, cuts: Sequence[str]) -> Report:
        # What a platform gives without being asked by name depends on how it is cut.
        usual = platform.check(Report(name=name, level=LEVEL, breakdowns=tuple(cuts)))
        metrics = dict.fromkeys((*usual.metrics, *own))
        return platform.check(replace(usual, metrics=tuple(metrics)))

    try:
        return [report("custom", breakdowns)]
    except ConfigurationError:
        if len(breakdowns) < 2:
            raise
    return [report(f"custom_{name}", [name]) for name in breakdowns]


def _own(platform: Platform, wanted: str) -> str | None:
    """The platform's own name of a breakdown; what has no common name is taken as its own."""
    if wanted not in DIMENSIONS:
        return wanted
    offers = [
        (len(report.breakdowns), key)
        for _, report in _presets(platform)
        for key in report.breakdowns
        if dimension(key) == wanted
    ]
    return min(offers)[1] if offers else None
