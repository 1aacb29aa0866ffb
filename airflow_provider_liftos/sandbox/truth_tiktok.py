"""Truth of TikTok: an ad of an upgraded Smart+ campaign is several creatives.

Level ``ad`` is what TikTok calls ``ad_id_v2``; level ``creative``, below it, is its ``ad_id``.
"""

from __future__ import annotations

from typing import Any

from .dataset import Dataset, Entity
from .dataset.tiktok import smart_ad
from .truth import IDS, Question
from .truth import ask as ask_plainly


def ask(question: Question, dataset: Dataset) -> dict[str, Any]:
    """Return ``{"rows": [...], "sums": {...}}``; raises UnknownTruthError for nonsense."""

    def ad(one: Entity) -> dict[str, str]:
        return IDS["ad"](one) | {"ad_id": smart_ad(one, dataset.book(one.account))}

    return ask_plainly(question, dataset, {**IDS, "ad": ad, "creative": IDS["ad"]})
