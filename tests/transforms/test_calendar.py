"""Which zones' days of UTC can be put together from hourly rows, and which cannot."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.model.report import Window
from airflow_provider_liftos.transforms.calendar import hours_of, local_days, utc_days, why_not

YEAR = Window(since=date(2026, 1, 1), until=date(2026, 12, 31))
NEW_YORK_SPRING, NEW_YORK_AUTUMN = date(2026, 3, 8), date(2026, 11, 1)
BERLIN_SPRING, BERLIN_AUTUMN = date(2026, 3, 29), date(2026, 10, 25)


@pytest.mark.parametrize(
    "zone", ["America/New_York", "Europe/Berlin", "Europe/London", "Asia/Tokyo", "UTC",
             "America/Sao_Paulo", "Pacific/Auckland", "Pacific/Kiritimati", "Atlantic/Azores"],
)  # fmt: skip
def test_whole_hours_make_exact_days_all_year(zone):
    assert why_not(zone, YEAR) is None


@pytest.mark.parametrize(
    ("zone", "minutes"),
    [("Asia/Kolkata", 30), ("Asia/Kathmandu", 45), ("Australia/Adelaide", 30),
     ("America/St_Johns", 30), ("Pacific/Chatham", 45)],
)  # fmt: skip
def test_half_and_quarter_hours_are_refused_with_the_reason(zone, minutes):
    day = Window(since=date(2026, 6, 1), until=date(2026, 6, 1))
    reason = why_not(zone, day)
    assert reason is not None
    assert f"{zone} is {minutes} minutes off whole hours of UTC" in reason


def test_lord_howe_is_refused_in_winter_only():
    winter, summer = date(2026, 6, 1), date(2026, 12, 1)
    assert "30 minutes" in (
        why_not("Australia/Lord_Howe", Window(since=winter, until=winter)) or ""
    )
    assert why_not("Australia/Lord_Howe", Window(since=summer, until=summer)) is None


def test_an_hour_that_comes_twice_around_midnight_in_utc_is_refused():
    autumn = date(2016, 4, 3)  # in the south
    for day in (autumn - timedelta(days=1), autumn):
        reason = why_not("Africa/Windhoek", Window(since=day, until=day))
        assert reason is not None
        assert "the hour from 1:00 comes twice on 2016-04-03" in reason
    after = Window(since=autumn + timedelta(days=1), until=autumn + timedelta(days=9))
    assert why_not("Africa/Windhoek", after) is None


@pytest.mark.parametrize(
    ("zone", "day", "hours", "odd"),
    [
        ("America/New_York", NEW_YORK_SPRING, 23, {2: 0}),
        ("America/New_York", NEW_YORK_AUTUMN, 25, {1: 2}),
        ("Europe/Berlin", BERLIN_SPRING, 23, {2: 0}),
        ("Europe/Berlin", BERLIN_AUTUMN, 25, {2: 2}),
        ("Europe/Berlin", date(2026, 6, 1), 24, {}),
        ("Asia/Kathmandu", date(2026, 6, 1), 24, {}),
    ],
)
def test_days_on_which_clocks_change_have_23_or_25_hours(zone, day, hours, odd):
    found = hours_of(zone, day)
    assert sum(found.values(), timedelta()) == timedelta(hours=hours)
    for hour in range(24):
        assert found.get(hour, timedelta()) == timedelta(hours=odd.get(hour, 1))


def test_each_hour_of_a_changing_day_lies_on_one_day_of_utc():
    assert utc_days("America/New_York", NEW_YORK_AUTUMN)[1] == {NEW_YORK_AUTUMN}
    assert utc_days("America/New_York", NEW_YORK_AUTUMN)[19] == {date(2026, 11, 2)}
    assert utc_days("America/New_York", NEW_YORK_SPRING)[20] == {date(2026, 3, 9)}
    assert utc_days("Europe/Berlin", BERLIN_AUTUMN)[0] == {date(2026, 10, 24)}
    assert utc_days("Europe/Berlin", BERLIN_AUTUMN)[2] == {BERLIN_AUTUMN}


def test_a_day_of_utc_is_made_of_its_local_days():
    day = date(2026, 6, 2)
    assert local_days("UTC", day) == (day,)
    assert local_days("America/New_York", day) == (date(2026, 6, 1), day)
    assert local_days("Asia/Tokyo", day) == (day, date(2026, 6, 3))


def test_a_zone_that_is_none_is_said():
    with pytest.raises(ConfigurationError, match="no time zone 'Mars/Olympus'"):
        why_not("Mars/Olympus", YEAR)
