"""The ways a day's numbers can be divided: which values there are, and how much each gets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from .chance import digest, number
from .facts import Fact

Value = str | dict[str, str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """``parts`` gives values with weights for a fact.

    ``conversions``: ``split`` like everything else, ``withheld`` (the platform does not say),
    or ``apart`` (they come in one part of their own, whose value is None).
    ``people_only``: divides reach and nothing else.
    """

    parts: Callable[[Fact], list[tuple[Value, int]]]
    conversions: str = "split"
    people_only: bool = False


def _fixed(*weighted: tuple[str, int]) -> Callable[[Fact], list[tuple[Value, int]]]:
    parts: list[tuple[Value, int]] = list(weighted)
    return lambda _: parts


_COUNTRIES = {
    "DE": (("DE", 70), ("AT", 16), ("CH", 9), ("FR", 5)),
    "US": (("US", 88), ("CA", 9), ("MX", 3)),
    "IN": (("IN", 92), ("NP", 5), ("LK", 3)),
}
_REGIONS = {
    "DE": (("Bayern", 30), ("Baden-Württemberg", 25), ("Île-de-France", 5), ("Unknown", 2)),
    "US": (("California", 40), ("New York", 25), ("Washington, District of Columbia", 3)),
    "JP": (("東京都", 60), ("大阪府", 30), ("Ōsaka-fu", 1)),
}
_AGES = (
    *(("18-24", 12), ("25-34", 30), ("35-44", 26), ("45-54", 17)),
    *(("55-64", 9), ("65+", 5), ("Unknown", 1)),
)
_PUBLISHERS = (
    *(("facebook", 55), ("instagram", 35), ("audience_network", 6)),
    *(("messenger", 2), ("threads", 2)),
)
_DMAS = (("New York", 40), ("Los Angeles", 30), ("Ft. Smith-Fay-Sprngdl-Rgrs", 4), ("Unknown", 2))


def _countries(fact: Fact) -> list[tuple[Value, int]]:
    home = fact.ad.account.country
    return list(_COUNTRIES.get(home, ((home, 95), ("Unknown", 5))))


def _regions(fact: Fact) -> list[tuple[Value, int]]:
    return list(_REGIONS.get(fact.ad.account.country, (("Área 1", 90), ("Unknown", 4))))


def _hours(fact: Fact) -> list[tuple[Value, int]]:
    """Return the day's hours on the account's clock: none twice, none that was skipped."""
    return list(_clock_hours(fact.ad.account.timezone, fact.day))


@lru_cache(maxsize=512)
def _clock_hours(timezone: str, day: date) -> tuple[tuple[str, int], ...]:
    zone, weights = ZoneInfo(timezone), dict.fromkeys(range(24), 0)
    begin = datetime.combine(day, time(), zone).astimezone(UTC)
    for half in range(52):
        local = (begin + timedelta(minutes=30 * half)).astimezone(zone)
        if local.date() == day:
            weights[local.hour] += 2 + min(local.hour, 12)
    return tuple(
        (f"{hour:02d}:00:00 - {hour:02d}:59:59", weight)
        for hour, weight in weights.items()
        if weight
    )


def _tiktok_hours(fact: Fact) -> list[tuple[Value, int]]:
    """Return the same hours as moments on the account's clock."""
    hours = _clock_hours(fact.ad.account.timezone, fact.day)
    return [(f"{fact.day} {hour[:8]}", weight) for hour, weight in hours]


def _tiktok_countries(fact: Fact) -> list[tuple[Value, int]]:
    return [("NONE" if name == "Unknown" else name, part) for name, part in _countries(fact)]


def _positions(fact: Fact) -> list[tuple[Value, int]]:
    raise NotImplementedError("platform_position only exists beside publisher_platform")


def _products(fact: Fact) -> list[tuple[Value, int]]:
    first = fact.ad.index * 3
    return [(f"sku-{first + step}, Chair “{step}” 50%", 50 - 15 * step) for step in range(3)]


def _assets(kind: str) -> Callable[[Fact], list[tuple[Value, int]]]:
    texts = ('Buy "now" = save', "Jetzt kaufen 🔥", "Line\nbreak")
    content = "hash" if kind == "image" else "text"

    def parts(fact: Fact) -> list[tuple[Value, int]]:
        def asset(step: int) -> Value:
            identity = f"12029{number(10**13, kind, fact.ad.id, step):013d}"
            text = digest(kind, fact.ad.id, step).hex() if kind == "image" else texts[step]
            return {content: text, "id": identity}

        return [(asset(step), 40 - 10 * step) for step in range(3)]

    return parts


PLACEMENTS = {
    "facebook": ("feed", "facebook_reels", "story", "marketplace"),
    "instagram": ("feed", "instagram_stories", "instagram_reels"),
    "audience_network": ("an_classic", "rewarded_video"),
    "messenger": ("messenger_inbox",),
    "threads": ("threads_feed",),
}

