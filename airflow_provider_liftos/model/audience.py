"""Dimensions of an audience, under one name each, whatever a platform calls its breakdowns."""

from __future__ import annotations

from collections.abc import Mapping

DIMENSIONS: Mapping[str, tuple[str, ...]] = {
    "age": ("age", "age_range"),
    "gender": ("gender",),
    "country": ("country", "country_code"),
    "region": ("region", "province_id"),
    "device": ("device", "device_platform", "impression_device", "platform"),
    "placement": ("placement", "publisher_platform", "platform_position"),
    "interest": ("interest", "interest_category", "interests"),
    "hour": ("hour", "stat_time_hour"),
}
"""The names by which breakdowns are asked for and shown, and the platforms' own names of each."""

AUDIENCE = ("age", "gender", "country", "device", "interest")
"""The dimensions of an audience report, where the platform has them."""


def dimension(breakdown: str) -> str | None:
    """The dimension that a platform's breakdown cuts by; None for one without a common name.

    Of a dotted name any part counts: ``segments.device`` is the device.
    """
    parts = set(breakdown.lower().split("."))
    return next((name for name, words in DIMENSIONS.items() if parts & set(words)), None)
