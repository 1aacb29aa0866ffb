"""A source of one's own, declared: which of its columns fill which unified ones.

Rows come from any query or from files; from here on they are a report of ``performance``, or a
stream of entities, like a platform's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.model.report import Level, Report
from airflow_provider_liftos.model.unified import (
    ENTITIES,
    PERFORMANCE,
    TABLES,
    Column,
    Kind,
    Role,
    Table,
)

NAMES = ("internal", "offline")
"""How names of such sources begin: ``internal``, ``offline_stores``. All others are platforms."""

METRIC, CUT = "metric:", "by:"
"""What stands before names of raw fields that are no unified column: they cannot collide."""

OWN_IDS: Mapping[Level, str] = {
    Level.CAMPAIGN: "campaign_id",
    Level.AD_GROUP: "ad_group_id",
    Level.AD: "ad_id",
}
_IDS = ("date", "account_id", *OWN_IDS.values())
_FILLED = {Role.NAME, Role.METRIC, Role.UNIQUE_METRIC}
_COMPUTED = {"org_id", "platform", "details"}


def is_source(name: str) -> bool:
    """Whether a platform's name is that of a source of one's own."""
    return any(name == known or name.startswith(f"{known}_") for known in NAMES)


def fillable(table: Table) -> tuple[Column, ...]:
    """Columns of a table that rows of a source may fill."""
    if table is PERFORMANCE:
        return tuple(c for c in table.columns if c.name in {*_IDS, "currency"} or c.role in _FILLED)
    return tuple(c for c in table.columns if c.role is not Role.LINEAGE and c.name not in _COMPUTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """The source's column ``source`` fills the raw field ``name``, which is of that kind."""

    name: str
    source: str
    kind: Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What the rows of a query, or of files, become.

    ``columns`` leads from unified columns to the source's. With ``stream``, a table of entities,
    each run brings all of them; else rows are of the report ``report`` at ``level``, and need a
    ``date``. ``breakdowns`` and ``extra_metrics`` are further columns of the source, under their
    own names. ``account`` is the account of rows that name none, ``currency`` of those without a
    currency. ``timezone`` is where days begin, and whose clock moments without a zone are of.

    ``cursor`` is a column that grows with every change of a row. ``overlap`` (seconds; of numbers,
    units) is by how much a run goes back behind what it has reached, for commits that came late.

    Raises:
        ConfigurationError: a column does not exist, or one that is needed is not filled.
    """

    columns: Mapping[str, str]
    report: str = "basic"
    level: Level = Level.ACCOUNT
    stream: str = ""
    breakdowns: tuple[str, ...] = ()
    extra_metrics: tuple[str, ...] = ()
    account: str = ""
    currency: str = ""
    timezone: str = "UTC"
    cursor: str = ""
    overlap: float = 0.0
    fills: tuple[Fill, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        if self.stream and self.stream not in {table.name for table in ENTITIES}:
            known = ", ".join(table.name for table in ENTITIES)
            raise ConfigurationError(f"there is no stream {self.stream!r}; there are {known}")
        self._check_columns()
        self._check_needed()
        self._check_cursor()
        object.__setattr__(self, "fills", tuple(self._fills()))

    @property
    def table(self) -> Table:
        """Where the rows end."""
        return TABLES[self.stream] if self.stream else PERFORMANCE

    def as_report(self) -> Report:
        """The report as slices carry it; normalize knows from it what to read."""
        metrics = {c.name for c in PERFORMANCE.columns if c.role in _FILLED - {Role.NAME}}
        return Report(
            name=self.report,
            level=self.level,
            metrics=(*(name for name in self.columns if name in metrics), *self.extra_metrics),
            breakdowns=self.breakdowns,
        )

    def _fills(self) -> Iterator[Fill]:
        for name, source in self.columns.items():
            yield Fill(name=name, source=source, kind=self.table.column(name).kind)
        for prefix, names in ((METRIC, self.extra_metrics), (CUT, self.breakdowns)):
            for name in names:
                yield Fill(name=prefix + name, source=name, kind=Kind.TEXT)

    def _check_columns(self) -> None:
        known = [column.name for column in fillable(self.table)]
        for name in self.columns:
            if name not in known:
                near = get_close_matches(name, known, n=1)
                raise ConfigurationError(
                    f"columns name {name!r}, which is no column of {self.table.name} that a source"
                    " can fill",
                    hint=f"Did you mean {near[0]!r}?" if near else f"These are {', '.join(known)}.",
                )
        names = [*self.breakdowns, *self.extra_metrics]
        if wrong := [name for name in self.extra_metrics if name in PERFORMANCE.names()]:
            raise ConfigurationError(
                f"extra_metrics name {wrong[0]!r}, which is a unified column; fill it in columns"
            )
        if self.stream and names:
            raise ConfigurationError("a stream of entities has no breakdowns and no extra_metrics")
        if doubles := {name for name in names if names.count(name) > 1}:
            raise ConfigurationError(f"{min(doubles)!r} is named twice as breakdown or metric")

    def _check_needed(self) -> None:
        needed = [self.table.key[-1]] if self.stream else ["date"]
        if not self.stream and self.level in OWN_IDS:
            needed.append(OWN_IDS[self.level])
        if missing := [n for n in needed if n not in self.columns and n != "account_id"]:
            what = self.stream or f"report at level {self.level}"
            raise ConfigurationError(f"columns do not say what fills {missing[0]!r} of a {what}")
        if "account_id" not in self.columns and not self.account:
            raise ConfigurationError(
                "rows have no account",
                hint="Name a column for account_id in columns, or give one account for all.",
            )
        has_currency = "currency" in self.table.names()
        if has_currency and "currency" not in self.columns and not self.currency:
            raise ConfigurationError(
                "rows have no currency",
                hint="Name a column for currency in columns, or give one currency, such as EUR.",
            )
        if "\x00" in self.account:
            raise ConfigurationError("the account has a NUL character; no database keeps that")

    def _check_cursor(self) -> None:
        if self.cursor and self.stream:
            raise ConfigurationError(
                "entities are read in full each time; leave cursor out, or use a report"
            )
        if self.overlap < 0:
            raise ConfigurationError(f"overlap is {self.overlap}; it cannot be below 0")
