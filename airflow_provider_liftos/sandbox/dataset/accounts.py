"""The ad accounts: currencies, zones and oddities."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from zoneinfo import ZoneInfo

from .chance import number


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How much there is of everything; ``days`` end yesterday."""

    accounts: int
    ads: int
    days: int


PROFILES = {
    "small": Profile(accounts=6, ads=40, days=60),
    "medium": Profile(accounts=40, ads=400, days=90),
    "large": Profile(accounts=300, ads=3000, days=400),
}


@dataclass(frozen=True, kw_only=True)
class Account:
    """An advertiser's account.

    ``minor`` is how many of the smallest amounts the dataset knows make one unit of the
    currency (100, or 1 where the platforms know no fraction). ``empty`` accounts never
    delivered anything; ``gaps`` marks whole days without delivery; ``omni`` says whether
    purchases are also reported across channels.
    """

    index: int
    id: str
    name: str
    currency: str
    minor: int
    timezone: str
    country: str
    mille: int  # price of a thousand impressions, in minor units
    basket: int  # value of a typical purchase, in minor units
    empty: bool
    gaps: bool
    omni: bool

    @cached_property
    def zone(self) -> ZoneInfo:
        """Return the zone in which this account's days begin and end."""
        return ZoneInfo(self.timezone)


# name, currency, minor, zone, country, price of 1,000 impressions, basket
_BLUEPRINTS = (
    ("Northwind EU", "EUR", 100, "Europe/Berlin", "DE", 780, 6800),
    ("Northwind US — “Main”", "USD", 100, "America/Los_Angeles", "US", 1150, 7900),
    ("ノースウィンド 東京 🗼", "JPY", 1, "Asia/Tokyo", "JP", 640, 7200),
    ("نورث ويند Kuwait", "KWD", 100, "Asia/Kuwait", "KW", 210, 2100),
    ("Vento Norte São Paulo", "BRL", 100, "America/Sao_Paulo", "BR", 1900, 18900),
    ("Northwind India; DROP TABLE accounts;--", "INR", 100, "Asia/Kolkata", "IN", 8200, 149900),
    ("Northwind UK & Ireland", "GBP", 100, "Europe/London", "GB", 890, 5400),
    ("Северный ветер", "HUF", 1, "Europe/Budapest", "HU", 1300, 18900),
    ("Viento Norte", "CLP", 1, "America/Santiago", "CL", 2900, 39900),
    ("Northwind\tNZ", "NZD", 100, "Pacific/Auckland", "NZ", 990, 8800),
    ("Lord Howe Surf", "AUD", 100, "Australia/Lord_Howe", "AU", 1010, 9900),
    ("नर्थविन्ड Kathmandu", "USD", 100, "Asia/Kathmandu", "NP", 310, 2900),
)
_PERIOD = 20  # the oddities of the first accounts come back once in so many
_EMPTY, _NO_OMNI, _GAPS = 3, 4, 5
_PREFIX = "10150"
_PREFIXES = {"tiktok": "7150150"}  # nineteen digits


def build_account(*, seed: int, platform: str, index: int) -> Account:
    """Return the account number ``index``; beyond the blueprints they repeat, numbered."""
    name, currency, minor, zone, country, mille, basket = _BLUEPRINTS[index % len(_BLUEPRINTS)]
    check = number(10**8, seed, platform, "account", index)
    return Account(
        index=index,
        id=_identity(platform, index, check),
        name=name if index < len(_BLUEPRINTS) else f"{name} {index}",
        currency=currency,
        minor=minor,
        timezone=zone,
        country=country,
        mille=mille,
        basket=basket,
        empty=index % _PERIOD == _EMPTY,
        gaps=index % _PERIOD == _GAPS,
        omni=index % _PERIOD != _NO_OMNI,
    )


def _identity(platform: str, index: int, check: int) -> str:
    if platform == "google_ads":  # ten digits, no more
        return f"4{index:04d}{check % 10**5:05d}"
    return f"{_PREFIXES.get(platform, _PREFIX)}{index:04d}{check:08d}"
