"""Tables come from the unified schema, and only ever grow."""

from __future__ import annotations

import pytest

from airflow_provider_liftos.model.errors import WarehouseError
from airflow_provider_liftos.model.unified import ENTITIES, PERFORMANCE, TABLES, Kind
from airflow_provider_liftos.warehouses import duckdb, postgres, postgres_ddl
from airflow_provider_liftos.warehouses.ddl import audit_tables, evolve
from airflow_provider_liftos.warehouses.duckdb import DuckDbWarehouse
from tests.warehouses.engines import administer, columns, reopened
from tests.warehouses.staging import DAY1, DAY2, Lab, performance_row, report_slice


@pytest.mark.parametrize("capabilities", [duckdb.CAPABILITIES, postgres.CAPABILITIES])
def test_every_kind_has_a_type(capabilities):
    assert set(capabilities.types) == set(Kind)


def test_every_table_and_column_is_created(bare):
    bare.prepare()
    found = columns(bare) | columns(bare, schema="liftos_audit")
    for table in TABLES.values():
        assert {("liftos", table.name, name) for name in table.names()} <= set(found)
    for table in audit_tables():
        assert {("liftos_audit", table.name, name) for name in table.names()} <= set(found)


def test_preparing_again_finds_nothing_to_do(bare):
    bare.prepare()
    if isinstance(bare, DuckDbWarehouse):
        with bare._write() as session:
            assert evolve(bare.layout, duckdb._catalogue(session, bare.layout)) == []
    else:
        with bare._write() as session:
            assert postgres_ddl._missing(session, bare.layout) == []
    bare.prepare()


def test_entities_wait_for_their_verdict_without_the_columns_publishing_decides():
    names = {table.name: table.names() for table in audit_tables()}
    assert set(names) == {PERFORMANCE.name, *(table.name for table in ENTITIES)}
    assert not {"valid_from", "valid_to", "is_deleted"} & set(names["campaigns"])


@pytest.fixture
def kept(bare, tmp_path):
    """A warehouse with tables of its own and a day in it, which tests may change."""
    Lab(tmp_path / "old", bare).publish(report_slice(), [performance_row(DAY1)])
    return bare


def test_a_missing_column_is_added_and_old_rows_have_nulls_there(kept, tmp_path):
    for schema in ("liftos", "liftos_audit"):
        administer(kept, f"ALTER TABLE {schema}.performance DROP COLUMN video_views CASCADE")
    part, row = report_slice(DAY2, DAY2), performance_row(DAY2, video_views=7)
    Lab(tmp_path, reopened(kept)).publish(part, [row], load_id="b")
    found = kept.query("SELECT date, video_views FROM liftos.performance ORDER BY 1")
    assert found == [(DAY1, None), (DAY2, 7)]


def test_columns_of_a_newer_version_are_left_alone(kept, tmp_path):
    administer(kept, "ALTER TABLE liftos.performance ADD COLUMN shares BIGINT DEFAULT 9")
    part = report_slice(DAY2, DAY2)
    Lab(tmp_path, reopened(kept)).publish(part, [performance_row(DAY2)], load_id="b")
    assert kept.query("SELECT DISTINCT shares FROM liftos.performance") == [(9,)]


def test_a_column_of_another_type_is_an_error_that_changes_nothing(kept):
    administer(
        kept,
        "ALTER TABLE liftos.performance DROP COLUMN clicks CASCADE",
        "ALTER TABLE liftos.performance DROP COLUMN video_views CASCADE",
        "ALTER TABLE liftos.performance ADD COLUMN clicks TEXT",
    )
    complaint = r"performance\.clicks is (VARCHAR|text) .* (BIGINT|bigint)\..*newer"
    with pytest.raises(WarehouseError, match=complaint):
        reopened(kept).prepare()
    names = [name for _, _, name in columns(kept, table="performance")]
    assert "video_views" not in names


def test_a_file_that_does_not_exist_yet_says_so(tmp_path):
    with pytest.raises(WarehouseError, match="does not exist yet"):
        DuckDbWarehouse(tmp_path / "none.duckdb", None).query("SELECT 1")


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
