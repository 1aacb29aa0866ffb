"""Days that are settled: by an index on Postgres, and in nobody's way where there are none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_liftos.warehouses import (
    databricks_sql,
    duckdb,
    postgres_sql,
    snowflake_sql,
)
from airflow_provider_liftos.warehouses.contract import Capabilities, Layout
from airflow_provider_liftos.warehouses.settle import Statement, settling
from tests.warehouses.engines import administer, reopened
from tests.warehouses.staging import DAY1, NOON, ORG, performance_row, report_slice

INDEX = "performance_liftos_settle"
CLOSED, OPEN = "2026-10-20", "2026-11-10"
DUE = 7


def days(rows: int, end: str, *, estimated: bool, before: int = 0) -> str:
    """Rows of days that end then, or that many days before."""
    moment = f"TIMESTAMPTZ '{end} 22:00Z' - n % {before + 1} * INTERVAL '1 day'"
    return (
        "INSERT INTO liftos.performance (org_id, platform, ad_name, is_estimated, day_end_utc)"
        f" SELECT '{ORG}', 'meta', repeat('as long as rows are', 20), {estimated}, {moment}"
        f" FROM generate_series(1, {rows}) AS n"
    )


def plans(found: Any) -> Iterator[dict[str, Any]]:
    yield found
    for below in found.get("Plans", ()):
        yield from plans(below)


def touched(warehouse: Any, statement: Statement) -> tuple[set[str], int, int]:
    """Indexes that a statement uses, how many rows it looks at, and how many are expected.

    Those count that are thrown away, too.
    """
    sql, params = statement
    with warehouse._server.transaction() as session:
        [(text,)] = session.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {sql}", params)
        session.connection.execute("ROLLBACK; BEGIN")  # EXPLAIN ANALYZE does what it explains
    [top] = json.loads(text)
    scans = [one for one in plans(top["Plan"]) if one["Node Type"].endswith("Scan")]
    thrown = ("Rows Removed by Filter", "Rows Removed by Index Recheck")
    rows = sum(one["Actual Rows"] + sum(one.get(name, 0) for name in thrown) for one in scans)
    expected = max(one["Plan Rows"] for one in scans)
    return {one["Index Name"] for one in scans if "Index Name" in one}, int(rows), expected


@pytest.mark.parametrize("engine", ["postgres"])
def test_what_settling_costs_on_postgres_does_not_grow_with_the_table(bare):
    bare.prepare()
    settled = settling(bare.layout, ORG, "meta", 28, NOON)
    administer(bare, days(DUE, CLOSED, estimated=True))
    for rows in (2_000, 18_000):
        administer(
            bare, days(rows, CLOSED, estimated=False, before=90),
            days(rows // 9, OPEN, estimated=True, before=9),
            "ANALYZE liftos.performance",
        )  # fmt: skip
        assert touched(bare, settled.find)[:2] == ({INDEX}, 1)
        first = datetime.fromisoformat(f"{CLOSED}T22Z")
        names, looked_at, expected = touched(bare, settled.change(first))
        assert names == {INDEX}
        assert looked_at <= 2 * DUE  # in the index, and in the table
        assert expected < rows // 40  # else a planner would rather read the table
    bare.settle(ORG, "meta", 28, NOON)
    assert touched(bare, settled.find)[:2] == ({INDEX}, 0)


@pytest.mark.parametrize("engine", ["postgres"])
def test_a_database_of_an_older_version_gets_the_index(bare):
    bare.prepare()
    administer(bare, f"DROP INDEX liftos.{INDEX}")
    reopened(bare).prepare()
    [(made,)] = bare.query("SELECT indexdef FROM pg_indexes WHERE indexname = ?", (INDEX,))
    assert made.endswith("(org_id, platform, day_end_utc) WHERE is_estimated")


def test_where_there_is_nothing_to_settle_no_turn_is_taken(lab, monkeypatch):
    end = datetime(2026, 11, 19, 23, tzinfo=UTC)
    rows = [performance_row(DAY1, is_estimated=True, day_end_utc=end)]
    lab.publish(report_slice(DAY1, DAY1), rows)
    taken: list[object] = []
    write = lab.warehouse._write
    monkeypatch.setattr(lab.warehouse, "_write", lambda *turns: (taken.append(turns), write())[1])
    lab.warehouse.settle(ORG, "meta", 28, NOON)
    assert taken == []
    lab.warehouse.settle(ORG, "meta", 1, NOON)
    assert len(taken) == 1


@pytest.mark.parametrize(
    ("dialect", "capabilities"),
    [
        ("databricks", databricks_sql.CAPABILITIES),
        ("duckdb", duckdb.CAPABILITIES),
        ("postgres", postgres_sql.CAPABILITIES),
        ("snowflake", snowflake_sql.CAPABILITIES),
    ],
)
def test_every_engine_can_read_what_it_is_asked(dialect: str, capabilities: Capabilities):
    import sqlglot
    from sqlglot import exp

    layout = Layout(capabilities=capabilities, schema="liftos", audit_schema="liftos_audit")
    settled = settling(layout, ORG, "meta", 28, NOON)
    asked = (settled.find, settled.change(settled.closed))
    kinds = [type(sqlglot.parse_one(sql, read=dialect)) for sql, _ in asked]
    assert kinds == [exp.Select, exp.Update]
