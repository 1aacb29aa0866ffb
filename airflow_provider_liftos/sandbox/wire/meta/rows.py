"""Insights rows: grouping facts and writing the fields asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from operator import add
from typing import Any

import msgspec

from ...dataset import Account, Dataset, Entity, Moment
from ...dataset.dimensions import Cell, Value, describe, divide
from ...dataset.facts import Fact
from ...dataset.metrics import Metrics, joint_reach
from ...truth import major
from . import actions
from .actions import quotient
from .calendar_presets import Days, months_back
from .nodes import NODE_KINDS, View
from .query import Query
from .selection import chosen_ads, measured

_DETAIL_MONTHS = 13
_FREQUENCY_MONTHS = 6


@dataclass(slots=True)
class Row:
    """One row to be: its entities, its days, its numbers."""

    ad: Entity
    account: Account
    since: date
    until: date
    values: tuple[Value, ...]
    metrics: Sequence[int]
    reach_sum: int
    reach_most: int
    m: Metrics = Metrics(*(0,) * len(Metrics._fields))
    reach: int = 0

    def add(self, cell: Cell) -> None:
        """Take another part in."""
        self.metrics = list(map(add, self.metrics, cell.metrics))
        self.reach_sum += cell.reach
        self.reach_most = max(self.reach_most, cell.reach)

    def close(self) -> Row:
        """Fix the numbers."""
        self.m = self.metrics if isinstance(self.metrics, Metrics) else Metrics(*self.metrics)
        self.reach = joint_reach(self.reach_sum, self.reach_most)
        return self


@dataclass(frozen=True, slots=True)
class Scene:
    """The moment and the query that rows are written for."""

    query: Query
    dataset: Dataset
    account: Account
    moment: Moment
    view: View
    sync: bool


Getter = Callable[[Row, Scene], Any]


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
    value = FIELDS[field](row, scene) if field in FIELDS else None
    try:
        return float(value), ""
    except (TypeError, ValueError):
        return 0.0, str(value)


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
    ads = chosen_ads(scene.query, scene.dataset, scene.view)
    for ordinal in range(first.toordinal(), min(until, scene.moment.today).toordinal() + 1):
        yield from scene.dataset.day(scene.account, date.fromordinal(ordinal), scene.moment, ads)


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
        for name, value in zip(names, row.values, strict=True):
            if value is not None:
                written[name] = value
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


_BELOW_GROUP = frozenset({"ad_id", "ad_name"})
_BELOW_CAMPAIGN = _BELOW_GROUP | {"adset_id", "adset_name", "optimization_goal"}
_BELOW_ACCOUNT = _BELOW_CAMPAIGN | {"campaign_id", "campaign_name", "objective", "buying_type"}


def _owner(row: Row, scene: Scene) -> Entity | None:
    levels = {"campaign": row.ad.campaign, "ad_group": row.ad.group, "ad": row.ad}
    return levels.get(scene.query.level)


def _name(entity: Entity | None, scene: Scene) -> str | None:
    return entity.name(scene.view.today) if entity else None


def _day_of(row: Row, scene: Scene, *, updated: bool) -> str | None:
    owner = _owner(row, scene)
    if owner is None:
        return None
    moment = owner.updated_at(scene.view.today) if updated else owner.created_at
    return moment.astimezone(row.account.zone).date().isoformat()


def _from_node(kind: str, field: str) -> Getter:
    getter = NODE_KINDS[kind].fields[field]
    pick_owner: Callable[[Entity], Entity | None] = (
        (lambda ad: ad.campaign) if kind == "campaign" else (lambda ad: ad.group)
    )
    return lambda row, scene: getter(pick_owner(row.ad), scene.view)


def _count(number: int) -> str | None:
    return str(number) if number else None


def _metric(name: str) -> Getter:
    at = Metrics._fields.index(name)
    return lambda row, _: _count(row.m[at])


def _video(name: str) -> Getter:
    at = Metrics._fields.index(name)
    return lambda row, _: actions.single("video_view", row.m[at])


def _money(amount: int, row: Row) -> str | None:
    return major(amount, row.account.minor) if amount else None


def _per(row: Row, count: int) -> str | None:
    return quotient(row.m.spend, row.account.minor * count)


def _unique_clicks(row: Row) -> int:
    return min(row.reach, row.m.clicks * 93 // 100 + (row.m.clicks > 0))


def _roas(*kinds: str) -> Getter:
    return lambda row, scene: actions.ratios(
        row.m,
        omni=row.account.omni,
        minor=row.account.minor,
        windows=scene.query.windows,
        kinds=kinds,
    )


FIELDS: dict[str, Getter] = {
    "account_id": lambda row, _: row.account.id,
    "account_name": lambda row, _: row.account.name,
    "account_currency": lambda row, _: row.account.currency,
    "campaign_id": lambda row, _: row.ad.campaign and row.ad.campaign.id,
    "campaign_name": lambda row, scene: _name(row.ad.campaign, scene),
    "adset_id": lambda row, _: row.ad.group and row.ad.group.id,
    "adset_name": lambda row, scene: _name(row.ad.group, scene),
    "ad_id": lambda row, _: row.ad.id,
    "ad_name": lambda row, scene: _name(row.ad, scene),
    "objective": _from_node("campaign", "objective"),
    "buying_type": _from_node("campaign", "buying_type"),
    "optimization_goal": _from_node("ad_group", "optimization_goal"),
    "attribution_setting": lambda _, __: "7d_click_1d_view",
    "created_time": lambda row, scene: _day_of(row, scene, updated=False),
    "updated_time": lambda row, scene: _day_of(row, scene, updated=True),
    "impressions": _metric("impressions"),
    "clicks": _metric("clicks"),
    "inline_link_clicks": _metric("link_clicks"),
    "spend": lambda row, _: _money(row.m.spend, row),
    "social_spend": lambda row, _: _money(row.m.spend // 50, row),
    "reach": lambda row, _: _count(row.reach),
    "frequency": lambda row, _: quotient(row.m.impressions, row.reach),
    "cpc": lambda row, _: _per(row, row.m.clicks),
    "cpm": lambda row, _: quotient(row.m.spend * 1000, row.account.minor * row.m.impressions),
    "cpp": lambda row, _: quotient(row.m.spend * 1000, row.account.minor * row.reach),
    "ctr": lambda row, _: quotient(row.m.clicks * 100, row.m.impressions),
    "inline_link_click_ctr": lambda row, _: quotient(row.m.link_clicks * 100, row.m.impressions),
    "cost_per_inline_link_click": lambda row, _: _per(row, row.m.link_clicks),
    "inline_post_engagement": lambda row, _: _count(
        row.m.link_clicks + row.m.reactions + row.m.comments + row.m.video_views
    ),
    "unique_clicks": lambda row, _: _count(_unique_clicks(row)),
    "unique_ctr": lambda row, _: quotient(_unique_clicks(row) * 100, row.reach),
    "cost_per_unique_click": lambda row, _: _per(row, _unique_clicks(row)),
    "outbound_clicks": lambda row, _: actions.single("outbound_click", row.m.outbound_clicks),
    "actions": lambda row, scene: actions.counted(
        row.m,
        omni=row.account.omni,
        windows=scene.query.windows,
        breakdowns=scene.query.action_breakdowns,
    ),
    "action_values": lambda row, scene: actions.valued(
        row.m, omni=row.account.omni, windows=scene.query.windows, minor=row.account.minor
    ),
    "cost_per_action_type": lambda row, _: actions.costs(
        row.m, omni=row.account.omni, minor=row.account.minor
    ),
    "purchase_roas": _roas("omni_purchase"),
    "website_purchase_roas": _roas("offsite_conversion.fb_pixel_purchase"),
    "video_play_actions": _video("video_views"),
    "video_p25_watched_actions": _video("video_25"),
    "video_p50_watched_actions": _video("video_50"),
    "video_p75_watched_actions": _video("video_75"),
    "video_p100_watched_actions": _video("video_100"),
    "video_thruplay_watched_actions": _video("thruplays"),
    "quality_ranking": lambda row, scene: (
        ("AVERAGE", "UNKNOWN")[row.ad.index % 2] if scene.query.level == "ad" else None
    ),
}
