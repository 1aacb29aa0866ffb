"""Schemas, tables, views and the stage in Snowflake: made when missing, changed without a loss.

Each statement that defines something ends the transaction it stands in, so all of this happens
outside of one; every statement may be repeated, and many tasks may begin at once. The audit schema
is transient: what waits there a night needs no seven days of fail-safe.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from airflow_provider_liftos.warehouses import ddl, migration
from airflow_provider_liftos.warehouses.contract import Layout
from airflow_provider_liftos.warehouses.schema_names import check_schemas
from airflow_provider_liftos.warehouses.snowflake_session import SnowflakeSession
from airflow_provider_liftos.warehouses.snowflake_sql import LONGEST_NAME
from airflow_provider_liftos.warehouses.views import ViewSettings

STAGE = "load_files"
LOADING = "load_"
"""What tables begin with that hold a load's rows on their way, followed by when they were made."""

_CONTROL, _PARTS, _TURN = "control", ("name", "value"), "turn"
_LEFT_BEHIND = 86_400  # seconds after which nobody will come back for a table of a load
_LOADING_NAME = re.compile(rf"{LOADING}(\d+)_[0-9a-f]+")


def migrate(session: SnowflakeSession, layout: Layout, settings: ViewSettings, now: float) -> None:
    """Add what is missing, bring the views up to date, and drop what killed loads left behind.

    ``now`` is epoch seconds.

    Raises:
        ConfigurationError: a schema's name is too long.
        WarehouseError: a column's type cannot be widened to what the code needs, or a newer version
            owns the tables.
    """
    check_schemas(layout, LONGEST_NAME)
    there = _catalogue(session, layout)
    for table in _left_behind(layout, there, now):
        session.execute(f"DROP TABLE IF EXISTS {layout.audit(table)}")
        session.execute(f"REMOVE {stage_path(layout, table)}")
    plan = migration.plan(session, layout, settings, there)
    own = () if (layout.audit_schema, _CONTROL) in there else tuple(_own(layout))
    for change in plan.changes:
        for statement in change.statements:
            session.execute(_suited(layout, statement))
    for statement in (*own, *map(_keeping_grants, plan.views)):
        session.execute(statement)
    migration.note(session, layout, plan.notes)


def take_turn(session: SnowflakeSession, layout: Layout, name: str) -> None:
    """Wait for whoever writes, and let others wait until the transaction ends.

    Snowflake lets the second of two transactions that change the same part of a table wait, and in
    each statement shows what was committed before. Everybody changes this one row first: so each
    sees all that the one before it wrote, also in what it reads before it changes anything else.
    """
    column, value = map(layout.capabilities.ident, _PARTS)
    session.execute(
        f"UPDATE {layout.audit(_CONTROL)} SET {value} = ? WHERE {column} = '{_TURN}'",
        (name[:LONGEST_NAME],),
    )


def stage_path(layout: Layout, folder: str) -> str:
    """A folder of the stage, as statements name it."""
    return f"@{layout.audit(STAGE)}/{folder}/"


def _catalogue(session: SnowflakeSession, layout: Layout) -> ddl.Catalogue:
    """Tables by schema, under our names; a schema has a nameless one."""
    kept = layout.capabilities.kept
    ours = {kept(schema): schema for schema in (layout.schema, layout.audit_schema)}
    found: dict[tuple[str, str], dict[str, str]] = {}
    for schema, table, column, kind, precision, scale in session.execute(
        "SELECT SCHEMA_NAME, '', '', '', NULL, NULL FROM INFORMATION_SCHEMA.SCHEMATA"
        " WHERE SCHEMA_NAME IN (?, ?) UNION ALL SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME,"
        " DATA_TYPE, NUMERIC_PRECISION, NUMERIC_SCALE FROM INFORMATION_SCHEMA.COLUMNS"
        " WHERE TABLE_SCHEMA IN (?, ?)",
        (*ours, *ours),
    ):
        columns = found.setdefault((ours[schema], table.lower()), {})
        if column:
            sized = f"{kind}({precision},{scale})" if kind == "NUMBER" else kind
            columns[column.lower()] = sized
    return found


def _suited(layout: Layout, statement: str) -> str:
    if statement == f"CREATE SCHEMA IF NOT EXISTS {layout.capabilities.ident(layout.audit_schema)}":
        return statement.replace("CREATE", "CREATE TRANSIENT", 1)
    return statement.replace(" ADD COLUMN ", " ADD COLUMN IF NOT EXISTS ", 1)


def _own(layout: Layout) -> Iterator[str]:
    """What only this engine needs: a stage for files, and a table of whose turn it is."""
    control, name, value = layout.audit(_CONTROL), *map(layout.capabilities.ident, _PARTS)
    yield f"CREATE STAGE IF NOT EXISTS {layout.audit(STAGE)}"
    yield f"CREATE TABLE IF NOT EXISTS {control} ({name} TEXT, {value} TEXT)"
    yield (
        f"INSERT INTO {control} ({name}, {value}) SELECT '{_TURN}', NULL"
        f" WHERE NOT EXISTS (SELECT 1 FROM {control} WHERE {name} = '{_TURN}')"
    )


def _keeping_grants(view: str) -> str:
    """The statement, so that the rights people were given on the view stay."""
    return view.replace(" AS ", " COPY GRANTS AS ", 1)


def _left_behind(layout: Layout, there: ddl.Catalogue, now: float) -> Iterator[str]:
    for schema, table in there:
        made = _LOADING_NAME.fullmatch(table) if schema == layout.audit_schema else None
        if made and int(made[1]) < now - _LEFT_BEHIND:
            yield table
