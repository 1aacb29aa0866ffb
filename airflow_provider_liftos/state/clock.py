"""The one clock of limiter, breaker, leases, tokens and ledgers."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> float:
        """Epoch seconds."""


class SystemClock:
    """The machine's clock. Hosts that share a store must keep theirs in step (NTP)."""

    def now(self) -> float:
        """Epoch seconds, as the machine has them."""
        return time.time()


class ManualClock:
    """A clock that moves only when told to."""

    def __init__(self, start: float = 0.0) -> None:
        self._now = start

    def now(self) -> float:
        """Epoch seconds, as last set."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move on by ``seconds``."""
        self._now += seconds
