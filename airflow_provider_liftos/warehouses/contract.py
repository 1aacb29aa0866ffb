"""What every warehouse does, and what the SQL builders need to know of its engine."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Protocol, TypeAlias

from airflow_provider_liftos.engine.manifest import Manifest, SliceResult
from airflow_provider_liftos.engine.staging import Staging
from airflow_provider_liftos.model.unified import Kind
from airflow_provider_liftos.transforms.rates import Rate

TableOf: TypeAlias = Callable[[SliceResult], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """An engine's ways, as data; the SQL builders ask this record and never an engine's name.

    ``types`` are written as the engine's catalogue prints them, so that they can be compared.
    ``json_text`` reads a text from a JSON object, with ``{column}`` and ``{key}``. ``ratio`` is the
    type in which quotients are computed. ``convert`` is ``{amount}`` (money) times ``{times}`` over
    ``{by}`` (decimals with six places), exact until it is rounded once, half away from zero, to
    money; null where that does not fit. ``unnest`` makes rows of a placeholder's list of
    ``{type}``; several of them in one SELECT go side by side. ``plus_hours`` is what a clock
    without a zone shows ``{hours}`` after ``{day}`` began; ``zoned`` is what a clock of zone
    ``{there}`` shows when one of ``{here}`` shows ``{clock}``. ``digest`` sums a hash of each row's
    ``{columns}``: an integer that does not depend on their order, and that a row which is there
    twice changes. ``plus_days`` is ``{day}`` and ``{days}`` more. ``upper`` says that names are
    kept in upper case, as the engine keeps those that people do not quote, ``backslash`` that it is
    an escape in literals.

    Where lists cannot be parameters, ``json_rows`` is a query that makes a column ``r`` of the rows
    of one placeholder, a text of JSON (rows of texts), and ``json_item`` is the value ``{i}`` of
    ``r``. Where there are no transactions and every statement commits by itself, ``replace`` puts
    the rows of ``{query}`` in place of those of ``{table}`` that meet ``{condition}``, all at once;
    it takes columns in the order in which ``columns`` gives those of a schema and a table.
    ``substitutes`` are kept in place of characters that texts cannot hold.
    ``joined`` says that one statement for many slices is faster than one for each, as where the way
    of each costs more than its work.
    ``widen`` are the statements that change the type of ``{table}``'s ``{column}`` to ``{type}``,
    and ``widens`` says whether the engine carries them out: it is asked of a column's type and of
    one that holds all its values. Where it does not, ``rewrite`` is what a person may
    do: write ``{table}`` anew with ``{casts}``, each under its column's name.
    """

    name: str
    types: Mapping[Kind, str]
    ratio: str
    json_text: str
    convert: str
    unnest: str
    plus_hours: str
    zoned: str
    digest: str
    plus_days: str = "{day} + INTERVAL '{days}' DAY"
    quote: str = '"'
    upper: bool = False
    backslash: bool = False
    json_rows: str | None = None
    json_item: str = "r[{i}]"
    replace: str | None = None
    columns: str = ""
    substitutes: tuple[tuple[str, str], ...] = ()
    joined: bool = False
    widen: tuple[str, ...] = ("ALTER TABLE {table} ALTER COLUMN {column} SET DATA TYPE {type}",)
    widens: Callable[[str, str], bool] = lambda _given, _needed: True
    rewrite: str = ""

    def ident(self, *parts: str) -> str:
        """A quoted, dotted name."""
        quote = self.quote
        kept = (self.kept(part).replace(quote, quote * 2) for part in parts)
        return ".".join(f"{quote}{part}{quote}" for part in kept)

    def kept(self, name: str) -> str:
        """A name of ours as the engine's catalogue has it."""
        return name.upper() if self.upper else name

    def held(self, text: str) -> str:
        """A text as the engine gives it back."""
        for char, instead in self.substitutes:
            text = text.replace(char, instead)
        return text

    def text(self, value: str) -> str:
        """A text literal, for where engines take no parameters (views, file lists)."""
        if self.backslash:  # two quotes are no escape in Spark: it puts the halves together
            return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
        return "'" + value.replace("'", "''") + "'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where the tables are: published ones in ``schema``, those under audit in ``audit_schema``."""

    capabilities: Capabilities
    schema: str
    audit_schema: str

    def published(self, table: str) -> str:
        """The qualified, quoted name people read."""
        return self.capabilities.ident(self.schema, table)

    def audit(self, table: str) -> str:
        """The qualified, quoted name of the copy that waits for its verdict."""
        return self.capabilities.ident(self.audit_schema, table)


