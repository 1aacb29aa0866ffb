"""How long to pause between attempts."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Exponential pauses with full jitter.

    Full jitter spreads workers that failed at the same moment evenly over the pause, so that they
    do not return together. ``base`` and ``cap`` are seconds.
    """

    attempts: int = 5
    base: float = 1.0
    factor: float = 2.0
    cap: float = 60.0

    def delay(self, attempt: int, random: Random) -> float:
        """Seconds to wait after failed ``attempt`` (the first is 1)."""
        try:
            ceiling = min(self.cap, self.base * self.factor ** (attempt - 1))
        except OverflowError:
            ceiling = self.cap
        return random.uniform(0.0, ceiling)

    def exhausted(self, attempt: int) -> bool:
        """Whether failed ``attempt`` was the last one."""
        return attempt >= self.attempts


EXTRACTION = Backoff()
"""Of calls that read: five attempts, pauses that double."""

CONVERSIONS = Backoff(attempts=4, cap=4.0)
"""Of calls that send conversions: three retries, after at most 1, 2 and 4 seconds."""
