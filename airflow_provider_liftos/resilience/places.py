"""What a request occupies under a limit: arithmetic only, of moments in epoch seconds.

Each limit is a key with its *theoretical arrival time* (the generic cell rate algorithm, GCRA): a
request is not counted but given a moment to be sent at, evenly spaced but for a burst after a quiet
time. Where a cap must hold in every window although bursts are allowed, what was sent is counted
as well, in fortieths of the window.

Lanes: while a higher lane is at work and half of the burst is used up, a lower one takes turns that
come to a fifth of the limit's rate, and of what is counted it leaves the last tenth. So the higher
one goes first and the lower one never starves; alone, each has everything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.model.wire import Lane

PARTS = 40
"""A window's parts: 1/41 of a cap is the price of counting parts instead of moments."""

LOWER_SHARE = 0.2
KEPT_SHARE = 0.1
_AT_WORK = 10.0
"""Seconds for which a lane is taken to be at work after a request, while it reads the answer."""

_ROUNDING = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is kept of one limit. ``counts`` are costs by the number of the part they fell into."""

    tat: float = 0.0
    paused_until: float = 0.0
    told_rate: float = 0.0
    counts: Mapping[int, float] = field(default_factory=dict)
    interactive_until: float = 0.0
    fresh_until: float = 0.0
    fresh_turn: float = 0.0
    bulk_turn: float = 0.0

    def higher_until(self, lane: Lane) -> float:
        """Until when a lane above this one is taken to be at work."""
        if lane is Lane.INTERACTIVE:
            return -math.inf
        if lane is Lane.FRESH:
            return self.interactive_until
        return max(self.interactive_until, self.fresh_until)

    def turn(self, lane: Lane) -> float:
        """When the lane may next take a place while a higher one is at work."""
        return self.fresh_turn if lane is Lane.FRESH else self.bulk_turn

    def at_work(self, lane: Lane, until: float) -> Standing:
        """With a note that the lane is at work."""
        if lane is Lane.INTERACTIVE:
            return replace(self, interactive_until=max(until, self.interactive_until))
        if lane is Lane.FRESH:
            return replace(self, fresh_until=max(until, self.fresh_until))
        return self


@dataclass(frozen=True, slots=True)
class Place:
    """One request's place under one limit: ``calls`` per ``per`` seconds for ``key``.

    ``burst`` requests may go at once after a quiet time; no window of ``per`` seconds ever holds
    more than ``calls + burst - 1``, and of a ``counted`` place no more than ``calls``. So by
    default (a burst of 1) requests are spaced evenly and the limit is never exceeded. ``cost`` is
    what the request weighs where a platform counts points.
    """

    key: str
    calls: float
    per: float
    burst: float | None = None
    cost: float = 1.0
    counted: bool = False

    def __post_init__(self) -> None:
        """Raise ``ConfigurationError`` for a limit that lets nothing pass."""
        whole = not self.counted or self._at_once <= max(1.0, self.calls)
        if self.calls <= 0 or self.per <= 0 or self.cost < 0 or self._at_once < 1 or not whole:
            raise ConfigurationError(
                f"The limit {self.key!r} of {self.calls} calls per {self.per} s (burst "
                f"{self.burst}, cost {self.cost}) makes no sense.",
                hint="Calls, seconds and cost are positive, a burst is 1 to the number of calls.",
            )

    @classmethod
    def capped(cls, key: str, calls: float, per: float, burst: float, cost: float = 1.0) -> Place:
        """Bursts, yet never more than ``calls`` in any window of ``per`` seconds."""
        return cls(key, calls, per, burst, cost, counted=burst > 1)

    @property
    def interval(self) -> float:
        """Seconds between two requests of cost 1."""
        return self.per / self.calls

    @property
    def increment(self) -> float:
        """Seconds this request occupies."""
        return self.cost * self.interval

    @property
    def tolerance(self) -> float:
        """How far ahead of the even rhythm a request may be, in seconds."""
        return self._at_once * self.interval

    @property
    def _at_once(self) -> float:
        return 1.0 if self.burst is None else self.burst

    def told(self, rate: float) -> Place:
        """The same within the rate that the platform names (requests per second; 0: none)."""
        calls = rate * self.per
        if not rate or calls >= self.calls:
            return self
        if not self.counted:
            return replace(self, calls=calls)
        return replace(self, calls=calls, burst=max(1.0, min(self._at_once, calls)))

    # -- when -----------------------------------------------------------------------------------

    def earliest(self, now: float, moment: float, standing: Standing, lane: Lane) -> float:
        """The first moment from ``moment`` on that this limit alone allows."""
        rhythm = max(now, standing.tat) + self.increment - self.tolerance
        first = max(moment, standing.paused_until, rhythm)
        return self._countable(first, standing, lane) if self.counted else first

    def by_turns(self, now: float, standing: Standing, lane: Lane) -> bool:
        """Whether a higher lane is at work and needs what is left: half of a burst is for all."""
        scarce = standing.tat + self.increment - self.tolerance / 2 > now
        return scarce and standing.higher_until(lane) > now

    def turn(self, now: float, standing: Standing, lane: Lane) -> float:
        """When the lane's turn is: now, unless a higher one is at work."""
        return max(now, standing.turn(lane)) if self.by_turns(now, standing, lane) else now

    def _countable(self, first: float, standing: Standing, lane: Lane) -> float:
        kept = self.calls * KEPT_SHARE if standing.higher_until(lane) + self.per > first else 0.0
        room = max(self.calls - kept, 1.0)
        room -= min(self.cost, room)
        start = self._part(first)
        if self._fits(start, standing.counts, room):
            return first
        # Room is only made where a part leaves the window.
        ends = sorted(part + PARTS + 1 for part in standing.counts if part + PARTS + 1 > start)
        found = next(part for part in ends if self._fits(part, standing.counts, room))
        return max(first, found * self.per / PARTS)

    def _fits(self, part: int, counts: Mapping[int, float], room: float) -> bool:
        ends = [part, *(later for later in counts if part < later <= part + PARTS)]
        return all(
            sum(n for at, n in counts.items() if end - PARTS <= at <= end) <= room + _ROUNDING
            for end in ends
        )

    def _part(self, moment: float) -> int:
        return math.floor(moment / self.per * PARTS + _ROUNDING)

    # -- what is kept ---------------------------------------------------------------------------

    def taken(self, send_at: float, standing: Standing) -> Standing:
        """Once a request was given ``send_at``.

        One that costs more than a burst has been saved for since before it is sent.
        """
        saving_since = send_at - max(0.0, self.increment - self.tolerance)
        tat = max(standing.tat, saving_since) + self.increment
        kept = replace(standing, tat=tat)
        if not self.counted:
            return kept
        return replace(kept, counts=self._counted(send_at, standing.counts, self.cost))

    def seen(self, moment: float, standing: Standing, lane: Lane) -> Standing:
        """Once a request of the lane was given that moment, to be sent or to come back."""
        return standing.at_work(lane, moment + max(_AT_WORK, 4 * self.interval))

    def turn_taken(self, turn: float, standing: Standing, lane: Lane) -> Standing:
        """Once the lane's turn at that moment was given away."""
        following = turn + self.increment / LOWER_SHARE
        if lane is Lane.FRESH:
            return replace(standing, fresh_turn=following)
        return replace(standing, bulk_turn=following)

    def left(self, left: float, now: float, standing: Standing) -> Standing:
        """Once the platform said how many more requests it takes now: never more than we thought.

        Other programs may draw on the same allowance.
        """
        kept = replace(standing, tat=max(standing.tat, now + self.tolerance - left * self.interval))
        if not self.counted:
            return kept
        part = self._part(now)
        known = sum(n for at, n in standing.counts.items() if at >= part - PARTS)
        more = max(0.0, self.calls - left - known)
        return replace(kept, counts=self._counted(now, standing.counts, more))

    def settled(self, cost: float, standing: Standing) -> Standing:
        """Once the platform said what the request really cost."""
        return replace(standing, tat=standing.tat + (cost - self.cost) * self.interval)

    def _counted(self, moment: float, counts: Mapping[int, float], cost: float) -> dict[int, float]:
        part = self._part(moment)
        oldest = part - 2 * PARTS  # some were given moments in the future
        kept = {at: n for at, n in counts.items() if at >= oldest}
        return {**kept, part: kept.get(part, 0.0) + cost} if cost else kept
