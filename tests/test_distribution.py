"""How the tests are shared out among workers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests import distribution

HERE = Path(__file__).parent


class Worker:
    """Notes which tests it is sent; runs none."""

    shutting_down = False

    def __init__(self, collection: list[str]) -> None:
        self.collection = collection
        self.sent: list[str] = []
        self.gateway = SimpleNamespace(id="any")

    def send_runtest_some(self, indices: list[int]) -> None:
        self.sent += [self.collection[index] for index in indices]

    def shutdown(self) -> None:
        self.shutting_down = True


def given_out(collection: list[str], count: int) -> Any:
    collection = sorted(collection, key=distribution.rank)
    option = SimpleNamespace(loadscopereorder=False)
    made = distribution.Together(
        SimpleNamespace(getvalue=lambda _: [f"{count}*popen"], option=option)
    )
    for worker in [Worker(collection) for _ in range(count)]:
        made.add_node(worker)
        made.add_node_collection(worker, collection)
    made.schedule()
    return made


def in_file(file: str, count: int) -> list[str]:
    return [f"tests/{file}::test_{number}" for number in range(count)]


def scopes(worker: Worker) -> list[str]:
    return list(dict.fromkeys(map(distribution.scope, worker.sent)))


@pytest.fixture
def scheduler() -> Any:
    collection = [
        *in_file("airflow_live/test_cluster.py", 3), *in_file("airflow_live/test_one.py", 3), *in_file("airflow_live/test_two.py", 3),
        *in_file("architecture/test_first.py", 3), *in_file("engine/test_kills.py", 3),
        *in_file("platforms/test_conformance.py", 3), *in_file("quality/test_any.py", 3),
        *in_file("warehouses/test_last.py", 3), *in_file("warehouses/test_very_last.py", 3),
    ]  # fmt: skip
    return given_out(collection, 3)


def test_what_takes_longest_begins_at_once(scheduler: Any) -> None:
    assert [scopes(worker) for worker in scheduler.nodes] == [
        ["airflow_live"], ["platforms/test_conformance.py"], ["engine/test_kills.py"],
    ]  # fmt: skip


def test_every_test_is_run_by_one_worker_and_a_live_airflow_by_a_single_one(scheduler: Any) -> None:
    for worker in scheduler.nodes[1:]:
        for test in worker.sent:  # it grows while it is read
            scheduler.mark_test_complete(worker, worker.collection.index(test))
    everything = [test for worker in scheduler.nodes for test in worker.sent]
    assert sorted(everything) == sorted(scheduler.collection)
    assert scopes(scheduler.nodes[0]) == ["airflow_live"]


def test_the_cluster_is_an_airflow_of_its_own_and_starts_later(scheduler: Any) -> None:
    live, *_ = scheduler.nodes
    assert "airflow_live/test_cluster.py" in scheduler.workqueue
    assert not [test for test in live.sent if "cluster" in test]


@pytest.mark.parametrize("place", distribution.FIRST)
def test_what_is_said_to_take_long_exists(place: str) -> None:
    assert (HERE / place).exists()