@dataclass(frozen=True, slots=True, kw_only=True)
class Restatement:
    """A platform changed its mind about a published day; None where there were no such values."""

    date: date
    metric: str
    old: Decimal | None
    new: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What publishing one slice did.

    For reports, the rows are those of the slice's key and declared dates, and ``dates_skipped``
    are days that newer data already held. For entities they are the ids alive in the account,
    and ``outdated`` says that a newer snapshot was there before.
    """

    rows_before: int
    rows_after: int
    dates_published: tuple[date, ...] = ()
    dates_skipped: tuple[date, ...] = ()
    restated: tuple[Restatement, ...] = ()
    outdated: bool = False


Note: TypeAlias = Callable[[Sequence[Restatement]], None]
"""Takes down what publishing a slice restates."""


class Session(Protocol):
    """One open transaction."""

    def execute(self, sql: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run one statement with ``?`` placeholders; all its rows."""


class Warehouse(Protocol):
    """A warehouse. All methods may be repeated; none leaves a half-done state behind.

    Whatever an engine refuses is raised as WarehouseError, and nothing published has changed.
    """

    @property
    def layout(self) -> Layout:
        """Names of schemas and tables, and the engine's capabilities."""

    def prepare(self) -> None:
        """Create what is missing: schemas, tables, columns, views. Never drops or narrows.

        Raises:
            WarehouseDenied: a column exists with a type the code cannot work with, or that a person
                has to change.
        """

    def load(
        self, manifest: Manifest, table_of: TableOf = ..., *, staging: Staging | None = None
    ) -> int:
        """Put the staged rows of all complete slices into the audit schema; how many rows.

        Replaces what an earlier attempt of the same load brought, also for slices that are not in
        the manifest any more: one manifest holds all of a load. ``staging`` is where its files are;
        None for paths of this host.

        Raises:
            StagingError: a staged file is missing or is not what the manifest says.
        """

    def publish(
        self,
        result: SliceResult,
        load_id: str,
        org_id: str,
        now: float,
        *,
        table: str | None = None,
        note: Note | None = None,
    ) -> Published:
        """Replace the slice's published days, or the account's entities, in one transaction.

        ``now`` is epoch seconds. ``table`` is needed where a stream is not named as its table.
        ``note`` hears of restatements before they are committed, for afterwards the old values are
        gone; what it raises undoes the slice. It hears the same again when a try dies in between.
        """

    def publish_each(
        self,
        results: Sequence[SliceResult],
        load_id: str,
        org_id: str,
        now: Callable[[], float],
        *,
        table_of: TableOf = ...,
        note: Callable[[SliceResult], Note] | None = None,
    ) -> Iterator[tuple[SliceResult, Published]]:
        """Publish slices as ``publish`` does, small ones together, on few connections.

        What is done is told in groups. When one of those in a transaction fails, each goes in its
        own; the error comes after those that were published before it. ``note`` hears it again.
        """

    def replace_rates(self, rates: Sequence[Rate], org_id: str, now: float) -> int:
        """Put exchange rates in place of those of the same days and source; how many were written.

        ``now`` is epoch seconds.
        """

    def settle(self, org_id: str, platform: str, restatement_days: int, now: float) -> None:
        """Rows of days that the platform restates no more are no estimates, read again or not.

        ``now`` is epoch seconds.
        """

    def after_run(self) -> None:
        """What is to be done once when a run has published, such as refreshing a read copy."""

    def compact(self) -> Mapping[str, int]:
        """Give back the space of deleted rows, where nobody else does: bytes before and after.

        Empty when there was nothing to do.
        """

    def discard(self, load_id: str, keep: Collection[str] = ()) -> None:
        """Forget the load's rows in the audit schema, but for slices of the fingerprints given."""

    def apply(self, statements: Sequence[tuple[str, Sequence[object]]]) -> None:
        """Carry out writing statements with ``?`` placeholders, in one transaction."""

    def query(self, sql: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Rows of a reading statement with ``?`` placeholders."""

    def checksum(self, table: str, where: str = "", params: Sequence[object] = ()) -> str:
        """A digest of a published table's rows, whatever their order; equal on one engine only."""
