"""The numbers of every ad and day: made by hashing, ripening with age."""

from __future__ import annotations

import struct
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from .accounts import Account
from .chance import digest, number
from .entities import Entity
from .metrics import FIRST_CONVERSION, Metrics, priced

# Share of its final conversions (in thousandths) that an ad-day shows at an age in days:
# quick at first, settled after 28 days.
RIPENESS = (350, 620, 760, 830, 850, *(856 + 6 * step for step in range(23)), 1000)
SETTLED = len(RIPENESS) - 1
QUARTERS = 96  # a day's delivery arrives in quarters of an hour

_WEEK = (100, 96, 94, 98, 112, 126, 118)  # Monday first, in percent
_UNIT = 65536
_CACHED_FACTS = 40_000


@dataclass(frozen=True, slots=True)
class Final:
    """An ad's day once it has settled."""

    ad: Entity
    counts: tuple[int, ...]
    reach: int
    price: int
    salt: bytes


@dataclass(frozen=True, slots=True)
class Fact:
    """An ad's day as the platform knows it at some moment; ``price`` is that of a purchase."""

    ad: Entity
    day: date
    metrics: Metrics
    reach: int
    price: int
    salt: bytes


def ripen(final: Final, day: date, age: int, quarter: int) -> Fact:
    """Return what is known of ``final`` at ``age`` days (``quarter`` of the first day)."""
    counts: Sequence[int] = final.counts
    reach = final.reach
    if age == 0:
        counts = [count * quarter // QUARTERS for count in counts]
        reach = min(counts[0], reach * quarter // QUARTERS + 1)
    if age < SETTLED:
        share, late = RIPENESS[age], final.salt[0] * 3 + final.salt[1] % 235
        ripe = [(count * share + late) // 1000 for count in counts[FIRST_CONVERSION:]]
        counts = [*counts[:FIRST_CONVERSION], *ripe]
    return Fact(final.ad, day, priced(counts, final.price), reach, final.price, final.salt)


def _rate(amount: int, ppm: int, chance: int) -> int:
    """Return ``ppm`` millionths of ``amount``, rounded up or down by ``chance`` (16 bit)."""
    return (amount * ppm + chance * 15) // 1_000_000


def _jitter(amount: int, chance: int) -> int:
    """Return between half and one and a half of ``amount``."""
    return amount * (_UNIT // 2 + chance) // _UNIT


@dataclass(frozen=True, slots=True)
class Habit:
    """What is typical of one ad."""

    base: int
    ctr: int
    cvr: int
    video: int
    onsite: int
    mille: int
    price: int


class Facts:
    """Makes settled facts, keeps a bounded number of them."""

    def __init__(self, seed: int, platform: str) -> None:
        self._seed = seed
        self._platform = platform
        self._lock = threading.Lock()
        self._habits: OrderedDict[str, Habit] = OrderedDict()
        self._days: OrderedDict[tuple[str, date], tuple[Final, ...]] = OrderedDict()
        self._kept = 0

    def of_day(self, account: Account, ads: Sequence[Entity], day: date) -> tuple[Final, ...]:
        """Return the settled facts of all ``ads`` of ``account`` on ``day``."""
        key = (account.id, day)
        with self._lock:
            known = self._days.get(key)
            if known is not None:
                self._days.move_to_end(key)
                return known
        made = self._make_all(account, ads, day)
        with self._lock:
            if key not in self._days:
                self._days[key] = made
                self._kept += len(made)
            while self._kept > _CACHED_FACTS and len(self._days) > 1:
                self._kept -= len(self._days.popitem(last=False)[1])
        return made

    def some_of_day(self, account: Account, ads: Sequence[Entity], day: date) -> tuple[Final, ...]:
        """Return the same for some ads only: from what is kept, else without keeping it."""
        with self._lock:
            known = self._days.get((account.id, day))
        if known is not None:
            wanted = {ad.id for ad in ads}
            return tuple(final for final in known if final.ad.id in wanted)
        return self._make_all(account, ads, day)

    def _make_all(self, account: Account, ads: Sequence[Entity], day: date) -> tuple[Final, ...]:
        if account.empty or (account.gaps and self._silent(account, day)):
            return ()
        made = (self._make(ad, day) for ad in ads if _alive(ad, day))
        return tuple(final for final in made if final is not None)

    def _silent(self, account: Account, day: date) -> bool:
        ordinal = day.toordinal()
        return ordinal % 30 in range(10, 15) or not number(5, self._seed, account.id, ordinal)

    def _habit(self, ad: Entity) -> Habit:
        habit = self._habits.get(ad.id)
        if habit is None:
            habit = self._habits[ad.id] = self._form(ad)
            while len(self._habits) > _CACHED_FACTS:
                self._habits.popitem(last=False)
        return habit

    def _form(self, ad: Entity) -> Habit:
        account = ad.account
        r = struct.unpack(">8H", digest(self._seed, self._platform, ad.id, "habit"))
        sells = ad.goal == "sales"
        return Habit(
            base=(12, 300, 1800, 5200, 9000, 14000, 30000, 700)[r[0] % 8],
            ctr=6_000 + r[1] % 30_000,
            cvr={"sales": 60_000, "traffic": 9_000, "leads": 4_000}.get(ad.goal, 0) + r[2] % 900,
            video=300_000 if r[3] % 3 == 0 else 0,
            onsite=250_000 if sells and r[4] % 5 == 0 else 0,
            mille=_jitter(account.mille, r[5]),
            price=max(1, _jitter(account.basket, r[6])),
        )

    def _make(self, ad: Entity, day: date) -> Final | None:
        """One ad's day. ``r`` is its chance: sixteen numbers of 16 bit, then the salt."""
        hashed = digest(self._seed, self._platform, ad.id, day.toordinal(), size=48)
        r = struct.unpack_from(">16H", hashed)
        if r[15] < 2600:  # four days in a hundred an ad does not run
            return _stray_click(ad, hashed) if r[15] < 330 else None
        habit = self._habit(ad)
        shown = _jitter(habit.base * _WEEK[day.weekday()] // 100, r[0])
        clicks = _rate(shown, _jitter(habit.ctr, r[1]), r[2])
        links = _rate(clicks, 780_000, r[3])
        landed = _rate(links, 700_000, r[4])
        played = _rate(shown, habit.video, r[5])
        counts = (
            *(shown, clicks, links, _rate(links, 950_000, r[6])),
            shown * _jitter(habit.mille, r[7]) // 1000,
            *(landed, _rate(shown, 3_000, r[8]), _rate(shown, 250, r[9])),
            *_videos(played, r),
            *_purchases(links, shown, habit, r),
            *_events(links, shown, habit, r),
            _rate(links, 50_000 if ad.goal == "leads" else 0, r[14]),
        )
        if not any(counts):
            return None
        reach = max(1, shown * 100 // (104 + r[10] % 90))
        price = max(1, habit.price * (900 + r[11] % 200) // 1000)
        return Final(ad, counts, min(reach, shown), price, hashed[32:])


def _alive(ad: Entity, day: date) -> bool:
    gone = ad.end()
    return ad.created_at.date() <= day and (gone is None or day <= gone[0])


def _stray_click(ad: Entity, hashed: bytes) -> Final:
    """Return clicks on yesterday's impression: nothing shown, nothing spent."""
    counts = [0] * (FIRST_CONVERSION + 13)
    counts[1] = counts[2] = 1 + hashed[0] % 2
    return Final(ad, tuple(counts), 0, 1, hashed[32:])


def _videos(played: int, r: Sequence[int]) -> tuple[int, ...]:
    quarter = _rate(played, 700_000, r[12])
    half = _rate(quarter, 600_000, r[13])
    most = _rate(half, 700_000, r[14])
    full = _rate(most, 800_000, r[9])
    return played, quarter, half, most, full, _rate(half, 900_000, r[8])


def _purchases(links: int, shown: int, habit: Habit, r: Sequence[int]) -> tuple[int, ...]:
    bought = _rate(links, _jitter(habit.cvr, r[3]), r[5])
    onsite = _rate(bought, habit.onsite, r[6])
    outside = bought - onsite
    day = _rate(outside, 600_000, r[9])
    week = _rate(outside - day, 700_000, r[10])
    view = _rate(shown, habit.cvr // 600, r[11])
    return day, week, outside - day - week, view, _rate(shown, habit.cvr // 1500, r[12]), onsite


def _events(links: int, shown: int, habit: Habit, r: Sequence[int]) -> tuple[int, ...]:
    carts = _rate(links, habit.cvr * 4, r[13])
    seen = habit.cvr // 200
    checkouts = _rate(links, habit.cvr * 2, r[14])
    contents = _rate(links, 600_000 if habit.cvr > 1000 else 0, r[1])
    return (
        *(carts, _rate(shown, seen, r[2])),
        *(checkouts, _rate(shown, seen // 2, r[4])),
        *(contents, _rate(shown, seen * 2, r[7])),
    )
