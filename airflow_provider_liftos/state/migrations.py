"""How a store gets from any older version to this one.

Steps run in order, all pending ones in one transaction, one process at a time. A step that was
released is never changed. Because a fresh store passes through all steps too, starting from
today's tables, a step adds only what is not there: ``tables.x.create(connection,
checkfirst=True)`` or ``add_column(connection, tables.x.c.y)``.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Column, Engine, func, insert, inspect, select, text
from sqlalchemy.engine import Connection
from sqlalchemy.schema import CreateColumn

from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.state import tables

Step = Callable[[Connection], None]

# Any constant, as long as nobody else in the same Postgres database uses it.
_ADVISORY_LOCK = 0x6C6966746F73


def create_tables(connection: Connection) -> None:
    """Version 1. Fails when a table of that name is there already: it is somebody else's."""
    tables.metadata.create_all(connection, checkfirst=False)


def create_oauth_states(connection: Connection) -> None:
    """Consent under way."""
    tables.oauth_states.create(connection, checkfirst=True)


def create_tokens(connection: Connection) -> None:
    """What was made of connections' credentials."""
    tables.tokens.create(connection, checkfirst=True)


def limits_know_lanes(connection: Connection) -> None:
    """Limits count windows, know lanes, and keep the rate that a platform names."""
    for name in ("told_rate", "counts", "interactive_until", "fresh_until", "fresh_turn",
                 "bulk_turn"):  # fmt: skip
        add_column(connection, tables.limiter.c[name])


def create_alerts(connection: Connection) -> None:
    """What people are told of, and what they have been told."""
    tables.alerts.create(connection, checkfirst=True)


def letters_can_be_replayed(connection: Connection) -> None:
    """Dead letters say what they are about, and who deals with them; restatements have ids."""
    for name in ("name", "since", "until", "spec", "form", "days", "load_id", "dag_id", "run_id",
                 "closed_at", "closed_by", "claimed_by", "claimed_until"):  # fmt: skip
        add_column(connection, tables.dead_letters.c[name])
    _restatements_with_ids(connection)


def _restatements_with_ids(connection: Connection) -> None:
    """A key cannot be added where it is: the rows move into a table that has one."""
    table = tables.restatements
    there = [found["name"] for found in inspect(connection).get_columns(table.name)]
    if "id" in there:
        return
    for index in inspect(connection).get_indexes(table.name):
        connection.execute(text(f"DROP INDEX {index['name']}"))
    connection.execute(text(f"ALTER TABLE {table.name} RENAME TO restatements_before"))
    table.create(connection)
    columns = ", ".join(there)
    random = "gen_random_uuid()::text"
    if connection.dialect.name == "sqlite":
        random = "lower(hex(randomblob(16)))"
    connection.execute(
        text(
            f"INSERT INTO {table.name} (id, {columns})"
            f" SELECT {random}, {columns} FROM restatements_before"
        )
    )
    connection.execute(text("DROP TABLE restatements_before"))


def create_flights(connection: Connection) -> None:
    """Requests in flight."""
    tables.flights.create(connection, checkfirst=True)


def alerts_know_ways(connection: Connection) -> None:
    """Alerts know by which ways they were told, where another way was closed."""
    add_column(connection, tables.alerts.c.told_to)


def create_statements(connection: Connection) -> None:
    """What warehouses run by themselves."""
    tables.statements.create(connection, checkfirst=True)


STEPS: tuple[Step, ...] = (
    create_tables,
    create_oauth_states,
    create_tokens,
    limits_know_lanes,
    create_alerts,
    letters_can_be_replayed,
    create_flights,
    alerts_know_ways,
    create_statements,
)


def add_column(connection: Connection, column: Column[object]) -> None:
    """Add a column unless the table has it."""
    table = column.table.name
    if column.name in {found["name"] for found in inspect(connection).get_columns(table)}:
        return
    shape = CreateColumn(column).compile(dialect=connection.dialect)
    connection.execute(text(f"ALTER TABLE {table} ADD COLUMN {shape}"))


def migrate(engine: Engine, *, now: float, steps: tuple[Step, ...] | None = None) -> None:
    """Bring the store to the newest version; costs one look when it is there already.

    Raises:
        ConfigurationError: the store was written by a newer release.
    """
    steps = STEPS if steps is None else steps
    with engine.connect() as connection:
        if _version(connection) == len(steps):
            return
    with engine.connect() as connection:
        writing = connection.execution_options(liftos_write=True)
        with writing.begin():
            _lock(writing)
            _apply(writing, steps, now)


def _lock(connection: Connection) -> None:
    """Keep other processes out until the transaction ends (SQLite's has done so already)."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_ADVISORY_LOCK)))


def _apply(connection: Connection, steps: tuple[Step, ...], now: float) -> None:
    version = _version(connection)
    if version > len(steps):
        raise ConfigurationError(
            f"The state store has version {version}; this release knows {len(steps)}.",
            hint="Upgrade airflow-provider-liftos here; the store was not changed.",
        )
    for number, step in enumerate(steps[version:], start=version + 1):
        step(connection)
        connection.execute(insert(tables.schema_version).values(version=number, applied_at=now))


def _version(connection: Connection) -> int:
    if not inspect(connection).has_table(tables.schema_version.name):
        return 0
    return connection.scalar(select(func.max(tables.schema_version.c.version))) or 0
