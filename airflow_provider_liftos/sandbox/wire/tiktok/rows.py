"""The rows of a report: facts gathered by entity, time and audience, and written as texts."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from airflow_provider_liftos.sandbox.dataset import Account, Dataset, Entity, Fact, Moment
from airflow_provider_liftos.sandbox.dataset.dimensions import own_name
from airflow_provider_liftos.sandbox.dataset.division import Cell, describe, divide

from .filters import STATUSES, chooses, measured
from .metrics import ATTRIBUTES, METRICS, MISSING, Row
from .query import Query
from .view import View, passes_status

_CACHED_BYTES = 96 * 2**20
# Where a filter does not name the status of the level itself, the deleted are left out.
_DEFAULT_STATUS = {"campaign": "campaign_status", "ad_group": "adgroup_status", "ad": "ad_status"}

KEYS: dict[str, Callable[[Entity, View], Any]] = {
    "": lambda _, __: "",
    "advertiser_id": lambda ad, _: ad.account.id,
    "campaign_id": lambda ad, _: ad.campaign.id if ad.campaign else "",
    "adgroup_id": lambda ad, _: ad.group.id if ad.group else "",
    "ad_id": lambda ad, _: ad.id,
    "ad_id_v2": lambda ad, view: view.smart_ad(ad),
}


@dataclass(frozen=True, slots=True)
class Scene:
    """One account at one moment, with the ads that a query is about."""

    query: Query
    dataset: Dataset
    account: Account
    moment: Moment
    view: View
    ads: Sequence[Entity]

    @property
    def names(self) -> tuple[str, ...]:
        """Return what facts are divided by."""
        hour = ("stat_time_hour",) if self.query.time == "stat_time_hour" else ()
        return tuple(own_name("tiktok", name) for name in (*hour, *self.query.audience))


def chosen(query: Query, account: Account, view: View) -> list[Entity]:
    """Return the ads that filters and, for what is read at once, the default status leave."""
    passes = chooses(query.filters, view)
    name = "" if query.task else _DEFAULT_STATUS.get(query.level, "")
    owner = STATUSES.get(name)
    by_default = owner is not None and all(one.field != name for one in query.filters)

    def alive(ad: Entity) -> bool:
        if owner is None or not by_default:
            return True
        entity = owner(ad)
        return entity is not None and passes_status(entity, "STATUS_NOT_DELETE", view)

    return [ad for ad in view.dataset.book(account).ads if alive(ad) and passes(ad)]


def gathered(scene: Scene) -> list[Row]:
    """Gather the facts into rows, those without any facts included where no time is asked for."""
    query, rows = scene.query, dict[tuple[Any, ...], Row]()
    key_of, time = KEYS[query.identity], query.time
    cells = _divider(scene)
    for fact in _facts(scene):
        entity = key_of(fact.ad, scene.view)
        for cell in cells(fact):
            when, values = _when(time, fact, cell)
            key = (when, entity, *map(describe, values))
            row = rows.get(key)
            if row is None:
                last = fact.day if time else min(query.until, scene.moment.today)
                row = rows[key] = Row(fact.ad, scene.account, last, when, values)
            row.add(cell)
    if not query.time and not query.audience:
        _fill(scene, rows)
    return [row for row in rows.values() if measured(row, query.filters, scene.view)]


def _fill(scene: Scene, rows: dict[tuple[Any, ...], Row]) -> None:
    """Add the zeros of entities that did nothing: also of those that were born later."""
    last = min(scene.query.until, scene.moment.today)
    for ad in scene.ads:
        key = ("", KEYS[scene.query.identity](ad, scene.view))
        if key not in rows:
            rows[key] = Row(ad, scene.account, last, "", ())


def _facts(scene: Scene) -> Iterator[Fact]:
    query = scene.query
    first = max(query.since, scene.dataset.first_day(scene.account))
    last = min(query.until, scene.moment.today)
    everything = len(scene.ads) == len(scene.dataset.book(scene.account).ads)
    ads = None if everything else scene.ads
    for ordinal in range(first.toordinal(), last.toordinal() + 1):
        day = date.fromordinal(ordinal)
        yield from scene.dataset.day(scene.account, day, scene.moment, ads)


def _divider(scene: Scene) -> Callable[[Fact], Iterator[Cell]]:
    """Return what divides a fact; filters by country keep only the parts of those countries."""
    names = scene.names
    countries = [one for one in scene.query.filters if one.field == "country_code"]
    if not countries:
        return lambda fact: iter(divide(fact, names))
    country = own_name("tiktok", "country_code")
    hidden = country not in names
    asked = (*names, country) if hidden else names
    at = asked.index(country)

    def cells(fact: Fact) -> Iterator[Cell]:
        for cell in divide(fact, asked):
            if all(one.holds(str(cell.values[at])) for one in countries):
                values = cell.values[:-1] if hidden else cell.values
                yield Cell(values, cell.metrics, cell.reach)

    return cells


def _when(time: str, fact: Fact, cell: Cell) -> tuple[str, tuple[Any, ...]]:
    """Return the value of the time dimension, and those of the others."""
    if time == "stat_time_hour":
        return str(cell.values[0]), cell.values[1:]
    return (f"{fact.day} 00:00:00" if time else ""), cell.values


Written = dict[str, dict[str, str]]


def writer(query: Query, view: View) -> Callable[[Row], Written]:
    """Return what writes a row: every dimension and metric asked for, in that order."""
    identity, time, audience = query.identity, query.time, query.audience
    names = query.dimensions
    key_of = KEYS[identity]
    getters = [(name, METRICS.get(name) or ATTRIBUTES[name][1]) for name in query.metrics]

    def write(row: Row) -> Written:
        parts = dict(zip(audience, row.values, strict=True))
        parts[identity], parts[time] = key_of(row.ad, view), row.when
        return {
            "dimensions": {name: str(parts[name]) for name in names},
            "metrics": {name: getter(row, view) for name, getter in getters},
        }

    return write


def ordered(rows: list[Written], order: tuple[str, bool] | None) -> list[Written]:
    """Sort rows by a metric or dimension: numbers by size, texts after them."""
    if order is None:
        return rows
    field, downwards = order

    def key(row: Written) -> tuple[bool, Decimal, str]:
        text = row["metrics"].get(field, row["dimensions"].get(field, ""))
        try:
            return False, Decimal(text if text != MISSING else 0), ""
        except InvalidOperation:
            return True, Decimal(0), text

    return sorted(rows, key=key, reverse=downwards)


def total(rows: Sequence[Row], names: Sequence[str], view: View) -> dict[str, str]:
    """Return the metrics of all rows together."""
    if not rows:
        return {name: MISSING for name in names if name in METRICS}
    first = rows[0]
    whole = Row(first.ad, first.account, max(row.until for row in rows), "", ())
    for row in rows:
        whole.add(Cell((), row.m, row.reach))
    return {name: METRICS[name](whole, view) for name in names if name in METRICS}


class Kept:
    """Rows that were written lately, as JSON, within a bound of bytes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: OrderedDict[Hashable, tuple[list[msgspec.Raw], int]] = OrderedDict()
        self._bytes = 0

    def get(self, key: Hashable) -> list[msgspec.Raw] | None:
        """Return what is kept under ``key``."""
        with self._lock:
            found = self._rows.get(key)
            if found is None:
                return None
            self._rows.move_to_end(key)
            return found[0]

    def keep(self, key: Hashable, rows: list[msgspec.Raw]) -> None:
        """Keep rows, at the cost of older ones."""
        size = sum(map(len, map(bytes, rows))) + 100
        with self._lock:
            if key in self._rows or size > _CACHED_BYTES:
                return
            self._rows[key] = (rows, size)
            self._bytes += size
            while self._bytes > _CACHED_BYTES:
                self._bytes -= self._rows.popitem(last=False)[1][1]
