"""``python -m tests.bench.anomalies [FIRST LAST [BASELINE]]``: how often anomalies are told wrongly, or missed.

Clean days of the sandbox, of seeds that had no part in choosing the constants: those were chosen on
seeds 1 to 10, and earlier rules were measured on others below 203. Each seed is five
advertisers with five campaigns, 120 days; the last 30 are judged. Whatever is told of clean days is
a false alarm. Then single days are multiplied, one at a time. How unusual such a day is, is measured
apart from the code under test: against the median and the MAD of like weekdays of the whole clean
series (also what comes after), in those ads that neither began nor ended.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from statistics import median

from airflow_provider_liftos.quality.anomalies import (
    BASELINES,
    MATERIAL,
    MEDIAN,
    Anomaly,
    anomalies,
)
from airflow_provider_liftos.quality.delivery import METRICS, Cohort, Days, Delivery
from airflow_provider_liftos.quality.seasons import LIMIT, Way
from airflow_provider_liftos.sandbox import dataset

FIRST_SEED, LAST_SEED = 203, 225
PLATFORMS = ("meta", "tiktok", "google_ads")
DAYS, JUDGED = 120, 30
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
FACTORS = (0.0, 0.1, 0.2, 0.35, 0.5, 1.6, 2.0, 2.5, 3.0, 5.0, 10.0)
PLANTED = 24  # per account
OVER = 5.0
MOVING = 0.2  # of the account's day


@dataclass(frozen=True, kw_only=True)
class Scene:
    """An account, and its campaigns' days in ads that were always there."""

    delivery: Delivery
    judged: Sequence[date]
    steady: Mapping[str, Mapping[date, Sequence[float]]]


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A day of a campaign, or of the account where it is empty, that was multiplied."""

    campaign_id: str
    day: date
    factor: float
    only_spend: bool
    size: float
    moves: float


def scenes(seed: int, platform: str = "meta") -> Iterator[Scene]:
    """Every account of a seed that ever delivered."""
    dataset.PROFILES["season"] = dataset.Profile(accounts=6, ads=40, days=DAYS)
    made = dataset.Dataset(seed=seed, platform=platform, profile="season", started_at=NOW)
    for account in made.accounts:
        if not account.empty:
            yield _scene(made, account)


def _scene(made: dataset.Dataset, account: dataset.Account) -> Scene:
    first, today = made.first_day(account), NOW.astimezone(account.zone).date()
    at, book = made.moment(account, NOW), made.book(account)
    days = [first + timedelta(days=n) for n in range(DAYS)]
    rows = [
        (fact.ad, day, [float(getattr(fact.metrics, n)) for n in (*METRICS[:3], "buy_7c")])
        for day in days
        for fact in made.day(account, day, at)
    ]
    last: dict[str, date] = {}
    for ad, day, totals in rows:
        if totals[0] > 0:
            last[ad.id] = day
    campaigns: dict[str, Days] = {}
    cohorts: dict[Cohort, Days] = {}
    steady: dict[str, Days] = {}
    for ad, day, totals in rows:
        campaign = ad.campaign.id
        gone = ad.status(today) in {"DELETED", "ARCHIVED"}
        young = ad.created_at.date() > first - timedelta(days=28)
        _add(campaigns.setdefault(campaign, {}), day, totals)
        if gone or young:
            cohort = Cohort(
                campaign_id=campaign,
                began=ad.created_at.date() if young else None,
                ended=last.get(ad.id) if gone else None,
            )
            _add(cohorts.setdefault(cohort, {}), day, totals)
        else:
            _add(steady.setdefault(campaign, {}), day, totals)
            _add(steady.setdefault("", {}), day, totals)
    stopped = {c.id for c in book.campaigns if c.status(today) != "ACTIVE"}
    delivery = Delivery(
        account_id=account.id, days=frozenset(days), campaigns=campaigns, cohorts=cohorts,
        stopped=frozenset(stopped),
    )  # fmt: skip
    return Scene(delivery=delivery, judged=days[-JUDGED:], steady=steady)


def _add(days: Days, day: date, totals: Sequence[float]) -> None:
    days[day] = tuple(a + b for a, b in zip(days.get(day, (0.0,) * 4), totals, strict=True))


def plant(scene: Scene, chance: random.Random) -> Iterator[tuple[Planted, Delivery]]:
    """Days that are unusual by more than ``OVER`` MADs of the clean series.

    Where every third day is silent anyway, as in one of the accounts, silence is not planted.
    """
    spend = METRICS.index("spend")
    for _ in range(PLANTED):
        campaign = chance.choice(["", *scene.delivery.campaigns])
        day, factor = chance.choice(list(scene.judged)), chance.choice(FACTORS)
        only_spend = chance.random() < 0.5 and factor > 0
        clean = {d: t[spend] for d, t in scene.steady.get(campaign, {}).items()}
        whole = {d: t[spend] for d, t in scene.steady[""].items()}
        if not factor and len(whole) < 0.9 * DAYS:
            continue
        size = _size(clean, scene.delivery.days, day, factor)
        if size is None or abs(size) <= OVER:
            continue
        moves = abs(clean[day] * factor - clean[day]) / max(1.0, whole.get(day, 0.0))
        planted = Planted(
            campaign_id=campaign, day=day, factor=factor, only_spend=only_spend, size=size,
            moves=moves,
        )  # fmt: skip
        yield planted, _multiplied(scene.delivery, planted)


def _size(
    clean: Mapping[date, float], days: frozenset[date], day: date, factor: float
) -> float | None:
    """How far the multiplied day lies from its like weekdays, in MADs; above in those above."""
    if not clean.get(day):
        return None
    usual = {
        weekday: median(clean.get(d, 0.0) for d in days if d.weekday() == weekday)
        for weekday in range(7)
    }
    shares = [clean.get(d, 0.0) / usual[d.weekday()] - 1 for d in days if usual[d.weekday()] > 0]
    if usual[day.weekday()] <= 0:
        return None
    share = clean[day] * factor / usual[day.weekday()] - 1
    mad = median(map(abs, shares))
    above = max(mad, median(s for s in shares if s > 0))
    return share / (above if share > 0 else mad)


def _multiplied(delivery: Delivery, planted: Planted) -> Delivery:
    def scaled(of: Days) -> Days:
        if planted.day not in of:
            return of
        if not planted.factor:
            return {d: t for d, t in of.items() if d != planted.day}
        totals = [
            total * (1 if planted.only_spend and name != "spend" else planted.factor)
            for name, total in zip(METRICS, of[planted.day], strict=True)
        ]
        return {**of, planted.day: tuple(totals)}

    meant = planted.campaign_id
    return replace(
        delivery,
        campaigns={
            c: scaled(days) if meant in {"", c} else days for c, days in delivery.campaigns.items()
        },
        cohorts={
            c: scaled(days) if meant in {"", c.campaign_id} else days
            for c, days in delivery.cohorts.items()
        },
    )


def seen(planted: Planted, found: Sequence[Anomaly]) -> bool:
    """Whether it is told: of the campaign itself, or of the account on that day."""
    return any(
        a.campaign_id in {"", planted.campaign_id}
        and a.episode.since <= planted.day <= a.episode.until
        and (a.episode.way is Way.JUMP) == (planted.factor > 1)
        for a in found
    )


@dataclass(kw_only=True)
class Tally:
    """What a range of seeds comes to."""

    months: int = 0
    alarms: int = 0
    planted: Counter[str] = None  # type: ignore[assignment]
    told: Counter[str] = None  # type: ignore[assignment]

    def rate(self) -> float:
        return self.alarms / self.months

    def recall(self, kind: str) -> float:
        return self.told[kind] / self.planted[kind]


ALL = "all, of any weight"
MATTERING = f"moving the account's day by {MOVING:.0%} or more"


def measure(seeds: Sequence[int], platform: str = "meta", baseline: str = MEDIAN) -> Tally:
    """False alarms and recall."""
    tally, usual = Tally(planted=Counter(), told=Counter()), BASELINES[baseline]
    for seed in seeds:
        for number, scene in enumerate(scenes(seed, platform)):
            tally.months += 1
            tally.alarms += len(anomalies(scene.delivery, scene.judged, usual))
            for planted, delivery in plant(scene, random.Random(f"{seed} {number}")):
                told = seen(planted, anomalies(delivery, scene.judged, usual))
                for kind in _kinds(planted):
                    tally.planted[kind] += 1
                    tally.told[kind] += told
    return tally


def _kinds(planted: Planted) -> Iterator[str]:
    yield ALL
    yield f"- of {'a campaign' if planted.campaign_id else 'the account'}"
    yield f"- {'drop to nothing' if not planted.factor else 'drop' if planted.factor < 1 else 'jump'}"
    if planted.only_spend:
        yield "- of spend alone"
    if abs(planted.size) > 8:
        yield "- over 8 MADs"
    if planted.moves >= MOVING:
        yield MATTERING


def main() -> None:
    first, last = (int(a) for a in sys.argv[1:3]) if len(sys.argv) > 2 else (FIRST_SEED, LAST_SEED)
    baseline = sys.argv[3] if len(sys.argv) > 3 else MEDIAN
    for platform in PLATFORMS:
        tally = measure(range(first, last + 1), platform, baseline)
        print(f"{platform}, seeds {first} to {last}, baseline {baseline}, limit {LIMIT} MADs,"
              f" weight {MATERIAL}")  # fmt: skip
        print(
            f"  false alarms: {tally.alarms} in {tally.months} account-months, {tally.rate():.2f}"
        )
        for kind, count in sorted(tally.planted.items(), key=lambda one: (-one[1], one[0])):
            print(f"  recall, over {OVER:g} MADs, {kind}: {tally.recall(kind):.1%} of {count}")


if __name__ == "__main__":
    main()
