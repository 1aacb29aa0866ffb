"""What only TikTok's ads are: those of an upgraded Smart+ campaign come in pairs of creatives."""

from __future__ import annotations

from .chance import number
from .entities import Book, Entity

_SMART = 4  # of five campaigns the last is an upgraded Smart+ one


def is_smart(entity: Entity) -> bool:
    """Say whether an entity belongs to an upgraded Smart+ campaign."""
    campaign = entity.campaign or entity
    return campaign.index % 5 == _SMART


def smart_ad(ad: Entity, book: Book) -> str:
    """Return the id of the ad: in Smart+, that of the pair of creatives it belongs to."""
    if not is_smart(ad):
        return ad.id
    first = book.ads[ad.index - ad.index % 2]
    return f"{first.id[:-4]}{9000 + number(1000, first.id, 'smart'):04d}"
