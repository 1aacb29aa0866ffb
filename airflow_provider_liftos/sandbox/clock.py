"""Sandbox time: real time plus an offset, or a hand-driven clock."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta


class Clock:
    """The only source of time in the sandbox.

    ``start`` makes the clock begin at that moment instead of now; ``frozen`` makes it stand
    still except for ``advance``, so that a test decides every second itself.
    """

    def __init__(self, *, start: datetime | None = None, frozen: bool = False) -> None:
        self._lock = threading.Lock()
        self._frozen = frozen
        self._base = datetime.now(UTC)
        self._offset = (start.astimezone(UTC) - self._base) if start else timedelta()
        self.started_at = self._base + self._offset

    def now(self) -> datetime:
        """Return the sandbox's moment, aware, in UTC."""
        real = self._base if self._frozen else datetime.now(UTC)
        with self._lock:
            return real + self._offset

    def advance(self, seconds: float) -> datetime:
        """Let ``seconds`` pass and return the new moment; time never runs backwards."""
        if seconds < 0:
            raise ValueError(f"the sandbox clock only moves forward, not by {seconds} seconds")
        with self._lock:
            self._offset += timedelta(seconds=seconds)
        return self.now()
