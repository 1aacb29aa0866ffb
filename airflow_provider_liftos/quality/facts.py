"""One number per aggregate rule for each slice and account; Great Expectations judges them.

Not a number means that the rule does not apply. Each number comes with a note for people.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from math import nan
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from airflow_provider_liftos.engine.manifest import Manifest, SliceResult
from airflow_provider_liftos.model.platform import Coverage
from airflow_provider_liftos.model.report import Level, Report
from airflow_provider_liftos.quality.days import (
    Key,
    LoadedDay,
    LoadedDays,
    PublishedDay,
    key_of,
)
from airflow_provider_liftos.quality.habits import unusual
from airflow_provider_liftos.quality.settled import Standing
from airflow_provider_liftos.quality.sums import Days, above, by_day, drift, excess

Number = tuple[float, str]
NOTHING: Number = (nan, "")
NO_SLICE = "no slice of the account"
NOT_LOADED = "later days were never published"
DAY = timedelta(days=1)
COARSEST_FIRST = tuple(Level)
ABLE = {"", "active", "enabled"}  # an account that may deliver, or of which nobody knows


def due_day(today: date | datetime, timezone: str, delay_days: int) -> date:
    """The newest day an account should have; a moment is read in the account's zone."""
    return day_in(timezone, today) - timedelta(days=delay_days)


