"""Schemas, tables, indexes and views in Postgres: made when missing, changed without a loss."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator, Sequence

from airflow_provider_liftos.model.errors import ConfigurationError, WarehouseError
from airflow_provider_liftos.model.unified import ENTITIES, LOADS, PERFORMANCE
from airflow_provider_liftos.warehouses import ddl
from airflow_provider_liftos.warehouses.contract import Layout
from airflow_provider_liftos.warehouses.postgres_session import PostgresSession
from airflow_provider_liftos.warehouses.postgres_sql import CAPABILITIES
from airflow_provider_liftos.warehouses.views import VIEWS, ViewSettings, create_views

log = logging.getLogger(__name__)

LONGEST_NAME = 63
"""Bytes of an identifier; Postgres cuts what is longer."""

_INDEX = "liftos_slice"
_VIEW = re.compile(r'CREATE OR REPLACE VIEW ("[^"]+"\."[^"]+")')


def migrate(session: PostgresSession, layout: Layout, settings: ViewSettings) -> None:
    """Add what is missing and bring the views up to date; call it inside one transaction.

    Many tasks may begin at once: the first one does it, the others find it done. Views that others
    of people's own rest on, and whose columns would have to change, are left as they are with a
    warning.

    Raises:
        ConfigurationError: a schema's name is too long.
        WarehouseError: a column has another type than the code needs, or the database another
            encoding than UTF-8.
    """
    _check(session, layout)
    views = _views(layout, settings)
    if not _missing(session, layout) and _is_marked(session, layout, views[-1]):
        return
    session.lock(layout.schema, "migration")
    for statement in _missing(session, layout):
        session.execute(statement)
    if not _is_marked(session, layout, views[-1]):
        _replace_views(session, views)


def _check(session: PostgresSession, layout: Layout) -> None:
    for schema in (layout.schema, layout.audit_schema):
        if len(schema.encode()) > LONGEST_NAME:
            raise ConfigurationError(f"schema {schema!r} is longer than {LONGEST_NAME} bytes")
    [(encoding,)] = session.execute("SHOW server_encoding")
    if encoding != "UTF8":
        raise WarehouseError(
            f"The database is encoded in {encoding}, which cannot hold names of all languages.",
            hint="Nothing was changed. Create one with ENCODING 'UTF8' TEMPLATE template0.",
        )


def _missing(session: PostgresSession, layout: Layout) -> list[str]:
    statements = ddl.evolve(layout, _catalogue(session, layout))
    there = {
        (schema, table)
        for schema, table in session.execute(
            "SELECT schemaname, tablename FROM pg_catalog.pg_indexes"
            " WHERE schemaname IN (?, ?) AND indexname = tablename || ?",
            (layout.schema, layout.audit_schema, f"_{_INDEX}"),
        )
    }
    for schema, table, columns in _indexes(layout):
        if (schema, table) not in there:
            names = ", ".join(map(CAPABILITIES.ident, columns))
            statements.append(
                f"CREATE INDEX {CAPABILITIES.ident(f'{table}_{_INDEX}')}"
                f" ON {CAPABILITIES.ident(schema, table)} ({names})"
            )
    return statements


def _indexes(layout: Layout) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """By which a slice is found, so that publishing it costs what it has and not what is there."""
    slice_of_report = ("account_id", "report", "level", "date")
    yield layout.schema, PERFORMANCE.name, slice_of_report
    yield layout.schema, LOADS.name, slice_of_report
    yield layout.audit_schema, PERFORMANCE.name, ("load_id", "slice_key")
    for table in ENTITIES:
        yield layout.schema, table.name, tuple(dict.fromkeys(("account_id", table.key[-1])))
        yield layout.audit_schema, table.name, ("load_id", "slice_key", table.key[-1])


def _catalogue(session: PostgresSession, layout: Layout) -> ddl.Catalogue:
    """Tables by schema; one that is there without any has a nameless one."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for schema, table, column, kind in session.execute(
        "SELECT n.nspname, coalesce(c.relname, ''), a.attname,"
        " pg_catalog.format_type(a.atttypid, a.atttypmod)"
        " FROM pg_catalog.pg_namespace AS n"
        " LEFT JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relkind IN ('r', 'p')"
        " LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0"
        " AND NOT a.attisdropped WHERE n.nspname IN (?, ?)",
        (layout.schema, layout.audit_schema),
    ):
        columns = found.setdefault((schema, table), {})
        if column:
            columns[column] = kind
    return found


def _views(layout: Layout, settings: ViewSettings) -> list[str]:
    """Statements of all views; the last of them notes which these are, as a view's comment."""
    statements = create_views(layout, settings)
    digest = hashlib.sha256("\n".join(statements).encode()).hexdigest()[:32]
    marked = layout.published(VIEWS[0].name)
    return [*statements, f"COMMENT ON VIEW {marked} IS {CAPABILITIES.text(digest)}"]


def _is_marked(session: PostgresSession, layout: Layout, mark: str) -> bool:
    """Whether the database has the views of this version and these settings."""
    rows = session.execute(
        "SELECT pg_catalog.obj_description(c.oid, 'pg_class') FROM pg_catalog.pg_class AS c"
        " JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace"
        " WHERE n.nspname = ? AND c.relname = ? AND c.relkind = 'v'",
        (layout.schema, VIEWS[0].name),
    )
    return any(comment and mark.endswith(CAPABILITIES.text(comment)) for (comment,) in rows)


def _replace_views(session: PostgresSession, views: Sequence[str]) -> None:
    """In place where their columns stay (rights on them stay, too), or else anew."""
    from psycopg import errors

    try:
        with session.connection.transaction():
            _execute(session, views)
    except errors.InvalidTableDefinition:
        names = [found[1] for view in views if (found := _VIEW.match(view))]
        drops = [f"DROP VIEW IF EXISTS {name}" for name in reversed(names)]
        try:
            with session.connection.transaction():
                _execute(session, [*drops, *views])
        except errors.DependentObjectsStillExist as error:
            log.warning(
                "Views of the warehouse stay as they were, because their columns would change: %s."
                " Drop what rests on them (%s), and make it again after the next load.",
                error.diag.message_primary,
                " ".join((error.diag.message_detail or "nobody knows what").split()),
            )


def _execute(session: PostgresSession, statements: Sequence[str]) -> None:
    for statement in statements:
        session.execute(statement)
