"""Publishing entities: a full snapshot of one account's stream becomes versions in time.

A version begins where ``row_hash`` changes. The current version has no ``valid_to``; an id the
platform no longer lists has a current version with ``is_deleted``, and comes back as a new one.
A slice with ids is a listing of what is below these campaigns, and says nothing of the others.
Volatile columns, such as what is left of a budget, are no part of the hash: versions are what
people have set, and the current one tells the newest of such numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.model.report import CHANGES, SNAPSHOT
from airflow_provider_liftos.model.unified import ENTITIES, LOADS, Table
from airflow_provider_liftos.warehouses.contract import Published
from airflow_provider_liftos.warehouses.ddl import names, staged_columns
from airflow_provider_liftos.warehouses.job import Job, Predicate, check_publishable, instant

_LOADED = ("org_id", "platform", "report", "account_id")


def publish_entities(job: Job, table_name: str) -> Published:
    """Publish one snapshot; call it inside one transaction.

    The same snapshot again, or one older than what is published, changes nothing.

    Raises:
        ConfigurationError: there is no such table of entities.
        WarehouseError: the slice failed, repeats an id, has others' rows, or is not loaded.
    """
    expected = check_publishable(job)
    snapshot = _Snapshot(job=job, table=_entity(table_name))
    staged = snapshot.count_staged()
    mine, newer = snapshot.published_before()
    alive = snapshot.count_alive()
    if newer or (mine and staged == 0 < expected):
        snapshot.clear()
        return Published(rows_before=alive, rows_after=alive, outdated=newer)
    if staged != expected:
        raise job.error(
            f"the audit schema holds {staged} of its {expected} rows.",
            hint="Load the manifest again, then publish.",
        )
    snapshot.bury()
    snapshot.close()
    snapshot.refresh()
    snapshot.open()
    snapshot.note(staged)
    snapshot.clear()
    return Published(rows_before=alive, rows_after=snapshot.count_alive())


def _entity(name: str) -> Table:
    for table in ENTITIES:
        if table.name == name:
            return table
    known = ", ".join(table.name for table in ENTITIES)
    raise ConfigurationError(f"no table of entities is called {name!r}; there are {known}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Snapshot:
    """The statements; ``h`` is the history, ``s`` the snapshot under audit."""

    job: Job
    table: Table

    @property
    def _history(self) -> str:
        return self.job.layout.published(self.table.name)

    @property
    def _staged(self) -> str:
        return self.job.layout.audit(self.table.name)

    def _scope(self, alias: str) -> Predicate:
        part = self.job.result.slice
        return Predicate(
            sql=" AND ".join(
                f"{alias}.{self._name(name)} = ?" for name in ("org_id", "platform", "account_id")
            ),
            params=(self.job.org_id, part.platform, part.account_id),
        )

    def _name(self, name: str) -> str:
        return self.job.layout.capabilities.ident(name)

    def _same_id(self, left: str, right: str) -> str:
        parts = (f"{left}.{self._name(n)} = {right}.{self._name(n)}" for n in self.table.key)
        return " AND ".join(parts)

    def _listed(self, condition: str = "") -> Predicate:
        """The snapshot has the id of ``h``, and there the condition holds."""
        mine = self.job.mine
        return Predicate(
            sql=f"EXISTS (SELECT 1 FROM {self._staged} AS s WHERE {mine.sql}"
            f" AND {self._same_id('s', 'h')}{condition})",
            params=mine.params,
        )

    def count_staged(self) -> int:
        """Rows under audit; each must be of this account and have an id of its own."""
        mine, scope = self.job.mine, self._scope("s")
        ids = ", ".join(f"s.{self._name(name)}" for name in self.table.key)
        known = " AND ".join(f"s.{self._name(name)} IS NOT NULL" for name in self.table.key)
        [(rows, distinct, inside)] = self.job.session.execute(
            "SELECT coalesce(sum(n), 0), count(*),"
            " coalesce(sum(CASE WHEN inside = n THEN 1 END), 0)"
            f" FROM (SELECT count(*) AS n,"
            f" sum(CASE WHEN {scope.sql} AND {known} THEN 1 ELSE 0 END) AS inside"
            f" FROM {self._staged} AS s WHERE {mine.sql} GROUP BY {ids}) AS per_id",
            (*scope.params, *mine.params),
        )
        if inside != distinct:
            raise self.job.error("it has rows of another account, or without an id.")
        if rows != distinct:
            raise self.job.error(f"{rows - distinct} of its {rows} rows repeat an id.")
        return int(rows)

    def published_before(self) -> tuple[bool, bool]:
        """Whether this load did it already, and whether a newer snapshot is there."""
        key = self._loads_key(SNAPSHOT, CHANGES)
        [(mine, newer)] = self.job.session.execute(
            f"SELECT sum(CASE WHEN {self._name('load_id')} = ? THEN 1 ELSE 0 END),"
            f" sum(CASE WHEN {self._name('as_of')} > ? THEN 1 ELSE 0 END)"
            f" FROM {self.job.layout.published(LOADS.name)} WHERE {key.sql}",
            (self.job.load_id, self.job.as_of, *key.params),
        )
        return bool(mine), bool(newer)

    def count_alive(self) -> int:
        """Ids of the account that are current and not deleted."""
        scope = self._scope("h")
        [(rows,)] = self.job.session.execute(
            f"SELECT count(*) FROM {self._history} AS h WHERE {scope.sql}"
            f" AND h.{self._name('valid_to')} IS NULL AND NOT h.{self._name('is_deleted')}",
            scope.params,
        )
        return int(rows)

    def bury(self) -> None:
        """A closing version, equal but deleted, for every living id that is no longer listed."""
        changed: dict[str, tuple[str, object]] = {
            "valid_from": ("?", self.job.as_of),
            "as_of": ("?", self.job.as_of),
            "load_id": ("?", self.job.load_id),
        }
        constant = {"valid_to": "NULL", "is_deleted": "TRUE"}
        values, params = [], []
        for column in self.table.columns:
            if column.name in changed:
                params.append(changed[column.name][1])
                values.append(f"CAST(? AS {self.job.layout.capabilities.types[column.kind]})")
            else:
                values.append(constant.get(column.name, f"h.{self._name(column.name)}"))
        gone = self._scope("h") & self._gone()
        self.job.session.execute(
            f"INSERT INTO {self._history} ({self._columns}) SELECT {', '.join(values)}"
            f" FROM {self._history} AS h WHERE {gone.sql}",
            (*params, *gone.params),
        )

    def close(self) -> None:
        """An end for the current versions of ids that are gone, changed, or back again."""
        deleted, digest = self._name("is_deleted"), self._name("row_hash")
        changed = self._listed(f" AND (h.{deleted} OR s.{digest} IS DISTINCT FROM h.{digest})")
        gone = self._gone()
        scope, valid_to = self._scope("h"), self._name("valid_to")
        self.job.session.execute(
            f"UPDATE {self._history} AS h SET {valid_to} = ? WHERE {scope.sql}"
            f" AND h.{valid_to} IS NULL AND (({gone.sql}) OR ({changed.sql}))",
            (self.job.as_of, *scope.params, *gone.params, *changed.params),
        )
        # Versions that began at this very moment were never anybody's truth.
        self.job.session.execute(
            f"DELETE FROM {self._history} AS h WHERE {scope.sql}"
            f" AND h.{valid_to} = h.{self._name('valid_from')}",
            scope.params,
        )

    def refresh(self) -> None:
        """The newest volatile values, and when they were seen, for current versions that go on."""
        volatile = [self._name(c.name) for c in self.table.columns if c.volatile]
        if not volatile:
            return
        moved = " OR ".join(f"h.{name} IS DISTINCT FROM s.{name}" for name in volatile)
        seen = (*volatile, self._name("as_of"), self._name("load_id"))
        scope, mine = self._scope("h"), self.job.mine
        self.job.session.execute(
            f"UPDATE {self._history} AS h SET {', '.join(f'{name} = s.{name}' for name in seen)}"
            f" FROM (SELECT * FROM {self._staged} WHERE {mine.sql}) AS s"
            f" WHERE {scope.sql} AND h.{self._name('valid_to')} IS NULL"
            f" AND NOT h.{self._name('is_deleted')} AND {self._same_id('s', 'h')} AND ({moved})",
            (*mine.params, *scope.params),
        )

    def open(self) -> None:
        """A new version for every listed id without a current one."""
        capabilities = self.job.layout.capabilities
        columns = staged_columns(self.table)
        mine = self.job.mine
        own = ", ".join(self._name(name) for name in ("valid_from", "valid_to", "is_deleted"))
        moment = capabilities.types[self.table.column("valid_from").kind]
        self.job.session.execute(
            f"INSERT INTO {self._history} ({names(capabilities, columns)}, {own})"
            f" SELECT {names(capabilities, columns, 's')}, CAST(? AS {moment}), NULL, FALSE"
            f" FROM {self._staged} AS s WHERE {mine.sql} AND NOT EXISTS (SELECT 1"
            f" FROM {self._history} AS h WHERE {self._same_id('h', 's')}"
            f" AND h.{self._name('valid_to')} IS NULL)",
            (self.job.as_of, *mine.params),
        )

    def note(self, rows: int) -> None:
        """The snapshot's row in ``loads``; its day is that of ``as_of`` in UTC."""
        loads, day = self.job.layout.published(LOADS.name), self.job.as_of.date()
        level = self.job.result.slice.level
        key = self._loads_key(level)
        self.job.session.execute(
            f"DELETE FROM {loads} WHERE {key.sql} AND {self._name('date')} = ?",
            (*key.params, day),
        )
        columns = [*_LOADED, "level", "date", "rows", "as_of", "load_id", "published_at"]
        values = (*key.params, day, rows, self.job.as_of, self.job.load_id, instant(self.job.now))
        types = self.job.layout.capabilities.types
        casts = ", ".join(f"CAST(? AS {types[LOADS.column(name).kind]})" for name in columns)
        self.job.session.execute(
            f"INSERT INTO {loads} ({', '.join(map(self._name, columns))}) SELECT {casts}", values
        )

    def clear(self) -> None:
        """Forget the snapshot under audit."""
        mine = self.job.mine
        self.job.session.execute(f"DELETE FROM {self._staged} WHERE {mine.sql}", mine.params)

    @property
    def _columns(self) -> str:
        return names(self.job.layout.capabilities, self.table.columns)

    def _gone(self) -> Predicate:
        """Of the history's, those that should have been listed and were not."""
        listed = self._listed()
        missing = Predicate(
            sql=f"h.{self._name('valid_to')} IS NULL AND NOT h.{self._name('is_deleted')}"
            f" AND NOT {listed.sql}",
            params=listed.params,
        )
        ids = self.job.result.slice.ids
        return missing if ids is None else missing & self._below(ids.values)

    def _below(self, campaigns: Sequence[str]) -> Predicate:
        marks = ", ".join("?" for _ in campaigns) or "NULL"
        return Predicate(sql=f"h.{self._name('campaign_id')} IN ({marks})", params=tuple(campaigns))

    def _loads_key(self, *levels: str) -> Predicate:
        """The stream's rows of these levels; parameters in the order of ``_LOADED``, levels."""
        part = self.job.result.slice
        of_stream = (self.job.org_id, part.platform, str(part.stream), part.account_id)
        mine = self.job.where(**dict(zip(_LOADED, of_stream, strict=True)))
        marks = ", ".join("?" for _ in levels)
        return mine & Predicate(sql=f"{self._name('level')} IN ({marks})", params=levels)
