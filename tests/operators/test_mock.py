"""Rows that a connection says are invented."""

from __future__ import annotations

import duckdb
import pytest

from tests.operators.test_tasks import Chain


def counts(liftos, schema: str) -> tuple[int, int]:
    """Rows and marked rows of a schema's ``performance``; none where there is no such schema."""
    with duckdb.connect(liftos.folder / "warehouse.duckdb", read_only=True) as con:
        known = con.execute("SELECT schema_name FROM information_schema.schemata").fetchall()
        if (schema,) not in known:
            return 0, 0
        query = f"SELECT count(*), count(*) FILTER (is_mock) FROM {schema}.performance"
        return con.execute(query).fetchone()


@pytest.mark.parametrize("said", [True, "true"])
def test_invented_rows_are_marked_and_never_among_those_people_read(liftos, said):
    def run() -> dict:
        chain = Chain(liftos)
        planned = chain.plan()
        extracted = [
            chain.extract(b, deferrable=False).execute(chain.context("extract")) for b in planned
        ]
        return chain.publish(extracted, planned)

    liftos.connect("liftos_meta_default", extra={"is_mock": said})
    summary = run()
    rows, marked = counts(liftos, "liftos_mock")
    assert rows == marked > 0
    assert summary["is_mock"] is True
    assert counts(liftos, "liftos") == counts(liftos, "liftos_mock_audit") == (0, 0)
    with duckdb.connect(liftos.folder / "warehouse.duckdb", read_only=True) as con:
        (views,) = con.execute("SELECT count(*) FROM liftos_mock.campaign_report").fetchone()
    assert views == rows

    liftos.connect("liftos_meta_default")
    assert "is_mock" not in run()
    assert counts(liftos, "liftos") == (rows, 0)
    assert counts(liftos, "liftos_mock") == (rows, rows)
