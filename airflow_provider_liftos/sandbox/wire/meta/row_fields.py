"""The fields of an insights row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from operator import add
from typing import Any

from airflow_provider_liftos.sandbox.dataset import Account, Dataset, Entity, Moment
from airflow_provider_liftos.sandbox.dataset.dimensions import Value
from airflow_provider_liftos.sandbox.dataset.division import Cell
from airflow_provider_liftos.sandbox.dataset.metrics import NOTHING, Metrics, joint_reach
from airflow_provider_liftos.sandbox.truth import major

from . import actions
from .actions import quotient
from .node_fields import CAMPAIGN_FIELDS, GROUP_FIELDS, View
from .query import Query


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
    m: Metrics = NOTHING
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
    """The moment and the query that rows are written for; ``ads`` is None for all of them."""

    query: Query
    dataset: Dataset
    account: Account
    moment: Moment
    view: View
    ads: Sequence[Entity] | None
    sync: bool


Getter = Callable[[Row, Scene], Any]


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


def _of_campaign(field: str) -> Getter:
    return lambda row, scene: CAMPAIGN_FIELDS[field](row.ad.campaign, scene.view)


def _of_group(field: str) -> Getter:
    return lambda row, scene: GROUP_FIELDS[field](row.ad.group, scene.view)


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
    "objective": _of_campaign("objective"),
    "buying_type": _of_campaign("buying_type"),
    "optimization_goal": _of_group("optimization_goal"),
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
