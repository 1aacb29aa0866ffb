"""Tables come from the unified schema, and only ever grow."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from airflow_provider_liftos.model.errors import WarehouseDenied, WarehouseError
from airflow_provider_liftos.model.unified import ENTITIES, PERFORMANCE, TABLES, Kind
from airflow_provider_liftos.warehouses import (
    databricks_sql,
    ddl,
    duckdb,
    postgres,
    snowflake_sql,
)
from airflow_provider_liftos.warehouses.contract import Layout
from airflow_provider_liftos.warehouses.ddl import audit_tables
from airflow_provider_liftos.warehouses.duckdb import DuckDbWarehouse
from airflow_provider_liftos.warehouses.widening import holds
from tests.warehouses.engines import administer, columns, narrower, reopened
from tests.warehouses.staging import DAY1, DAY2, Lab, performance_row, report_slice


@pytest.mark.parametrize("capabilities", [duckdb.CAPABILITIES, postgres.CAPABILITIES])
def test_every_kind_has_a_type(capabilities):
    assert set(capabilities.types) == set(Kind)


def changed(warehouse):
    """What was noted of changes, as object and change, oldest first."""
    return warehouse.query(
        "SELECT object, change FROM liftos.schema_changes ORDER BY changed_at, object, change"
    )


def test_every_table_and_column_is_created(bare):
    bare.prepare()
    found = columns(bare) | columns(bare, schema="liftos_audit")
    for table in TABLES.values():
        assert {("liftos", table.name, name) for name in table.names()} <= set(found)
    for table in audit_tables():
        assert {("liftos_audit", table.name, name) for name in table.names()} <= set(found)


def test_preparing_again_finds_nothing_to_do(bare):
    bare.prepare()
    noted = changed(bare)
    assert ("views", "made") in noted
    assert ("liftos.performance", "created") in noted
    reopened(bare).prepare()
    assert changed(bare) == noted


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


def test_what_changes_is_written_down(kept, caplog):
    noted = changed(kept)
    administer(kept, "ALTER TABLE liftos.performance DROP COLUMN video_views CASCADE")
    with caplog.at_level("INFO", "airflow_provider_liftos.warehouses.migration"):
        reopened(kept).prepare()
    new = changed(kept)[len(noted) :]
    assert ("liftos.performance.video_views", "added") in new
    assert "liftos.performance.video_views added" in caplog.text


def test_columns_of_another_version_stay_are_null_in_new_rows_and_noted_once(kept, tmp_path):
    administer(kept, "ALTER TABLE liftos.performance ADD COLUMN shares BIGINT")
    administer(kept, "UPDATE liftos.performance SET shares = 9")
    for n in (1, 2):
        part = report_slice(DAY2, DAY2)
        Lab(tmp_path / str(n), reopened(kept)).publish(part, [performance_row(DAY2)], load_id="b")
    found = kept.query("SELECT date, shares FROM liftos.performance ORDER BY 1")
    assert found == [(DAY1, 9), (DAY2, None)]
    assert changed(kept).count(("liftos.performance.shares", ddl.STAYS)) == 1


def as_once(warehouse, types=None):
    """The same place as an older version saw it, which had narrower types."""
    older = reopened(warehouse)
    types = {**older.layout.capabilities.types, **(types or narrower(warehouse))}
    capabilities = replace(older.layout.capabilities, types=types)
    older.layout = replace(older.layout, capabilities=capabilities)
    return older


def test_narrower_columns_are_widened_under_the_views_that_show_them(bare, tmp_path):
    Lab(tmp_path / "old", as_once(bare)).publish(report_slice(), [performance_row(DAY1)])
    part = report_slice(DAY2, DAY2)
    large = performance_row(DAY2, impressions=3_000_000_000, spend="123456789012.123456")
    Lab(tmp_path, reopened(bare)).publish(part, [large], load_id="b")
    found = bare.query("SELECT impressions, spend FROM liftos.campaign_report ORDER BY date_day")
    assert found == [(1000, 5), (3_000_000_000, Decimal("123456789012.123456"))]
    whats = {place: what for place, what in changed(bare) if what.startswith("widened")}
    needed = bare.layout.capabilities.types
    assert whats["liftos.performance.impressions"].endswith(f" to {needed[Kind.INT]}")
    assert whats["liftos.performance.spend"].endswith(f" to {needed[Kind.MONEY]}")
    assert {place.split(".")[0] for place in whats} == {"liftos", "liftos_audit"}
    noted = changed(bare)
    reopened(bare).prepare()
    assert changed(bare) == noted


@pytest.mark.parametrize("engine", ["snowflake"])
def test_what_the_engine_does_not_widen_is_one_line_that_says_what_to_type(bare, tmp_path):
    old = as_once(bare, {Kind.MONEY: "NUMBER(12,2)"})
    Lab(tmp_path / "old", old).publish(report_slice(), [performance_row(DAY1)])
    before = columns(bare) | columns(bare, schema="liftos_audit")
    with pytest.raises(WarehouseDenied) as caught:
        reopened(bare).prepare()
    assert columns(bare) | columns(bare, schema="liftos_audit") == before
    said = str(caught.value)
    assert "\n" not in said
    assert "widened from NUMBER(12,2) to NUMBER(18,6)" in said
    for statement in said.partition("made anew: ")[2].split("; "):
        administer(bare, statement)
    part, large = report_slice(DAY2, DAY2), performance_row(DAY2, spend="123456789012.123456")
    Lab(tmp_path, reopened(bare)).publish(part, [large], load_id="b")
    found = bare.query("SELECT spend FROM liftos.campaign_report ORDER BY date_day")
    assert found == [(5,), (Decimal("123456789012.123456"),)]
    after = columns(bare) | columns(bare, schema="liftos_audit")
    assert list(after) == list(before)


@pytest.mark.parametrize(
    ("capabilities", "given", "needed"),
    [
        (snowflake_sql, "NUMBER(12,2)", "NUMBER(18,6)"),
        (snowflake_sql, "NUMBER(9,0)", "NUMBER(18,6)"),
        (databricks_sql, "bigint", "decimal(19,0)"),
        (databricks_sql, "bigint", "decimal(25,6)"),
        (databricks_sql, "smallint", "decimal(9,0)"),
        (databricks_sql, "decimal(18,0)", "bigint"),
    ],
)
def test_values_that_fit_are_not_enough_where_the_vendor_refuses(capabilities, given, needed):
    assert holds(needed, given)
    assert not capabilities.CAPABILITIES.widens(given, needed)


@pytest.mark.parametrize(
    ("capabilities", "given", "needed"),
    [
        (snowflake_sql, "NUMBER(12,6)", "NUMBER(18,6)"),
        (snowflake_sql, "NUMBER(9,0)", "NUMBER"),
        (snowflake_sql, "TEXT(10)", "TEXT"),
        (databricks_sql, "int", "bigint"),
        (databricks_sql, "int", "decimal(10,0)"),
        (databricks_sql, "bigint", "decimal(26,6)"),
        (databricks_sql, "decimal(12,2)", "decimal(18,6)"),
        (databricks_sql, "varchar(20)", "string"),
        (databricks_sql, "float", "double"),
        (duckdb, "DECIMAL(12,2)", "DECIMAL(18,6)"),
        (postgres, "bigint", "numeric(19,0)"),
    ],
)
def test_engines_widen_what_their_manuals_say(capabilities, given, needed):
    assert holds(needed, given)
    assert capabilities.CAPABILITIES.widens(given, needed)


def test_columns_to_be_widened_by_hand_are_told_together_table_by_table():
    layout = Layout(
        capabilities=snowflake_sql.CAPABILITIES, schema="liftos", audit_schema="liftos_audit"
    )
    kinds = layout.capabilities.types
    there = {
        (schema, table.name): {column.name: kinds[column.kind] for column in table.columns}
        for schema, table in ddl._all_tables(layout)
    }
    for table in ("performance", "fx_rates"):
        found = there["liftos", table]
        found |= {n: "NUMBER(12,2)" for n, kind in found.items() if kind == "NUMBER(18,6)"}
    with pytest.raises(WarehouseDenied) as caught:
        ddl.changes(layout, there)
    said = str(caught.value)
    assert said.count("CREATE OR REPLACE TABLE") == 2
    assert 'CAST("SPEND" AS NUMBER(18,6)) AS "SPEND", CAST(' in said


def test_wider_columns_of_a_newer_version_are_left_alone_and_written_to(bare, tmp_path):
    bare.prepare()
    noted = changed(bare)
    Lab(tmp_path, as_once(bare)).publish(report_slice(), [performance_row(DAY1)])
    assert bare.query("SELECT impressions, spend FROM liftos.campaign_report") == [(1000, 5)]
    assert [one for one in changed(bare)[len(noted) :] if "views" not in one] == []


def test_tables_of_a_newer_version_refuse_an_older_one(kept):
    administer(
        kept,
        "ALTER TABLE liftos.performance DROP COLUMN video_views CASCADE",
        "INSERT INTO liftos.schema_changes VALUES (CURRENT_TIMESTAMP, '99.1.0', 99, 'x', 'y', 'z')",
    )
    noted = changed(kept)
    with pytest.raises(WarehouseError, match=r"of version 99, made by 99\.1\.0 .*: a downgrade"):
        reopened(kept).discard("anything")
    assert changed(kept) == noted
    assert "video_views" not in [name for _, _, name in columns(kept, table="performance")]


def test_views_of_a_newer_version_are_left_to_it(kept, tmp_path):
    administer(
        kept,
        "DROP VIEW liftos.fx_gaps",
        "CREATE VIEW liftos.fx_gaps AS SELECT 7 AS newer",
        "INSERT INTO liftos.schema_changes"
        " VALUES (CURRENT_TIMESTAMP, '99.1.0', 1, 'views', 'made', 'another digest')",
    )
    part = report_slice(DAY2, DAY2)
    Lab(tmp_path, reopened(kept)).publish(part, [performance_row(DAY2)], load_id="b")
    assert kept.query("SELECT newer FROM liftos.fx_gaps") == [(7,)]
    administer(kept, "DELETE FROM liftos.schema_changes WHERE object = 'views'")
    reopened(kept).prepare()
    assert kept.query("SELECT days FROM liftos.fx_gaps") == [(2,)]


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        ("BIGINT", "INTEGER"), ("bigint", "int"), ("DECIMAL(18,6)", "DECIMAL(12,2)"),
        ("numeric(18,6)", "integer"), ("numeric", "numeric(38,9)"), ("NUMBER(38,0)", "NUMBER(19,0)"),
        ("text", "character varying(20)"), ("VARCHAR(20)", "VARCHAR(10)"), ("DOUBLE", "FLOAT"),
        ("double precision", "real"), ("BIGINT", "DECIMAL(18,0)"), ("DECIMAL(19,0)", "BIGINT"),
    ],
)  # fmt: skip
def test_a_wider_type_holds_what_a_narrower_one_does_and_not_the_reverse(wide, narrow):
    assert holds(wide, narrow)
    assert not holds(narrow, wide)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("BIGINT", "VARCHAR"), ("DOUBLE", "DECIMAL(18,6)"), ("DECIMAL(18,6)", "DECIMAL(18,2)"),
        ("BIGINT", "DECIMAL(19,0)"), ("DATE", "TIMESTAMP"), ("JSON", "VARCHAR"), ("?", "BIGINT"),
        ("timestamp with time zone", "timestamp"), ("INTEGER", "DECIMAL(10,0)"),
    ],
)  # fmt: skip
def test_types_that_lose_something_do_not_hold_each_other(one, other):
    assert not holds(one, other)


def test_a_column_of_another_type_is_an_error_that_changes_nothing(kept):
    administer(
        kept,
        "ALTER TABLE liftos.performance DROP COLUMN clicks CASCADE",
        "ALTER TABLE liftos.performance DROP COLUMN video_views CASCADE",
        "ALTER TABLE liftos.performance ADD COLUMN clicks TEXT",
    )
    complaint = (
        r"(?i)performance\.clicks is (VARCHAR|text|string) .* (BIGINT|NUMBER\(38,0\))\..*newer"
    )
    with pytest.raises(WarehouseError, match=complaint):
        reopened(kept).prepare()
    names = [name for _, _, name in columns(kept, table="performance")]
    assert "video_views" not in names


def test_a_file_that_does_not_exist_yet_says_so(tmp_path):
    with pytest.raises(WarehouseError, match="does not exist yet"):
        DuckDbWarehouse(tmp_path / "none.duckdb", None).query("SELECT 1")


def test_a_wrong_query_is_a_warehouse_error(warehouse):
    warehouse.prepare()
    with pytest.raises(WarehouseError, match=r"(?i)no_such_table"):
        warehouse.query("SELECT * FROM liftos.no_such_table")


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
