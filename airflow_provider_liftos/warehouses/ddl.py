"""Schemas and tables from the unified schema: creating them, adding what is new, widening types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import TypeAlias

from airflow_provider_liftos.model.errors import WarehouseDenied
from airflow_provider_liftos.model.unified import (
    ENTITIES,
    PERFORMANCE,
    TABLES,
    Column,
    Kind,
    Role,
    Table,
)
from airflow_provider_liftos.warehouses.contract import Capabilities, Layout
from airflow_provider_liftos.warehouses.widening import holds

Catalogue: TypeAlias = Mapping[tuple[str, str], Mapping[str, str]]
"""(schema, table or view) -> column -> type, as the engine prints them."""

SLICE_KEY = Column(
    name="slice_key", kind=Kind.TEXT, role=Role.LINEAGE, doc="the slice's fingerprint"
)
SCHEMA_CHANGES = Table(
    name="schema_changes",
    doc="What was changed in the schemas, and by which version; the newest rows say what they are.",
    columns=(
        Column(name="changed_at", kind=Kind.TIMESTAMP),
        Column(name="package_version", kind=Kind.TEXT),
        Column(name="schema_version", kind=Kind.INT, doc="what an older package may not write to"),
        Column(name="object", kind=Kind.TEXT, doc="schema, table and column; or views"),
        Column(name="change", kind=Kind.TEXT),
        Column(name="statement", kind=Kind.TEXT, doc="of views their digest"),
    ),
)
ALL_VIEWS = "views"
"""What stands for them in the record of changes."""
STAYS = "is not of this version: it stays, and is null in new rows"

_REWRITE = "write {table} anew with {casts}"
_SET_BY_PUBLISH = frozenset({"valid_from", "valid_to", "is_deleted"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that changes. ``statements`` are empty where there is only something to note.

    ``widens`` says that a column's type changes, on which views may rest. ``by_hand`` is there when
    only a person can do it: a table, and the column as it is to be selected from it.
    """

    object: str
    what: str
    statements: tuple[str, ...] = ()
    widens: bool = False
    by_hand: tuple[str, str] | None = None


def staged_columns(table: Table) -> tuple[Column, ...]:
    """Columns a staged file of this table has: all but those that publishing decides."""
    if table is PERFORMANCE:
        return table.columns
    return tuple(c for c in table.columns if c.name not in _SET_BY_PUBLISH)


def audit_tables() -> tuple[Table, ...]:
    """The tables of the audit schema, as shaped there."""
    return tuple(
        Table(name=table.name, columns=(*staged_columns(table), SLICE_KEY), doc=table.doc)
        for table in (PERFORMANCE, *ENTITIES)
    )


def evolve(layout: Layout, existing: Catalogue) -> list[str]:
    """Statements that add what is missing; empty when there is nothing to do."""
    return [statement for change in changes(layout, existing) for statement in change.statements]


def changes(layout: Layout, existing: Catalogue) -> list[Change]:
    """What has to change for this version to work; nothing is ever dropped or narrowed.

    Columns have no constraints: audits judge nulls and uniqueness, and a refused row could not be
    judged. A column of a wider type than needed is left alone. So is one that the code does not
    know, from another version or a person; it is only noted.

    Raises:
        WarehouseDenied: an existing column's values are not among those that the code needs, or
            the engine does not change its type.
    """
    ident = layout.capabilities.ident
    found = [
        Change(
            object=schema,
            what="created",
            statements=(f"CREATE SCHEMA IF NOT EXISTS {ident(schema)}",),
        )
        for schema in (layout.schema, layout.audit_schema)
        if not any(there == schema for there, _ in existing)
    ]
    for schema, table in _all_tables(layout):
        found.extend(_table_changes(layout.capabilities, schema, table, existing))
    if refused := [change for change in found if change.by_hand]:
        raise _refusal(layout, refused)
    return found


def _all_tables(layout: Layout) -> Iterator[tuple[str, Table]]:
    for table in (*TABLES.values(), SCHEMA_CHANGES):
        yield layout.schema, table
    for table in audit_tables():
        yield layout.audit_schema, table


def _table_changes(
    capabilities: Capabilities, schema: str, table: Table, existing: Catalogue
) -> Iterator[Change]:
    name, place = capabilities.ident(schema, table.name), f"{schema}.{table.name}"
    there = existing.get((schema, table.name))
    if there is None:
        columns = ", ".join(_definition(capabilities, column) for column in table.columns)
        create = f"CREATE TABLE IF NOT EXISTS {name} ({columns})"
        yield Change(object=place, what="created", statements=(create,))
        return
    for column in table.columns:
        needed, given = capabilities.types[column.kind], there.get(column.name)
        if given is None:
            add = f"ALTER TABLE {name} ADD COLUMN {_definition(capabilities, column)}"
            yield Change(object=f"{place}.{column.name}", what="added", statements=(add,))
        elif not holds(given, needed):
            yield _widening(capabilities, schema, table, column, given)
    for unknown in sorted(set(there) - set(table.names())):
        yield Change(object=f"{place}.{unknown}", what=STAYS)


def _widening(
    capabilities: Capabilities, schema: str, table: Table, column: Column, given: str
) -> Change:
    needed, place = capabilities.types[column.kind], f"{schema}.{table.name}.{column.name}"
    if not holds(needed, given):
        raise WarehouseDenied(
            f"{place} is {given} in the warehouse, but this version works with {needed}.",
            hint="Nothing was changed. Convert the column, or rename the table and load again;"
            " if a newer version of this package made it, install that one here too.",
        )
    name, ident = capabilities.ident(schema, table.name), capabilities.ident(column.name)
    what = f"widened from {given} to {needed}"
    if not capabilities.widens(given, needed):
        cast = f"CAST({ident} AS {needed}) AS {ident}"
        return Change(object=place, what=what, by_hand=(name, cast))
    statements = (part.format(table=name, column=ident, type=needed) for part in capabilities.widen)
    return Change(object=place, what=what, statements=tuple(statements), widens=True)


def _refusal(layout: Layout, refused: Sequence[Change]) -> WarehouseDenied:
    """The error for types that the engine does not change: amid writers, rows would be lost."""
    capabilities, first = layout.capabilities, refused[0]
    steps, by_hand = [], (change.by_hand for change in refused)
    for table, some in groupby(filter(None, by_hand), key=itemgetter(0)):
        casts = ", ".join(cast for _, cast in some)
        steps.append((capabilities.rewrite or _REWRITE).format(table=table, casts=casts))
    noted = layout.published(SCHEMA_CHANGES.name)
    steps.append(f"DELETE FROM {noted} WHERE {capabilities.ident('object')} = '{ALL_VIEWS}'")
    more = f", with {len(refused) - 1} more columns," if len(refused) > 1 else ""
    return WarehouseDenied(
        f"{first.object} has to be {first.what}{more} which {capabilities.name} does not do.",
        hint="Nothing was changed. Carry this out while no run writes, then run the task again;"
        f" every value fits, and views are made anew: {'; '.join(steps)}",
    )


def _definition(capabilities: Capabilities, column: Column) -> str:
    return f"{capabilities.ident(column.name)} {capabilities.types[column.kind]}"


def names(capabilities: Capabilities, columns: tuple[Column, ...], prefix: str = "") -> str:
    """A column list."""
    lead = f"{prefix}." if prefix else ""
    return ", ".join(lead + capabilities.ident(column.name) for column in columns)
