"""What depends on how soon a process is let run: shown by one of several attempts.

What is never to happen is asserted within each.
"""

from __future__ import annotations

from collections.abc import Callable

ATTEMPTS = 8


def shown(attempt: Callable[[], bool]) -> bool:
    return any(attempt() for _ in range(ATTEMPTS))
