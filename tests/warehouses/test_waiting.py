"""Rows that wait in the audit schema go when nobody will come back for them; others stay."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow_provider_liftos.warehouses.waiting import discard_old, is_there
from tests.warehouses.engines import administer

BEFORE = datetime(2026, 11, 1, tzinfo=UTC).timestamp()


def put(warehouse, table: str, load_id: str, as_of: str) -> None:
    administer(
        warehouse,
        f"INSERT INTO liftos_audit.{table} (org_id, load_id, as_of, slice_key)"
        f" VALUES ('o', '{load_id}', TIMESTAMPTZ '{as_of}', 'print')",
    )


def waiting(warehouse) -> set[str]:
    return {
        load_id
        for table in ("performance", "campaigns")
        for (load_id,) in warehouse.query(f"SELECT load_id FROM liftos_audit.{table}")
    }


def test_loads_go_as_a_whole_when_all_of_them_is_old(warehouse):
    put(warehouse, "performance", "old", "2026-10-01 00:00:00+00")
    put(warehouse, "campaigns", "old", "2026-10-02 00:00:00+00")
    put(warehouse, "performance", "going-on", "2026-10-01 00:00:00+00")
    put(warehouse, "campaigns", "going-on", "2026-11-02 00:00:00+00")
    put(warehouse, "performance", "young", "2026-11-02 00:00:00+00")
    assert is_there(warehouse)
    assert discard_old(warehouse, BEFORE) == 1
    assert waiting(warehouse) == {"going-on", "young"}
    assert discard_old(warehouse, BEFORE) == 0


def test_a_place_without_our_schemas_is_told(bare):
    if bare.layout.capabilities.name == "duckdb":
        administer(bare, "CREATE SCHEMA theirs")
    assert not is_there(bare)
