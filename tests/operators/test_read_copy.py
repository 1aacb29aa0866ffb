"""What a run has published is in the copy for readers when its publish task has ended."""

from __future__ import annotations

import duckdb

from airflow_provider_liftos.state.ledger import Ledger
from tests.operators.test_tasks import Chain


def test_the_copy_is_refreshed_when_a_run_has_published_and_its_failure_is_no_failed_night(
    liftos, monkeypatch
):
    copy = liftos.folder / "bi" / "copy.duckdb"
    monkeypatch.setenv("AIRFLOW__LIFTOS__DUCKDB_READ_COPY", str(copy))
    chain = Chain(liftos)
    planned = chain.plan()
    extracted = [chain.fetched(batch) for batch in planned]
    done = chain.publish(extracted, planned)
    with duckdb.connect(copy, read_only=True) as reader:
        rows = reader.execute("SELECT count(*) FROM liftos.performance").fetchall()
    assert done["status"] == "complete"
    assert rows[0][0] > 0
    copy.unlink()
    copy.mkdir()  # nothing can be put in the place of a folder
    again = chain.publish(extracted, planned)
    assert again["status"] == "complete"
    [entry, *_] = Ledger(liftos.store, "default").rows(platform="meta")
    assert f"The read copy {copy} is as it was" in entry.detail["not_refreshed"]
