"""Streams that a platform answers with nothing, on their way to what people read."""

from __future__ import annotations

import duckdb
import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_liftos.sandbox.wire.meta import edges
from tests.operators.test_faults import Run


def living(liftos, table: str) -> int:
    with duckdb.connect(liftos.folder / "warehouse.duckdb", read_only=True) as con:
        query = f"SELECT count(*) FROM liftos.{table} WHERE valid_to IS NULL AND NOT is_deleted"
        return con.execute(query).fetchone()[0]


@pytest.fixture
def without(monkeypatch):
    """From now on the platform lists nothing of that kind."""
    real = edges._wanted

    def make(gone: str) -> None:
        def wanted(call, name, *rest):
            return (lambda _entity: False) if name == gone else real(call, name, *rest)

        monkeypatch.setattr(edges, "_wanted", wanted)

    return make


def test_audiences_that_were_all_deleted_are_deleted_here_too_and_once(liftos, without):
    streams = ("campaigns", "ads", "audiences")
    Run(liftos, streams=streams).go()
    assert living(liftos, "audiences") > 0
    without("audience")
    run = Run(liftos, streams=streams)
    run.go()
    audited, published = run.told[-2:]
    assert (audited["quarantined"], published["held"]) == (0, 0)
    assert living(liftos, "audiences") == 0 < living(liftos, "ads")
    again = Run(liftos, streams=streams)
    again.go()
    assert again.told[-1]["held"] == 0
    assert again.told[-2]["score"] > audited["score"], "what was said once is not said again"


def test_campaigns_that_ads_still_need_are_not_believed_to_be_gone(liftos, without):
    streams = ("campaigns", "ads")
    Run(liftos, streams=streams).go()
    before = living(liftos, "campaigns")
    without("campaign")
    run = Run(liftos, streams=streams)
    with pytest.raises(AirflowFailException, match=r"campaigns.*ads that need them are there"):
        run.go()
    assert living(liftos, "campaigns") == before
