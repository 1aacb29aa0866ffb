from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_liftos.engine import plan
from airflow_provider_liftos.engine.plan import DateRange
from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.model.report import Account, Level, Window
from tests.engine.harness import META, basic

NOON = datetime(2026, 11, 21, 11, 0, tzinfo=UTC).timestamp()
BERLIN = Account(account_id="1", timezone="Europe/Berlin")
TODAY = date(2026, 11, 21)
OLDEST = TODAY - timedelta(days=1123)


def resolve(asked: DateRange, account: Account = BERLIN, moment: float = NOON) -> Window:
    return plan.resolve(asked, account, META, moment)[0]


def test_the_last_days_end_yesterday_where_the_account_is() -> None:
    window = resolve(DateRange(last_days=7))
    assert (window.until, window.days) == (TODAY - timedelta(days=1), 7)
    assert resolve(DateRange(last_days=1, today=True)).until == TODAY
    late = datetime(2026, 11, 21, 23, 30, tzinfo=UTC).timestamp()
    zones = {
        "UTC": 20,
        "Asia/Tokyo": 21,
        "America/Los_Angeles": 20,
        "Pacific/Kiritimati": 21,
        "": 20,
    }
    for zone, day in zones.items():
        account = Account(account_id="1", timezone=zone)
        assert resolve(DateRange(last_days=1), account, late).until.day == day


def test_a_lookback_reads_days_before_again() -> None:
    asked = DateRange(since=date(2026, 11, 1), until=date(2026, 11, 2), lookback_days=28)
    assert resolve(asked) == Window(since=date(2026, 10, 4), until=date(2026, 11, 2))


