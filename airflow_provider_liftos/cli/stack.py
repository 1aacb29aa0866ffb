"""A real Airflow on loopback: API server, scheduler, DAG processor, triggerer; SQLite metadata.

For a laptop, the demo and the tests. Everybody who reaches the port is admin, hence loopback only.
"""

from __future__ import annotations

import json
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

from airflow_provider_liftos.cli import component
from airflow_provider_liftos.cli.airflow_api import AirflowApi, AirflowApiError
from airflow_provider_liftos.cli.airflow_env import HOST, airflow_env, database
from airflow_provider_liftos.cli.component import Component, StackError

API_SERVER, SCHEDULER, DAG_PROCESSOR, TRIGGERER = (
    "api-server",
    "scheduler",
    "dag-processor",
    "triggerer",
)
_JOB_TYPES = {
    SCHEDULER: "SchedulerJob",
    DAG_PROCESSOR: "DagProcessorJob",
    TRIGGERER: "TriggererJob",
}
# Log servers would listen on every interface; the API server reads the log files itself.
_OPTIONS = {SCHEDULER: ("--skip-serve-logs",), TRIGGERER: ("--skip-serve-logs",)}


class Stack:
    """One Airflow with everything it keeps under ``home``.

    Components are ``api-server``, ``scheduler``, ``dag-processor``, ``triggerer`` and, with
    ``triggerers`` above one, ``triggerer-2`` and so on; each logs to ``home/logs/<name>.log``.
    ``env`` is laid over the environment of every component. Without ``port`` a free one is
    taken. ``patience`` is how long a start-up, and ``grace`` how long each polite signal of
    ``stop``, may take, in seconds.
    """

    def __init__(
        self,
        home: Path,
        dags_folder: Path,
        *,
        env: Mapping[str, str] = MappingProxyType({}),
        port: int | None = None,
        parallelism: int = 4,
        triggerers: int = 1,
        paused_at_creation: bool = True,
        patience: float = 240.0,
        grace: float = 10.0,
    ) -> None:
        self.home = home.resolve()
        self.dags_folder = dags_folder.resolve()
        self.port = port or _free_port()
        self.base_url = f"http://{HOST}:{self.port}"
        self.api = AirflowApi(self.base_url)
        self._env = airflow_env(
            self.home,
            self.dags_folder,
            port=self.port,
            parallelism=parallelism,
            paused_at_creation=paused_at_creation,
            extra=env,
        )
        more = [f"{TRIGGERER}-{number}" for number in range(2, triggerers + 1)]
        self.names = (API_SERVER, SCHEDULER, DAG_PROCESSOR, TRIGGERER, *more)
        self._patience = patience
        self._grace = grace
        self._components: dict[str, Component] = {}
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start everything and return when all components report healthy.

        The scheduler starts only once the API answers: a task it started earlier would fail.
        The others do not talk to the API, so they use the second core meanwhile (measured on
        two cores with a current database: 14 s instead of 19 s).

        Raises:
            StackError: the port or the home is in use, or a component died or stayed silent.
                Whatever was started by then has been stopped.
        """
        self._refuse_if_taken()
        try:
            self._migrate()
            since = datetime.now(UTC)
            self._spawn(API_SERVER)
            for name in self.names[2:]:
                self._spawn(name)
            self._wait(self._api_answers, [API_SERVER])
            self._spawn(SCHEDULER)
            self._warm_up()
            self._wait(lambda: self._all_report(self.names[1:], since), self.names)
            self._wait(self._healthy, self.names)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End all that runs; may be called at any time, and twice.

        The API server goes last, since tasks that come to their end still report to it.
        """
        if not self._components:
            return  # nothing is ours here, the pid file of another least of all
        _end(list(self._components.values()), self._grace)
        for child in self._children.values():
            child.wait()
        self._components.clear()
        self._children.clear()
        self.api.close()
        self.api = AirflowApi(self.base_url)
        _pid_file(self.home).unlink(missing_ok=True)

    def kill(self, name: str) -> None:
        """SIGKILL a component with all its workers and tasks; the others go on."""
        component.kill(self._components[name])
        self._children[name].wait()

    def start_component(self, name: str) -> None:
        """Start a component that was killed, and return when it reports.

        Raises:
            StackError: it still runs, died, or stayed silent.
        """
        if name in self._components and self._components[name].leads():
            raise StackError(f"{name} of {self.home} is running already.")
        since = datetime.now(UTC)
        self._spawn(name)
        if name == API_SERVER:
            self._wait(self._api_answers, [name])
        else:
            self._wait(lambda: self._all_report([name], since), [name])

    def processes(self) -> dict[str, list[int]]:
        """Return the living process ids of each started component, the component's own first."""
        return {
            name: [process.pid for process in started.family()]
            for name, started in self._components.items()
        }

    def log(self, name: str) -> Path:
        """Return the log file of a component."""
        return self.home / "logs" / f"{name}.log"

    def _refuse_if_taken(self) -> None:
        if any(started.family() for started in _recorded(self.home)):
            raise StackError(
                f"an Airflow of {self.home} is running already.", hint="End it first (make down)."
            )
        with closing(socket.socket()) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, self.port))
            except OSError:
                raise StackError(
                    f"port {self.port} is in use; the Airflow of {self.home} was not started.",
                    hint="End what listens there, or choose another port.",
                ) from None

    def _migrate(self) -> None:
        """Bring the database to this Airflow's schema; a current one costs no time."""
        marker = self.home / "database.json"
        airflow = version("apache-airflow-core")
        revision = _revision(self.home)
        current = {"airflow": airflow, "revision": revision}
        if revision and marker.exists() and json.loads(marker.read_text()) == current:
            return
        self._spawn("migrate", ["db", "migrate"])
        code = self._children["migrate"].wait(timeout=self._patience)
        del self._children["migrate"], self._components["migrate"]
        if code:
            raise StackError(self._obituary("migrate", code))
        marker.write_text(json.dumps({"airflow": airflow, "revision": _revision(self.home)}))

    def _spawn(self, name: str, arguments: Sequence[str] | None = None) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "airflow", *(arguments or self._arguments(name))]
        place = self._place(name)
        place.mkdir(parents=True, exist_ok=True)
        self._components[name], self._children[name] = component.spawn(
            name, command, env=self._environment(name), cwd=place, log=self.log(name)
        )
        _record(self.home, self.port, list(self._components.values()))

    # What may differ between components: what a cluster gives each of its hosts.

    def _place(self, name: str) -> Path:  # noqa: ARG002
        """Return the folder in which a component works."""
        return self.home

    def _environment(self, name: str) -> Mapping[str, str]:  # noqa: ARG002
        return self._env

    def _arguments(self, name: str) -> Sequence[str]:
        kind = _kind(name)
        return (kind, *_OPTIONS.get(kind, ()))

    def _wait(self, ready: Callable[[], bool], names: Sequence[str]) -> None:
        until = time.monotonic() + self._patience
        while not ready():
            for name, child in self._children.items():
                if name in names and child.poll() is not None:
                    raise StackError(self._obituary(name, child.returncode))
            if time.monotonic() >= until:
                logs = "".join(f"\n--- {n}\n{component.tail(self.log(n), 8)}" for n in names)
                raise StackError(f"no sign of life after {self._patience:g} s.{logs}")
            time.sleep(0.2)

    def _obituary(self, name: str, code: int) -> str:
        log = self.log(name)
        return f"{name} ended with code {code}; end of {log}:\n{component.tail(log)}"

    def _api_answers(self) -> bool:
        with suppress(AirflowApiError):
            return bool(self.api.health()["metadatabase"]["status"] == "healthy")
        return False

    def _healthy(self) -> bool:
        with suppress(AirflowApiError):
            return all(part["status"] == "healthy" for part in self.api.health().values())
        return False

    def _all_report(self, names: Sequence[str], since: datetime) -> bool:
        """Whether each component has registered its job; health alone knows one per kind."""
        kinds = [_kind(name) for name in names]
        with suppress(AirflowApiError):
            return all(self._jobs_since(kind, since) >= kinds.count(kind) for kind in set(kinds))
        return False

    def _jobs_since(self, kind: str, since: datetime) -> int:
        jobs = self.api.jobs(_JOB_TYPES[kind])
        return sum(datetime.fromisoformat(job["start_date"]) >= since for job in jobs)

    def _warm_up(self) -> None:
        """Let the API server build its Execution API now rather than in the first task."""
        with suppress(AirflowApiError):
            self.api.warm_up()


