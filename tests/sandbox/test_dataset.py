from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_liftos.sandbox.dataset import Dataset, Moment
from airflow_provider_liftos.sandbox.dataset.chance import shares
from airflow_provider_liftos.sandbox.dataset.dimensions import DIMENSIONS
from airflow_provider_liftos.sandbox.dataset.division import divide
from airflow_provider_liftos.sandbox.dataset.facts import RIPENESS, SETTLED
from airflow_provider_liftos.sandbox.dataset.metrics import FIRST_CONVERSION, FIRST_VALUE, Metrics

NOON = datetime(2026, 11, 21, 11, 0, tzinfo=UTC)
DAY = date(2026, 11, 12)
DIVISIONS = [
    *[(name,) for name in DIMENSIONS if name not in ("platform_position", "frequency_value")],
    ("age", "gender"),
    ("publisher_platform", "platform_position"),
    ("platform_position", "publisher_platform"),
    ("publisher_platform", "platform_position", "impression_device"),
]


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return Dataset(seed=7, platform="meta", profile="small", started_at=NOON)


@given(
    total=st.integers(0, 10**7), weights=st.lists(st.integers(1, 10**4), min_size=1, max_size=40)
)
def test_shares_add_up_and_stay_near_their_weight(total: int, weights: list[int]) -> None:
    parts = shares(total, weights)
    assert sum(parts) == total
    whole = sum(weights)
    assert all(abs(p - total * w / whole) <= 1 for p, w in zip(parts, weights, strict=True))


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(dataset: Dataset) -> None:
    account = dataset.accounts[0]
    at = dataset.moment(account, NOON)
    again = Dataset(seed=7, platform="meta", profile="small", started_at=NOON)
    other = Dataset(seed=8, platform="meta", profile="small", started_at=NOON)
    numbers = [fact.metrics for fact in dataset.day(account, DAY, at)]
    assert numbers == [fact.metrics for fact in again.day(again.accounts[0], DAY, at)]
    assert numbers != [fact.metrics for fact in other.day(other.accounts[0], DAY, at)]


def test_numbers_of_a_day_do_not_depend_on_the_day_the_sandbox_started(dataset: Dataset) -> None:
    later = Dataset(seed=7, platform="meta", profile="small", started_at=NOON + timedelta(days=2))
    at = dataset.moment(dataset.accounts[0], NOON)
    mine = {f.ad.id: f.metrics for f in dataset.day(dataset.accounts[0], DAY, at)}
    theirs = {f.ad.id: f.metrics for f in later.day(later.accounts[0], DAY, at)}
    common = mine.keys() & theirs.keys()
    assert len(common) > 20
    assert all(mine[ad] == theirs[ad] for ad in common)


def test_a_few_ads_of_a_day_have_the_numbers_they_have_among_all(dataset: Dataset) -> None:
    account = dataset.accounts[1]
    at = dataset.moment(account, NOON)
    ads = dataset.book(account).ads[3:9]
    fresh = Dataset(seed=7, platform="meta", profile="small", started_at=NOON)
    some = {f.ad.id: f.metrics for f in fresh.day(account, DAY, at, ads)}
    every = {f.ad.id: f.metrics for f in dataset.day(account, DAY, at)}
    assert some == {ad.id: every[ad.id] for ad in ads if ad.id in every}


@pytest.mark.parametrize("names", DIVISIONS, ids=",".join)
def test_parts_of_a_breakdown_add_up_to_the_whole(dataset: Dataset, names: tuple[str, ...]) -> None:
    for account in (dataset.accounts[0], dataset.accounts[2]):
        at = dataset.moment(account, NOON)
        for fact in dataset.day(account, DAY, at):
            cells = divide(fact, names)
            whole = [sum(column) for column in zip(*[c.metrics for c in cells], strict=True)]
            withheld = any(DIMENSIONS[name].conversions == "withheld" for name in names)
            until = FIRST_CONVERSION if withheld else len(Metrics._fields)
            assert tuple(whole[:until]) == fact.metrics[:until]
            assert len({repr(c.values) for c in cells}) == len(cells)
            assert all(c.reach <= c.metrics.impressions for c in cells)
            assert max((c.reach for c in cells), default=0) <= max(fact.reach, 1)


def test_an_hour_that_the_clock_skipped_has_no_numbers(dataset: Dataset) -> None:
    spring = Dataset(
        seed=7, platform="meta", profile="small", started_at=datetime(2026, 4, 10, tzinfo=UTC)
    )
    account = spring.accounts[0]
    at = spring.moment(account, datetime(2026, 4, 10, tzinfo=UTC))
    facts = spring.day(account, date(2026, 3, 29), at)
    name = "hourly_stats_aggregated_by_advertiser_time_zone"
    hours = {str(cell.values[0])[:2] for fact in facts for cell in divide(fact, (name,))}
    assert "02" not in hours
    assert len(hours) == 23


