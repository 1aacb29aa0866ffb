"""Metrics and segments of a row: what the platform makes of whole numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from airflow_provider_liftos.sandbox.dataset.chance import number
from airflow_provider_liftos.sandbox.dataset.google_ads import (
    ALL_CONVERSIONS,
    ALL_VALUES,
    CONVERSIONS,
    VALUES,
    action_id,
    hundredths,
)
from airflow_provider_liftos.sandbox.dataset.metrics import NOTHING, Metrics

from .dates import first_day
from .listed import constant_name
from .subjects import ATTRIBUTES, Subject

_AT = {name: at for at, name in enumerate(Metrics._fields)}
_RARE = 20
_SHOWN, _CLICKS, _SPENT = _AT["impressions"], _AT["clicks"], _AT["spend"]


@dataclass(slots=True, eq=False)
class Found:
    """A row before it is written: ``parts`` are the segments' values, ``tally`` its numbers."""

    subject: Subject
    day: date | None = None
    parts: tuple[Any, ...] = ()
    tally: Sequence[int] = NOTHING

    def add(self, metrics: Sequence[int]) -> None:
        """Add numbers of the same kind."""
        self.tally = [one + other for one, other in zip(self.tally, metrics, strict=True)]


def _minor(f: Found) -> int:
    return f.subject.customer.account.minor if f.subject.customer.account else 100


def _micros(f: Found) -> int:
    return f.tally[_SPENT] * (1_000_000 // _minor(f))


def _per(top: float, bottom: float) -> float:
    return top / bottom if bottom else 0.0


def _conversions(f: Found) -> float:
    return hundredths(f.tally, CONVERSIONS) / 100


def _all(f: Found) -> float:
    return hundredths(f.tally, ALL_CONVERSIONS) / 100


def _value(f: Found) -> float:
    return hundredths(f.tally, VALUES) / (100 * _minor(f))


def _share(f: Found) -> float | None:
    """Return the impression share: search only, and what is below ten percent as 0.0999."""
    if f.subject.channel != "SEARCH" or not f.tally[_SHOWN]:
        return None
    drawn = number(1000, "share", f.subject.cid, f.tally[_SHOWN]) / 1000
    return 0.0999 if drawn < 0.1 else drawn


def _quality(f: Found) -> float | None:
    """Return a keyword's quality score, 1 to 10; what is rarely shown has none."""
    word = f.subject.values.get("keyword")
    if word is None or f.tally[_SHOWN] < _RARE:
        return None
    return 1 + number(10, "quality", word.id)


METRICS: dict[str, Callable[[Found], float | None]] = {
    "impressions": lambda f: f.tally[_SHOWN],
    "clicks": lambda f: f.tally[_CLICKS],
    "interactions": lambda f: f.tally[_CLICKS],
    "engagements": lambda f: f.tally[_AT["reactions"]],
    "cost_micros": _micros,
    "conversions": _conversions,
    "conversions_value": _value,
    "all_conversions": _all,
    "all_conversions_value": lambda f: hundredths(f.tally, ALL_VALUES) / (100 * _minor(f)),
    "cross_device_conversions": lambda f: float(f.tally[_AT["buy_ev"]]),
    "view_through_conversions": lambda f: f.tally[_AT["buy_1v"]],
    "video_trueview_views": lambda f: f.tally[_AT["thruplays"]],
    "ctr": lambda f: _per(f.tally[_CLICKS], f.tally[_SHOWN]),
    "average_cpc": lambda f: _per(_micros(f), f.tally[_CLICKS]),
    "average_cost": lambda f: _per(_micros(f), f.tally[_CLICKS]),
    "average_cpm": lambda f: _per(_micros(f) * 1000, f.tally[_SHOWN]),
    "cost_per_conversion": lambda f: _per(_micros(f), _conversions(f)),
    "cost_per_all_conversions": lambda f: _per(_micros(f), _all(f)),
    "value_per_conversion": lambda f: _per(_value(f), _conversions(f)),
    "conversions_from_interactions_rate": lambda f: _per(_conversions(f), f.tally[_CLICKS]),
    "search_impression_share": _share,
    "historical_quality_score": _quality,
}

_WEEKDAYS = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")
_MONTHS = (
    *("JANUARY", "FEBRUARY", "MARCH", "APRIL", "MAY", "JUNE", "JULY", "AUGUST"),
    *("SEPTEMBER", "OCTOBER", "NOVEMBER", "DECEMBER"),
)
# By the first day of the period that the row is about.
OF_DAY: dict[str, Callable[[date], Any]] = {
    "date": date.isoformat,
    "week": lambda day: first_day("week", day).isoformat(),
    "month": lambda day: first_day("month", day).isoformat(),
    "quarter": lambda day: first_day("quarter", day).isoformat(),
    "year": lambda day: day.year,
    "day_of_week": lambda day: _WEEKDAYS[day.weekday()],
    "month_of_year": lambda day: _MONTHS[day.month - 1],
}


def _region(place: Any, _: Subject) -> str | None:
    return constant_name(place.region_id) if place.region_id else None


# By the value of the dimension that divides the day, and the subject.
OF_PART: dict[str, tuple[str, Callable[[Any, Subject], Any]]] = {
    "device": ("device", lambda value, _: value),
    "ad_network_type": ("network", lambda value, _: value),
    "hour": ("hour", lambda value, _: int(value)),
    "conversion_action": (
        "conversion_action",
        lambda action, s: s.name(
            "conversionActions", action_id(s.customer.account, action) if s.customer.account else ""
        ),
    ),
    "conversion_action_name": ("conversion_action", lambda action, _: action.name),
    "conversion_action_category": ("conversion_action", lambda action, _: action.category),
    "geo_target_region": ("place", _region),
    "geo_target_most_specific_location": (
        "place",
        lambda place, _: constant_name(place.region_id or place.country_id),
    ),
}
# By the subject alone: the keyword that found a search term.
OF_SUBJECT: dict[str, Callable[[Subject], Any]] = {
    "keyword.ad_group_criterion": ATTRIBUTES["ad_group_criterion"]["resource_name"],
    "keyword.info.text": lambda s: s.values["keyword"].text,
    "keyword.info.match_type": lambda s: s.values["keyword"].match_type,
    "search_term_match_type": lambda s: s.values["keyword"].match_type,
}