DIMENSIONS: dict[str, Dimension] = {
    "age": Dimension(parts=_fixed(*_AGES)),
    "gender": Dimension(parts=_fixed(("female", 52), ("male", 46), ("unknown", 2))),
    "country": Dimension(parts=_countries),
    "region": Dimension(parts=_regions, conversions="withheld"),
    "dma": Dimension(parts=_fixed(*_DMAS), conversions="withheld"),
    "comscore_market": Dimension(parts=_fixed(*_DMAS), conversions="withheld"),
    "publisher_platform": Dimension(parts=_fixed(*_PUBLISHERS)),
    "platform_position": Dimension(parts=_positions),
    "impression_device": Dimension(
        parts=_fixed(("iphone", 40), ("android_smartphone", 45), ("desktop", 12), ("other", 3))
    ),
    "device_platform": Dimension(
        parts=_fixed(("mobile_app", 80), ("mobile_web", 8), ("desktop", 12))
    ),
    "product_id": Dimension(parts=_products, conversions="apart"),
    "hourly_stats_aggregated_by_advertiser_time_zone": Dimension(
        parts=_hours, conversions="withheld"
    ),
    "hourly_stats_aggregated_by_audience_time_zone": Dimension(
        parts=_hours, conversions="withheld"
    ),
    "frequency_value": Dimension(
        parts=_fixed(("1", 70), ("2", 20), ("3", 7), ("4", 2), ("5", 1)), people_only=True
    ),
    "ad_format_asset": Dimension(parts=_fixed(("SINGLE_IMAGE", 60), ("SINGLE_VIDEO", 40))),
    "body_asset": Dimension(parts=_assets("body")),
    "call_to_action_asset": Dimension(parts=_fixed(("SHOP_NOW", 60), ("LEARN_MORE", 40))),
    "description_asset": Dimension(parts=_assets("description")),
    "image_asset": Dimension(parts=_assets("image")),
    "link_url_asset": Dimension(parts=_assets("link")),
    "title_asset": Dimension(parts=_assets("title")),
    "video_asset": Dimension(parts=_assets("video")),
}
# A name that means something else on one platform, or other values, begins with the platform's.
DIMENSIONS |= {
    "tiktok.age": Dimension(
        parts=_fixed(
            *(("AGE_13_17", 4), ("AGE_18_24", 31), ("AGE_25_34", 33), ("AGE_35_44", 18)),
            *(("AGE_45_54", 9), ("AGE_55_100", 4), ("NONE", 1)),
        )
    ),
    "tiktok.gender": Dimension(parts=_fixed(("FEMALE", 55), ("MALE", 42), ("NONE", 3))),
    "tiktok.country_code": Dimension(parts=_tiktok_countries),
    "tiktok.platform": Dimension(
        parts=_fixed(("ANDROID", 52), ("IPHONE", 41), ("IPAD", 4), ("PC", 2), ("UNKNOWN", 1))
    ),
    "tiktok.placement": Dimension(
        parts=_fixed(("PLACEMENT_TIKTOK", 88), ("PLACEMENT_PANGLE", 9), ("UNKNOWN", 3))
    ),
    "tiktok.language": Dimension(parts=_fixed(("en", 60), ("de", 20), ("zh-Hant", 5), ("NONE", 1))),
    "tiktok.ac": Dimension(parts=_fixed(("WIFI", 60), ("4G", 25), ("5G", 12), ("NONE", 3))),
    "tiktok.province_id": Dimension(parts=_fixed(("2951839", 60), ("5332921", 30), ("NONE", 2))),
    "tiktok.dma_id": Dimension(parts=_fixed(("803", 50), ("501", 40), ("NONE", 5))),
    "tiktok.interest_category": Dimension(
        parts=_fixed(("10", 30), ("13100", 25), ("23106", 20), ("NONE", 5))
    ),
    "tiktok.stat_time_hour": Dimension(parts=_tiktok_hours),
}
HOURLY = tuple(name for name in DIMENSIONS if name.startswith("hourly_"))


# Truth may also be asked by the names that breakdowns have on every platform.
_COMMON = {
    "tiktok.country": "tiktok.country_code",
    "tiktok.region": "tiktok.province_id",
    "tiktok.device": "tiktok.platform",
    "tiktok.interest": "tiktok.interest_category",
    "tiktok.hour": "tiktok.stat_time_hour",
}


def own_name(platform: str, name: str) -> str:
    """Return the dimension that a platform means by ``name``."""
    own = f"{platform}.{name}"
    own = _COMMON.get(own, own)
    return own if own in DIMENSIONS else name


def withholds_conversions(names: Sequence[str]) -> bool:
    """Say whether the platform keeps conversions back for this division."""
    return any(DIMENSIONS[name].conversions == "withheld" for name in names)
