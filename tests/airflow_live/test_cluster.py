"""Airflow on several hosts, as far as one machine can show it: Celery, Postgres, Redis.

Two workers, two triggerers; each has a host name, a working folder and an ``AIRFLOW_HOME`` of its
own. While the three platforms' DAGs run, the triggerer that waits for reports and a worker in the
middle of a task are killed, and stay dead. The other ones end the work.
"""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pyarrow as pa
import pytest
from psycopg.rows import dict_row

from airflow_provider_liftos.cli import demo
from airflow_provider_liftos.cli.proof import compare
from airflow_provider_liftos.sandbox import Sandbox
from tests.airflow_live.cluster import Cluster, redis
from tests.airflow_live.live import PATIENCE, SETTLED, Live
from tests.conftest import skip_unless_required

pytestmark = pytest.mark.airflow

PLATFORMS = ("google_ads", "meta", "tiktok")
CAPS = {
    "google_ads": {"requests_per_minute": 60},
    "meta": {"requests_per_minute": 90},
    "tiktok": {"requests_per_second": 2},
}
"""Tight enough that two workers that did not know of each other would send more."""

WINDOW = 10.0
IN_TEN_SECONDS = {"google_ads": 10 + 15, "meta": 15 + 22, "tiktok": 20 + 1}
"""How many requests those caps let pass, and as many as may go at once after a quiet time."""

LATE = 4
"""Slots of both workers: what each sends may be held up on a busy machine, and come with others."""

TABLES = ("performance", "loads", "account_report", "accounts", "campaigns", "ad_groups", "ads",
          "creatives", "audiences")  # fmt: skip


@dataclass
class Story(Live):
    """The runs, and what was seen of them while hosts died."""

    stack: Cluster
    urls: dict[str, str] = field(default_factory=dict)
    runs: dict[str, str] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    waiting: list[dict[str, Any]] = field(default_factory=list)
    waiting_processes: list[int] = field(default_factory=list)
    slots: dict[str, int] = field(default_factory=dict)
    dead: dict[str, str] = field(default_factory=dict)
    struck: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def of(self, task_id: str, *platforms: str) -> list[dict[str, Any]]:
        """Task instances of the runs of some platforms."""
        return [
            task
            for platform in platforms or PLATFORMS
            for task in self.tasks(f"cluster_{platform}", self.runs[platform], task_id)
        ]

    def state(self, sql: str, *values: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.urls["state"]) as connection:
            return connection.execute(sql.replace("?", "%s"), values).fetchall()

    def timed(self, what: str, seen: Callable[[], Any], since: float, timeout: float = 480) -> Any:
        """Wait until it is seen, and note how long that was after a moment."""
        found = self.until(seen, what, timeout)
        self.seconds[what] = round(time.monotonic() - since, 1)
        return found


@pytest.fixture(scope="module")
def story(
    tmp_path_factory: pytest.TempPathFactory, new_postgres_database: Callable[[], str]
) -> Iterator[Story]:
    if importlib.util.find_spec("airflow.providers.celery") is None:
        skip_unless_required("redis", "Celery's provider is not installed")
    base = tmp_path_factory.mktemp("cluster")
    urls = {name: new_postgres_database() for name in ("metadata", "state", "warehouse")}
    with redis(base) as broker, Sandbox(report_seconds=45.0) as sandbox:
        assert sandbox.grpc_target  # it listens from now on
        stack = Cluster(
            base / "home", Path(__file__).parent / "cluster_dags",
            env=settings(base, urls, broker), workers=2, patience=PATIENCE,
        )  # fmt: skip
        began = time.monotonic()
        with stack:
            running = Story(stack=stack, sandbox=sandbox, home=base, metadata_url="", urls=urls)
            running.seconds["start"] = round(time.monotonic() - began, 1)
            connect(running)
            for platform in PLATFORMS:
                running.runs[platform] = running.start(f"cluster_{platform}", **SETTLED)
            kill_a_triggerer(running)
            kill_a_worker(running)
            for platform, run_id in running.runs.items():
                running.states[platform] = running.finish(f"cluster_{platform}", run_id)
            running.seconds["all"] = round(time.monotonic() - began, 1)
            print(json.dumps(running.seconds, indent=1))
            yield running


