"""What a day should be, by the same weekdays before."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from airflow_provider_liftos.quality import seasons
from airflow_provider_liftos.quality.seasons import Departure, Spread, Way

MONDAY = date(2026, 11, 16)
WEEKEND = {5: 20.0, 6: 40.0}


def series(weeks: int = 12, *, noise: float = 0.05, until: date = MONDAY) -> dict[date, float]:
    """Days up to ``until``; weekends are quieter, and every other week lies a little higher."""
    return {
        day: WEEKEND.get(day.weekday(), 100.0) * (1 + noise * (1 if n // 7 % 2 else -1))
        for n in range(7 * weeks + 1)
        for day in [until - timedelta(days=n)]
    }


def departure(values: dict[date, float], day: date, usual: Spread | None) -> Departure | None:
    return seasons.departure(values, day, usual, seasons.expected(values, day))


def judge(values: dict[date, float], day: date = MONDAY) -> Departure | None:
    return departure(values, day, seasons.spread(values, day))


def test_a_quiet_weekend_is_expected_to_be_quiet() -> None:
    sunday = MONDAY - timedelta(days=1)
    assert seasons.expected(series(), MONDAY) == pytest.approx(100, rel=0.11)
    assert seasons.expected(series(), sunday) == pytest.approx(40, rel=0.11)
    assert judge(series() | {sunday: 100.0}, sunday).way is Way.JUMP
    assert judge(series() | {MONDAY: 40.0}).way is Way.DROP
    assert judge(series()) is None


def test_one_bad_day_of_the_past_is_not_learned() -> None:
    values = series() | {MONDAY - timedelta(days=7): 1e6, MONDAY - timedelta(days=9): 0.0}
    assert seasons.expected(values, MONDAY) == pytest.approx(100, rel=0.11)
    assert judge(values) is None
    assert judge(values | {MONDAY: 1000.0}).way is Way.JUMP


def test_the_size_is_in_median_distances_of_like_days() -> None:
    values = series()
    usual = seasons.spread(values, MONDAY)
    found = judge(values | {MONDAY: 300.0})
    assert found.size == pytest.approx((300 / found.expected - 1) / usual.above)
    assert found.observed == 300


def test_a_day_at_the_limit_departs_and_one_below_does_not() -> None:
    values, usual = series(noise=0.0), Spread(below=0.1, above=0.2, steady=True, always=True)
    for size, way in ((seasons.LIMIT + 1e-9, Way.JUMP), (seasons.LIMIT - 1e-9, None)):
        found = departure(values | {MONDAY: 100 * (1 + 0.2 * size)}, MONDAY, usual)
        assert (found and found.way) == way
    for size, way in ((seasons.LIMIT + 1e-9, Way.DROP), (seasons.LIMIT - 1e-9, None)):
        found = departure(values | {MONDAY: 100 * (1 - 0.1 * size)}, MONDAY, usual)
        assert (found and found.way) == way


def test_steady_budgets_may_move_a_little() -> None:
    values = series(noise=0.0)
    assert seasons.spread(values, MONDAY).below == seasons.LEAST_SPREAD
    assert judge(values | {MONDAY: 100 * (1 + 4 * seasons.LEAST_SPREAD)}) is None
    assert judge(values | {MONDAY: 100 * (1 + 5 * seasons.LEAST_SPREAD)}) is not None


def test_nothing_is_expected_without_enough_like_days() -> None:
    assert judge(series(weeks=3) | {MONDAY: 1e6}) is None
    assert judge(series(weeks=4) | {MONDAY: 1e6}) is not None


def test_a_day_of_which_nothing_is_known_is_no_zero() -> None:
    values = series()
    del values[MONDAY]
    usual = seasons.spread(values, MONDAY)
    with pytest.raises(KeyError):
        departure(values, MONDAY, usual)
    for number in range(1, 40):
        values.pop(MONDAY - timedelta(days=number * 2), None)
    assert seasons.spread(values, MONDAY).steady


def test_silence_is_a_gap_only_where_delivery_is_steady() -> None:
    values = series() | {MONDAY: 0.0}
    assert judge(values).way is Way.GAP
    often_silent = values | {MONDAY - timedelta(days=n): 0.0 for n in range(3, 80, 4)}
    assert judge(often_silent) is None


def test_one_silent_day_is_enough_not_to_be_there_always() -> None:
    values = series()
    assert seasons.spread(values, MONDAY).always
    usual = seasons.spread(values | {MONDAY - timedelta(days=30): 0.0}, MONDAY)
    assert (usual.steady, usual.always) == (True, False)
    young = {day: value for day, value in values.items() if MONDAY - day < timedelta(days=21)}
    assert seasons.spread(young, MONDAY) is None
    for weekday in range(1, 4):  # four weeks of three weekdays are twelve days, and not enough
        young |= {MONDAY - timedelta(days=7 * n + weekday): 9.0 for n in range(4)}
    few = {day: value for day, value in young.items() if (MONDAY - day).days % 7 in {1, 2, 3}}
    assert not seasons.spread(few, MONDAY).always


def test_a_silent_day_before_does_not_lower_what_is_expected() -> None:
    values = series() | {MONDAY - timedelta(days=7 * n): 0.0 for n in (1, 2, 3)}
    assert seasons.expected(values, MONDAY) == pytest.approx(100, rel=0.11)


def depart(day: int, way: Way, size: float) -> Departure:
    on = date(2026, 11, day)
    return Departure(way=way, since=on, until=on, size=size, observed=size, expected=1)


def test_days_in_a_row_are_one_episode_and_the_worst_speaks() -> None:
    days = [depart(1, Way.DROP, 5), depart(2, Way.GAP, 9), depart(3, Way.DROP, 6)]
    [episode] = seasons.episodes(days)
    assert (episode.since.day, episode.until.day) == (1, 3)
    assert (episode.way, episode.size) == (Way.GAP, 9)


def test_another_direction_or_a_day_between_is_another_episode() -> None:
    days = [depart(1, Way.DROP, 5), depart(2, Way.JUMP, 5), depart(4, Way.JUMP, 5)]
    assert [one.since.day for one in seasons.episodes(days)] == [1, 2, 4]
    assert list(seasons.episodes([])) == []
