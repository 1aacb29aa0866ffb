"""TikTok's prebuilt reports, and what is checked of every report before anything is asked."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.model.report import DEFAULT_WINDOW, Level, Report
from airflow_provider_liftos.platforms.tiktok import catalog
from airflow_provider_liftos.platforms.tiktok.mapping import audience

DELIVERY = (
    "spend", "impressions", "clicks", "reach", "frequency",
    "video_play_actions", "video_watched_2s", "video_watched_6s", "video_views_p25",
    "video_views_p50", "video_views_p75", "video_views_p100",
    "likes", "comments", "shares", "follows", "profile_visits",
)  # fmt: skip
CONVERSIONS = ("conversion", "real_time_conversion")
EVENTS = tuple(name for pair in catalog.VALUES.items() for name in pair)
BY_AUDIENCE = ("spend", "impressions", "clicks", *CONVERSIONS)
"""What TikTok gives by every audience dimension: neither people nor values."""

_PRESETS: Mapping[str, tuple[str, ...]] = {
    "basic": (),
    "audience_interest": ("interest_category",),
    "delivery_device": ("platform",),
    "delivery_platform": ("placement",),
    "delivery_platform_and_device": ("placement", "platform"),
    "demographics_age": ("age",),
    "demographics_age_and_gender": ("age", "gender"),
    "demographics_country": (catalog.COUNTRY,),
    "demographics_gender": ("gender",),
    "demographics_region": (catalog.COUNTRY, "province_id"),
    "hourly": (catalog.HOUR,),
}


def _preset(name: str) -> Callable[[Level], Report]:
    return lambda level: Report(
        name=name, level=level, breakdowns=_PRESETS[name], metrics=_usual(_PRESETS[name])
    )


def _usual(breakdowns: Sequence[str]) -> tuple[str, ...]:
    if set(breakdowns) - {catalog.HOUR}:
        return BY_AUDIENCE
    usual = (*DELIVERY, *CONVERSIONS, *EVENTS)
    if breakdowns:
        return tuple(name for name in usual if name not in catalog.PEOPLE)
    return usual


PRESETS = {name: _preset(name) for name in _PRESETS}


def check(report: Report) -> Report:
    """The report with default metrics; ConfigurationError names what TikTok would refuse."""
    metrics = tuple(dict.fromkeys(report.metrics)) or _usual(report.breakdowns)
    _known("metric", metrics, catalog.METRICS)
    _known("breakdown", report.breakdowns, catalog.AUDIENCE | {catalog.HOUR})
    if report.action_breakdowns:
        raise ConfigurationError(
            f"TikTok breaks nothing down by actions ({', '.join(report.action_breakdowns)});"
            " ask for the metrics of those events instead"
        )
    if set(report.attribution_windows) - {DEFAULT_WINDOW}:
        raise ConfigurationError(
            "TikTok takes no attribution windows: those of each ad group are counted"
        )
    if report.time_increment != 1:
        raise ConfigurationError(
            f"time_increment is {report.time_increment}; TikTok has rows of one day, and of hours"
            f" by the breakdown {catalog.HOUR!r}"
        )
    _combination(report)
    _people(report, metrics)
    return replace(report, metrics=metrics, attribution_windows=(DEFAULT_WINDOW,))


def _known(what: str, names: Iterable[str], known: frozenset[str]) -> None:
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else "see TikTok's reporting documentation."
            raise ConfigurationError(f"TikTok has no {what} {name!r}; {hint}")


def _combination(report: Report) -> None:
    asked = report.breakdowns
    if len(set(asked)) != len(asked):
        raise ConfigurationError(f"a breakdown is named twice: {', '.join(asked)}")
    if catalog.HOUR in asked and len(asked) > 1:
        raise ConfigurationError(
            f"TikTok does not combine {catalog.HOUR!r} with {', '.join(audience(report))}"
        )
    if len(asked) > catalog.MOST_AUDIENCE:
        raise ConfigurationError(
            f"TikTok combines {catalog.MOST_AUDIENCE} breakdowns at most, not {', '.join(asked)}"
        )
    for name in asked:
        above = catalog.BELOW.get(name)
        if above and above not in asked:
            raise ConfigurationError(f"breakdown {name!r} needs {above!r} beside it")


def _people(report: Report, metrics: Sequence[str]) -> None:
    for name in metrics:
        if name in catalog.PEOPLE and audience(report):
            raise ConfigurationError(
                f"metric {name!r} cannot be broken down by {', '.join(audience(report))}:"
                " TikTok counts people only as a whole; leave one of the two out"
            )
