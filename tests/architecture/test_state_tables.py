"""Every row of the state store belongs to an organization, and is found by it."""

from __future__ import annotations

import pytest

from airflow_provider_liftos.state import tables

TABLES = [table for table in tables.metadata.sorted_tables if table.name != "schema_version"]

each = pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)


@each
def test_its_key_begins_with_the_organization(table) -> None:
    assert [column.name for column in table.primary_key][:1] == ["org_id"]
    assert table.columns[0].name == "org_id"
    assert len(table.primary_key) > 1


@each
def test_its_indexes_begin_with_the_organization(table) -> None:
    assert {next(iter(index.columns)).name for index in table.indexes} <= {"org_id"}
