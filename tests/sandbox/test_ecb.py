"""The sandbox publishes rates as the ECB does: working days only, in the afternoon."""

from __future__ import annotations

from datetime import UTC, date, datetime
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from xml.etree import ElementTree as ET

import pytest

from airflow_provider_liftos.sandbox import Sandbox
from airflow_provider_liftos.sandbox.ecb import CURRENCIES, is_working_day, newest_day, rate

CUBE = "{http://www.ecb.int/vocabulary/2002-08-01/eurofxref}Cube"
SATURDAY = datetime(2026, 11, 21, 9, tzinfo=UTC)


@pytest.fixture
def sandbox():
    with Sandbox(start=SATURDAY, frozen=True) as made:
        yield made


def days(sandbox: Sandbox, file: str) -> dict[str, dict[str, str]]:
    with urlopen(f"{sandbox.url}/ecb/stats/eurofxref/eurofxref-{file}.xml") as answer:
        assert answer.headers["content-type"] == "text/xml"
        root = ET.fromstring(answer.read())
    return {
        str(day.get("time")): {str(c.get("currency")): str(c.get("rate")) for c in day}
        for day in root.iter(CUBE)
        if day.get("time")
    }


def test_a_weekend_serves_friday(sandbox):
    found = days(sandbox, "daily")
    assert list(found) == ["2026-11-20"]
    assert tuple(found["2026-11-20"]) == CURRENCIES
    assert "KWD" not in CURRENCIES
    assert found["2026-11-20"]["JPY"] == str(rate(7, "JPY", date(2026, 11, 20)))


def test_ninety_days_are_newest_first_and_working_days(sandbox):
    found = list(days(sandbox, "hist-90d"))
    assert found == sorted(found, reverse=True)
    assert all(is_working_day(date.fromisoformat(day)) for day in found)
    assert 60 <= len(found) <= 66


def test_the_history_agrees_with_the_shorter_files(sandbox):
    history = days(sandbox, "hist")
    assert len(history) > 3_000
    assert days(sandbox, "hist-90d").items() <= history.items()


def test_rates_appear_in_the_afternoon(sandbox):
    assert newest_day(sandbox.world) == date(2026, 11, 20)
    sandbox.clock.advance(2 * 86_400 + 5 * 3600)  # Monday 14:00 UTC, 15:00 in Frankfurt
    assert newest_day(sandbox.world) == date(2026, 11, 20)
    sandbox.clock.advance(3600)
    assert newest_day(sandbox.world) == date(2026, 11, 23)


@pytest.mark.parametrize(
    "holiday", ["2026-01-01", "2026-04-03", "2026-04-06", "2026-05-01", "2026-12-25", "2025-04-18"]
)
def test_holidays_of_target_have_no_rates(holiday):
    assert not is_working_day(date.fromisoformat(holiday))


@pytest.mark.parametrize(
    ("validator", "header"), [("etag", "If-None-Match"), ("last-modified", "If-Modified-Since")]
)
def test_who_has_the_file_is_told_so_until_there_is_another(sandbox, validator, header):
    url = f"{sandbox.url}/ecb/stats/eurofxref/eurofxref-daily.xml"
    with urlopen(url) as answer:
        known = answer.headers[validator]
    asking = Request(url, headers={header: known})
    with pytest.raises(HTTPError, match="304") as told:
        urlopen(asking)
    assert told.value.read() == b""
    with urlopen(Request(url, headers={header: '"another"'})) as answer:
        assert answer.status == 200
    sandbox.clock.advance(2 * 86_400 + 6 * 3600)  # Monday 15:00 UTC, 16:00 in Frankfurt
    with urlopen(asking) as answer:
        assert answer.headers[validator] != known


def test_faults_and_the_journal_work_here_too(sandbox):
    sandbox.faults.add(kind="http_500", platform="ecb", times=1)
    with pytest.raises(HTTPError, match="500"):
        days(sandbox, "daily")
    assert days(sandbox, "daily")
    statuses = [entry["status"] for entry in sandbox.journal.entries(platform="ecb")]
    assert statuses == [500, 200]
