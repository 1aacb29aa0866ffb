"""Schemas, tables, indexes and views in Postgres: made when missing, changed without a loss."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from airflow_provider_liftos.model.errors import WarehouseError
from airflow_provider_liftos.model.unified import ENTITIES, LOADS, PERFORMANCE
from airflow_provider_liftos.warehouses import ddl, migration
from airflow_provider_liftos.warehouses.contract import Layout
from airflow_provider_liftos.warehouses.ddl import Change
from airflow_provider_liftos.warehouses.migration import Plan
from airflow_provider_liftos.warehouses.postgres_session import PostgresSession
from airflow_provider_liftos.warehouses.postgres_sql import CAPABILITIES
from airflow_provider_liftos.warehouses.schema_names import check_schemas
from airflow_provider_liftos.warehouses.settle import ESTIMATED, SETTLED_BY
from airflow_provider_liftos.warehouses.views import ViewSettings

log = logging.getLogger(__name__)

OLDEST_SERVER = 150_000
"""As libpq numbers versions."""

LONGEST_NAME = 63
"""Bytes of an identifier; Postgres cuts what is longer."""

_VIEW = re.compile(r'CREATE OR REPLACE VIEW ("[^"]+"\."[^"]+")')


def migrate(session: PostgresSession, layout: Layout, settings: ViewSettings) -> None:
    """Add what is missing and bring the views up to date; call it inside one transaction.

    Many tasks may begin at once: the first one does it, the others find it done. Views that others
    of people's own rest on, and whose columns would have to change, are left as they are with a
    warning.

    Raises:
        ConfigurationError: a schema's name is too long.
        WarehouseError: a column has a type that cannot be widened to what the code needs, a newer
            version owns the tables, the server is too old, or the database has another encoding
            than UTF-8.
    """
    _check(session, layout)
    if not _plan(session, layout, settings) and not _missing_indexes(session, layout):
        return
    session.lock(layout.schema, "migration")
    plan = _plan(session, layout, settings)
    done = [change for change in plan.changes if not change.widens]
    _execute(session, [_as_kept(layout, one) for change in done for one in change.statements])
    _execute(session, _missing_indexes(session, layout))
    widening = [change for change in plan.changes if change.widens]
    made = False
    if widening and (made := _widen(session, widening, plan.views)):
        done += widening
    # Where others' views forbid it, each task would make the same views again.
    if plan.views and not made and (plan.mark or not widening):
        made = _replace_views(session, plan.views)
    if made and plan.mark:
        done.append(plan.mark)
    migration.note(session, layout, done)


def _plan(session: PostgresSession, layout: Layout, settings: ViewSettings) -> Plan:
    return migration.plan(session, layout, settings, _catalogue(session, layout))


def _check(session: PostgresSession, layout: Layout) -> None:
    check_schemas(layout, LONGEST_NAME, "bytes")
    version = session.connection.info.server_version
    if version < OLDEST_SERVER:
        raise WarehouseError(
            f"The server is Postgres {version // 10_000}; publishing takes MERGE, which"
            f" {OLDEST_SERVER // 10_000} brought.",
            hint="Nothing was changed. Upgrade the server, or use another one as the warehouse.",
        )
    [(encoding,)] = session.execute("SHOW server_encoding")
    if encoding != "UTF8":
        raise WarehouseError(
            f"The database is encoded in {encoding}, which cannot hold names of all languages.",
            hint="Nothing was changed. Create one with ENCODING 'UTF8' TEMPLATE template0.",
        )


def _as_kept(layout: Layout, statement: str) -> str:
    """Audit tables without a log: the staged files have their rows too.

    After a crash of the server they are empty, and publishing asks for the load again.
    """
    audit = f"CREATE TABLE IF NOT EXISTS {CAPABILITIES.ident(layout.audit_schema)}."
    return statement.replace(audit, audit.replace("TABLE", "UNLOGGED TABLE", 1), 1)


def _missing_indexes(session: PostgresSession, layout: Layout) -> list[str]:
    there = set(
        session.execute(
            "SELECT schemaname, indexname FROM pg_catalog.pg_indexes WHERE schemaname IN (?, ?)",
            (layout.schema, layout.audit_schema),
        )
    )
    return [one.create for one in _indexes(layout) if (one.schema, one.name) not in there]


@dataclass(frozen=True, slots=True)
class _Index:
    schema: str
    table: str
    columns: tuple[str, ...]
    serves: str = "slice"
    where: str = ""

    @property
    def name(self) -> str:
        return f"{self.table}_liftos_{self.serves}"

    @property
    def create(self) -> str:
        names = ", ".join(map(CAPABILITIES.ident, self.columns))
        of = f"{CAPABILITIES.ident(self.schema, self.table)} ({names})"
        only = f" WHERE {CAPABILITIES.ident(self.where)}" if self.where else ""
        return f"CREATE INDEX {CAPABILITIES.ident(self.name)} ON {of}{only}"


def _indexes(layout: Layout) -> Iterator[_Index]:
    """So that what is done costs what it finds, and not what is there.

    By one kind a slice is found; the other one has only rows that are estimates, which are those of
    the last weeks, by when they cease to be.
    """
    slice_of_report = ("account_id", "report", "level", "date")
    yield _Index(layout.schema, PERFORMANCE.name, slice_of_report)
    yield _Index(layout.schema, PERFORMANCE.name, SETTLED_BY, "settle", where=ESTIMATED)
    yield _Index(layout.schema, LOADS.name, slice_of_report)
    yield _Index(layout.audit_schema, PERFORMANCE.name, ("load_id", "slice_key"))
    for table in ENTITIES:
        columns = tuple(dict.fromkeys(("account_id", table.key[-1])))
        yield _Index(layout.schema, table.name, columns)
        yield _Index(layout.audit_schema, table.name, ("load_id", "slice_key", table.key[-1]))


def _catalogue(session: PostgresSession, layout: Layout) -> ddl.Catalogue:
    """Tables and views by schema; one that is there without any has a nameless one."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for schema, table, column, kind in session.execute(
        "SELECT n.nspname, coalesce(c.relname, ''), a.attname,"
        " pg_catalog.format_type(a.atttypid, a.atttypmod)"
        " FROM pg_catalog.pg_namespace AS n"
        " LEFT JOIN pg_catalog.pg_class AS c"
        " ON c.relnamespace = n.oid AND c.relkind IN ('r', 'p', 'v')"
        " LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0"
        " AND NOT a.attisdropped WHERE n.nspname IN (?, ?)",
        (layout.schema, layout.audit_schema),
    ):
        columns = found.setdefault((schema, table), {})
        if column:
            columns[column] = kind
    return found


