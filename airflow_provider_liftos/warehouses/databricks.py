"""Databricks: files to a volume, COPY into the audit schema, one statement to replace a slice.

There are no transactions that hold several statements together. What is published of a slice is
replaced by one statement (``publish``, ``history``); writers of one account's table take turns by
leases of the state store, and Delta Lake itself refuses the second of two that got past them.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from airflow_provider_liftos.model.errors import Unavailable, WarehouseError
from airflow_provider_liftos.model.unified import ENTITIES, LOADS, PERFORMANCE, Table
from airflow_provider_liftos.warehouses import ddl, duckdb_parquet, migration
from airflow_provider_liftos.warehouses.databricks_session import (
    Connect,
    DatabricksServer,
    DatabricksSession,
)
from airflow_provider_liftos.warehouses.databricks_sql import (
    CAPABILITIES,
    LONGEST_NAME,
    REFUSED_IN_NAMES,
)
from airflow_provider_liftos.warehouses.full_disk import folder_for_files
from airflow_provider_liftos.warehouses.publications import Sizes
from airflow_provider_liftos.warehouses.schema_names import check_schemas
from airflow_provider_liftos.warehouses.sql import Settings, SqlWarehouse, Turn, Unit
from airflow_provider_liftos.warehouses.staged import LocalSlice, by_table

if TYPE_CHECKING:
    from airflow_provider_liftos.state.leases import Leases

log = logging.getLogger(__name__)

VOLUME = "load_files"
"""The volume of the audit schema through which files travel, unless another one is named."""


# Fewer slices are published at once than loaded: a statement takes 256 values and asks up to eight
# for a slice, more where days are left out.
# Rates are replaced by one statement a year, which so need not fit a larger one.
_SIZES = Sizes(rows=4_000_000, slices=400, years=1, together=200_000, at_once=30, lanes=4)
# Turns are renewed before a statement, unless they have just been: a unit has many, and small
# statements. One statement must not take longer than what is then left of them.
_LEASE_SECONDS = 300.0
_FRESH_SECONDS = 30.0
_LEFT_BEHIND = 86_400  # seconds after which nobody will come back for the files of a load
_PLACE = re.compile(r"load_(\d+)_[0-9a-f]{16}/?")
_CREATED = re.compile(r"CREATE TABLE IF NOT EXISTS (`[^`]+`\.`([^`]+)`)")


class DatabricksWarehouse(SqlWarehouse[DatabricksSession]):
    """A catalog of Databricks as the warehouse; may be shared by threads, and used after a fork.

    ``connect`` opens a connection, whose session must show moments in UTC. ``leases`` let writers
    take turns; without them (a person's own script) only Delta Lake's refusals are left. ``volume``
    is a path ``/Volumes/catalog/schema/volume``; empty: one of the audit schema, which is made.
    ``wait`` (seconds) bounds how long others may be in the way, ``label`` names it in messages.
    ``clock`` tells epoch seconds.
    """

    def __init__(
        self,
        connect: Connect,
        leases: Leases | None,
        *,
        volume: str = "",
        label: str = "warehouse",
        wait: float = 420.0,
        clock: Callable[[], float] = time.time,
        **settings: Unpack[Settings],
    ) -> None:
        super().__init__(CAPABILITIES, _SIZES, **settings)
        self._server = DatabricksServer(connect, label)
        self._leases = leases
        self._volume = volume.rstrip("/")
        self._wait = wait
        self._clock = clock
        self._shared: dict[tuple[int, str], _Shared] = {}
        self._sharing = threading.Lock()

    def prepare(self) -> None:
        """Create schemas, tables, the volume and missing columns, and bring the views up to date.

        Raises:
            ConfigurationError: a schema's name is none that Unity Catalog keeps.
        """
        check_schemas(self.layout, LONGEST_NAME, refused=REFUSED_IN_NAMES, lower=True)
        with self._server.session() as session:
            if self._plan(session):
                with self._turns(Turn((self.layout.schema, "migration"))):
                    plan = self._plan(session)
                    for statement in plan.statements:
                        session.execute(_clustered(statement))
                    migration.note(session, self.layout, plan.notes)
            self._volume = self._volume or self._own_volume(session)
        self._prepared = True

    def _plan(self, session: DatabricksSession) -> migration.Plan:
        return migration.plan(session, self.layout, self._views, self._catalogue(session))

    def _catalogue(self, session: DatabricksSession) -> ddl.Catalogue:
        """Tables and views by schema; a schema has a nameless one."""
        found: dict[tuple[str, str], dict[str, str]] = {}
        schemas = (self.layout.schema, self.layout.audit_schema)
        for schema, table, column, kind in session.execute(
            "SELECT schema_name, '', '', '' FROM information_schema.schemata"
            " WHERE schema_name IN (?, ?) UNION ALL SELECT table_schema, table_name, column_name,"
            " full_data_type FROM information_schema.columns WHERE table_schema IN (?, ?)",
            (*schemas, *schemas),
        ):
            columns = found.setdefault((schema, table), {})
            if column:
                columns[column] = kind.lower()
        return found

    def _own_volume(self, session: DatabricksSession) -> str:
        session.execute(f"CREATE VOLUME IF NOT EXISTS {self.layout.audit(VOLUME)}")
        [(catalog,)] = session.execute("SELECT current_catalog() AS catalog")
        return f"/Volumes/{catalog}/{self.layout.audit_schema}/{VOLUME}"

    def compact(self) -> Mapping[str, int]:
        """Remove what killed loads left in the volume, when it is a day old; how many files.

        Only files are touched that are named as ours: the volume may be shared.
        """
        self._prepare_once()
        removed = 0
        with self._server.session() as session:
            for place in self._left_behind(session):
                ours = {f"{table.name}/" for table in ddl.audit_tables()}
                for folder in ours.intersection(_listed(session, place)):
                    file = folder.replace("/", ".parquet")
                    if file in _listed(session, f"{place}/{folder}".rstrip("/")):
                        text = CAPABILITIES.text(f"{place}/{folder}{file}")
                        session.execute(f"REMOVE {text}")
                        removed += 1
        return {"files_removed": removed} if removed else {}

    def _left_behind(self, session: DatabricksSession) -> Iterator[str]:
        for name in _listed(session, self._volume):
            made = _PLACE.fullmatch(name)
            if made and int(made[1]) < self._clock() - _LEFT_BEHIND:
                yield f"{self._volume}/{name.rstrip('/')}"

    @contextmanager
    def _write(self, *turns: Turn) -> Iterator[DatabricksSession]:
        """Statements that each commit by themselves, while the turns are held."""
        with self._many() as unit, unit(*turns) as session:
            yield session

    @contextmanager
    def _many(self) -> Iterator[Unit[DatabricksSession]]:
        """Units of writing on one connection."""
        self._prepare_once()
        with self._server.session() as session:

            @contextmanager
            def unit(*turns: Turn) -> Iterator[DatabricksSession]:
                with self._turns(*turns) as keep:
                    yield replace(session, keep=keep)

            yield unit

    @contextmanager
    def _read(self) -> Iterator[DatabricksSession]:
        with self._server.session(reads_only=True) as session:
            yield session

    @contextmanager
    def _turns(self, *turns: Turn) -> Iterator[Callable[[], None]]:
        """Hold them; what it gives makes sure, before every statement, that they are still held.

        There are no shared leases: a load is held by one process at a time, whose threads share it,
        so that nobody replaces it while it is published. A platform's is left out; it keeps away
        who settles its days, and Delta Lake refuses the second of two that change the same rows.
        """
        held: list[tuple[str, int]] = []
        leases = self._leases
        if leases is None:
            yield lambda: None
            return

        renewed = self._clock()

        def keep() -> None:
            nonlocal renewed
            if 0 <= (now := self._clock()) - renewed < _FRESH_SECONDS:
                return
            for name, token in held:
                _renew(leases, name, token)
            renewed = now

        try:
            with ExitStack() as opened:
                for turn in turns:
                    if not turn.shared or turn.names[0] == self.layout.audit_schema:
                        name = "|".join(("databricks", self._server.label, *turn.names))
                        take = self._joined if turn.shared else self._held
                        held.append((name, opened.enter_context(take(leases, name))))
                yield keep
        except Unavailable as error:
            raise WarehouseError(
                f"Databricks cannot be written now: {error}", hint="Run the task again."
            ) from error

    def _held(self, leases: Leases, name: str) -> AbstractContextManager[int]:
        holder = f"{socket.gethostname()}/{threading.get_ident()}/{secrets.token_hex(4)}"
        return leases.held(name, ttl=_LEASE_SECONDS, wait=self._wait, holder=holder)

    @contextmanager
    def _joined(self, leases: Leases, name: str) -> Iterator[int]:
        """A lease that several threads hold as one; the last of them gives it back."""
        key = (os.getpid(), name)
        with self._sharing:
            shared = self._shared.setdefault(key, _Shared())
            if not shared.holders:
                shared.token = shared.opened.enter_context(self._held(leases, name))
            else:
                _renew(leases, name, shared.token)  # it may have been taken long ago
            shared.holders += 1
        try:
            yield shared.token
        finally:
            with self._sharing:
                shared.holders -= 1
                if not shared.holders:
                    del self._shared[key]
                    shared.opened.close()

    @contextmanager
    def _carry(self, near: Sequence[LocalSlice]) -> Iterator[Sequence[LocalSlice]]:
        """Into the volume, at a place of this attempt alone, which is emptied behind the block.

        COPY INTO leaves out files that it has seen before, whatever is in them now: a place is
        never used twice. Slices of a table travel in one file, their key beside each row.
        """
        filled = list(by_table(near))
        if filled:
            self._prepare_once()
        place = f"{self._volume}/load_{int(self._clock())}_{secrets.token_hex(8)}"
        sent = dict[str, str]()
        with folder_for_files() as folder:
            try:
                if filled:
                    with self._memory() as memory, self._server.session() as session:
                        for table, slices in filled:
                            name, path = table.name, folder / f"{table.name}.parquet"
                            columns = [column.name for column in ddl.staged_columns(table)]
                            duckdb_parquet.gather(memory, slices, columns, path)
                            sent[name] = f"{place}/{name}/{name}.parquet"
                            session.execute(_put(path, sent[name]))
                            path.unlink()
                yield [
                    replace(one, paths=(sent[one.part.table.name],)) if one.paths else one
                    for one in near
                ]
            finally:
                self._remove(list(sent.values()))

    def _bring(self, session: DatabricksSession, arrived: Sequence[LocalSlice]) -> None:
        for path, table in {one.paths[0]: one.part.table for one in arrived}.items():
            session.execute(_copy(self.layout.audit(table.name), table, path))

    def _remove(self, paths: Sequence[str]) -> None:
        """Best effort: what stays is in nobody's way, and goes with the next ``compact``."""
        if not paths:
            return
        try:
            with self._server.session() as session:
                for path in paths:
                    session.execute(f"REMOVE {CAPABILITIES.text(path)}")
        except WarehouseError as error:
            log.warning("Files of a load stay in the volume %s: %s", self._volume, error.message)


def _renew(leases: Leases, name: str, token: int) -> None:
    if not leases.renew(name, token, _LEASE_SECONDS):
        raise WarehouseError(
            f"Another writer took the turn {name!r}, since a statement took longer than"
            f" {_LEASE_SECONDS - _FRESH_SECONDS:g} s.",
            hint="What is published is whole; run the task again.",
        )


@dataclass(slots=True)
class _Shared:
    """A lease of several threads."""

    holders: int = 0
    token: int = 0
    opened: ExitStack = field(default_factory=ExitStack)


def _listed(session: DatabricksSession, folder: str) -> list[str]:
    """Names in a folder; those of folders end in a slash. At most 1,001, Databricks says."""
    return [str(row[1]) for row in session.execute(f"LIST {CAPABILITIES.text(folder + '/')}")]


def _put(path: Path, to: str) -> str:
    text = CAPABILITIES.text
    return f"PUT {text(str(path.absolute()))} INTO {text(to)} OVERWRITE"


def _copy(audit: str, table: Table, path: str) -> str:
    """The statement that brings a file's rows; columns are matched by their names."""
    ident = CAPABILITIES.ident
    columns = (*ddl.staged_columns(table), ddl.SLICE_KEY)
    values = ", ".join(
        f"CAST({ident(c.name)} AS {CAPABILITIES.types[c.kind]}) AS {ident(c.name)}" for c in columns
    )
    folder = path.rpartition("/")[0] + "/"
    return (
        f"COPY INTO {audit} FROM (SELECT {values} FROM {CAPABILITIES.text(folder)})"
        " FILEFORMAT = PARQUET COPY_OPTIONS ('mergeSchema' = 'false')"
    )


def _clustered(statement: str) -> str:
    """Tables whose slices are replaced are laid out by slice: fewer files are read and conflict."""
    found = _CREATED.match(statement)
    keys = ["platform", "account_id"]
    if found is None or found[2] not in {t.name for t in (PERFORMANCE, LOADS, *ENTITIES)}:
        return statement
    if found[2] in (PERFORMANCE.name, LOADS.name):
        keys.append("date")
    return f"{statement} CLUSTER BY ({', '.join(map(CAPABILITIES.ident, keys))})"
