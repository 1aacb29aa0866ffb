"""What all warehouses that speak SQL have in common; an engine adds a few verbs.

A load is put into the audit schema, and published, many slices at a time. What an
engine must do for this: make its tables (``prepare``), open a unit of writing or of reading
(``_write``, ``_read``), and bring staged files into an audit table (``_bring``).
"""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypedDict, TypeVar, Unpack

from airflow_provider_liftos.engine.manifest import Manifest, SliceResult
from airflow_provider_liftos.engine.staging import Staging
from airflow_provider_liftos.model.errors import LiftosError, WarehouseCrowded
from airflow_provider_liftos.model.unified import FX_RATES, PERFORMANCE, TABLES
from airflow_provider_liftos.transforms.duckdb import connect
from airflow_provider_liftos.transforms.rates import Rate
from airflow_provider_liftos.warehouses import ddl, duckdb_staged
from airflow_provider_liftos.warehouses.contract import (
    Capabilities,
    Layout,
    Note,
    Published,
    Session,
    TableOf,
)
from airflow_provider_liftos.warehouses.job import Job
from airflow_provider_liftos.warehouses.publications import (
    Publication,
    Sizes,
    lanes,
    never,
    side_by_side,
    take_over,
    together,
)
from airflow_provider_liftos.warehouses.publish import publish
from airflow_provider_liftos.warehouses.rates import replace_rates
from airflow_provider_liftos.warehouses.settle import settling
from airflow_provider_liftos.warehouses.staged import LocalSlice, StagedSlice, batches, complete
from airflow_provider_liftos.warehouses.views import ViewSettings

if TYPE_CHECKING:
    import duckdb

log = logging.getLogger(__name__)

SessionT = TypeVar("SessionT", bound=Session)

Unit: TypeAlias = Callable[..., AbstractContextManager[SessionT]]
"""Of turns a unit of writing, while they are held."""

_KEYS_PER_STATEMENT = 100  # engines bound their placeholders, Databricks to 256


@dataclass(frozen=True, slots=True)
class Turn:
    """What one writer at a time may hold, by name; many may hold it ``shared``.

    Turns are always taken in the same order: the load, the platform, the account.
    """

    names: tuple[str, ...]
    shared: bool = False


class Settings(TypedDict, total=False):
    """What every warehouse may be told.

    ``schema`` (by default ``liftos``) and ``audit_schema`` (``liftos_audit``) have the tables.
    ``memory_limit`` (128MB, in DuckDB's words) and ``threads`` (2) are of reading staged files.
    """

    schema: str
    audit_schema: str
    memory_limit: str
    threads: int
    views: ViewSettings | None


