"""Tables come from the unified schema, and only ever grow."""

from __future__ import annotations

import duckdb
import pytest

from airflow_provider_liftos.model.errors import WarehouseError
from airflow_provider_liftos.model.unified import ENTITIES, PERFORMANCE, TABLES, Kind
from airflow_provider_liftos.warehouses.contract import Layout
from airflow_provider_liftos.warehouses.ddl import audit_tables, evolve
from airflow_provider_liftos.warehouses.duckdb import CAPABILITIES, DuckDbWarehouse
from tests.warehouses.staging import DAY1, DAY2, Lab, performance_row, report_slice

LAYOUT = Layout(capabilities=CAPABILITIES, schema="liftos", audit_schema="liftos_audit")


def test_every_kind_has_a_type():
    assert set(CAPABILITIES.types) == set(Kind)


def test_every_table_and_column_is_created(warehouse):
    warehouse.prepare()
    found = warehouse.query("SELECT schema_name, table_name, column_name FROM duckdb_columns()")
    for table in TABLES.values():
        assert {("liftos", table.name, name) for name in table.names()} <= set(found)
    for table in audit_tables():
        assert {("liftos_audit", table.name, name) for name in table.names()} <= set(found)


def test_preparing_again_finds_nothing_to_do(warehouse):
    warehouse.prepare()
    catalogue: dict[tuple[str, str], dict[str, str]] = {}
    for schema, table, column, kind in warehouse.query(
        "SELECT schema_name, table_name, column_name, data_type FROM duckdb_columns()"
    ):
        catalogue.setdefault((schema, table), {})[column] = kind
    assert evolve(LAYOUT, catalogue) == []
    warehouse.prepare()


def test_entities_wait_for_their_verdict_without_the_columns_publishing_decides():
    names = {table.name: table.names() for table in audit_tables()}
    assert set(names) == {PERFORMANCE.name, *(table.name for table in ENTITIES)}
    assert not {"valid_from", "valid_to", "is_deleted"} & set(names["campaigns"])


def sql(warehouse: DuckDbWarehouse, *statements: str) -> None:
    with duckdb.connect(warehouse._file.path) as con:
        for statement in statements:
            con.execute(statement)


@pytest.fixture
def kept(tmp_path):
    warehouse = DuckDbWarehouse(tmp_path / "w.duckdb", None)
    Lab(tmp_path / "old", warehouse).publish(report_slice(), [performance_row(DAY1)])
    return warehouse


def reopened(warehouse: DuckDbWarehouse) -> DuckDbWarehouse:
    return DuckDbWarehouse(warehouse._file.path, None)


def test_a_missing_column_is_added_and_old_rows_have_nulls_there(kept, tmp_path):
    for schema in ("liftos", "liftos_audit"):
        sql(kept, f"ALTER TABLE {schema}.performance DROP COLUMN video_views")
    part, row = report_slice(DAY2, DAY2), performance_row(DAY2, video_views=7)
    Lab(tmp_path, reopened(kept)).publish(part, [row], load_id="b")
    found = kept.query("SELECT date, video_views FROM liftos.performance ORDER BY 1")
    assert found == [(DAY1, None), (DAY2, 7)]


def test_columns_of_a_newer_version_are_left_alone(kept, tmp_path):
    sql(kept, "ALTER TABLE liftos.performance ADD COLUMN shares BIGINT DEFAULT 9")
    part = report_slice(DAY2, DAY2)
    Lab(tmp_path, reopened(kept)).publish(part, [performance_row(DAY2)], load_id="b")
    assert kept.query("SELECT DISTINCT shares FROM liftos.performance") == [(9,)]


def test_a_column_of_another_type_is_an_error_that_changes_nothing(kept):
    sql(
        kept,
        "ALTER TABLE liftos.performance ALTER clicks TYPE VARCHAR",
        "ALTER TABLE liftos.performance DROP COLUMN video_views",
    )
    with pytest.raises(WarehouseError, match=r"performance\.clicks is VARCHAR.* BIGINT.*newer"):
        reopened(kept).prepare()
    columns = kept.query(
        "SELECT column_name FROM duckdb_columns()"
        " WHERE schema_name = 'liftos' AND table_name = 'performance'"
    )
    assert ("video_views",) not in columns


def test_a_warehouse_that_does_not_exist_yet_says_so(warehouse):
    with pytest.raises(WarehouseError, match="does not exist yet"):
        warehouse.query("SELECT 1")


def test_a_wrong_query_is_a_warehouse_error(warehouse):
    warehouse.prepare()
    with pytest.raises(WarehouseError, match="no_such_table"):
        warehouse.query("SELECT * FROM no_such_table")


def test_a_query_cannot_write(warehouse):
    warehouse.prepare()
    with pytest.raises(WarehouseError, match="read-only"):
        warehouse.query("DELETE FROM liftos.performance")


def test_the_checksum_ignores_order_but_sees_duplicates(lab):
    one, two = performance_row(DAY1), performance_row(DAY1, campaign_id="c2")
    sums = []
    for rows in ([one, two], [two, one], [one, two, two], [one]):
        lab.publish(report_slice(), rows, load_id="same", as_of=1e9)
        sums.append(lab.warehouse.checksum("performance"))
    assert sums[0] == sums[1]
    assert len(set(sums)) == 3
