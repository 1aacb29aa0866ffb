"""Numbers of a slice beside what was published before: week, volume, settled days, tracking.

Like ``facts``: not a number where a rule does not apply, and a note for people.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from math import nan
from statistics import median

from airflow_provider_liftos.engine.manifest import Manifest, SliceResult
from airflow_provider_liftos.model.platform import Coverage
from airflow_provider_liftos.model.report import DEFAULT_WINDOW, Report
from airflow_provider_liftos.quality.days import Key, LoadedDay, LoadedDays, PublishedDay, key_of
from airflow_provider_liftos.quality.facts import DAY, NOTHING, Number, day_in, due_day
from airflow_provider_liftos.quality.settled import Standing
from airflow_provider_liftos.quality.sums import ABSOLUTE, RELATIVE

WEEK = timedelta(days=7)
LIKE_DAYS, FEWEST = 6, 3  # like weekdays looked back, and how many of them make a habit
SLACK = 5  # rows by which small reports may differ
HABIT_DAYS, HABIT = 7, 5.0  # days with spend, and conversions on half of them: none is no chance


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What is known of the days before when slices are judged; parts as those of ``Facts``.

    ``seen`` says that slices are cut from what is published: then no day between their first and
    their last counts as asked for, unless it was published itself.
    """

    manifest: Manifest
    loaded: LoadedDays
    published: Sequence[PublishedDay]
    today: date | datetime
    delay_days: int = 1
    restatement_days: int = 28
    coverage: Callable[[Report], Coverage] = lambda _report: Coverage()
    standing: Mapping[str, Standing] = field(default_factory=dict)
    seen: bool = False
    _known: dict[Key, dict[date, PublishedDay]] = field(init=False, default_factory=dict)
    _asked: dict[Key, set[date]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for day in self.published:
            self._known.setdefault((day.account_id, day.report, day.level), {})[day.date] = day
        for result in self.manifest.slices:
            if result.slice.report and result.status == "complete" and not self.seen:
                dates = self._asked.setdefault(key_of(result), set())
                dates.update(result.slice.window.dates())

    def numbers(self, result: SliceResult) -> dict[str, Number]:
        """Of a slice of a report with daily rows that was extracted in full; else nothing."""
        report = result.slice.report
        past = self.standing.get(result.slice.fingerprint()) is Standing.SUPERSEDED
        if not report or report.time_increment != 1 or result.status != "complete" or past:
            return {}
        return {
            "week_covered": self._week(result),
            "volume_as_usual": self._volume(result, report),
            "settled_days_stay": self._settled(result, report),
            "conversions_go_on": self._conversions(result, report),
        }

    def _week(self, result: SliceResult) -> Number:
        """Of the seven days up to the newest that is due, those that nobody has asked for.

        Only the newest slice can say, and only where something is known of all the week.
        """
        key, due = key_of(result), self._due(result)
        if self.seen:
            due = min(due, result.slice.window.until)
        asked = self._asked.get(key, set()) | self._known.get(key, {}).keys()
        first = due - WEEK + DAY
        if due not in result.slice.window.dates() or not asked or min(asked) > first:
            return NOTHING
        week = [first + n * DAY for n in range(7)]
        holes = [str(day) for day in week if day not in asked]
        return len(holes), f"nobody asked for {', '.join(holes)}"

    def _volume(self, result: SliceResult, report: Report) -> Number:
        """How many times too few or too many rows the oddest day has."""
        if self.coverage(report).sparse:
            return NOTHING
        known = self._known.get(key_of(result), {})
        worst, note = nan, ""
        for day, rows in self._rows(result):
            before = [day - n * WEEK for n in range(1, LIKE_DAYS + 1)]
            like = [known[one].rows for one in before if one in known and known[one].rows]
            if len(like) < FEWEST:
                continue
            low, high = min(like), max(like)
            value = max((low + SLACK) / (rows + SLACK), (rows + SLACK) / (high + SLACK))
            if not worst >= value:
                worst, note = value, f"{rows} rows on {day}, {low} to {high} on like days before"
        return worst, note

    def _rows(self, result: SliceResult) -> Iterator[tuple[date, int]]:
        """Rows of each day that is over and has any; days without are for other rules."""
        of_key, due = self.loaded.get(key_of(result), {}), self._due(result)
        for day in result.slice.window.dates():
            rows = sum(of_window.rows for of_window in of_key.get(day, {}).values())
            if rows and day <= due:
                yield day, rows

    def _settled(self, result: SliceResult, report: Report) -> Number:
        """How far totals of settled days have moved, in tolerances, and the worst of them."""
        known, of_key = self._known.get(key_of(result), {}), self.loaded.get(key_of(result), {})
        moved: dict[str, Number] = {}
        for day in result.slice.window.dates():
            before, now = known.get(day), _leading(of_key.get(day), report)
            if before is None or now is None or not self._was_settled(before, result):
                continue
            pairs = (("spend", before.spend, now.sums[-1]),
                     ("conversions", before.conversions, now.conversions))  # fmt: skip
            for name, then, current in pairs:
                if then is None or current is None:
                    continue
                value = abs(current - then) / max(ABSOLUTE, RELATIVE * abs(then))
                if name not in moved or value > moved[name][0]:
                    moved[name] = value, f"{name} of {day} was {then:.12g}, is {current:.12g}"
        if not moved:
            return NOTHING
        # Spend first: whether it moved, too, tells one cause from another.
        worst, note = max(moved.values())
        return worst, "; ".join(note for value, note in moved.values() if value > 1) or note

    def _was_settled(self, day: PublishedDay, result: SliceResult) -> bool:
        if day.as_of is None:
            return False
        asked = day.as_of if day.as_of.tzinfo else day.as_of.replace(tzinfo=UTC)
        seen = day_in(result.account.timezone, asked)
        return (seen - day.date).days > self.restatement_days

    def _conversions(self, result: SliceResult, report: Report) -> Number:
        """Newest days in a row with spend and without conversions, where there always were some."""
        known, key = self._known.get(key_of(result), {}), key_of(result)
        since, until = result.slice.window.since, min(result.slice.window.until, self._due(result))
        of_key = self.loaded.get(key, {})
        seen: dict[date, tuple[float, float]] = {
            day: (one.spend, one.conversions)
            for day, one in known.items()
            if one.spend and one.conversions is not None
        }
        for day in result.slice.window.dates():
            seen.pop(day, None)
            now = _leading(of_key.get(day), report)
            if now and now.sums[-1] and now.conversions is not None and day <= until:
                seen[day] = (now.sums[-1], now.conversions)
        newest = sorted((day for day in seen if day <= until), reverse=True)
        silent = 0
        while silent < len(newest) and not seen[newest[silent]][1]:
            silent += 1
        usual = [seen[day][1] for day in newest[silent:]]
        if not newest or newest[0] < since or len(usual) < HABIT_DAYS or median(usual) < HABIT:
            return NOTHING
        return silent, f"{silent} days with spend and no conversion, {median(usual):g} a day before"

    def _due(self, result: SliceResult) -> date:
        return due_day(self.today, result.account.timezone, self.delay_days)


def _leading(of_day: Mapping[str, LoadedDay] | None, report: Report) -> LoadedDay | None:
    """The day by the report's first attribution window, which ``loads`` are about."""
    lead = report.attribution_windows[0] if report.attribution_windows else DEFAULT_WINDOW
    return (of_day or {}).get(lead)
