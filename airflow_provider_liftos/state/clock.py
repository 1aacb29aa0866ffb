"""The one clock of limiter, breaker, leases, tokens and ledgers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> float:
        """Epoch seconds."""


class SystemClock:
    """The machine's clock, for a store that only processes of this machine share."""

    def now(self) -> float:
        """Epoch seconds, as the machine has them."""
        return time.time()


class ServerClock:
    """The clock of the database server that hosts share, whatever their own clocks say.

    It is read in passing, with ``ask`` when it was never read, and goes on by the host's steady
    clock in between: telling the time costs nothing as a rule.
    """

    KEPT = 60.0
    """Seconds after which it is read anew."""

    def __init__(self, ask: Callable[[], None]) -> None:
        self._ask = ask
        self._ahead = 0.0
        self._read_at = -math.inf

    def now(self) -> float:
        """Epoch seconds, as the server has them; raises what reading it raises."""
        if self._read_at == -math.inf:
            self._ask()
        return time.monotonic() + self._ahead

    @property
    def is_old(self) -> bool:
        """Whether it should be read anew."""
        return time.monotonic() - self._read_at > self.KEPT

    def set(self, server: float, began: float, ended: float) -> None:
        """The server said ``server`` between two moments of the steady clock."""
        self._ahead = server - (began + ended) / 2
        self._read_at = ended


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
