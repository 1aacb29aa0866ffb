"""Rows that wait in the audit schema: which loads nobody will come back for."""

from __future__ import annotations

from airflow_provider_liftos.warehouses.contract import Warehouse
from airflow_provider_liftos.warehouses.ddl import audit_tables
from airflow_provider_liftos.warehouses.job import instant


def is_there(warehouse: Warehouse) -> bool:
    """Whether the audit schema exists; WarehouseError where there is no warehouse to ask."""
    [(found,)] = warehouse.query(
        "SELECT count(*) FROM information_schema.schemata WHERE schema_name = ?",
        (warehouse.layout.capabilities.kept(warehouse.layout.audit_schema),),
    )
    return bool(found)


def discard_old(warehouse: Warehouse, before: float) -> int:
    """Discard loads whose rows were all asked for before a moment; how many loads.

    These are slices that the audit held back and nobody released, and loads of runs that never
    came to publish. One transaction for each load. Raises WarehouseError as the warehouse does.
    """
    ident = warehouse.layout.capabilities.ident
    newest: dict[str, bool] = {}
    for table in audit_tables():
        for load_id, is_old in warehouse.query(
            f"SELECT {ident('load_id')}, max({ident('as_of')}) < ? FROM"
            f" {warehouse.layout.audit(table.name)} GROUP BY {ident('load_id')}",
            (instant(before),),
        ):
            newest[load_id] = newest.get(load_id, True) and bool(is_old)
    old = [load_id for load_id, is_old in newest.items() if is_old]
    for load_id in old:
        warehouse.discard(load_id)
    return len(old)
