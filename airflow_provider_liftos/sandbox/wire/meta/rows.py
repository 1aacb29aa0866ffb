"""Insights rows: grouping facts, and writing what was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import Any

import msgspec

from airflow_provider_liftos.sandbox.dataset import Entity
from airflow_provider_liftos.sandbox.dataset.division import Cell, describe, divide
from airflow_provider_liftos.sandbox.dataset.facts import Fact
from airflow_provider_liftos.sandbox.dataset.metrics import Metrics

from .calendar_presets import Days, months_back
from .row_fields import FIELDS, Row, Scene
from .selection import measured

_DETAIL_MONTHS = 13
_FREQUENCY_MONTHS = 6

_BELOW_GROUP = frozenset({"ad_id", "ad_name"})
_BELOW_CAMPAIGN = _BELOW_GROUP | {"adset_id", "adset_name", "optimization_goal"}
_BELOW_ACCOUNT = _BELOW_CAMPAIGN | {"campaign_id", "campaign_name", "objective", "buying_type"}


def block(scene: Scene, days: Days) -> list[bytes]:
    """Return the rows of one period, each as JSON."""
    write = _writer(scene)
    encode = msgspec.json.encode
    rows = (row.close() for row in _grouped(scene, days))
    return [encode(write(row)) for row in wanted(scene, rows)]


def sorted_rows(scene: Scene, periods: Sequence[Days]) -> list[bytes]:
    """Return the rows of all periods in the order that ``sort`` asks for."""
    rows = [row.close() for days in periods for row in _grouped(scene, days)]
    for one in reversed(scene.query.sort):
        field, _, direction = one.rpartition("_")
        rows.sort(
            key=lambda row, field=field: _sortable(row, field, scene),  # type: ignore[misc]
            reverse=direction == "descending",
        )
    write = _writer(scene)
    return [msgspec.json.encode(write(row)) for row in wanted(scene, rows)]


def summary(scene: Scene, periods: Sequence[Days], fields: Sequence[str]) -> dict[str, Any] | None:
    """Return all rows as one, with some fields; None without rows."""
    whole: Row | None = None
    for days in periods:
        for row in _grouped(scene, days):
            if whole is None:
                whole = row
            else:
                whole.add(Cell((), Metrics(*row.metrics), row.reach_sum))
    if whole is None:
        return None
    whole.since, whole.until = scene.query.since, scene.query.until
    whole.close()
    shown = {name: FIELDS[name](whole, scene) for name in fields if name in FIELDS}
    kept = {name: value for name, value in shown.items() if value is not None}
    return {**kept, "date_start": str(whole.since), "date_stop": str(whole.until)}


def wanted(scene: Scene, rows: Iterator[Row] | list[Row]) -> Iterator[Row]:
    """Leave out the rows that filters on numbers exclude."""
    conditions = measured(scene.query)
    for row in rows:
        if all(one.holds(FIELDS[one.field](row, scene) or "0") for one in conditions):
            yield row


def _sortable(row: Row, field: str, scene: Scene) -> tuple[float, str]:
    value = str(FIELDS[field](row, scene) or "0") if field in FIELDS else "0"
    try:
        return float(value), ""
    except ValueError:
        return 0.0, value


_LEVEL_KEYS: dict[str, Callable[[Entity], Any]] = {
    "account": lambda _: "",
    "campaign": lambda ad: ad.campaign.index if ad.campaign else -1,
    "ad_group": lambda ad: ad.group.index if ad.group else -1,
    "ad": lambda ad: ad.index,
}


def _grouped(scene: Scene, days: Days) -> list[Row]:
    """Gather a period's facts into rows: by entity and breakdown values."""
    key_of = _LEVEL_KEYS[scene.query.level]
    rows: dict[tuple[Any, ...], Row] = {}
    for fact in _facts(scene, days):
        entity = key_of(fact.ad)
        for cell in divide(fact, scene.query.breakdowns):
            key = (entity, *map(describe, cell.values))
            row = rows.get(key)
            if row is None:
                rows[key] = Row(
                    fact.ad, scene.account, *days, cell.values, cell.metrics, cell.reach, cell.reach
                )
            else:
                row.add(cell)
    return list(rows.values())


def _facts(scene: Scene, days: Days) -> Iterator[Fact]:
    since, until = days
    first = max(since, scene.dataset.first_day(scene.account), _kept_since(scene))
    for ordinal in range(first.toordinal(), min(until, scene.moment.today).toordinal() + 1):
        yield from scene.dataset.day(
            scene.account, date.fromordinal(ordinal), scene.moment, scene.ads
        )


def _kept_since(scene: Scene) -> date:
    """Return the day before which nothing is kept: the answer is empty, not an error."""
    if any(name.startswith("hourly_") for name in scene.query.breakdowns):
        return months_back(scene.moment.today, _DETAIL_MONTHS)
    if "frequency_value" in scene.query.breakdowns:
        return months_back(scene.moment.today, _FREQUENCY_MONTHS)
    return date.min


def _writer(scene: Scene) -> Callable[[Row], dict[str, Any]]:
    """Return a function that writes a row; what can be decided once is decided here."""
    query = scene.query
    silent = _silent_fields(scene)
    getters = [
        (name, FIELDS[name]) for name in query.fields if name in FIELDS and name not in silent
    ]
    names = query.breakdowns

    def write(row: Row) -> dict[str, Any]:
        written: dict[str, Any] = {}
        for name, getter in getters:
            value = getter(row, scene)
            if value:
                written[name] = value
        parts = zip(names, row.values, strict=True)
        written.update((name, value) for name, value in parts if value is not None)
        written["date_start"] = row.since.isoformat()
        written["date_stop"] = row.until.isoformat()
        return written

    return write


def _silent_fields(scene: Scene) -> set[str]:
    """Return the fields that are left out without a word."""
    query, people = scene.query, {"reach", "frequency", "cpp"}
    silent = {"account": _BELOW_ACCOUNT, "campaign": _BELOW_CAMPAIGN, "ad_group": _BELOW_GROUP}
    left_out = set(silent.get(query.level, ()))
    if any(name.startswith("hourly_") for name in query.breakdowns):
        unique = {name for name in FIELDS if "unique" in name or name.startswith("video_")}
        left_out |= people | unique
    elif (
        query.breakdowns
        and scene.sync
        and query.since < months_back(scene.moment.today, _DETAIL_MONTHS)
    ):
        left_out |= people
    return left_out