class SqlWarehouse(ABC, Generic[SessionT]):
    """A warehouse that speaks SQL."""

    def __init__(
        self, capabilities: Capabilities, sizes: Sizes, **settings: Unpack[Settings]
    ) -> None:
        self.layout = Layout(
            capabilities=capabilities,
            schema=settings.get("schema", "liftos"),
            audit_schema=settings.get("audit_schema", "liftos_audit"),
        )
        self._sizes = sizes
        self._memory_limit = settings.get("memory_limit", "128MB")
        self._threads = settings.get("threads", 2)
        self._views = settings.get("views") or ViewSettings()
        self._prepared = False

    # --- what an engine adds ---------------------------------------------------------------------

    @abstractmethod
    def prepare(self) -> None:
        """Create schemas, tables and missing columns, and bring the views up to date.

        It notes in ``_prepared`` that it was done.
        """

    @abstractmethod
    def _write(self, *turns: Turn) -> AbstractContextManager[SessionT]:
        """A unit of writing, on tables that are up to date, while the turns are held.

        Where the engine has transactions it is one: committed at the end of the block, and on any
        error everything is as it was. Turns are taken in the order given; who waits too long for
        them raises WarehouseError, as does whatever the engine refuses.
        """

    def _many(self) -> AbstractContextManager[Unit[SessionT]]:
        """Units of writing, one after the other, over one connection where that spares time."""
        return _one_by_one(self._write)

    @abstractmethod
    def _read(self) -> AbstractContextManager[SessionT]:
        """A unit of reading, in which writing is refused."""

    @abstractmethod
    def _bring(self, session: SessionT, arrived: Sequence[LocalSlice]) -> None:
        """Add the slices' rows, their key beside them, to the audit tables, which have none yet."""

    def _carry(self, near: Sequence[LocalSlice]) -> AbstractContextManager[Sequence[LocalSlice]]:
        """Where the engine reads no files of this host: put them within its reach, for the block.

        It is asked before the unit of writing begins, which so need not wait for an upload.
        """
        return _as_they_are(near)

    # --- the contract ----------------------------------------------------------------------------

    def load(
        self,
        manifest: Manifest,
        table_of: TableOf = lambda result: result.table,
        *,
        staging: Staging | None = None,
    ) -> int:
        """Put the staged rows of all complete slices into the audit schema; how many rows.

        What an earlier attempt of the load left of other slices is removed. Every file is verified
        before the warehouse is opened; of those in a store, copies are fetched for this and again
        for loading, a batch at a time, so that the disk need not hold a whole run. A slice is never
        divided between batches, many slices may be.
        """
        staging = staging or Staging("")
        slices = complete(manifest, table_of)
        columns = self._columns(slices, manifest.load_id, staging)
        self.discard(manifest.load_id, keep=[part.key for part in slices])
        for batch in batches(slices, self._sizes.rows, self._sizes.slices):
            with ExitStack() as opened:
                near = [
                    LocalSlice(
                        part=part,
                        columns=columns[part.key],
                        paths=opened.enter_context(part.local(staging)),
                    )
                    for part in batch
                ]
                arrived = opened.enter_context(self._carry(near))
                session = opened.enter_context(self._write(self._load_turn(manifest.load_id)))
                self._forget(session, manifest.load_id, batch)
                self._bring(session, [one for one in arrived if one.paths])
        return sum(part.rows for part in slices)

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
        """Replace the slice's published days, or the account's entities, in one transaction."""
        one = Publication(
            result=result,
            table=_target(result, table),
            load_id=load_id,
            org_id=org_id,
            now=lambda: now,
            note=note,
        )
        [published] = self._publish_at_once(self._write, [one])
        return published

    def publish_each(
        self,
        results: Sequence[SliceResult],
        load_id: str,
        org_id: str,
        now: Callable[[], float],
        *,
        table_of: TableOf = lambda result: result.table,
        note: Callable[[SliceResult], Note] | None = None,
    ) -> Iterator[tuple[SliceResult, Published]]:
        """Publish slices, over as few connections and units of writing as can be.

        They come as they are done, those of an account in their order. If a unit fails, each of its
        slices goes in its own, up to the one at fault; what goes side by side with them ends with
        what it is at. What found no room for its own connection goes behind the others. Nothing is
        held while the caller looks at what it gets, which is so many slices later. ``note`` may be
        called from several threads.
        """
        some = [
            Publication(
                result=cut,
                table=_target(cut, table_of(cut)),
                load_id=load_id,
                org_id=org_id,
                now=now,
                note=note(cut) if note else None,
            )
            for cut in results
        ]
        beside, behind = lanes(some, self._sizes), deque[deque[Publication]]()
        if len(beside) > 1:
            self._prepare_once()  # or else each lane would
        yield from side_by_side([partial(self._publish_beside, lane, behind) for lane in beside])
        while behind:
            yield from self._publish_lane(behind.popleft(), behind, never)

    def _publish_beside(
        self,
        left: deque[Publication],
        behind: deque[deque[Publication]],
        ended: Callable[[], bool],
    ) -> Iterator[tuple[SliceResult, Published]]:
        """As one lane of some; it leaves to the others what it finds no connection for."""
        try:
            yield from self._publish_lane(left, behind, ended)
        except WarehouseCrowded as error:
            behind.append(left)
            log.info("%d slices wait for another connection: %s", len(left), error.message)

    def _publish_lane(
        self,
        left: deque[Publication],
        behind: deque[deque[Publication]],
        ended: Callable[[], bool],
    ) -> Iterator[tuple[SliceResult, Published]]:
        alone = 0  # of those in front
        while left and not ended():
            done: list[tuple[SliceResult, Published]] = []
            try:
                # What failed together may have left its connection unusable.
                alone = self._publish_some(left, behind, alone, done, ended)
            except Exception:
                yield from done
                raise
            yield from done

    def _publish_some(
        self,
        left: deque[Publication],
        behind: deque[deque[Publication]],
        alone: int,
        done: list[tuple[SliceResult, Published]],
        ended: Callable[[], bool],
    ) -> int:
        """Move over one connection from ``left`` to ``done``; how many must then go alone.

        Where nothing is left, it goes on with a lane that was left ``behind``.
        """
        unit_of: list[Publication] = []
        try:
            with self._many() as unit:
                until = time.monotonic() + self._sizes.seconds
                while left and not (done and (ended() or time.monotonic() >= until)):
                    unit_of = [left[0]] if alone else together(left, self._sizes)
                    for published in self._publish_at_once(unit, unit_of):
                        done.append((left.popleft().result, published))
                    unit_of, alone = [], max(alone - 1, 0)
                    take_over(left, behind)
        except Exception as error:
            if len(unit_of) <= 1:
                raise
            why = error if isinstance(error, LiftosError) else type(error).__name__
            log.info("%d slices go one by one, for together they failed: %s", len(unit_of), why)
            return len(unit_of)
        return alone

    def _publish_at_once(
        self, unit: Unit[SessionT], some: Sequence[Publication]
    ) -> list[Published]:
        """Publish slices of one load in one unit; their rows under audit go last."""
        [load_id] = {one.load_id for one in some}
        with unit(*self._publishing_turns(load_id, some)) as session:
            done = publish([self._job(session, one) for one in some])
            for table, its in groupby(sorted(some, key=_table), key=_table):
                keys = [one.result.slice.fingerprint() for one in its]
                self._delete(session, load_id, table, keys)
        return done

    def _publishing_turns(self, load_id: str, some: Sequence[Publication]) -> Iterator[Turn]:
        """Platforms before accounts, each in the order of their names, so that no two cross."""
        platforms, accounts = set(), set()
        for one in some:
            part = one.result.slice
            platform = (self.layout.schema, one.table, one.org_id, part.platform)
            platforms.add(platform)
            accounts.add((*platform, part.account_id))
        # The load must stay as it is, while others publish their slices of it.
        yield self._load_turn(load_id, shared=True)
        yield from (Turn(names, shared=True) for names in sorted(platforms))
        yield from (Turn(names) for names in sorted(accounts))

    def _job(self, session: SessionT, one: Publication) -> Job:
        return Job(
            session=session,
            layout=self.layout,
            result=one.result,
            table=one.table,
            load_id=one.load_id,
            org_id=one.org_id,
            now=one.now(),
            note=one.note,
        )

    def replace_rates(self, rates: Sequence[Rate], org_id: str, now: float) -> int:
        """Put exchange rates in place of those of the same days and source, oldest first."""
        written = 0
        turn = Turn((self.layout.schema, FX_RATES.name, org_id))
        by_day = sorted(rates, key=lambda rate: rate.day)
        for _, some in groupby(by_day, key=lambda rate: rate.day.year // self._sizes.years):
            with self._write(turn) as session:
                written += replace_rates(session, self.layout, list(some), org_id, now)
        return written

    def settle(self, org_id: str, platform: str, restatement_days: int, now: float) -> None:
        """Rows of days that the platform restates no more are no estimates, read again or not.

        Mostly there are none, for which nobody's turn is taken.
        """
        self._prepare_once()
        settled = settling(self.layout, org_id, platform, restatement_days, now)
        [(first,)] = self.query(*settled.find)
        if first is None:
            return
        turn = Turn((self.layout.schema, PERFORMANCE.name, org_id, platform))
        with self._write(turn) as session:
            session.execute(*settled.change(first))

    def after_run(self) -> None:
        """Nothing is left to do: people read what was published."""

    def compact(self) -> Mapping[str, int]:
        """Servers do it by themselves."""
        return {}

    def discard(self, load_id: str, keep: Collection[str] = ()) -> None:
        """Forget the load's rows in the audit schema, but for slices of the fingerprints given."""
        with self._write(self._load_turn(load_id)) as session:
            for table, keys in self._waiting(session, load_id):
                self._delete(session, load_id, table, sorted(keys - set(keep)))

    def apply(self, statements: Sequence[tuple[str, Sequence[object]]]) -> None:
        """Carry out writing statements with ``?`` placeholders, in one transaction."""
        with self._write() as session:
            for sql, params in statements:
                session.execute(sql, params)

    def query(self, sql: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Rows of a reading statement."""
        with self._read() as session:
            return session.execute(sql, params)

    def checksum(self, table: str, where: str = "", params: Sequence[object] = ()) -> str:
        """A digest of a published table's rows, whatever their order."""
        capabilities = self.layout.capabilities
        columns = ddl.names(capabilities, TABLES[table].columns)
        [(rows, total)] = self.query(
            f"SELECT count(*), coalesce({capabilities.digest.format(columns=columns)}, 0)"
            f" FROM {self.layout.published(table)}" + (f" WHERE {where}" if where else ""),
            params,
        )
        return f"{rows}-{int(total):x}"

    # --- what they share -------------------------------------------------------------------------

    def _prepare_once(self) -> None:
        """Prepare, unless this object has done so; call it before a unit of writing begins."""
        if not self._prepared:
            self.prepare()

    def _memory(self) -> duckdb.DuckDBPyConnection:
        """A database in memory, in which staged files are read."""
        return connect(memory_limit=self._memory_limit, threads=self._threads)

    def _columns(
        self, slices: Sequence[StagedSlice], load_id: str, staging: Staging
    ) -> dict[str, tuple[str, ...]]:
        """The columns of each slice's files, by its key, once all of them are found sound."""
        found = dict[str, tuple[str, ...]]()
        with self._memory() as memory:
            for batch in batches(slices, self._sizes.rows, self._sizes.slices):
                with ExitStack() as opened:
                    near = [(part, opened.enter_context(part.local(staging))) for part in batch]
                    found |= duckdb_staged.columns_found(memory, near, load_id)
        return found

    def _load_turn(self, load_id: str, *, shared: bool = False) -> Turn:
        """Nobody publishes the load, or loads it a second time, while it is put in place."""
        return Turn((self.layout.audit_schema, load_id), shared=shared)

    def _waiting(self, session: Session, load_id: str) -> Iterator[tuple[str, set[str]]]:
        """Audit tables that have rows of the load, and of which slices: one question for all."""
        ident, text = self.layout.capabilities.ident, self.layout.capabilities.text
        tables = [table.name for table in ddl.audit_tables()]
        selects = (
            f"SELECT DISTINCT {text(name)}, {ident('slice_key')} FROM {self.layout.audit(name)}"
            f" WHERE {ident('load_id')} = ?"
            for name in tables
        )
        found = session.execute(" UNION ALL ".join(selects), [load_id] * len(tables))
        for name in tables:
            if keys := {key for table, key in found if table == name}:
                yield name, keys

    def _forget(self, session: Session, load_id: str, slices: Iterable[StagedSlice]) -> None:
        """Empty the slices' places in the audit schema, where an earlier attempt may have been."""
        by_table = sorted(slices, key=lambda part: part.table.name)
        for table, some in groupby(by_table, key=lambda part: part.table.name):
            self._delete(session, load_id, table, [part.key for part in some])

    def _delete(self, session: Session, load_id: str, table: str, keys: Sequence[str]) -> None:
        ident = self.layout.capabilities.ident
        for start in range(0, len(keys), _KEYS_PER_STATEMENT):
            some = keys[start : start + _KEYS_PER_STATEMENT]
            session.execute(
                f"DELETE FROM {self.layout.audit(table)} WHERE {ident('load_id')} = ?"
                f" AND {ident('slice_key')} IN ({', '.join('?' * len(some))})",
                (load_id, *some),
            )


def _table(one: Publication) -> str:
    return one.table


def _target(result: SliceResult, table: str | None) -> str:
    return PERFORMANCE.name if result.slice.report else table or result.table


@contextmanager
def _as_they_are(near: Sequence[LocalSlice]) -> Iterator[Sequence[LocalSlice]]:
    yield near


@contextmanager
def _one_by_one(write: Unit[SessionT]) -> Iterator[Unit[SessionT]]:
    yield write
