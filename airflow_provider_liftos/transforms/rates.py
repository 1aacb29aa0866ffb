"""Exchange rates as the ECB publishes them, and one rate for every calendar day.

Source: the ECB's euro foreign exchange reference rates (``eurofxref-daily.xml``,
``eurofxref-hist-90d.xml``, ``eurofxref-hist.xml``): one format, units of currency for one euro,
around 16:00 CET on every working day of the TARGET calendar, so neither on weekends nor on its
holidays. A currency without a rate on a day is simply absent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from xml.etree import ElementTree as ET

from airflow_provider_liftos.model.errors import Unavailable

BASE = "EUR"
CARRY_DAYS = 10
"""How long a rate stands in for missing ones. The longest pause of the ECB, over Easter or
Christmas, takes four days; what is missing for longer is not quoted any more."""

_CUBE = "{http://www.ecb.int/vocabulary/2002-08-01/eurofxref}Cube"
_DAY = timedelta(days=1)
_PLACES = Decimal("0.000001")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Units of ``currency`` for one euro on ``day``, as published for ``published``."""

    day: date
    currency: str
    rate: Decimal
    published: date


def read_ecb(content: bytes) -> dict[date, dict[str, Decimal]]:
    """Published rates by day and currency, exactly as written.

    Raises:
        Unavailable: the content is no such file, is cut off, or holds a rate that is none.
    """
    published: dict[date, dict[str, Decimal]] = {}
    try:
        # Expat refuses entity bombs since 2.4.1, and nothing external is ever loaded.
        for cube in ET.fromstring(content).iter(_CUBE):  # noqa: S314
            if day := cube.get("time"):
                published[date.fromisoformat(day)] = {BASE: Decimal(1), **dict(map(_quote, cube))}
    except (ET.ParseError, ValueError, InvalidOperation) as error:
        raise _broken(str(error)) from None
    if not published:
        raise _broken("it holds no day")
    return published


def _quote(cube: ET.Element) -> tuple[str, Decimal]:
    currency, rate = str(cube.get("currency")), Decimal(str(cube.get("rate"))).quantize(_PLACES)
    if len(currency) != len(BASE) or rate <= 0:
        raise ValueError(f"{currency!r} has the rate {rate}")
    return currency, rate


def _broken(why: str) -> Unavailable:
    return Unavailable(
        f"the file of reference rates cannot be read: {why}",
        hint="Known rates stay as they are. If it lasts, look at the address of the connection.",
    )


def every_day(published: Mapping[date, Mapping[str, Decimal]]) -> Iterable[Rate]:
    """A rate for each calendar day and currency, until ``CARRY_DAYS`` after its last publication.

    The days after the last publication are covered too: until the next one they have no better
    rate, and it replaces them.
    """
    if not published:
        return
    known: dict[str, tuple[date, Decimal]] = {}
    day, last = min(published), max(published) + CARRY_DAYS * _DAY
    while day <= last:
        for currency, rate in published.get(day, {}).items():
            known[currency] = day, rate
        for currency, (since, rate) in known.items():
            if day - since <= CARRY_DAYS * _DAY:
                yield Rate(day=day, currency=currency, rate=rate, published=since)
        day += _DAY
