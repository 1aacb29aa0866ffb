from __future__ import annotations

from collections.abc import Collection
from datetime import date, timedelta

import pytest

from airflow_provider_liftos.model.report import Level
from airflow_provider_liftos.quality.findings import Status
from airflow_provider_liftos.quality.habits import unusual
from tests.quality.scene import DAY3, TODAY, Scene, days, finding, part, totals

DAY = timedelta(days=1)
LAST = DAY3  # a Thursday
PAST = [LAST - n * DAY for n in range(69, -1, -1)]
WINDOW = PAST[-28:]
WORKING = {day for day in PAST if day.weekday() < 5}
EVERY = set(PAST)
NOW_AND_THEN = {day for n, day in enumerate(PAST) if n % 5 not in {1, 2}}  # two of five days off
WEDNESDAY, SATURDAY = LAST - 8 * DAY, LAST - 12 * DAY
WHOLE_WEEK = {WEDNESDAY - n * DAY for n in range(7)}


def delivering(active: Collection[date], known: Collection[date] = EVERY):
    return lambda day: day in active if day in known else None


@pytest.mark.parametrize(("active", "silence", "found"), [
    (WORKING, [SATURDAY, SATURDAY + DAY], []),
    (WORKING, [WEDNESDAY], [WEDNESDAY]),
    (WORKING, [SATURDAY - DAY, SATURDAY, SATURDAY + DAY], [SATURDAY - DAY]),
    (EVERY, [SATURDAY], [SATURDAY]),
    (EVERY, sorted(WHOLE_WEEK), sorted(WHOLE_WEEK)),
    (NOW_AND_THEN, PAST[-8:-6], []),
    (NOW_AND_THEN, PAST[-9:-6], PAST[-9:-6]),  # never so long
])  # fmt: skip
def test_only_what_is_usual_is_not_expected(
    active: set[date], silence: list[date], found: list[date]
) -> None:
    assert unusual(silence, delivering(active - set(silence))) == found


def test_a_first_load_knows_weekdays_by_the_weeks_after() -> None:
    spent = delivering(WORKING, WINDOW)
    first = next(day for day in WINDOW if day.weekday() == 5)
    assert unusual([first, first + DAY], spent) == []
    assert unusual([SATURDAY], delivering(WORKING, PAST[-13:])) == [SATURDAY], "one week is none"


def test_a_long_silence_does_not_excuse_itself() -> None:
    weeks = [WEDNESDAY - n * DAY for n in range(14, -1, -1)]
    known = PAST[42:67]  # five days before, and five after
    assert unusual(weeks, delivering(EVERY - set(weeks), known)) == weeks


def history(scene: Scene, active: Collection[date]) -> None:
    before = [day for day in PAST if day < WINDOW[0]]
    scene.published(*(day for day in before if day in active))
    scene.published(*(day for day in before if day not in active), rows=0, spend=None)


@pytest.mark.parametrize(("active", "lost", "found"), [
    (WORKING, set(), set()),
    (WORKING, {WEDNESDAY}, {WEDNESDAY}),
    (WORKING, WHOLE_WEEK, WHOLE_WEEK & WORKING),
    (EVERY, {SATURDAY}, {SATURDAY}),
    (EVERY, WHOLE_WEEK, WHOLE_WEEK),
    (NOW_AND_THEN, set(), set()),
])  # fmt: skip
def test_lost_days_are_told_from_usual_pauses(
    scene: Scene, active: set[date], lost: set[date], found: set[date]
) -> None:
    history(scene, active)
    there = [day for day in WINDOW if day in active - lost]
    outcome = scene.audit(scene.stage(part(since=WINDOW[0], until=LAST), days(*there)))
    told = finding(outcome, "expected_days_present")
    assert told.status is (Status.FAILED if found else Status.PASSED)
    assert told.observed.count("2026-") == min(5, len(found))
    for day in sorted(found)[:5]:
        assert str(day) in told.observed


@pytest.mark.parametrize(("lost", "status"), [(2, Status.PASSED), (3, Status.FAILED)])
def test_a_pause_that_is_over_may_have_been_twice_as_long_as_others(
    scene: Scene, lost: int, status: Status
) -> None:
    history(scene, NOW_AND_THEN)
    silent = PAST[58 : 58 + lost]  # after two days of pause, before two others
    there = [day for day in WINDOW if day in NOW_AND_THEN and day not in silent]
    outcome = scene.audit(scene.stage(part(since=WINDOW[0], until=LAST), days(*there)))
    assert finding(outcome, "expected_days_present").status is status


def test_another_level_that_has_the_day_ends_every_excuse(scene: Scene) -> None:
    history(scene, WORKING)
    there = days(*(day for day in WINDOW if day in WORKING))
    span = {"since": WINDOW[0], "until": LAST}
    low = scene.stage(part(**span), there)
    top = scene.stage(part(Level.ACCOUNT, **span), totals([*there, *days(SATURDAY)]))
    told = finding(scene.audit(low, top), "expected_days_present", low)
    assert (told.status, told.observed) == (Status.FAILED, f"no rows on {SATURDAY}")


def test_a_published_day_that_comes_without_rows_has_no_excuse(scene: Scene) -> None:
    history(scene, WORKING)
    scene.published(SATURDAY)
    there = [day for day in WINDOW if day in WORKING]
    outcome = scene.audit(scene.stage(part(since=WINDOW[0], until=LAST), days(*there)))
    assert finding(outcome, "expected_days_present").observed == f"no rows on {SATURDAY}"


@pytest.mark.parametrize(("until", "status"), [
    (SATURDAY + DAY, Status.NOT_APPLICABLE),
    (SATURDAY + 2 * DAY, Status.FAILED),  # on Mondays there is delivery
    (WEDNESDAY, Status.FAILED),  # weekends excuse no other day
])  # fmt: skip
def test_who_rests_on_weekends_is_late_on_working_days_alone(
    scene: Scene, until: date, status: Status
) -> None:
    history(scene, WORKING)
    there = [day for day in WINDOW if day in WORKING and day < until]
    asked = part(since=WINDOW[0], until=until)
    outcome = scene.audit(scene.stage(asked, days(*there)), today=until + DAY)
    assert finding(outcome, "data_fresh").status is status


def test_a_day_that_is_not_over_says_nothing_of_its_weekday(scene: Scene) -> None:
    since, lost = TODAY - 20 * DAY, {TODAY - 7 * DAY, TODAY - 14 * DAY}
    there = [day for day in PAST if since <= day and day not in lost]
    outcome = scene.audit(scene.stage(part(since=since, until=TODAY), days(*there)))
    found = finding(outcome, "expected_days_present")
    assert found.observed == f"no rows on {TODAY - 14 * DAY}, {TODAY - 7 * DAY}"


def test_reports_in_steps_have_no_habit_of_the_days_between(scene: Scene) -> None:
    rows = [one for day in WINDOW[:24:3] for one in days(day, date_end=day + 2 * DAY)]
    asked = part(since=WINDOW[0], until=WINDOW[25], time_increment=3)
    outcome = scene.audit(scene.stage(asked, rows), today=WINDOW[26])
    assert finding(outcome, "data_fresh").status is Status.FAILED
