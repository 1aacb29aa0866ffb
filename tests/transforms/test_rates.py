"""The ECB's file is read exactly, and every calendar day gets the last known rate."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from airflow_provider_liftos.model.errors import Unavailable
from airflow_provider_liftos.transforms.rates import every_day, read_ecb

# As the ECB writes it, cut down to a Friday and the Monday after.
FILE = b"""<?xml version="1.0" encoding="UTF-8"?>
<gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01" xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref">
\t<gesmes:subject>Reference rates</gesmes:subject>
\t<gesmes:Sender>
\t\t<gesmes:name>European Central Bank</gesmes:name>
\t</gesmes:Sender>
\t<Cube>
\t\t<Cube time='2026-11-09'>
\t\t\t<Cube currency='USD' rate='1.1623'/>
\t\t\t<Cube currency='JPY' rate='178.05'/>
\t\t</Cube>
\t\t<Cube time='2026-11-06'>
\t\t\t<Cube currency='USD' rate='1.1601'/>
\t\t\t<Cube currency='IDR' rate='19421.30'/>
\t\t</Cube>
\t</Cube>
</gesmes:Envelope>"""
FRIDAY, SATURDAY, SUNDAY, MONDAY = (date(2026, 11, day) for day in (6, 7, 8, 9))


def test_rates_are_read_as_written():
    published = read_ecb(FILE)
    assert published[MONDAY] == {
        "EUR": Decimal(1),
        "USD": Decimal("1.1623"),
        "JPY": Decimal("178.05"),
    }
    assert published[FRIDAY]["IDR"] == Decimal("19421.30")


def test_a_weekend_has_fridays_rate_and_its_date():
    found = {(r.day, r.currency): r for r in every_day(read_ecb(FILE))}
    for day in (FRIDAY, SATURDAY, SUNDAY):
        assert (found[day, "USD"].rate, found[day, "USD"].published) == (Decimal("1.1601"), FRIDAY)
    assert found[MONDAY, "USD"].published == MONDAY
    assert (MONDAY, "JPY") in found
    assert (SUNDAY, "JPY") not in found


def test_a_rate_that_is_not_quoted_any_more_stands_in_for_ten_days():
    days = [r.day for r in every_day(read_ecb(FILE)) if r.currency == "IDR"]
    assert (days[0], days[-1], len(days)) == (FRIDAY, date(2026, 11, 16), 11)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        FILE[:-30],
        b"<html><body>Moved</body></html>",
        FILE.replace(b"1.1623", b"n/a"),
        FILE.replace(b"1.1623", b"0"),
        FILE.replace(b"1.1623", b"NaN"),
        FILE.replace(b"'USD' rate='1.1623'", b"'DOLLAR' rate='1'"),
        FILE.replace(b"2026-11-09", b"yesterday"),
    ],
)
def test_a_broken_file_is_said_to_be_broken(content):
    with pytest.raises(Unavailable, match="cannot be read"):
        read_ecb(content)