def stop_recorded(home: Path, *, grace: float = 10.0) -> list[str]:
    """End the Airflow that another process started under ``home``; return the names ended.

    Only processes whose pid and start time are those of the pid file are touched.
    """
    running = [started for started in _recorded(home.resolve()) if started.family()]
    _end(running, grace)
    _pid_file(home.resolve()).unlink(missing_ok=True)
    return [started.name for started in running]


def _end(components: Sequence[Component], grace: float) -> None:
    component.end([c for c in components if c.name != API_SERVER], patience=grace)
    component.end([c for c in components if c.name == API_SERVER], patience=grace)


def _kind(name: str) -> str:
    return TRIGGERER if name.startswith(TRIGGERER) else name


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _revision(home: Path) -> str | None:
    """Return the schema revision of the database; None if there is no usable one."""
    path = database(home)
    if path.exists():
        with suppress(sqlite3.Error), closing(sqlite3.connect(path)) as connection:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            return str(row[0]) if row else None
    return None


def _pid_file(home: Path) -> Path:
    return home / "stack.json"


def _record(home: Path, port: int, components: Sequence[Component]) -> None:
    path = _pid_file(home)
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps({"port": port, "processes": [c.record() for c in components]}))
    draft.replace(path)  # never half a file, even if we are killed here


def _recorded(home: Path) -> list[Component]:
    try:
        record = json.loads(_pid_file(home).read_text())
    except FileNotFoundError:
        return []
    return [Component(**process) for process in record["processes"]]
