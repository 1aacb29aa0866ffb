"""Days of UTC from hourly rows: exact where they can be, refused with a reason where not."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from airflow_provider_liftos.model.report import Window
from airflow_provider_liftos.transforms.calendar import hours_of, why_not
from tests.warehouses.staging import ORG, Lab, performance_row, report_slice

HOUR = timedelta(hours=1)


def loaded(lab: Lab, zone: str, middle: date, *, around: int = 2) -> dict[date, int]:
    """Hourly rows of some local days; what each whole UTC day must then hold.

    Every hour of real time has as many clicks as its number since an arbitrary beginning.
    """
    days = [middle + timedelta(days=n) for n in range(-around, around + 1)]
    clicks: dict[tuple[date, int], int] = {}
    truth: dict[date, int] = {}
    moment = datetime.combine(days[0] - timedelta(days=2), datetime.min.time(), UTC)
    first = moment
    while moment.date() <= days[-1] + timedelta(days=2):
        local = moment.astimezone(ZoneInfo(zone))
        number = int((moment - first) / HOUR) + 1
        if local.date() in days:
            key = (local.date(), local.hour)
            clicks[key] = clicks.get(key, 0) + number
        truth[moment.date()] = truth.get(moment.date(), 0) + number
        moment += HOUR
    rows = [
        performance_row(
            day, report="hourly", account_timezone=zone, clicks=count, impressions=1,
            breakdown_key=f"hour={hour}", breakdowns=f'{{"hour": "{hour}"}}',
        )
        for (day, hour), count in clicks.items()
    ]  # fmt: skip
    lab.publish(report_slice(days[0], days[-1], report="hourly"), rows)
    return truth


def shown(lab: Lab) -> dict[date, int]:
    return dict(lab.warehouse.query("SELECT date_day, clicks FROM liftos.utc_day_report"))


def refused(lab: Lab) -> dict[date, str]:
    return dict(lab.warehouse.query("SELECT date_day, reason FROM liftos.utc_day_gaps"))


@pytest.mark.parametrize(
    ("zone", "middle", "hours"),
    [
        ("America/New_York", date(2026, 3, 8), 23),
        ("America/New_York", date(2026, 11, 1), 25),
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("Europe/Berlin", date(2026, 10, 25), 25),
        ("Asia/Tokyo", date(2026, 6, 3), 24),
        ("Pacific/Kiritimati", date(2026, 6, 3), 24),
        ("UTC", date(2026, 6, 3), 24),
    ],
)
def test_days_are_exact_also_when_clocks_change(lab, zone, middle, hours):
    assert sum(hours_of(zone, middle).values(), timedelta()) == hours * HOUR
    truth = loaded(lab, zone, middle)
    found = shown(lab)
    inner = [middle + timedelta(days=n) for n in (-1, 0, 1)]
    assert set(inner) <= set(found)
    assert found == {day: truth[day] for day in found}


def test_days_with_a_part_that_is_not_loaded_are_refused(lab):
    middle = date(2026, 6, 3)
    loaded(lab, "America/New_York", middle, around=0)
    assert shown(lab) == {}
    reason = "not every local day with a part of it is loaded"
    assert refused(lab) == dict.fromkeys((middle, middle + timedelta(days=1)), reason)


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "Asia/Kathmandu"])
def test_half_and_quarter_hours_are_refused_in_the_table_too(lab, zone):
    middle = date(2026, 6, 3)
    loaded(lab, zone, middle)
    assert why_not(zone, Window(since=middle, until=middle))
    assert shown(lab) == {}
    assert "not whole hours from UTC" in refused(lab)[middle]


def test_an_hour_on_both_sides_of_midnight_takes_both_days_away(lab):
    middle = date(2016, 4, 3)
    truth = loaded(lab, "Africa/Windhoek", middle)
    found, gaps = shown(lab), refused(lab)
    for day in (middle - timedelta(days=1), middle):
        assert day not in found
        assert "comes twice" in gaps[day]
        assert why_not("Africa/Windhoek", Window(since=day, until=day))
    after = middle + timedelta(days=1)
    assert found[after] == truth[after]


def test_other_reports_are_not_touched(lab):
    lab.publish(report_slice(), [performance_row(date(2026, 11, 1))])
    assert shown(lab) == {}
    assert refused(lab) == {}
    assert lab.warehouse.query("SELECT org_id FROM liftos.campaign_report") == [(ORG,)]