def settings(base: Path, urls: dict[str, str], broker: str) -> dict[str, str]:
    """What a deployment of several hosts sets; README tells why."""
    place = urls["metadata"].removeprefix("postgresql://")
    return {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{place}",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": f"postgresql+asyncpg://{place}",
        "AIRFLOW__CELERY__BROKER_URL": broker,
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "45",
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "30",
        "AIRFLOW__LIFTOS__STATE_URL": urls["state"],
        "AIRFLOW__LIFTOS__STAGING_URL": f"shared://{base}/staging",
        "AIRFLOW__LIFTOS__WAREHOUSE_CONN_ID": "warehouse",
        "AIRFLOW__LIFTOS__POLL_SECONDS": "2",
        "AIRFLOW__LIFTOS__ACCOUNTS_PER_TASK": "3",
    }


def connect(story: Story) -> None:
    for one in demo.connections(story.sandbox.url):
        platform = one["host"].rpartition("/")[2]
        story.api.create_connection(
            one["connection_id"], one["conn_type"], host=one["host"],
            extra=one["extra"] | CAPS[platform],
        )  # fmt: skip
    given = psycopg.conninfo.conninfo_to_dict(story.urls["warehouse"])
    story.api.create_connection(
        "warehouse", "postgres", host=given["host"], schema=given["dbname"], login=given["user"]
    )


def kill_a_triggerer(story: Story) -> None:
    """The one that waits for Meta's reports, as soon as there is one."""

    def waiting() -> list[dict[str, Any]]:
        tasks = story.of("extract", "meta")
        return [task for task in tasks if task["state"] == "deferred" and task["triggerer_job"]]

    story.waiting = story.until(waiting, "an extract task waits")
    alive = {pid for pids in story.stack.processes().values() for pid in pids}
    story.waiting_processes = sorted(alive & {task["pid"] for task in story.waiting})
    pool = story.api.get("pools/default_pool")
    story.slots = {name: pool[f"{name}_slots"] for name in ("deferred", "running")}
    host = story.waiting[0]["triggerer_job"]["hostname"]
    story.dead["triggerer"] = host
    story.stack.kill(host)
    killed = time.monotonic()

    def elsewhere() -> bool:
        waiting = [task["triggerer_job"] or {} for task in story.of("extract")]
        return all(job.get("hostname") != host for job in waiting)

    story.timed("triggers moved", elsewhere, killed)


def kill_a_worker(story: Story) -> None:
    """One in the middle of reading a report, with all that it does."""
    hangs = story.hold(r"GET .*/\d+/insights", 60.0)
    story.until(hangs, "a page hangs")

    def reading() -> list[dict[str, Any]]:
        return [task for task in story.of("extract", "meta") if task["state"] == "running"]

    task = story.struck = story.until(reading, "a task reads")[0]
    story.dead["worker"] = task["hostname"]
    story.stack.kill(task["hostname"])
    killed = time.monotonic()

    def now() -> dict[str, Any]:
        tasks = story.of("extract", "meta")
        return next(one for one in tasks if one["map_index"] == task["map_index"])

    story.timed("task missed", lambda: now()["state"] != "running", killed)
    story.timed(
        "task went on elsewhere",
        lambda: now()["state"] in {"running", "success"} and now()["hostname"] != task["hostname"],
        killed,
    )


def test_runs_end_well_although_hosts_die(story: Story) -> None:
    told = "\n".join(story.explain(f"cluster_{p}", run_id) for p, run_id in story.runs.items())
    assert story.states == dict.fromkeys(PLATFORMS, "success"), told
    assert set(story.dead) == {"triggerer", "worker"}
    for name in story.dead.values():
        assert story.stack.processes()[name] == []
    [again] = [
        t for t in story.of("extract", "meta") if t["map_index"] == story.struck["map_index"]
    ]
    assert again["try_number"] >= 2
    assert again["hostname"] not in {story.struck["hostname"], ""}


