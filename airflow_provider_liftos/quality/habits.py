"""On which days an account usually delivers nothing: some weekdays, or now and then.

Of such days nobody can say that they should have rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta

Spent = Callable[[date], bool | None]
"""Whether there was spend on a day; None when nobody knows."""

DAY, WEEK = timedelta(days=1), timedelta(days=7)
WEEKS = 4  # looked at before a day, and as many after it where they are known
HABIT_DAYS, OFTEN = 28, 3  # days looked back at, and how many pauses among them are a habit


def unusual(silence: Sequence[date], spent: Spent, *, patience: int = 1) -> list[date]:
    """Of days in a row without rows, those on which rows could be expected.

    Not on weekdays without spend in most of the weeks around. And on none at all where the account
    has often paused on other days, too, and the silence is no more than ``patience`` times as long
    as its longest pause.
    """
    expected = [day for day in silence if not _is_off(day, silence, spent)]
    if expected and len(silence) <= patience * _longest_pause(silence, spent):
        return []
    return expected


def _is_off(day: date, silence: Sequence[date], spent: Spent) -> bool:
    """Whether it is a weekday on which nothing is delivered; the silence proves nothing itself."""
    weeks = (day + n * WEEK for n in range(-WEEKS, WEEKS + 1) if n)
    known = [found for like in weeks if like not in silence and (found := spent(like)) is not None]
    return len(known) > 1 and 2 * known.count(False) > len(known)


def _longest_pause(silence: Sequence[date], spent: Spent) -> int:
    """Days of the longest pause before, of those that weekdays do not explain; 0 if they are few.

    The oldest is left out: it may have begun before the days that are looked at.
    """
    pauses = [
        len(pause)
        for pause in _pauses(silence[0], spent)
        if not all(_is_off(day, silence, spent) for day in pause)
    ]
    return max(pauses) if len(pauses) >= OFTEN else 0


def _pauses(until: date, spent: Spent) -> Iterator[list[date]]:
    """Days in a row without spend that ended within ``HABIT_DAYS`` before a day, newest first."""
    pause: list[date] = []
    for day in (until - n * DAY for n in range(1, HABIT_DAYS + 1)):
        if spent(day) is False:
            pause.append(day)
        elif pause:
            yield pause
            pause = []
