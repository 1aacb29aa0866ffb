"""Which slice a row of a source belongs to: slices of its account, by day."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from airflow_provider_liftos.model.report import Slice, Window

_DAY = timedelta(days=1)
_MOST_SPANS = 40

Make = Callable[[str, Window], Slice]


def spans(days: Iterable[date]) -> list[Window]:
    """Days as unbroken windows, oldest first."""
    found: list[Window] = []
    for day in sorted(set(days)):
        if found and day - found[-1].until == _DAY:
            found[-1] = Window(since=found[-1].since, until=day)
        else:
            found.append(Window(since=day, until=day))
    return found


def batches(windows: Sequence[Window]) -> list[list[Window]]:
    """As many at once as one statement names."""
    return [
        list(windows[start : start + _MOST_SPANS]) for start in range(0, len(windows), _MOST_SPANS)
    ]


@dataclass(slots=True, kw_only=True)
class Cuts:
    """Slices by account and day. With ``whole``, an account that is seen has all of its days."""

    make: Make
    slice_days: int
    whole: Window | None = None
    slices: list[Slice] = field(default_factory=list)
    _days: dict[str, dict[date, int]] = field(default_factory=dict)

    def declare(self, account: str, days: Iterable[Window]) -> None:
        """Slices of an account for all of these days."""
        by_day = self._days.setdefault(account, {})
        for window in days:
            for part in window.chunks(self.slice_days):
                by_day.update(dict.fromkeys(part.dates(), len(self.slices)))
                self.slices.append(self.make(account, part))

    def find(self, account: str, day: date) -> int | None:
        """The number of a row's slice; None for a day that is not asked for."""
        by_day = self._days.get(account)
        if by_day is None:
            if self.whole is None:
                return None
            self.declare(account, [self.whole])
            by_day = self._days[account]
        return by_day.get(day)

    @property
    def windows(self) -> list[Window]:
        """All days of all accounts."""
        return spans(day for by_day in self._days.values() for day in by_day)

    def told(self) -> Mapping[str, list[list[str]]]:
        """The days of each account, for the ledger."""
        return {
            account: [[str(w.since), str(w.until)] for w in spans(by_day)]
            for account, by_day in self._days.items()
        }
