"""Publishing entities: a full snapshot of one account's stream becomes versions in time.

A version begins where ``row_hash`` changes. The current version has no ``valid_to``; an id the
platform no longer lists has a current version with ``is_deleted``, and comes back as a new one.
A slice with ids is a listing of what is below these campaigns, and says nothing of the others.
Volatile columns, such as what is left of a budget, are no part of the hash: versions are what
people have set, and the current one tells the newest of such numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.model.report import CHANGES, SNAPSHOT
from airflow_provider_liftos.model.unified import ENTITIES, LOADS, Table
from airflow_provider_liftos.warehouses.contract import Published
from airflow_provider_liftos.warehouses.ddl import staged_columns
from airflow_provider_liftos.warehouses.job import Job, Predicate, check_publishable, instant
from airflow_provider_liftos.warehouses.replacing import replace_rows
from airflow_provider_liftos.warehouses.rowset import Given, rows_of

_LOADED = ("org_id", "platform", "report", "account_id")


def publish_entities(job: Job) -> Published:
    """Publish one snapshot; call it inside one transaction.

    The same snapshot again, or one older than what is published, changes nothing.

    Raises:
        ConfigurationError: there is no such table of entities.
        WarehouseError: the slice failed, repeats an id, has others' rows, or is not loaded.
    """
    expected = check_publishable(job)
    snapshot = _Snapshot(job=job, table=_entity(job.table))
    staged = snapshot.count_staged()
    mine, newer = snapshot.published_before()
    alive = snapshot.count_alive()
    if newer or (mine and staged == 0 < expected):
        return Published(rows_before=alive, rows_after=alive, outdated=newer)
    if staged != expected:
        raise job.error(
            f"the audit schema holds {staged} of its {expected} rows.",
            hint="Load the manifest again, then publish.",
        )
    snapshot.merge()
    snapshot.note(staged)
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

    @property
    def _moment(self) -> str:
        """The moment of the snapshot, as a placeholder."""
        kind = self.table.column("valid_from").kind
        return f"CAST(? AS {self.job.layout.capabilities.types[kind]})"

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
            raise self.job.error(f"{int(rows) - distinct} of its {int(rows)} rows repeat an id.")
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
        return bool(mine), bool(newer) or self._has_newer_versions()

    def _has_newer_versions(self) -> bool:
        """Whether a newer snapshot was merged, by somebody who died before noting it."""
        if not self.job.layout.capabilities.replace:
            return False  # nobody can
        scope = self._scope("h")
        [(found,)] = self.job.session.execute(
            f"SELECT count(*) FROM {self._history} AS h WHERE {scope.sql}"
            f" AND h.{self._name('valid_from')} > ?",
            (*scope.params, self.job.as_of),
        )
        return bool(found)

    def count_alive(self) -> int:
        """Ids of the account that are current and not deleted."""
        scope = self._scope("h")
        [(rows,)] = self.job.session.execute(
            f"SELECT count(*) FROM {self._history} AS h WHERE {scope.sql}"
            f" AND h.{self._name('valid_to')} IS NULL AND NOT h.{self._name('is_deleted')}",
            scope.params,
        )
        return int(rows)

    def merge(self) -> None:
        """One statement: versions that end, versions that begin, and volatile values as of now.

        In turn 1 the current version ends or moves, in turn 2 the next one begins.
        """
        scope, ends = self._scope("h"), self._name("valid_to")
        own = ", ".join(self._name(column.name) for column in self.table.columns)
        begin = {
            "valid_from": self._moment, "valid_to": "NULL", "is_deleted": "s.act = 'gone'"
        }  # fmt: skip
        values = (begin.get(c.name, f"s.{self._name(c.name)}") for c in self.table.columns)
        changes = self._changes()
        self.job.session.execute(
            f"MERGE INTO {self._history} AS h USING ({changes.sql}) AS s"
            f" ON s.turn = 1 AND {scope.sql} AND h.{ends} IS NULL AND {self._same_id('h', 's')}"
            f" AND h.{self._name('valid_from')} = s.began"
            f"{self._moves()}"
            # A version that began at this very moment was never anybody's truth.
            f" WHEN MATCHED AND s.began = {self._moment} THEN DELETE"
            f" WHEN MATCHED THEN UPDATE SET {ends} = {self._moment}"
            f" WHEN NOT MATCHED AND s.turn = 2 THEN INSERT ({own}) VALUES ({', '.join(values)})",
            (*changes.params, *scope.params, *[self.job.as_of] * 3),
        )

    def _moves(self) -> str:
        volatile = [column.name for column in self.table.columns if column.volatile]
        if not volatile:
            return ""
        seen = (self._name(name) for name in (*volatile, "as_of", "load_id"))
        values = ", ".join(f"{name} = s.{name}" for name in seen)
        return f" WHEN MATCHED AND s.act = 'moved' THEN UPDATE SET {values}"

    def _changes(self) -> Predicate:
        """Each change once, or twice where one version ends and another begins."""
        fates = self._fates()
        return Predicate(
            sql=f"SELECT n.turn, q.* FROM ({fates.sql}) AS q JOIN"
            " (SELECT 1 AS turn UNION ALL SELECT 2 AS turn) AS n ON q.act IN ('changed', 'gone')"
            " OR (q.act = 'moved' AND n.turn = 1) OR (q.act = 'new' AND n.turn = 2)",
            params=fates.params,
        )

    def _fates(self) -> Predicate:
        """What becomes of every current version ``c``, and of every listed row ``s``.

        It is new, has changed, has only moved (volatile values), or is gone: it should have been
        listed and was not, and its next version is equal, but deleted. Nothing: it goes on.
        """
        capabilities, mine, scope = self.job.layout.capabilities, self.job.mine, self._scope("h")
        missing, missed = self._missing("c")
        unlisted = f"s.{self._name(self.table.key[-1])} IS NULL"
        now = {"as_of": self.job.as_of, "load_id": self.job.load_id}
        types = {c.name: capabilities.types[c.kind] for c in staged_columns(self.table)}
        values = ", ".join(
            f"CASE WHEN {unlisted} THEN"
            f" {f'CAST(? AS {types[name]})' if name in now else f'c.{self._name(name)}'}"
            f" ELSE s.{self._name(name)} END AS {self._name(name)}"
            for name in types
        )
        return Predicate(
            sql=f"SELECT {values}, c.{self._name('valid_from')} AS began, {self._act()} AS act"
            f" FROM (SELECT h.* FROM {self._history} AS h WHERE {scope.sql}"
            f" AND h.{self._name('valid_to')} IS NULL) AS c FULL JOIN"
            f" (SELECT * FROM {self._staged} WHERE {mine.sql}) AS s ON {self._same_id('s', 'c')}"
            f" WHERE NOT {unlisted} OR ({missing})",
            params=(*(now[name] for name in types if name in now), *scope.params, *mine.params,
                    *missed),
        )  # fmt: skip

    def _act(self) -> str:
        digest, one = self._name("row_hash"), self._name(self.table.key[-1])
        volatile = [self._name(column.name) for column in self.table.columns if column.volatile]
        moved = " OR ".join(f"c.{name} IS DISTINCT FROM s.{name}" for name in volatile)
        return (
            f"CASE WHEN c.{one} IS NULL THEN 'new' WHEN s.{one} IS NULL THEN 'gone'"
            f" WHEN c.{self._name('is_deleted')} OR s.{digest} IS DISTINCT FROM c.{digest}"
            f" THEN 'changed'{f' WHEN {moved} THEN {chr(39)}moved{chr(39)}' if moved else ''} END"
        )

    def note(self, rows: int) -> None:
        """The snapshot's row in ``loads``; its day is that of ``as_of`` in UTC."""
        job, day = self.job, self.job.as_of.date()
        key = self._loads_key(job.result.slice.level)
        given = dict(zip((*_LOADED, "level"), key.params, strict=True)) | {
            "date": day, "rows": rows, "as_of": job.as_of, "load_id": job.load_id,
            "published_at": instant(job.now),
        }  # fmt: skip
        types = job.layout.capabilities.types
        casts = ", ".join(
            f"CAST(? AS {types[LOADS.column(name).kind]}) AS {self._name(name)}" for name in given
        )
        replace_rows(
            job.session,
            job.layout,
            LOADS.name,
            [key & Predicate(sql=f"{self._name('date')} = ?", params=(day,))],
            {name: f"g.{self._name(name)}" for name in given},
            f"FROM (SELECT {casts}) AS g",
            tuple(given.values()),
        )

    def _missing(self, alias: str) -> tuple[str, tuple[object, ...]]:
        """Of versions that no listed row has: those that should have been listed."""
        alive = f"NOT {alias}.{self._name('is_deleted')}"
        ids = self.job.result.slice.ids
        if ids is None:
            return alive, ()
        capabilities, campaign = self.job.layout.capabilities, self.table.column("campaign_id")
        given = Given(type=capabilities.types[campaign.kind], values=ids.values)
        listed, params = rows_of(capabilities, [given])
        return f"{alive} AND {alias}.{self._name('campaign_id')} IN ({listed})", tuple(params)

    def _loads_key(self, *levels: str) -> Predicate:
        """The stream's rows of these levels; parameters in the order of ``_LOADED``, levels."""
        part = self.job.result.slice
        of_stream = (self.job.org_id, part.platform, str(part.stream), part.account_id)
        mine = self.job.where(**dict(zip(_LOADED, of_stream, strict=True)))
        return mine & self.job.among("level", levels)
