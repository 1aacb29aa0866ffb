"""How much may be asked again: a platform that is unwell must not be asked many times as often."""

from __future__ import annotations

import threading
from collections import Counter


class RetryBudget:
    """Retries of one session, apart for each account.

    They stay below a ``share`` of its requests, beyond the first ``least``: retries against a
    platform that fails all the time would otherwise multiply its load by the number of attempts.
    """

    def __init__(self, share: float = 0.2, least: int = 10) -> None:
        self._share = share
        self._least = least
        self._requests: Counter[str] = Counter()
        self._retries: Counter[str] = Counter()
        self._one = threading.Lock()

    def asked(self, key: str) -> None:
        """A request was made, whether for the first time or again."""
        with self._one:
            self._requests[key] += 1

    def spend(self, key: str) -> bool:
        """Whether it may be made again; counts as done if so."""
        with self._one:
            allowed = self._retries[key] < self._least + self._share * self._requests[key]
            self._retries[key] += allowed
            return allowed
