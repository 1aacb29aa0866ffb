"""Alerts are told once, again when they grow, and close themselves."""

from __future__ import annotations

import pytest

from airflow_provider_liftos.state.alerts import Alert, Alerts, Trouble
from airflow_provider_liftos.state.clock import ManualClock
from airflow_provider_liftos.state.store import StateStore

DAY = 86_400.0


def trouble(key: str = "freshness/meta/1", severity: str = "medium", **parts: str) -> Trouble:
    given = {"platform": "meta", "account_id": "1", "text": f"{key} is late", **parts}
    return Trouble(key=key, severity=severity, **given)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_000_000.0)


@pytest.fixture
def store(empty_store_url: str, clock: ManualClock) -> StateStore:
    return StateStore(empty_store_url, clock)


@pytest.fixture
def alerts(store: StateStore) -> Alerts:
    return Alerts(store, "acme")


def report(alerts: Alerts, *troubles: Trouble) -> None:
    alerts.report("freshness", ["meta"], troubles)


def due(alerts: Alerts) -> list[Alert]:
    return alerts.due("freshness", remind_after=DAY)


def test_a_trouble_is_told_once_though_it_is_reported_again(alerts: Alerts) -> None:
    report(alerts, trouble())
    [first] = due(alerts)
    assert (first.text, first.state, first.episodes) == ("freshness/meta/1 is late", "open", 1)
    alerts.told([first])
    report(alerts, trouble(text="later still"))
    assert due(alerts) == []
    assert [alert.text for alert in alerts.open()] == ["later still"]


def test_what_did_not_leave_is_told_again(alerts: Alerts) -> None:
    report(alerts, trouble())
    assert due(alerts) == due(alerts) != []


def test_what_grows_graver_is_told_again_and_what_gets_milder_is_not(alerts: Alerts) -> None:
    for severity, told in (("medium", True), ("high", True), ("medium", False), ("critical", True)):
        report(alerts, trouble(severity=severity))
        found = due(alerts)
        assert bool(found) is told
        alerts.told(found)


def test_what_lasts_is_told_again_after_a_while(alerts: Alerts, clock: ManualClock) -> None:
    report(alerts, trouble())
    alerts.told(due(alerts))
    clock.advance(DAY - 1)
    assert due(alerts) == []
    clock.advance(1)
    assert len(due(alerts)) == 1


def test_what_is_reported_no_more_is_over_and_told_once(alerts: Alerts) -> None:
    report(alerts, trouble("a"), trouble("b"))
    alerts.told(due(alerts))
    report(alerts, trouble("b"))
    [over] = due(alerts)
    assert (over.key, over.is_open) == ("a", False)
    alerts.told([over])
    assert due(alerts) == []
    assert [alert.key for alert in alerts.open()] == ["b"]


def test_what_nobody_was_told_of_ends_in_silence(alerts: Alerts) -> None:
    report(alerts, trouble())
    report(alerts)
    assert due(alerts) == []


def test_what_comes_back_is_a_new_episode(alerts: Alerts, clock: ManualClock) -> None:
    report(alerts, trouble())
    alerts.told(due(alerts))
    report(alerts)
    clock.advance(60)
    report(alerts, trouble())
    [again] = due(alerts)
    assert (again.episodes, again.opened_at, again.is_open) == (2, clock.now(), True)


def test_the_moment_it_was_opened_stays(alerts: Alerts, clock: ManualClock) -> None:
    opened = clock.now()
    report(alerts, trouble())
    clock.advance(60)
    report(alerts, trouble())
    [alert] = alerts.open()
    assert (alert.opened_at, alert.seen_at) == (opened, opened + 60)


def test_only_what_was_looked_at_can_be_over(alerts: Alerts) -> None:
    report(alerts, trouble())
    alerts.report("freshness", ["tiktok"], [])
    alerts.report("quality", ["meta"], [])
    assert len(alerts.open("freshness")) == 1
    assert alerts.open("quality") == []


def test_organizations_have_their_own(alerts: Alerts, store: StateStore) -> None:
    report(alerts, trouble())
    other = Alerts(store, "other")
    other.report("freshness", ["meta"], [])
    assert (other.open(), len(alerts.open())) == ([], 1)


def test_the_gravest_is_told_first_and_what_is_over_last(alerts: Alerts) -> None:
    report(alerts, trouble("a"), trouble("over", "critical"))
    alerts.told(due(alerts))
    report(alerts, trouble("a", "high"), trouble("b", "critical"))
    assert [alert.key for alert in due(alerts)] == ["b", "a", "over"]


def test_of_several_ways_only_the_closed_ones_are_left(alerts: Alerts, clock: ManualClock) -> None:
    report(alerts, trouble())
    alerts.told_by("slack", due(alerts))
    [left] = due(alerts)
    assert left.told_to == {"slack"}
    clock.advance(60)
    report(alerts, trouble())
    assert due(alerts)[0].told_to == {"slack"}
    report(alerts, trouble(severity="high"))
    assert due(alerts)[0].told_to == frozenset(), "it grew: this is news for all"
    alerts.told(due(alerts))
    assert due(alerts) == []


def test_what_one_way_has_told_is_told_to_be_over(alerts: Alerts) -> None:
    report(alerts, trouble())
    alerts.told_by("slack", due(alerts))
    report(alerts)
    [over] = due(alerts)
    assert (over.is_open, over.told_to) == (False, frozenset())
