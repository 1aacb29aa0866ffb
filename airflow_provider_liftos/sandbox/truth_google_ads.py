"""Truth of Google Ads: fractional conversions, keywords, and its own breakdowns.

Breakdowns: ``age``, ``gender``, ``country``, ``region``, ``device``, ``network``, ``hour``,
``conversion_action``, ``search_term``, ``headline``, ``description``, ``location_type`` (which
geographic rows are always split by); values are the platform's
own words (``AGE_RANGE_18_24``, ``MOBILE``). Level ``keyword`` lies below ``ad_group``. Sums of a
breakdown may be less than the whole where the platform hides parts: search terms of few people,
demographics of shopping campaigns, keywords outside of search.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from .dataset import Account, Dataset, Fact
from .dataset.google_ads import (
    ALL_CONVERSIONS,
    ALL_VALUES,
    CONVERSIONS,
    ORDER,
    VALUES,
    Weights,
    action_id,
    cells,
    hundredths,
    keywords,
    location_type,
)
from .dataset.metrics import DEFAULT_WINDOW, Metrics
from .truth import LEVELS, Question, UnknownTruthError, accounts_of, major

KEYWORD = "keyword"
_KNOWN_HOW = "location_type"
_DIMENSION_OF = {"country": "place", "region": "place"}
BREAKDOWNS = (
    *("age", "gender", "country", "region", "device", "network", "hour"),
    *("conversion_action", "search_term", "headline", "description", "location_type"),
)
_COUNTS = ("impressions", "clicks", "spend")
_WEIGHED: dict[str, Weights] = {
    "conversions": CONVERSIONS,
    "conversions_value": VALUES,
    "all_conversions": ALL_CONVERSIONS,
    "all_conversions_value": ALL_VALUES,
}
_SUMMED = (*_COUNTS, *_WEIGHED, "view_through_conversions")


def ask(question: Question, dataset: Dataset) -> dict[str, Any]:
    """Return ``{"rows": [...], "sums": {...}}``; raises UnknownTruthError for nonsense."""
    _check(question)
    rows = [
        row
        for account in accounts_of(question.account, dataset)
        for row in _account_rows(question, account, dataset)
    ]
    sums = {name: _sum(row[name] for row in rows) for name in _SUMMED}
    return {"rows": rows, "sums": {**sums, "rows": len(rows)}, "withheld": []}


def keyword_entities(account: str | None, dataset: Dataset) -> dict[str, Any]:
    """Return the keywords of all ad groups."""
    rows = [
        {
            "account_id": one.id,
            "ad_group_id": group.id,
            "id": word.id,
            "name": word.text,
            "match_type": word.match_type,
        }
        for one in accounts_of(account, dataset)
        for group in dataset.book(one).groups
        for word in keywords(group)
    ]
    return {"rows": rows, "sums": {"rows": len(rows), "deleted": 0, "listed": len(rows)}}


def _check(question: Question) -> None:
    if question.level not in (*LEVELS, KEYWORD):
        known = ", ".join((*LEVELS, KEYWORD))
        raise UnknownTruthError(f"level={question.level!r} is none of {known}")
    for name in question.breakdowns:
        if name not in BREAKDOWNS:
            raise UnknownTruthError(f"breakdown={name!r} is none of {', '.join(BREAKDOWNS)}")
    if question.window != DEFAULT_WINDOW:
        raise UnknownTruthError("Google Ads has no attribution windows to choose from")


def _dimensions(question: Question) -> list[str]:
    asked = {_DIMENSION_OF.get(name, name) for name in question.breakdowns if name != _KNOWN_HOW}
    if question.level == KEYWORD:
        asked.add(KEYWORD)
    return sorted(asked, key=ORDER.index)


def _account_rows(
    question: Question, account: Account, dataset: Dataset
) -> Iterator[dict[str, Any]]:
    at = dataset.moment(account, question.as_of)
    first = max(question.since, dataset.first_day(account))
    last = min(question.until, at.today)
    names = _dimensions(question)
    for ordinal in range(first.toordinal(), last.toordinal() + 1):
        day = date.fromordinal(ordinal)
        groups: dict[tuple[str, ...], dict[str, Any]] = {}
        for fact in dataset.day(account, day, at):
            for cell in cells(fact, names):
                values = dict(zip(names, cell.values, strict=True))
                key = _key(fact, question, values)
                row = groups.setdefault(tuple(key.values()), {**key, **dict.fromkeys(_SUMMED, 0)})
                _add(row, cell.metrics)
        for row in groups.values():
            if any(row[name] for name in _SUMMED):
                yield _dressed(row, account)


def _key(fact: Fact, question: Question, values: dict[str, Any]) -> dict[str, str]:
    ad = fact.ad
    key = {"date": fact.day.isoformat(), "account_id": ad.account.id}
    depth = {"account": 0, "campaign": 1, "ad_group": 2, KEYWORD: 2, "ad": 3}[question.level]
    owners = (("campaign_id", ad.campaign), ("ad_group_id", ad.group), ("ad_id", ad))
    key |= {name: owner.id if owner else "" for name, owner in owners[:depth]}
    if question.level == KEYWORD:
        key["keyword_id"] = values[KEYWORD].id
        key["keyword"] = values[KEYWORD].text
        key["match_type"] = values[KEYWORD].match_type
    for name in question.breakdowns:
        if name == _KNOWN_HOW:
            key[name] = location_type(ad)
            continue
        key |= _SHOWN.get(name, _plain(name))(values[_DIMENSION_OF.get(name, name)], ad.account)
    return key


Shown = Callable[[Any, Account], dict[str, str]]


def _plain(name: str) -> Shown:
    return lambda value, _: {name: str(value)}


_SHOWN: dict[str, Shown] = {
    "country": lambda place, _: {"country": place.country},
    "region": lambda place, _: {
        "country": place.country,
        "region": place.region,
        "region_id": str(place.region_id or ""),
    },
    "conversion_action": lambda action, account: {
        "conversion_action": action.name,
        "conversion_action_id": action_id(account, action),
    },
    "search_term": lambda pair, _: {"keyword_id": pair[0].id, "search_term": pair[1]},
}


def _add(row: dict[str, Any], metrics: Metrics) -> None:
    for name in _COUNTS:
        row[name] += getattr(metrics, name)
    for name, weights in _WEIGHED.items():
        row[name] += hundredths(metrics, weights)
    row["view_through_conversions"] += metrics.buy_1v


def _dressed(row: dict[str, Any], account: Account) -> dict[str, Any]:
    """Write money in major units and fractions as decimal texts."""
    row["spend"] = major(row["spend"], account.minor)
    for name in _WEIGHED:
        scale = 100 * (account.minor if name.endswith("_value") else 1)
        row[name] = str(Decimal(row[name]) / scale)
    return {**row, "currency": account.currency, "timezone": account.timezone}


def _sum(values: Iterator[Any] | Sequence[Any]) -> Any:
    listed = list(values)
    if any(isinstance(value, str) for value in listed):
        return str(sum(map(Decimal, listed), Decimal(0)))
    return sum(listed)