def test_what_is_published_is_the_truth(story: Story) -> None:
    proof = compare(published(story), story.sandbox.url)
    assert proof.differences == []
    assert {line.platform for line in proof.lines} == set(PLATFORMS)
    days = {(platform, account) for platform, account in told(story, "platform, account_id")}
    assert len(days) == sum(len(story.sandbox.world.dataset(p).accounts) for p in PLATFORMS)
    assert proof.compared > 3 * len(days)
    for platform, run_id in story.runs.items():
        summary = story.api.xcom(f"cluster_{platform}", run_id, "publish")
        assert (summary["held"], summary["since"], summary["until"]) == (0, *SETTLED.values())


def test_nothing_is_left_half_done(story: Story) -> None:
    slices = story.state("SELECT DISTINCT state FROM slices")
    assert slices == [], "success consumes checkpoints"
    unfinished = story.state("SELECT task_id, map_index FROM run_ledger WHERE status = 'running'")
    assert unfinished == []
    assert story.state("SELECT kind FROM dead_letters") == []


def test_reports_are_not_asked_for_again_by_those_who_take_over(story: Story) -> None:
    asked = story.submitted(SETTLED)
    planned = len(story.sandbox.world.dataset("meta").accounts) * reports("meta")
    assert planned <= len(asked) <= planned + 2, "each of a worker's tasks may waste one"


@pytest.mark.parametrize("platform", PLATFORMS)
def test_limits_are_shared_by_all_hosts(story: Story, platform: str) -> None:
    requests = [r for r in story.sandbox.journal.entries(platform) if not r["batch"]]
    moments = sorted(datetime.fromisoformat(r["time"]).timestamp() for r in requests)
    most = max(sum(0 <= other - one < WINDOW for other in moments) for one in moments)
    print(f"{platform}: {len(moments)} requests, at most {most} in {WINDOW:g} s")
    assert IN_TEN_SECONDS[platform] / 2 < most <= IN_TEN_SECONDS[platform] + LATE


def test_who_waits_for_reports_holds_no_slot_and_no_process(story: Story) -> None:
    assert story.waiting_processes == []
    assert story.slots["deferred"] >= len(story.waiting) >= 1


def test_both_workers_and_both_triggerers_had_work(story: Story) -> None:
    tasks = [
        task
        for p, run in story.runs.items()
        for task in story.api.task_instances(f"cluster_{p}", run)
    ]
    assert {task["hostname"] for task in tasks} <= {*story.stack.workers, ""}
    seen = {path.name for path in (story.stack.home / "hosts").iterdir()}
    assert seen == {*story.stack.names, "migrate"}


def test_hosts_share_staging_and_keep_nothing_of_ours_at_home(story: Story) -> None:
    assert any((story.home / "staging").rglob("*.parquet"))
    for host in (story.stack.home / "hosts").iterdir():
        assert [path for path in host.rglob("*") if "liftos" in path.name] == []


def reports(platform: str) -> int:
    from airflow_provider_liftos.platforms import get

    return len(get(platform).usual_reports)


def told(story: Story, columns: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(story.urls["warehouse"]) as connection:
        return connection.execute(f"SELECT DISTINCT {columns} FROM liftos.loads").fetchall()


def published(story: Story) -> Path:
    """What stands in Postgres, as a DuckDB file: the comparison with the truth reads those."""
    path = story.home / "published.duckdb"
    with (
        psycopg.connect(story.urls["warehouse"], row_factory=dict_row) as source,
        closing(duckdb.connect(str(path))) as target,
    ):
        target.execute("CREATE SCHEMA liftos")
        for name in TABLES:
            rows = source.execute(f"SELECT * FROM liftos.{name}").fetchall()
            rows = [{key: plain(value) for key, value in row.items()} for row in rows]
            copied = pa.Table.from_pylist(rows)  # noqa: F841  DuckDB finds it by its name
            target.execute(f"CREATE TABLE liftos.{name} AS SELECT * FROM copied")
    return path


def plain(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | list) else value
