"""Entities as one moment shows them: names, statuses, and which belong to Smart+."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from airflow_provider_liftos.sandbox.dataset import Dataset, Entity
from airflow_provider_liftos.sandbox.dataset.tiktok import smart_ad


@dataclass(frozen=True, slots=True)
class View:
    """Entities as one moment shows them; they change at midnight UTC."""

    dataset: Dataset
    now: datetime

    @property
    def today(self) -> date:
        """Return the day in UTC."""
        return self.now.astimezone(UTC).date()

    def gone(self, entity: Entity | None) -> bool:
        """Say whether an entity itself was deleted, whatever became of its owners."""
        return bool(entity and entity.gone_on and entity.gone_on <= self.today)

    def creative(self, ad: Entity) -> Entity:
        """Return the creative of an ad."""
        return self.dataset.book(ad.account).creatives[ad.creative or 0]

    def smart_ad(self, ad: Entity) -> str:
        """Return the id of the ad: in Smart+, that of the pair of creatives it belongs to."""
        return smart_ad(ad, self.dataset.book(ad.account))


Getter = Callable[[Entity, View], Any]


def stamp(moment: datetime) -> str:
    """Write a moment as the platform does: UTC, without saying so."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


_LEVELS = (("campaign", "CAMPAIGN"), ("ad_group", "ADGROUP"), ("ad", "AD"))
_RUNNING = {
    "CAMPAIGN": "CAMPAIGN_STATUS_ENABLE",
    "ADGROUP": "ADGROUP_STATUS_DELIVERY_OK",
    "AD": "AD_STATUS_DELIVERY_OK",
}


def secondary_status(entity: Entity, view: View) -> str:
    """Return the status that delivery obeys: that of the owners included."""
    kind = dict(_LEVELS)[entity.kind]
    chain = ((entity.campaign, "CAMPAIGN_"), (entity.group, "ADGROUP_"), (entity, ""))
    for owner, word in chain:
        if view.gone(owner):
            return f"{kind}_STATUS_{word}DELETE"
    for owner, word in chain:
        if owner is not None and owner.paused:
            return f"{kind}_STATUS_{word}DISABLE"
    return _RUNNING[kind]


def primary_status(entity: Entity, view: View) -> str:
    """Return the coarse status: STATUS_DELETE, STATUS_DISABLE or STATUS_DELIVERY_OK."""
    fine = secondary_status(entity, view)
    if fine.endswith("DELETE"):
        return "STATUS_DELETE"
    return "STATUS_DISABLE" if fine.endswith("DISABLE") else "STATUS_DELIVERY_OK"


def passes_status(entity: Entity, asked: str, view: View) -> bool:
    """Say whether an entity has one of the statuses that ``primary_status`` filters know."""
    have = primary_status(entity, view)
    if asked == "STATUS_ALL":
        return True
    if asked == "STATUS_NOT_DELETE":
        return have != "STATUS_DELETE"
    if asked == "STATUS_NOT_DELIVERY":
        return have == "STATUS_DISABLE"
    return have == asked


STATUSES = (
    *("STATUS_ALL", "STATUS_NOT_DELETE", "STATUS_NOT_DELIVERY", "STATUS_DELIVERY_OK"),
    *("STATUS_DISABLE", "STATUS_DELETE", "STATUS_TIME_DONE", "STATUS_FROZEN"),
)


def named(entity: Entity | None, view: View) -> str | None:
    """Return the name that the platform shows, None for nothing."""
    return entity.name(view.today) if entity else None
