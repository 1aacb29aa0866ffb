"""Rows of a source of one's own to staging, as slices like any platform's.

A slice replaces whole days of an account, so a row is never there twice, however often it is read.
By its cursor column a source only tells which days have changed; those are read in full.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from airflow_provider_liftos.engine.manifest import SliceResult
from airflow_provider_liftos.engine.plan import zone
from airflow_provider_liftos.engine.source_cursor import Reached
from airflow_provider_liftos.engine.source_cuts import Cuts, batches, spans
from airflow_provider_liftos.engine.source_door import Door
from airflow_provider_liftos.engine.source_landing import Landing
from airflow_provider_liftos.engine.source_query import Mark, Query
from airflow_provider_liftos.engine.source_remote import RemoteDoor
from airflow_provider_liftos.engine.source_rows import Rows, day_of
from airflow_provider_liftos.engine.staging import Staging
from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.model.report import Account, Slice, Window
from airflow_provider_liftos.model.source import Source

_MOST_DAYS = 36_525


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What was read. ``reached`` is where the cursor is once all slices are published.

    ``days`` are those of the slices, by account.
    """

    slices: tuple[SliceResult, ...] = ()
    warnings: tuple[str, ...] = ()
    reached: Reached | None = None
    days: Mapping[str, list[list[str]]] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class SourceReader:
    """Reads one source. ``as_of`` is the moment, in epoch seconds, before anything was read."""

    source: Source
    door: Door | RemoteDoor
    query: Query
    staging: Staging
    platform: str
    load_id: str
    as_of: float
    slice_days: int = 90
    _names: Mapping[str, str] = field(default_factory=dict)

    def window(self, window: Window, accounts: Collection[str] = ()) -> Read:
        """All rows of some days; ``accounts`` have these days also where no row is left of them.

        Raises:
            ConfigurationError: a column is missing or of the wrong type, or the query is wrong.
            Unavailable: the source does not answer.
            StagingError: staging cannot be written.
        """
        newest = self._newest_day()
        cuts = self._cuts(whole=window)
        for account in dict.fromkeys((*accounts, *filter(None, [self.source.account]))):
            cuts.declare(account, [window])
        return self._landed(cuts, newest, [window])

    def everything(self, since: date | None = None) -> Read:
        """All rows, or those since a day. Raises as ``window`` does."""
        reached = self._reached()
        oldest, newest = self._one(f"min({self._date}), max({self._date})")
        if newest is None:
            return Read(reached=reached)
        first, last = (day_of(v, self._zone) for v in (oldest, newest))
        if first is None or last is None:
            raise self._no_days(oldest if first is None else newest)
        first = max(first, since) if since else first
        if first > last:
            return Read(reached=reached)
        window = Window(since=first, until=last)
        if window.days > _MOST_DAYS:
            raise ConfigurationError(
                f"column {self.source.columns['date']!r} has days from {first} to {last}",
                platform=self.platform,
                hint="Leave wrong days out in your query, or say since when days count.",
            )
        read = self._landed(self._cuts(whole=window), newest, [window])
        return Read(slices=read.slices, warnings=read.warnings, reached=reached, days=read.days)

    def changes(self, known: Reached, since: date | None = None) -> Read:
        """The days of which rows changed since what is known.

        A cursor that is of another type by now begins anew, from the day ``since`` on. Raises as
        ``window`` does.
        """
        reached = self._reached()
        if reached is None:
            return Read()
        if reached.kind != known.kind:
            return self.everything(since)
        bound = known.bound(self.source.overlap, self.source.cursor)
        cuts, newest, warnings = self._changed(bound)
        if newest is None:
            return Read(reached=reached, warnings=warnings)
        read = self._landed(cuts, newest, cuts.windows)
        return Read(
            slices=read.slices,
            warnings=tuple(dict.fromkeys((*warnings, *read.warnings))),
            reached=reached,
            days=read.days,
        )

    def entities(self) -> Read:
        """All entities, as a snapshot of each account. Raises as ``window`` does."""
        today = datetime.fromtimestamp(self.as_of, UTC).astimezone(self._zone).date()
        window = Window(since=today, until=today)
        cuts = self._cuts(whole=window)
        if self.source.account:
            cuts.declare(self.source.account, [window])
        return self._landed(cuts, today, [window])

    @property
    def _zone(self) -> ZoneInfo:
        return zone(Account(account_id="", timezone=self.source.timezone))

    @property
    def _date(self) -> str:
        return self._column(self.source.columns["date"])

    @property
    def _cursor(self) -> str:
        column = self._column(self.source.cursor)
        return self.query.order or column

    def _column(self, name: str) -> str:
        """A column of the source, as it is really written; all are looked up once."""
        if not self._names:
            wanted = [fill.source for fill in self.source.fills]
            wanted += [self.source.cursor] if self.source.cursor else []
            found = self.door.names(self.query.select("q.*", lambda _mark: "1 = 0"))
            self._names = _matched(wanted, found, self.platform)
        return self.query.column(self._names[name])

    def _one(self, columns: str) -> tuple[Any, ...]:
        return self.door.one(self.query.select(columns))

    def _newest_day(self) -> Any:
        return self._one(f"max({self._date})")[0]

    def _reached(self) -> Reached | None:
        """The cursor's greatest value now; what comes while rows are read is for the next run."""
        if not self.source.cursor:
            return None
        least, most = self._one(f"min({self._cursor}), max({self._cursor})")
        return None if most is None else Reached.between(least, most, self.source.cursor)

    def _cuts(self, whole: Window | None = None) -> Cuts:
        report = None if self.source.stream else self.source.as_report()

        def make(account: str, window: Window) -> Slice:
            return Slice(
                platform=self.platform, account_id=account, window=window, report=report,
                stream=self.source.stream or None,
            )  # fmt: skip

        return Cuts(make=make, slice_days=self.slice_days, whole=whole)

    def _changed(self, bound: Any) -> tuple[Cuts, Any, tuple[str, ...]]:
        """Slices of what changed, some day as the driver gives it, and warnings."""
        rows = self._rows()
        cursor = self._cursor
        columns = ", ".join(self._column(name) for name in rows.key)
        days: dict[str, set[date]] = {}
        newest = None
        statement = self.query.select(
            columns,
            # Rows without a cursor would never be seen again: their days are read each time.
            lambda mark: f"{cursor} >= {mark(bound)} OR {cursor} IS NULL",
            tail=f" GROUP BY {columns}",
        )
        for batch in self.door.rows(statement):
            for row in batch:
                if (found := rows.place(row)) is not None:
                    days.setdefault(found[0], set()).add(found[1])
                    newest = row[0]
        cuts = self._cuts()
        for account, changed in days.items():
            cuts.declare(account, spans(changed))
        return cuts, newest, rows.warnings()

    def _rows(self) -> Rows:
        return Rows.of(self.source, self._zone, self.platform)

    def _landed(self, cuts: Cuts, sample: Any, windows: Sequence[Window]) -> Read:
        """The rows of some days on staging; nothing is left of them if that fails."""
        rows, landing = self._rows(), Landing(staging=self.staging, load_id=self.load_id)
        try:
            for batch in self._batches(rows, sample, windows):
                for number, lines in rows.sorted_out(batch, cuts).items():
                    landing.add(number, lines)
            rows.finish()
            accounts = {cut.account_id: rows.account(cut.account_id) for cut in cuts.slices}
            slices = landing.finish(cuts.slices, accounts, self.as_of)
        except BaseException:
            landing.discard()
            raise
        return Read(slices=slices, warnings=rows.warnings(), days=cuts.told())

    def _batches(
        self, rows: Rows, sample: Any, windows: Sequence[Window]
    ) -> Iterator[list[tuple[Any, ...]]]:
        columns = ", ".join(self._column(name) for name in rows.columns)
        if self.source.stream:
            statement = self.query.select(columns)
            self.door.ready(statement)
            yield from self.door.rows(statement)
            return
        if sample is None:
            return
        statements = [
            self.query.select(columns, self._within(sample, some)) for some in batches(windows)
        ]
        for statement in statements:
            self.door.ready(statement)
        for statement in statements:
            yield from self.door.rows(statement)

    def _within(self, sample: Any, windows: Sequence[Window]) -> Any:
        """A condition on the day; its values are of the type that the driver gives days in."""
        day = self._date

        def condition(mark: Mark) -> str:
            return " OR ".join(
                f"({day} >= {mark(self._begin(sample, window.since))}"
                f" AND {day} < {mark(self._begin(sample, window.until + timedelta(days=1)))})"
                for window in windows
            )

        return condition

    def _begin(self, sample: Any, day: date) -> Any:
        if isinstance(sample, datetime):
            midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001  the source's clock
            return midnight.replace(tzinfo=self._zone) if sample.tzinfo else midnight
        if isinstance(sample, date):
            return day
        if day_of(sample, self._zone) is None:
            raise self._no_days(sample)
        return day.isoformat()

    def _no_days(self, sample: Any) -> ConfigurationError:
        what = "texts that are no days" if isinstance(sample, str) else type(sample).__name__
        return ConfigurationError(
            f"column {self.source.columns['date']!r} of the source holds {what}, but fills 'date'",
            platform=self.platform,
            hint="Name a column of dates, timestamps or texts such as 2026-11-21, or cast it.",
        )


def _matched(wanted: Sequence[str], found: Sequence[str], platform: str) -> dict[str, str]:
    """Each wanted column as the engine writes it: some engines write all names in capitals."""
    folded = {name.casefold(): name for name in reversed(found)}
    names = {n: n if n in found else folded.get(n.casefold(), "") for n in wanted}
    if missing := list(dict.fromkeys(n for n, actual in names.items() if not actual)):
        raise ConfigurationError(
            f"the source has no column {', '.join(map(repr, missing))}; it has"
            f" {', '.join(found) or 'none'}",
            platform=platform,
            hint="Correct columns, or the query.",
        )
    return names