def day_in(timezone: str, moment: date | datetime) -> date:
    """The day of a moment in a zone."""
    if not isinstance(moment, datetime):
        return moment
    try:
        return moment.astimezone(ZoneInfo(timezone)).date()
    except (ZoneInfoNotFoundError, ValueError):  # the rule about zones reports it
        return moment.date()


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a run when its slices are judged as wholes.

    ``coverage`` says what rows of a report may lack by the platform's own rules; ``able`` are
    accounts that could deliver when they were last looked at. ``standing`` tells of
    slices that are published already; those that are superseded are neither judged nor compared
    with. ``expected`` are newest days that should be there though no slice reaches them: of what
    is published, slices are cut from the very days that came.
    """

    manifest: Manifest
    loaded: LoadedDays
    published: Sequence[PublishedDay]
    today: date | datetime
    delay_days: int = 1
    exact: Collection[str] = frozenset()
    coverage: Callable[[Report], Coverage] = lambda _report: Coverage()
    able: Collection[str] = frozenset()
    standing: Mapping[str, Standing] = field(default_factory=dict)
    expected: Mapping[Key, date] = field(default_factory=dict)
    _history: dict[Key, dict[date, PublishedDay]] = field(init=False, default_factory=dict)
    _complete: dict[Key, list[SliceResult]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for day in self.published:
            key = (day.account_id, day.report, day.level)
            self._history.setdefault(key, {})[day.date] = day
        for result in self.manifest.slices:
            if result.slice.report and result.status == "complete" and not self._past(result):
                self._complete.setdefault(key_of(result), []).append(result)

    def numbers(self, result: SliceResult) -> dict[str, Number]:
        """Of a slice of a report, complete or not."""
        if result.status != "complete":
            return {"slice_complete": failure(result)}
        if self._past(result):
            return {"slice_complete": (0, ""), "rows_kept": kept(result)}
        rows = sum(day.rows for _, day in self._days(key_of(result), result))
        return {
            "slice_complete": (0, ""),
            "rows_kept": kept(result),
            "rows_loaded": loaded(self._staged(result), rows),
            "key_unique": self._duplicates(result) if rows else NOTHING,
            "data_fresh": self._lateness(result) if rows else NOTHING,
            "expected_days_present": self._gaps(result) if rows else NOTHING,
            **({"empty_is_not_zero": (0, "")} if rows else self._emptied(result)),
            "levels_add_up": self._levels(result) if rows else NOTHING,
            "breakdowns_add_up": self._breakdowns(result) if rows else NOTHING,
        }

    def _past(self, result: SliceResult) -> bool:
        return self.standing.get(result.slice.fingerprint()) is Standing.SUPERSEDED

    def _days(
        self, key: Key, within: SliceResult | Collection[date]
    ) -> Iterator[tuple[tuple[date, str], LoadedDay]]:
        """Loaded days of a key, by day and attribution window."""
        dates = within.slice.window.dates() if isinstance(within, SliceResult) else within
        loaded_of_key = self.loaded.get(key, {})
        for day in dates:
            for window, found in loaded_of_key.get(day, {}).items():
                yield (day, window), found

    def _staged(self, result: SliceResult) -> int:
        """Staged rows of the slice's dates; slices of other ids share the dates."""
        return sum(
            other.staged_rows
            for other in self._complete[key_of(result)]
            if other.slice.window == result.slice.window
        )

    def _duplicates(self, result: SliceResult) -> Number:
        count = sum(day.duplicates for _, day in self._days(key_of(result), result))
        return count, f"{count} rows repeat the key of another"

    def _lateness(self, result: SliceResult) -> Number:
        """Days that the newest one is behind; only the newest slice of a report can be late."""
        window, report = result.slice.window, _report(result)
        if self.coverage(report).sparse:
            return NOTHING
        newest_slice = max(r.slice.window.until for r in self._complete[key_of(result)])
        due = min(self._due(result), window.until)
        due = max(due, self.expected.get(key_of(result), due))
        if window.until < newest_slice or due < window.since:
            return NOTHING
        newest = max(day for (day, _), _ in self._days(key_of(result), result))
        covered = newest + timedelta(days=report.time_increment - 1)
        if due > window.until:
            late = max(0, (due - covered).days)
            return late, f"newest day {covered}, expected {due}; {NOT_LOADED}"
        silence = [covered + n * DAY for n in range(1, (due - covered).days + 1)]
        if silence and report.time_increment == 1 and not self._unusual(result, silence):
            return NOTHING
        return len(silence), f"newest day {covered}, expected {due}"

    def _unusual(
        self, result: SliceResult, silence: Sequence[date], patience: int = 1
    ) -> list[date]:
        """Days of a silence on which rows should be: by habit, or as something else has them.

        That is another level of the run, or what was published before.
        """
        key, due = key_of(result), self._due(result)
        before = self._history.get(key, {})
        found = unusual(
            silence, lambda day: self._spent(key, day) if day <= due else None, patience=patience
        )
        found += [day for day in silence if day in before and before[day].has_spend]
        return [day for day in silence if day in found or self._spending_level(result, [day])]

    def _due(self, result: SliceResult) -> date:
        return due_day(self.today, result.account.timezone, self.delay_days)

    def _gaps(self, result: SliceResult) -> Number:
        """Days without rows between days with spend, but for those on which there often are none.

        As the pause is over, one that is longer than those before is more likely than a loss.
        """
        report = _report(result)
        if report.time_increment != 1 or self.coverage(report).sparse:
            return NOTHING
        key = key_of(result)
        gaps: list[date] = []
        for silence in self._silences(result):
            if self._spent(key, silence[0] - DAY) and self._spent(key, silence[-1] + DAY):
                gaps += self._unusual(result, silence, patience=2)
        return len(gaps), f"no rows on {', '.join(map(str, gaps[:5]))}"

    def _silences(self, result: SliceResult) -> list[list[date]]:
        """Days in a row of the slice without rows, oldest first."""
        there = {day for (day, _), _ in self._days(key_of(result), result)}
        found: list[list[date]] = [[]]
        for day in result.slice.window.dates():
            if day not in there:
                found[-1].append(day)
            elif found[-1]:
                found.append([])
        return [silence for silence in found if silence]

    def _spent(self, key: Key, day: date) -> bool | None:
        """Whether there was spend, by this load or else as published; None when nobody knows."""
        if found := self.loaded.get(key, {}).get(day):
            return any(of_window.has_spend for of_window in found.values())
        if any(_covers(r, day) for r in self._complete.get(key, ())):
            return False
        before = self._history.get(key, {}).get(day)
        return None if before is None else before.has_spend

    def _emptied(self, result: SliceResult) -> dict[str, Number]:
        """Of an answer without rows: the one rule that it breaks, if any.

        Nothing where there is no sign at all of what was before.
        """
        if note := self._contradiction(result):
            rule = "empty_is_not_zero"
        elif spent := self._spent(key_of(result), result.slice.window.since - DAY):
            rule, note = self._silence(result)
        else:
            told = spent is not None or self._known(result)
            return {"empty_is_not_zero": (0, "") if told else NOTHING}
        if _report(result).action_breakdowns or self._lacks(result):  # no action, no row
            rule = "delivery_goes_on"
        return {"empty_is_not_zero": (0, ""), rule: (1, note)}

    def _lacks(self, result: SliceResult) -> bool:
        """Whether rows may lawfully be missing; never those that were there with spend."""
        coverage = self.coverage(_report(result))
        spent = any(day.spend and day.has_spend for day in self._known(result))
        return (coverage.sparse or coverage.partial) and not spent

    def _known(self, result: SliceResult) -> list[PublishedDay]:
        """Days of the slice that were published before."""
        history = self._history.get(key_of(result), {})
        return [history[day] for day in result.slice.window.dates() if day in history]

    def _contradiction(self, result: SliceResult) -> str:
        """What says that there was delivery on the very days that came without rows."""
        if days := [day for day in self._known(result) if day.has_spend]:
            return f"no rows, but {len(days)} of its days are published with spend"
        if level := self._spending_level(result, [*result.slice.window.dates()]):
            return f"no rows, but the {level} level of the same run has spend"
        return ""

    def _silence(self, result: SliceResult) -> tuple[str, str]:
        """Of days without rows after a day with spend: the rule that they break, and the note.

        They are a pause where the account is heard of on other days of the run or on later ones.
        They look like a lost permission where the account could deliver, up to the newest day, and
        where its coarsest report of the run does not say the same. Nobody can tell otherwise.
        """
        account, window = result.slice.account_id, result.slice.window
        note = f"no rows, but spend on {window.since - DAY}, the day before the window"
        due, coarsest = self._due(result), self._coarsest(account)
        if due < window.until:
            return "empty_is_not_zero", f"{note}, and {window.until} is not over"
        if coarsest and not self._agrees(coarsest, result):
            return "empty_is_not_zero", f"{note}, and {coarsest[1]}:{coarsest[2]} does not agree"
        heard = self._delivers(coarsest or key_of(result)) or any(
            day.has_spend
            for day in self.published
            if day.account_id == account and day.date > window.until
        )
        if heard:
            return "delivery_goes_on", note
        able = account in self.able and result.account.status.lower() in ABLE
        if able and due == window.until:
            return "empty_is_not_zero", f"{note}, and ads that are active"
        return "account_is_heard", note

    def _coarsest(self, account: str) -> Key | None:
        """The account's un-broken report that is asked for at the coarsest level."""
        plain = [key_of(r) for r in self.manifest.slices if r.slice.report and _is_plain(r)]
        return min((k for k in plain if k[0] == account), key=_coarseness, default=None)

    def _agrees(self, reference: Key, result: SliceResult) -> bool:
        """Whether a report was answered for all days of the slice, and without rows."""
        answers = self._complete.get(reference, ())
        days = result.slice.window.dates()
        return all(any(_covers(r, day) for r in answers) for day in days) and not any(
            self._days(reference, result)
        )

    def _delivers(self, key: Key) -> bool:
        loaded_of_key = self.loaded.get(key, {}).values()
        return any(day.has_spend for of_day in loaded_of_key for day in of_day.values())

    def _spending_level(self, result: SliceResult, within: Collection[date]) -> str:
        """Another level of the report that has spend on some of the days, where this one must."""
        account, report, own = key_of(result)
        if not _is_plain(result) or self.coverage(_report(result)).partial:
            return ""
        for level in COARSEST_FIRST:
            days = self._days((account, report, level), within)
            if level != own and any(day.has_spend for _, day in days):
                return str(level)
        return ""

    def _levels(self, result: SliceResult) -> Number:
        """Drift from the coarsest level, in tolerances; of partial ones what is too much."""
        account, report, own = key_of(result)
        coverage = self.coverage(_report(result))
        if coverage.overlapping:
            return NOTHING
        for level in COARSEST_FIRST[: COARSEST_FIRST.index(Level(own))]:
            reference = (account, report, str(level))
            if common := self._common(result, reference):
                value, worst = self._against(result, reference, common, exact=not coverage.partial)
                return value, f"{worst} at {level} level"
        return NOTHING

    def _breakdowns(self, result: SliceResult) -> Number:
        """Excess over the un-broken total, in tolerances; for exact ones also what is missing."""
        report = _report(result)
        overlapping = self.coverage(report).overlapping
        if not report.breakdowns or report.action_breakdowns or overlapping:
            return NOTHING
        exact = report.name in self.exact
        for reference in self._unbroken(result):
            if common := self._common(result, reference):
                value, worst = self._against(result, reference, common, exact=exact)
                return value, f"{worst} un-broken in {reference[1]}:{reference[2]}"
        return NOTHING

    def _against(
        self, result: SliceResult, reference: Key, common: Sequence[date], *, exact: bool
    ) -> Number:
        """Totals of common days beside those of another report, and single days that are over."""
        own: Days = dict(self._days(key_of(result), common))
        theirs: Days = dict(self._days(reference, common))
        total = drift(own, theirs) if exact else excess(own, theirs)
        due = self._due(result)
        over: Days = dict(self._days(reference, [day for day in common if day <= due]))
        single = by_day(own, over, abs if exact else above)
        return single if single[0] > 1 and not total[0] > 1 else total

    def _unbroken(self, result: SliceResult) -> list[Key]:
        """Reports of the run without breakdowns, best reference first."""
        account, _, own = key_of(result)
        plain = [
            key
            for key, results in self._complete.items()
            if key[0] == account and all(map(_is_plain, results))
        ]
        return sorted(
            plain,
            key=lambda k: (k[2] != own, k[1] != "basic", COARSEST_FIRST.index(Level(k[2])), k[1]),
        )

    def _common(self, result: SliceResult, reference: Key) -> list[date]:
        """Days of the slice that complete slices of another report or level cover."""
        others = self._complete.get(reference, ())
        steps = {_report(r).time_increment for r in (result, *others)}
        if len(steps) != 1:
            return []
        return [d for d in result.slice.window.dates() if any(_covers(r, d) for r in others)]


