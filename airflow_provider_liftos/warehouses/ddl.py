"""Schemas and tables from the unified schema: creating them, and adding what is new."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from airflow_provider_liftos.model.errors import WarehouseError
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

Catalogue: TypeAlias = Mapping[tuple[str, str], Mapping[str, str]]
"""(schema, table) -> column -> type, as the engine prints them."""

SLICE_KEY = Column(
    name="slice_key", kind=Kind.TEXT, role=Role.LINEAGE, doc="the slice's fingerprint"
)
_SET_BY_PUBLISH = frozenset({"valid_from", "valid_to", "is_deleted"})


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
    """Statements that add what is missing; empty when there is nothing to do.

    Columns have no constraints: audits judge nulls and uniqueness, and a refused row could not be
    judged. Columns the code does not know, from a newer version, are left alone.

    Raises:
        WarehouseError: an existing column has another type than the code needs.
    """
    statements = [
        f"CREATE SCHEMA IF NOT EXISTS {layout.capabilities.ident(schema)}"
        for schema in (layout.schema, layout.audit_schema)
        if not any(there == schema for there, _ in existing)
    ]
    for schema, table in _all_tables(layout):
        statements.extend(_evolve_table(layout.capabilities, schema, table, existing))
    return statements


def _all_tables(layout: Layout) -> Iterator[tuple[str, Table]]:
    for table in TABLES.values():
        yield layout.schema, table
    for table in audit_tables():
        yield layout.audit_schema, table


def _evolve_table(
    capabilities: Capabilities, schema: str, table: Table, existing: Catalogue
) -> Iterator[str]:
    name = capabilities.ident(schema, table.name)
    there = existing.get((schema, table.name))
    if there is None:
        columns = ", ".join(_definition(capabilities, column) for column in table.columns)
        yield f"CREATE TABLE IF NOT EXISTS {name} ({columns})"
        return
    for column in table.columns:
        if column.name not in there:
            yield f"ALTER TABLE {name} ADD COLUMN {_definition(capabilities, column)}"
        elif there[column.name] != capabilities.types[column.kind]:
            raise WarehouseError(
                f"{schema}.{table.name}.{column.name} is {there[column.name]} in the warehouse,"
                f" but this version works with {capabilities.types[column.kind]}.",
                hint="Nothing was changed. Convert the column, or rename the table and load again;"
                " if a newer version of this package made it, install that one here too.",
            )


def _definition(capabilities: Capabilities, column: Column) -> str:
    return f"{capabilities.ident(column.name)} {capabilities.types[column.kind]}"


def names(capabilities: Capabilities, columns: tuple[Column, ...], prefix: str = "") -> str:
    """A column list."""
    lead = f"{prefix}." if prefix else ""
    return ", ".join(lead + capabilities.ident(column.name) for column in columns)
