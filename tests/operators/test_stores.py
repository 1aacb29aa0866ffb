"""A pipeline whose files wait in an object store."""

from __future__ import annotations

from airflow.sdk.io.store import _STORE_CACHE, ObjectStore
from fsspec.implementations.memory import MemoryFileSystem

from tests.airflow_doubles import Deployment
from tests.operators.test_tasks import Chain


def test_all_tasks_work_through_a_store_of_a_connection(liftos: Deployment, monkeypatch) -> None:
    fs = MemoryFileSystem(global_store=False, skip_instance_cache=True)
    monkeypatch.setitem(_STORE_CACHE, "memory-files", ObjectStore("memory", "files", fs=fs))
    liftos.set("staging_url", "memory://files@bucket/liftos")
    chain = Chain(liftos)
    planned = chain.plan()
    extracted = [chain.fetched(batch) for batch in planned]
    summary = chain.publish(extracted, planned)
    assert (summary["accounts"], summary["held"]) == (3, 0)
    proof = chain.proof()
    assert (proof.compared, proof.differences) == (3 * 2, [])
    assert not (liftos.folder / "staging").exists()
    kinds = {name.split("/")[3] for name in fs.find("")}
    assert kinds == {"manifests", "raw", "staged"}
