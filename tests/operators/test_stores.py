"""A pipeline whose files wait in an object store."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from airflow.sdk.io.store import _STORE_CACHE, ObjectStore
from fsspec.implementations.memory import MemoryFileSystem

from tests import s3
from tests.airflow_doubles import Deployment
from tests.operators.test_tasks import Chain


def test_all_tasks_work_through_a_store_of_a_connection(liftos: Deployment, monkeypatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_FILES", "generic://")
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


class Pods(Chain):
    """Each task, and each stint of one that waits, in a pod whose disk is new and goes with it."""

    def __init__(self, liftos: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(liftos)
        self.monkeypatch = monkeypatch
        self.pods = 0
        self.left: list[Path] = []

    def context(self, task_id: str, **parts) -> dict:
        self.start()
        return super().context(task_id, **parts)

    def extract(self, batch: dict, **options):
        self.start()
        return super().extract(batch, **options)

    def start(self) -> None:
        self.end()
        self.pods += 1
        for name in ("AIRFLOW_HOME", "HOME"):
            self.monkeypatch.setenv(name, str(self.disk / name.lower()))
        (self.disk / "tmp").mkdir(parents=True)
        self.monkeypatch.setattr(tempfile, "tempdir", str(self.disk / "tmp"))
        self.monkeypatch.chdir(self.disk)

    def end(self) -> None:
        self.left += [path for path in self.disk.rglob("*") if path.is_file()]
        self.monkeypatch.chdir(self.liftos.folder)
        shutil.rmtree(self.disk, ignore_errors=True)

    @property
    def disk(self) -> Path:
        return self.liftos.folder / f"pod-{self.pods}"


def test_every_task_has_a_pod_of_its_own_and_they_share_s3_alone(
    liftos: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """State store and warehouse stand for servers here: their files are on no pod's disk."""
    with s3.serving() as server, s3.lake(server) as lake:
        liftos.set("staging_url", lake.address())
        chain = Pods(liftos, monkeypatch)
        planned = chain.plan()
        extracted = [chain.fetched(batch) for batch in planned]
        summary = chain.publish(extracted, planned)
        chain.end()
        kinds = {name.split("/")[5] for name in lake.names()}
    assert (summary["accounts"], summary["held"]) == (3, 0)
    proof = chain.proof()
    assert (proof.compared, proof.differences) == (3 * 2, [])
    assert kinds == {"manifests", "raw", "staged"}
    assert chain.pods >= len("plan extract normalize load audit publish".split())
    assert chain.left == []