def failure(result: SliceResult) -> Number:
    """Of a slice that ended without its rows."""
    return 1, result.error or "the slice was not extracted in full"


def kept(result: SliceResult) -> Number:
    """Rows that normalize could not keep."""
    return result.rejected, f"{result.rejected} of {result.raw_rows} rows read are dead letters"


def loaded(staged: int, rows: int) -> Number:
    """Rows too few or too many in the audit table."""
    return abs(staged - rows), f"{rows} rows loaded of {staged} staged"


def missing(manifest: Manifest, expected: Mapping[str, str]) -> dict[str, str]:
    """Of expected accounts and reasons, those that the manifest has nothing of."""
    present = {result.slice.account_id for result in manifest.slices}
    return {account: why for account, why in expected.items() if account not in present}


def accounts_present(manifest: Manifest, expected: Mapping[str, str]) -> dict[str, Number]:
    """For each expected account whether it came at all, and its basic report in full.

    The values of ``expected`` say why an account may have nothing.
    """
    absent = missing(manifest, expected)
    basic: dict[str, list[str]] = {}
    for result in manifest.slices:
        if result.slice.report and result.slice.report.name == "basic":
            basic.setdefault(result.slice.account_id, []).append(result.status)
    numbers: dict[str, Number] = {}
    for account in expected:
        if account in absent:
            numbers[account] = (1, absent[account])
            continue
        states = basic.get(account, [])
        bad = len([state for state in states if state != "complete"])
        note = f"{bad} of {len(states)} slices failed" if states else "no basic report"
        numbers[account] = (float(bad > 0 or not states), note) if basic else NOTHING
    return numbers


def columns(
    numbers: Sequence[Mapping[str, Number]], rules: Collection[str]
) -> dict[str, list[float]]:
    """The numbers as columns of a frame, a row each."""
    return {rule: [n.get(rule, NOTHING)[0] for n in numbers] for rule in rules}


def _report(result: SliceResult) -> Report:
    assert result.slice.report is not None  # noqa: S101 - callers hold slices of reports
    return result.slice.report


def _is_plain(result: SliceResult) -> bool:
    """Without breakdowns of any kind."""
    return not (_report(result).breakdowns or _report(result).action_breakdowns)


def _coarseness(key: Key) -> tuple[int, bool, str]:
    return COARSEST_FIRST.index(Level(key[2])), key[1] != "basic", key[1]


def _covers(result: SliceResult, day: date) -> bool:
    return result.slice.window.since <= day <= result.slice.window.until