@pytest.mark.parametrize(
    ("asked", "since", "until", "told"),
    [
        (DateRange(since=OLDEST, until=OLDEST), OLDEST, OLDEST, []),
        (DateRange(since=OLDEST - timedelta(days=1), until=OLDEST), OLDEST, OLDEST, ["cut to begin"]),
        (DateRange(since=TODAY, until=TODAY), TODAY, TODAY, []),
        (DateRange(since=TODAY, until=TODAY + timedelta(days=9)), TODAY, TODAY, ["was cut at"]),
        (DateRange(last_days=5000), OLDEST, TODAY - timedelta(days=1), ["cut to begin"]),
        (DateRange(lifetime=True), OLDEST, TODAY - timedelta(days=1), ["the account's beginning"]),
    ],
)  # fmt: skip
def test_windows_are_clamped_and_say_so(
    asked: DateRange, since: date, until: date, told: list[str]
) -> None:
    window, warnings = plan.resolve(asked, BERLIN, META, NOON)
    assert window == Window(since=since, until=until)
    assert len(warnings) == len(told)
    assert all(part in line for part, line in zip(told, warnings, strict=True))


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (DateRange(), "no window"),
        (DateRange(since=TODAY), "no window"),
        (DateRange(last_days=0), "last_days"),
        (DateRange(last_days=-3), "last_days"),
        (DateRange(since=TODAY, until=TODAY - timedelta(days=1)), "exchange"),
        (DateRange(since=TODAY + timedelta(days=1), until=TODAY + timedelta(days=2)), "future"),
        (DateRange(since=date(2020, 1, 1), until=OLDEST - timedelta(days=1)), "memory"),
    ],
)
def test_windows_that_make_no_sense_are_refused(asked: DateRange, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        resolve(asked)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../etc/passwd", "a\x00b", "Europe"])
def test_an_unknown_zone_is_named(zone: str) -> None:
    with pytest.raises(ConfigurationError, match="time zone"):
        resolve(DateRange(last_days=1), Account(account_id="1", timezone=zone))


@given(st.integers(0, 800), st.integers(-2, 90), st.sampled_from([1, 7, 28, 90]))
def test_slices_cover_each_day_once_newest_first(span: int, size: int, increment: int) -> None:
    window = Window(since=date(2024, 1, 1), until=date(2024, 1, 1) + timedelta(days=span))
    report = replace(basic(Level.CAMPAIGN), time_increment=increment)
    cuts = plan.slices(META, [(BERLIN, window)], [report], [], size)
    days = [day for cut in reversed(cuts) for day in cut.window.dates()]
    assert days == list(Window(since=days[0], until=window.until).dates())
    assert 0 <= (window.since - days[0]).days < increment
    # Increments are whole, but for the newest one where the window ends.
    assert all(cut.window.days % increment == 0 for cut in cuts[1:])


MEMORY = Window(since=OLDEST, until=TODAY - timedelta(days=1))


def starts(window: Window, increment: int) -> set[date]:
    """First days of the rows that these days would bring."""
    parts = plan.chunks(window, increment, 30, MEMORY)
    return {day for part in parts for day in list(part.dates())[::increment]}


@given(st.integers(0, 1100), st.integers(0, 200), st.integers(0, 200), st.sampled_from([7, 28, 90]))
def test_rows_of_two_runs_are_the_same_or_apart(
    age: int, first: int, second: int, increment: int
) -> None:
    end = MEMORY.until - timedelta(days=age)
    windows = [
        Window(since=max(end - timedelta(days=days), MEMORY.since), until=end)
        for days in (first, second)
    ]
    both = sorted(starts(windows[0], increment) | starts(windows[1], increment))
    whole = [day for day in both if day >= MEMORY.since + timedelta(days=increment)]
    assert all((day - whole[0]).days % increment == 0 for day in whole)
    for window in windows:
        parts = list(plan.chunks(window, increment, 30, MEMORY))
        assert parts[0].until >= window.until
        assert parts[0].until <= MEMORY.until
        assert parts[-1].since >= MEMORY.since
        edge = window.until < MEMORY.since + timedelta(days=increment)
        assert edge or parts[0].until == MEMORY.until or parts[0].days % increment == 0


def test_memory_ends_with_the_last_day_that_is_over() -> None:
    assert plan.memory(BERLIN, META, NOON) == MEMORY


def test_weeks_begin_on_mondays_and_end_where_the_platforms_days_end() -> None:
    friday = date(2026, 11, 20)
    window = Window(since=date(2026, 11, 10), until=date(2026, 11, 18))
    monday = date(2026, 11, 9)
    assert list(plan.chunks(window, 7, 30, MEMORY)) == [Window(since=monday, until=friday)]
    assert list(plan.chunks(window, 7, 30)) == [Window(since=monday, until=window.until)]
    oldest = Window(since=OLDEST, until=OLDEST + timedelta(days=13))
    (part,) = plan.chunks(oldest, 7, 30, MEMORY)
    assert (part.since.weekday(), part.until.weekday()) == (0, 6)
    edge = Window(since=OLDEST, until=OLDEST + timedelta(days=1))
    assert next(plan.chunks(edge, 90, 30, MEMORY)).since >= OLDEST


def test_entities_come_last_and_once_per_account() -> None:
    window = Window(since=date(2026, 11, 1), until=date(2026, 11, 20))
    cuts = plan.slices(META, [(BERLIN, window)], [basic()], ["ads", "campaigns"], 5)
    assert [cut.stream for cut in cuts] == [None] * 4 + ["ads", "campaigns"]


def test_what_cannot_be_is_refused_before_anything_is_sent() -> None:
    window = Window(since=date(2026, 11, 1), until=date(2026, 11, 2))
    with pytest.raises(ConfigurationError, match="twice"):
        plan.slices(META, [(BERLIN, window)], [basic(), basic()], [], 5)
    with pytest.raises(ConfigurationError, match="no stream 'addz'"):
        plan.slices(META, [(BERLIN, window)], [], ["addz"], 5)


def test_accounts_are_dealt_out_in_batches() -> None:
    accounts = [Account(account_id=str(n)) for n in range(7)]
    groups = plan.batches(accounts, 3)
    assert [len(group) for group in groups] == [3, 3, 1]
    assert [one for group in groups for one in group] == accounts
