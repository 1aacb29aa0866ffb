"""One thread per process that renews what the process holds, and leaves what was given up."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

log = logging.getLogger(__name__)

_RENEWALS = 3
"""How often a thing is renewed in the time that it would last."""


class Lender(Protocol):
    """Lends things, for so many ``seconds`` at a time."""

    seconds: float

    def renew(self, ids: Sequence[str]) -> None:
        """Let these last anew."""
        ...


class Lent(Protocol):
    """A thing that was lent."""

    id: str
    lender: Lender

    def leave(self) -> None:
        """Give it back."""
        ...


class Keeper:
    """Starts its thread with the first thing there is to keep. Tasks fork, and begin anew."""

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """Hold nothing: what a parent holds is not its child's."""
        self._changed = threading.Condition()
        self._due: dict[Lent, float] = {}
        self._dropped: list[Lent] = []
        self._thread: threading.Thread | None = None
        self._sleeps_until = math.inf

    def keep(self, lent: Lent) -> None:
        """Renew it from now on."""
        with self._changed:
            due = time.monotonic() + lent.lender.seconds / _RENEWALS
            self._due[lent] = due
            self._tell(due)

    def forget(self, lent: Lent) -> None:
        """Renew it no more."""
        with self._changed:
            self._due.pop(lent, None)

    def drop(self, lent: Lent) -> None:
        """Leave it soon, in this thread."""
        with self._changed:
            self._dropped.append(lent)
            self._tell(0.0)

    def _tell(self, due: float) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="liftos-keeper", daemon=True)
            self._thread.start()
        elif due < self._sleeps_until:
            self._changed.notify()

    def _work(self) -> None:
        while True:
            dropped, late = self._wait()
            for lent in dropped:
                _safely(lent.leave)
            for lender, ids in late.items():
                _safely(lambda lender=lender, ids=ids: lender.renew(ids))  # type: ignore[misc]

    def _wait(self) -> tuple[list[Lent], Mapping[Lender, list[str]]]:
        """What is to be left and to be renewed, once there is anything."""
        with self._changed:
            while not self._dropped and (until := self._next()) > time.monotonic():
                self._sleeps_until = until
                self._changed.wait(None if until == math.inf else until - time.monotonic())
            dropped, self._dropped = self._dropped, []
            return dropped, self._late()

    def _next(self) -> float:
        return min(self._due.values(), default=math.inf)

    def _late(self) -> Mapping[Lender, list[str]]:
        """What is due by now, which is due again later."""
        found = defaultdict[Lender, list[str]](list)
        now = time.monotonic()
        for lent, due in self._due.items():
            if due <= now:
                found[lent.lender].append(lent.id)
                self._due[lent] = now + lent.lender.seconds / _RENEWALS
        return found


def _safely(work: Callable[[], None]) -> None:
    """Whatever fails here ends by itself, or is done the next time."""
    try:
        work()
    except Exception as error:  # noqa: BLE001  the thread serves others, too
        log.debug("A lease was not renewed or given back: %s", type(error).__name__)


KEEPER = Keeper()
os.register_at_fork(after_in_child=KEEPER.begin_anew)
