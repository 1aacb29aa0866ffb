"""The lists there are: what is in them, what they show, how they are filtered and paged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from airflow_provider_liftos.sandbox.dataset import Entity
from airflow_provider_liftos.sandbox.dataset.tiktok import is_smart

from . import entity_fields as having
from . import known_fields as known
from . import library_fields as library
from .library_fields import is_video
from .view import Getter, View


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A list: where its things are in the dataset, what they show, how it is filtered and paged.

    ``identity`` names the field that the list is ordered by, newest first; ``ids`` the lists
    of ids in ``filtering`` with what each looks at.
    """

    kind: str
    fields: Mapping[str, Getter]
    identity: str
    silent: frozenset[str] = frozenset()
    wanted: Callable[[Entity], bool] = lambda _: True
    ids: Mapping[str, Callable[[Entity, View], str | None]]
    otherwise: int = 10
    most: int = 1000
    has_status: bool = True
    flat: bool = False  # the ids are parameters of their own, not inside of filtering


def _owner(name: str) -> Callable[[Entity, View], str | None]:
    def identity(entity: Entity, _: View) -> str | None:
        owner: Entity | None = getattr(entity, name)
        return owner.id if owner else None

    return identity


def _own(entity: Entity, _: View) -> str:
    return entity.id


_CAMPAIGN_IDS: dict[str, Callable[[Entity, View], str | None]] = {"campaign_ids": _own}
_GROUP_IDS = {"campaign_ids": _owner("campaign"), "adgroup_ids": _own}
_AD_OWNERS = {"campaign_ids": _owner("campaign"), "adgroup_ids": _owner("group")}
_CAMPAIGNS = Listing(
    kind="campaign",
    fields=having.CAMPAIGN_FIELDS,
    silent=known.CAMPAIGN,
    identity="campaign_id",
    ids=_CAMPAIGN_IDS,
)
_GROUPS = Listing(
    kind="ad_group",
    fields=having.GROUP_FIELDS,
    silent=known.AD_GROUP,
    identity="adgroup_id",
    ids=_GROUP_IDS,
)
LISTINGS: Mapping[str, Listing] = {
    "campaign/get": _CAMPAIGNS,
    "adgroup/get": _GROUPS,
    "ad/get": Listing(
        kind="ad",
        fields=having.AD_FIELDS,
        silent=known.AD,
        identity="ad_id",
        ids={**_AD_OWNERS, "ad_ids": _own},
    ),
    "smart_plus/campaign/get": Listing(
        kind="campaign",
        fields=having.CAMPAIGN_FIELDS,
        silent=known.CAMPAIGN,
        identity="campaign_id",
        ids=_CAMPAIGN_IDS,
        wanted=is_smart,
    ),
    "smart_plus/adgroup/get": Listing(
        kind="ad_group",
        fields=having.GROUP_FIELDS,
        silent=known.AD_GROUP,
        identity="adgroup_id",
        ids=_GROUP_IDS,
        wanted=is_smart,
    ),
    "smart_plus/ad/get": Listing(
        kind="ad",
        fields=having.SMART_AD_FIELDS,
        identity="smart_plus_ad_id",
        ids={**_AD_OWNERS, "smart_plus_ad_ids": lambda ad, view: view.smart_ad(ad)},
        wanted=lambda ad: is_smart(ad) and ad.index % 2 == 0,
    ),
    "dmp/custom_audience/list": Listing(
        kind="audience",
        fields=library.AUDIENCE_FIELDS,
        identity="audience_id",
        ids={"custom_audience_ids": _own},
        most=100,
        has_status=False,
        flat=True,
    ),
    "file/video/ad/search": Listing(
        kind="creative",
        fields=library.VIDEO_FIELDS,
        silent=known.VIDEO,
        identity="material_id",
        ids={"video_ids": lambda one, _: library.video_id(one), "material_ids": _own},
        wanted=is_video,
        otherwise=20,
        most=100,
        has_status=False,
    ),
    "file/image/ad/search": Listing(
        kind="creative",
        fields=library.IMAGE_FIELDS,
        identity="material_id",
        ids={"image_ids": lambda one, _: library.image_id(one), "material_ids": _own},
        wanted=lambda one: not is_video(one),
        otherwise=20,
        most=100,
        has_status=False,
    ),
}