def _widen(session: PostgresSession, widening: Sequence[Change], views: Sequence[str]) -> bool:
    """Widen columns; views that show them must be gone meanwhile. Whether it could be done."""
    from psycopg import errors

    try:
        with session.connection.transaction():
            _execute(session, _drops(views))
            _execute(session, [one for change in widening for one in change.statements])
            _execute(session, views)
    except (errors.DependentObjectsStillExist, errors.FeatureNotSupported) as error:
        log.warning(
            "%s: not %s, because others' views rest on it: %s. What does not fit is refused until"
            " then. Drop them (%s), and make them again after the next load.",
            ", ".join(change.object for change in widening),
            widening[0].what,
            error.diag.message_primary,
            " ".join((error.diag.message_detail or "nobody knows which").split()),
        )
        return False
    return True


def _replace_views(session: PostgresSession, views: Sequence[str]) -> bool:
    """In place where their columns stay (rights on them stay, too), or else anew."""
    from psycopg import errors

    try:
        with session.connection.transaction():
            _execute(session, views)
    except errors.InvalidTableDefinition:
        try:
            with session.connection.transaction():
                _execute(session, [*_drops(views), *views])
        except errors.DependentObjectsStillExist as error:
            log.warning(
                "Views of the warehouse stay as they were, because their columns would change: %s."
                " Drop what rests on them (%s), and make it again after the next load.",
                error.diag.message_primary,
                " ".join((error.diag.message_detail or "nobody knows what").split()),
            )
            return False
    return True


def _drops(views: Sequence[str]) -> list[str]:
    names = [found[1] for view in views if (found := _VIEW.match(view))]
    return [f"DROP VIEW IF EXISTS {name}" for name in reversed(names)]


def _execute(session: PostgresSession, statements: Sequence[str]) -> None:
    for statement in statements:
        session.execute(statement)
