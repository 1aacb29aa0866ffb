"""How old published data is, and what of it is late."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from airflow_provider_liftos.quality import freshness
from airflow_provider_liftos.quality.freshness import Age
from tests.quality.scene import ACCOUNT, ASKED, ORG, PLATFORM, Scene, entity

NEWEST = date(2026, 11, 18)
NOW = datetime(2026, 11, 20, 6, tzinfo=UTC)


def known(
    scene: Scene, account: str = ACCOUNT, zone: str = "Europe/Berlin", **parts: object
) -> None:
    given = {"name": "Shop", **parts}
    one = entity("accounts", account_id=account, currency="EUR", timezone=zone, **given)
    now = {"valid_from": ASKED, "is_deleted": False}
    scene._insert(scene.layout.published("accounts"), [{**now, **one}])


def look(scene: Scene, now: datetime = NOW, **options: object) -> list[Age]:
    return freshness.ages(scene, ORG, PLATFORM, now=now, **options)  # type: ignore[arg-type]


def basic(scene: Scene, *days: date, account: str = ACCOUNT, **parts: object) -> None:
    scene.published(*(days or (NEWEST,)), account=account, **parts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("zone", "ended"),
    [
        ("Europe/Berlin", datetime(2026, 11, 18, 23, tzinfo=UTC)),
        ("America/Los_Angeles", datetime(2026, 11, 19, 8, tzinfo=UTC)),
        ("Pacific/Auckland", datetime(2026, 11, 18, 11, tzinfo=UTC)),
        ("No/Such", datetime(2026, 11, 19, 12, tzinfo=UTC)),
        ("", datetime(2026, 11, 19, 12, tzinfo=UTC)),
    ],
)
def test_a_day_ends_in_its_accounts_zone(scene: Scene, zone: str, ended: datetime) -> None:
    known(scene, zone=zone)
    basic(scene)
    [age] = look(scene)
    assert (age.name, age.newest, age.ended) == ("basic:campaign", NEWEST, ended)
    assert age.due == ended + timedelta(hours=24 + freshness.HOURS)
    assert age.age(NOW) == NOW - ended


def test_a_platform_that_is_late_by_nature_is_given_its_days(scene: Scene) -> None:
    known(scene)
    basic(scene)
    [usual], [slow] = look(scene), look(scene, delay_days=3)
    assert slow.due - usual.due == timedelta(days=2)


def test_the_most_exact_deadline_counts(scene: Scene) -> None:
    known(scene)
    basic(scene)
    hours = {
        PLATFORM: 1.0,
        f"{PLATFORM}/{ACCOUNT}": 2.0,
        f"{PLATFORM}/{ACCOUNT}/basic:campaign": 3.0,
    }
    for key in reversed(list(hours)):
        [age] = look(scene, hours=hours)
        assert age.due - age.ended == timedelta(hours=24 + hours.pop(key))


@pytest.mark.parametrize("never", [None, float("inf"), 1e12])
def test_nobody_waits_where_there_is_no_deadline(scene: Scene, never: float | None) -> None:
    known(scene)
    basic(scene)
    basic(scene, level="ad")
    assert look(scene, hours={f"{PLATFORM}/{ACCOUNT}": never}) == []
    hours = {PLATFORM: never, f"{PLATFORM}/{ACCOUNT}/basic:ad": 4.0}
    assert [age.name for age in look(scene, hours=hours)] == ["basic:ad"]


def test_a_name_stays_on_its_line(scene: Scene) -> None:
    known(scene, name="Shop\n[resolved] all is well " + "x" * 500)
    basic(scene)
    now = due(scene) + timedelta(hours=50)
    [one] = freshness.troubles(look(scene, now=now), now)
    assert "\n" not in one.text
    assert len(one.text) < 250


def test_a_day_without_rows_is_there(scene: Scene) -> None:
    known(scene)
    basic(scene, NEWEST, rows=0, spend=None)
    [age] = look(scene)
    assert age.newest == NEWEST


def test_entities_are_as_old_as_their_last_listing_of_any_kind(scene: Scene) -> None:
    known(scene)
    scene.published(NEWEST, report="ads", level="snapshot", load="a", hours=-48)
    scene.published(NEWEST, report="ads", level="changes", load="b", hours=-24)
    [age] = look(scene)
    assert (age.name, age.ended) == ("ads", ASKED - timedelta(hours=24))
    assert age.due == age.ended + timedelta(hours=24 + freshness.HOURS)


def test_accounts_that_are_gone_are_not_waited_for(scene: Scene) -> None:
    known(scene, is_deleted=True)
    basic(scene)
    assert look(scene) == []


def test_reports_that_were_loaded_once_are_not_waited_for(scene: Scene) -> None:
    known(scene)
    basic(scene, report="hourly", load="a")
    assert look(scene) == []
    basic(scene, NEWEST + timedelta(days=1), report="hourly", load="b")
    assert [age.name for age in look(scene)] == ["hourly:campaign"]


def test_reports_that_nobody_asks_for_any_more_are_not_waited_for(scene: Scene) -> None:
    known(scene)
    later = NOW + timedelta(days=14)
    basic(scene, NEWEST, level="ad")
    basic(scene, NEWEST + timedelta(days=13))
    assert [age.name for age in look(scene, now=later)] == ["basic:campaign"]


def test_listings_that_come_are_no_sign_that_reports_are_asked_for_no_more(scene: Scene) -> None:
    known(scene)
    later = NOW + timedelta(days=14)
    basic(scene, NEWEST)
    scene.published(later.date(), report="ads", level="snapshot", load="b", hours=24 * 14)
    assert [age.name for age in look(scene, now=later)] == ["ads", "basic:campaign"]


def test_an_account_of_which_nothing_comes_is_waited_for_however_long(scene: Scene) -> None:
    known(scene)
    basic(scene)
    assert len(look(scene, now=NOW + timedelta(days=60))) == 1


def test_another_organization_is_not_seen(scene: Scene) -> None:
    basic(scene)
    assert freshness.ages(scene, "other", PLATFORM, now=NOW) == []


def told(scene: Scene, now: datetime) -> list[tuple[str, str]]:
    return [(one.key, one.severity) for one in freshness.troubles(look(scene, now=now), now)]


def due(scene: Scene) -> datetime:
    return max(age.due for age in look(scene))


def test_what_is_due_this_second_is_not_late_yet(scene: Scene) -> None:
    known(scene)
    basic(scene)
    assert told(scene, due(scene)) == []
    assert told(scene, due(scene) + timedelta(seconds=1)) != []


@pytest.mark.parametrize(("hours", "severity"), [(1, "medium"), (24, "high"), (72, "critical")])
def test_the_later_the_graver(scene: Scene, hours: int, severity: str) -> None:
    known(scene)
    basic(scene)
    now = due(scene) + timedelta(hours=hours)
    assert told(scene, now) == [(f"freshness/meta/{ACCOUNT}", severity)]


def test_one_late_table_is_told_by_its_name(scene: Scene) -> None:
    known(scene)
    basic(scene)
    basic(scene, NEWEST + timedelta(days=2), level="ad")
    now = min(age.due for age in look(scene)) + timedelta(hours=1)
    assert told(scene, now) == [(f"freshness/meta/{ACCOUNT}/basic:campaign", "medium")]


def test_a_late_account_is_one_trouble_and_a_late_platform_too(scene: Scene) -> None:
    for account in ("1", "2"):
        known(scene, account)
        basic(scene, account=account)
        basic(scene, account=account, level="ad")
    basic(scene, NEWEST + timedelta(days=2), account="2")
    basic(scene, NEWEST + timedelta(days=2), account="2", level="ad")
    now = min(age.due for age in look(scene)) + timedelta(hours=1)
    assert told(scene, now) == [("freshness/meta/1", "medium")]
    assert told(scene, now + timedelta(days=5)) == [("freshness/meta", "critical")]


def test_a_trouble_says_what_when_and_what_to_do(scene: Scene) -> None:
    known(scene)
    basic(scene)
    now = due(scene) + timedelta(hours=50)
    [one] = freshness.troubles(look(scene, now=now), now)
    assert one.text == (
        f"meta account {ACCOUNT} (Shop): newest 2026-11-18, the next was due 2026-11-21 05:00 UTC,"
        " 2 d 2 h ago"
    )
    assert "liftos_meta" in one.advice