def test_conversions_grow_until_they_settle_and_delivery_stays(dataset: Dataset) -> None:
    account = dataset.accounts[0]
    seen = []
    for age in range(1, 31):
        at = Moment(DAY + timedelta(days=age), 50)
        facts = dataset.day(account, DAY, at)
        seen.append([sum(column) for column in zip(*[f.metrics for f in facts], strict=True)])
    delivery = {tuple(row[:FIRST_CONVERSION]) for row in seen}
    assert len(delivery) == 1
    for earlier, later in pairwise(seen):
        assert all(a <= b for a, b in zip(earlier, later, strict=True))
    assert sum(seen[0][FIRST_CONVERSION:FIRST_VALUE]) < sum(seen[27][FIRST_CONVERSION:FIRST_VALUE])
    assert seen[27] == seen[28] == seen[29]
    assert len(RIPENESS) == SETTLED + 1 == 29


def test_today_is_partial_and_tomorrow_unknown(dataset: Dataset) -> None:
    account = dataset.accounts[0]
    today = NOON.astimezone(ZoneInfo("Europe/Berlin")).date()

    def shown(quarter: int) -> int:
        return sum(
            f.metrics.impressions for f in dataset.day(account, today, Moment(today, quarter))
        )

    assert shown(0) == 0 < shown(24) < shown(48) < shown(96)
    assert dataset.day(account, today + timedelta(days=1), Moment(today, 48)) == []


def test_history_is_as_long_as_the_profile_says(dataset: Dataset) -> None:
    for account in dataset.accounts:
        first = dataset.first_day(account)
        at = dataset.moment(account, NOON)
        assert (at.today - first).days == 60
        assert dataset.day(account, first - timedelta(days=1), at) == []
        if not account.empty and not account.gaps:
            assert dataset.day(account, first, at)


def test_there_is_an_empty_account_and_one_with_gaps(dataset: Dataset) -> None:
    days = {}
    for account in dataset.accounts:
        at = dataset.moment(account, NOON)
        first = dataset.first_day(account)
        days[account.currency] = sum(
            bool(dataset.day(account, first + timedelta(days=n), at)) for n in range(60)
        )
    assert days["KWD"] == 0
    assert 20 < days["INR"] < 55
    assert {days[c] for c in ("EUR", "USD", "JPY", "BRL")} == {60}


def test_oddities_of_delivery_occur(dataset: Dataset) -> None:
    account = dataset.accounts[0]
    at = dataset.moment(account, NOON)
    first = dataset.first_day(account)
    facts = [f for n in range(60) for f in dataset.day(account, first + timedelta(days=n), at)]
    assert any(
        f.metrics.clicks and not f.metrics.impressions and not f.metrics.spend for f in facts
    )
    assert any(f.metrics.spend and not f.metrics.clicks for f in facts)
    assert all(any(f.metrics) for f in facts)
    assert all(f.reach <= f.metrics.impressions or not f.metrics.impressions for f in facts)


def test_ids_are_above_what_a_float_can_hold_and_lead_back(dataset: Dataset) -> None:
    ids = set()
    for account in dataset.accounts:
        assert int(account.id) > 2**53
        book = dataset.book(account)
        for kind in ("campaign", "ad_group", "ad", "creative", "audience"):
            for entity in book.of(kind):
                assert int(entity.id) > 2**53
                assert dataset.find(entity.id) is entity
                ids.add(entity.id)
    assert len(ids) == 6 * (5 + 10 + 40 + 30) + 5 * 12
    assert dataset.find("120200002000001664") is None
    assert dataset.find("nonsense") is None


def test_something_was_deleted_and_something_will_be(dataset: Dataset) -> None:
    ads = dataset.book(dataset.accounts[0]).ads
    now = [ad.status(NOON.date()) for ad in ads]
    soon = [ad.status(NOON.date() + timedelta(days=5)) for ad in ads]
    assert now.count("DELETED") >= 3
    assert now.count("ARCHIVED") >= 1
    assert soon.count("DELETED") > now.count("DELETED")
    gone = next(ad for ad in ads if ad.status(NOON.date()) == "DELETED" and ad.end())
    end = gone.end()
    assert end is not None
    at = dataset.moment(dataset.accounts[0], NOON)
    delivered = [
        f.day for n in range(60)
        for f in dataset.day(dataset.accounts[0], dataset.first_day(gone.account) + timedelta(days=n), at)
        if f.ad is gone
    ]  # fmt: skip
    assert delivered
    assert max(delivered) <= end[0]


def test_edits_move_forward_with_the_clock(dataset: Dataset) -> None:
    ad = next(ad for ad in dataset.book(dataset.accounts[0]).ads if ad.renamed)
    moments = [ad.updated_at(NOON.date() + timedelta(days=n)) for n in range(200)]
    assert moments == sorted(moments)
    assert len(set(moments)) > 2
    assert all(m.date() <= NOON.date() + timedelta(days=n) for n, m in enumerate(moments))
    names = {ad.name(NOON.date() + timedelta(days=n)) for n in range(200)}
    assert len(names) > 2
