"""The European Central Bank's reference rates, in the files it publishes.

``GET /ecb/stats/eurofxref/eurofxref-{daily,hist-90d,hist}.xml``: units of each currency for one
euro, newest day first, on TARGET working days, from about 16:00 Central European Time. The history
begins later than the ECB's own, in 2013. KWD is not quoted, as it is not by the ECB. Answers carry
``ETag`` and ``Last-Modified``, and who names one of them that still holds is told 304.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from email.utils import format_datetime, parsedate_to_datetime
from functools import cache
from hashlib import sha256
from zoneinfo import ZoneInfo

from .dataset.chance import number
from .faults import Fault
from .wire import WireRequest, WireResponse
from .world import World

FIRST_DAY = date(2013, 1, 2)
_PUBLISHED_AT = time(16, 0)
_ZONE = ZoneInfo("Europe/Berlin")
_DAY = timedelta(days=1)
_DAYS = {"daily": 1, "hist-90d": 90, "hist": 100_000}
_PATH = re.compile(r"stats/eurofxref/eurofxref-(daily|hist-90d|hist)\.xml")

# In the order and with the digits of the ECB's files.
_USUAL = {
    "USD": "1.1650", "JPY": "176.20", "CZK": "24.310", "DKK": "7.4690", "GBP": "0.87450",
    "HUF": "386.50", "PLN": "4.2480", "RON": "5.0890", "SEK": "10.9800", "CHF": "0.92900",
    "ISK": "146.40", "NOK": "11.7350", "TRY": "51.2700", "AUD": "1.7720", "BRL": "6.2510",
    "CAD": "1.6140", "CNY": "8.2610", "HKD": "9.0590", "IDR": "19421.30", "ILS": "3.7820",
    "INR": "104.6350", "KRW": "1689.40", "MXN": "21.3880", "MYR": "4.8160", "NZD": "2.0310",
    "PHP": "68.2910", "SGD": "1.5110", "THB": "37.7150", "ZAR": "20.0440",
}  # fmt: skip
CURRENCIES = tuple(_USUAL)

_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01"'
    ' xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref">'
    "<gesmes:subject>Reference rates</gesmes:subject>"
    "<gesmes:Sender><gesmes:name>European Central Bank</gesmes:name></gesmes:Sender><Cube>"
)
_TAIL = "</Cube></gesmes:Envelope>"


class Ecb:
    """The ECB's file server; speaks the wire protocol, so faults and the journal work on it too."""

    def __init__(self, world: World) -> None:
        self._world = world

    def handle(self, request: WireRequest) -> WireResponse:
        """Answer one request."""
        found = _PATH.fullmatch(request.path)
        if request.method not in ("GET", "HEAD") or not found:
            return _response(404, "<html><body><h1>404 Not Found</h1></body></html>", "text/html")
        newest = newest_day(self._world)
        body = _document(self._world.seed, newest, _DAYS[found[1]])
        validators = _validators(body, newest)
        if _holds(request.headers, validators):
            return WireResponse(status=304, body=b"", headers=list(validators.items()))
        answer = _response(200, body, "text/xml", rows=body.count("<Cube time="))
        answer.headers.extend(validators.items())
        return answer

    def account_of(self, request: WireRequest) -> str | None:
        """Return None: rates belong to nobody."""
        _ = request
        return None

    def connection(self) -> dict[str, str]:
        """Return nothing: the files are public."""
        return {}

    def broken(self, fault: Fault) -> WireResponse:
        """Return HTTP 500 as a page."""
        status = int(fault.options.get("status", 500))
        return _response(status, "<html><body><h1>Server Error</h1></body></html>", "text/html")


def _validators(body: str, newest: date) -> dict[str, str]:
    published = datetime.combine(newest, _PUBLISHED_AT, _ZONE).astimezone(UTC)
    digest = sha256(body.encode()).hexdigest()[:16]
    return {"etag": f'"{digest}"', "last-modified": format_datetime(published, usegmt=True)}


def _holds(asked: Mapping[str, str], validators: Mapping[str, str]) -> bool:
    """Return whether the caller has this version; the tag goes before the date (RFC 9110)."""
    if tags := asked.get("if-none-match"):
        return validators["etag"] in (tag.strip() for tag in tags.split(","))
    try:
        since = parsedate_to_datetime(asked.get("if-modified-since", ""))
    except ValueError:
        return False
    return parsedate_to_datetime(validators["last-modified"]) <= since


def newest_day(world: World) -> date:
    """Return the last day that is published by now."""
    local = world.clock.now().astimezone(_ZONE)
    day = local.date() if local.time() >= _PUBLISHED_AT else local.date() - _DAY
    while not is_working_day(day):
        day -= _DAY
    return day


def is_working_day(day: date) -> bool:
    """Return whether TARGET is open."""
    if day.weekday() >= 5 or (day.month, day.day) in ((1, 1), (5, 1), (12, 25), (12, 26)):
        return False
    easter = _easter(day.year)
    return day not in (easter - 2 * _DAY, easter + _DAY)


@cache
def _easter(year: int) -> date:
    """Return Easter Sunday (the anonymous Gregorian computus)."""
    a, b, c = year % 19, year // 100, year % 100
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    weekday = (32 + 2 * e + 2 * i - h - k) % 7
    m = (a + 11 * h + 19 * weekday) // 433
    month = (h + weekday - 7 * m + 90) // 25
    return date(year, month, (h + weekday - 7 * m + 33 * month + 19) % 32)


def rate(seed: int, currency: str, day: date) -> Decimal:
    """Return the rate of a working day: the usual one, give or take 5 %, drifting by months."""
    month, share = divmod(day.toordinal(), 30)
    before, after = (number(80_001, seed, "fx", currency, month + step) for step in (0, 1))
    drift = (before * (30 - share) + after * share) // 30 - 40_000
    noise = number(20_001, seed, "fx", currency, day) - 10_000
    usual = Decimal(_USUAL[currency])
    moved = usual * (1_000_000 + drift + noise) / 1_000_000
    return moved.quantize(usual, rounding=ROUND_HALF_UP)


@cache
def _document(seed: int, newest: date, days: int) -> str:
    return _HEAD + "".join(_days(seed, newest, days)) + _TAIL


def _days(seed: int, newest: date, days: int) -> Iterator[str]:
    day = newest
    while day >= FIRST_DAY and (newest - day).days < days:
        if is_working_day(day):
            rates = "".join(
                f'<Cube currency="{name}" rate="{rate(seed, name, day)}"/>' for name in CURRENCIES
            )
            yield f'<Cube time="{day}">{rates}</Cube>'
        day -= _DAY


def _response(status: int, body: str, kind: str, rows: int = 0) -> WireResponse:
    return WireResponse(
        status=status, body=body.encode(), headers=[("content-type", kind)], rows=rows
    )
