"""The metrics and attributes of a report row; every value is a text, ``-`` where there is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from operator import add

from airflow_provider_liftos.sandbox.dataset import Account, Entity
from airflow_provider_liftos.sandbox.dataset.dimensions import Value
from airflow_provider_liftos.sandbox.dataset.division import Cell
from airflow_provider_liftos.sandbox.dataset.metrics import (
    DEFAULT_WINDOW,
    NOTHING,
    Metrics,
    joint_reach,
    purchases,
)
from airflow_provider_liftos.sandbox.truth import major

from . import entity_fields as having
from .view import Getter as EntityGetter
from .view import View

MISSING = "-"
LATE_HOURS = 16
"""People are counted, and vouchers settled, so long after the end of a day."""


@dataclass(slots=True)
class Row:
    """One row to be: its entities, its last day, its numbers."""

    ad: Entity
    account: Account
    until: date
    when: str
    values: tuple[Value, ...]
    metrics: Sequence[int] = NOTHING
    reach_sum: int = 0
    reach_most: int = 0

    def add(self, cell: Cell) -> None:
        """Take another part in."""
        first = self.metrics is NOTHING
        self.metrics = cell.metrics if first else list(map(add, self.metrics, cell.metrics))
        self.reach_sum += cell.reach
        self.reach_most = max(self.reach_most, cell.reach)

    @property
    def m(self) -> Metrics:
        """Return the numbers by name."""
        found = self.metrics
        if not isinstance(found, Metrics):
            found = self.metrics = Metrics(*found)
        return found

    @property
    def reach(self) -> int:
        """Return how many people it reached."""
        return joint_reach(self.reach_sum, self.reach_most)

    def settled(self, view: View) -> bool:
        """Say whether what takes sixteen hours is known already."""
        end = datetime.combine(self.until + timedelta(days=1), time(), self.account.zone)
        return view.now >= end + timedelta(hours=LATE_HOURS)


Getter = Callable[[Row, View], str]


def ratio(above: int, below: int, *, scale: int = 1) -> str:
    """Write a quotient with two decimals, rounded half up; ``0.00`` over nothing."""
    if not below:
        return "0.00"
    hundredths = (above * scale * 200 + below) // (below * 2)
    return f"{hundredths // 100}.{hundredths % 100:02d}"


def _count(name: str) -> Getter:
    at = Metrics._fields.index(name)
    return lambda row, _: str(row.m[at])


def _late(getter: Getter) -> Getter:
    return lambda row, view: getter(row, view) if row.settled(view) else MISSING


def _money(amount: int, row: Row) -> str:
    return major(amount, row.account.minor)


def _each(count: Callable[[Row], int]) -> Getter:
    """Return the cost of one of something."""
    return lambda row, _: ratio(row.m.spend, row.account.minor * count(row))


def _percent(above: Callable[[Row], int], below: Callable[[Row], int]) -> Getter:
    return lambda row, _: ratio(above(row), below(row), scale=100)


def _clicks(row: Row) -> int:
    return row.m.clicks


def _shown(row: Row) -> int:
    return row.m.impressions


def _bought(row: Row) -> int:
    return purchases(row.m, DEFAULT_WINDOW)[0]


def _bought_lately(row: Row) -> int:
    """Count by the time of the purchase: what came from clicks, views being counted later."""
    return purchases(row.m, "7d_click")[0]


def _earned(row: Row) -> int:
    return purchases(row.m, DEFAULT_WINDOW)[1]


def _conversions(prefix: str, noun: str, count: Callable[[Row], int]) -> dict[str, Getter]:
    """Return the family of a kind of conversion: number, cost of one, rates by clicks and views."""
    rate = f"{prefix}{noun}_rate"
    return {
        f"{prefix}{noun}": lambda row, _: str(count(row)),
        f"{prefix}cost_per_{noun}": _each(count),
        rate: _percent(count, _clicks),
        f"{rate}_v2": _percent(count, _shown),
    }


def _nothing(_: Row, __: View) -> str:
    return MISSING


METRICS: Mapping[str, Getter] = {
    "spend": lambda row, _: _money(row.m.spend, row),
    "cash_spend": _late(lambda row, _: _money(row.m.spend - row.m.spend // 50, row)),
    "voucher_spend": _late(lambda row, _: _money(row.m.spend // 50, row)),
    "impressions": _count("impressions"),
    "gross_impressions": lambda row, _: str(_shown(row) + _shown(row) // 90),
    "clicks": _count("clicks"),
    "ctr": _percent(_clicks, _shown),
    "cpc": _each(_clicks),
    "cpm": lambda row, _: ratio(row.m.spend, row.account.minor * _shown(row), scale=1000),
    "reach": _late(lambda row, _: str(row.reach)),
    "frequency": _late(lambda row, _: ratio(_shown(row), row.reach)),
    "cost_per_1000_reached": _late(
        lambda row, _: ratio(row.m.spend, row.account.minor * row.reach, scale=1000)
    ),
    **_conversions("", "conversion", _bought),
    **_conversions("real_time_", "conversion", _bought_lately),
    **_conversions("", "result", _bought),
    **_conversions("real_time_", "result", _bought_lately),
    "secondary_goal_result": _nothing,
    "cost_per_secondary_goal_result": _nothing,
    "secondary_goal_result_rate": _nothing,
    "video_play_actions": _count("video_views"),
    "video_watched_2s": lambda row, _: str((row.m.video_views + row.m.video_25) // 2),
    "video_watched_6s": _count("thruplays"),
    "average_video_play": lambda row, _: (
        ratio(2 * row.m.video_views + 9 * row.m.video_50, row.m.video_views)
        if row.m.video_views
        else MISSING
    ),
    "average_video_play_per_user": _late(
        lambda row, _: (
            ratio(2 * row.m.video_views + 9 * row.m.video_50, min(row.reach, row.m.video_views))
            if row.m.video_views and row.reach
            else MISSING
        )
    ),
    "video_views_p25": _count("video_25"),
    "video_views_p50": _count("video_50"),
    "video_views_p75": _count("video_75"),
    "video_views_p100": _count("video_100"),
    "engaged_view": _count("thruplays"),
    "profile_visits": _count("outbound_clicks"),
    "likes": _count("reactions"),
    "comments": _count("comments"),
    "shares": lambda row, _: str(row.m.comments // 2),
    "follows": lambda row, _: str(row.m.reactions // 9),
    "clicks_on_music_disc": lambda row, _: str(row.m.comments // 5),
    "complete_payment": lambda row, _: str(_bought(row)),
    "cost_per_complete_payment": _each(_bought),
    "complete_payment_rate": _percent(_bought, _clicks),
    # The value of all payments on websites, whatever its name says.
    "total_complete_payment_rate": lambda row, _: _money(_earned(row), row),
    "value_per_complete_payment": lambda row, _: ratio(
        _earned(row), row.account.minor * _bought(row)
    ),
    "complete_payment_roas": lambda row, _: ratio(_earned(row), row.m.spend),
    # Purchases in applications, of which these advertisers have none.
    "total_purchase": lambda _, __: "0",
    "total_purchase_value": lambda row, _: _money(0, row),
}
PEOPLE = frozenset({"reach", "frequency", "cost_per_1000_reached", "average_video_play_per_user"})


def _of_campaign(name: str) -> Getter:
    return lambda row, view: _text(having.CAMPAIGN_FIELDS[name], row.ad.campaign, view)


def _of_group(name: str) -> Getter:
    return lambda row, view: _text(having.GROUP_FIELDS[name], row.ad.group, view)


def _of_ad(name: str) -> Getter:
    return lambda row, view: _text(having.AD_FIELDS[name], row.ad, view)


def _text(getter: EntityGetter, entity: Entity | None, view: View) -> str:
    value = getter(entity, view) if entity else None
    if value is None:
        return MISSING
    return f"{value:.2f}" if isinstance(value, float) else str(value)


LEVELS = ("account", "campaign", "ad_group", "ad")
# The coarsest level at which each can be asked for.
ATTRIBUTES: Mapping[str, tuple[str, Getter]] = {
    "advertiser_id": ("account", lambda row, _: row.account.id),
    "advertiser_name": ("account", lambda row, _: row.account.name),
    "currency": ("account", lambda row, _: row.account.currency),
    "timezone": ("account", lambda row, _: row.account.timezone),
    "campaign_id": ("campaign", _of_campaign("campaign_id")),
    "campaign_name": ("campaign", _of_campaign("campaign_name")),
    "campaign_budget": ("campaign", _of_campaign("budget")),
    "objective_type": ("campaign", _of_campaign("objective_type")),
    "campaign_automation_type": ("campaign", _of_campaign("campaign_automation_type")),
    "adgroup_id": ("ad_group", _of_group("adgroup_id")),
    "adgroup_name": ("ad_group", _of_group("adgroup_name")),
    "placement_type": ("ad_group", _of_group("placement_type")),
    "promotion_type": ("ad_group", _of_group("promotion_type")),
    "opt_status": ("ad_group", _nothing),
    "budget": ("ad_group", _of_group("budget")),
    "bid_strategy": ("ad_group", _of_group("bid_type")),
    "mobile_app_id": ("ad_group", _nothing),
    "tt_app_id": ("ad_group", _nothing),
    "ad_id": ("ad", _of_ad("ad_id")),
    "ad_name": ("ad", _of_ad("ad_name")),
    "ad_text": ("ad", _of_ad("ad_text")),
    "image_mode": ("ad", _of_ad("ad_format")),
    "call_to_action": ("ad", _of_ad("call_to_action")),
}
