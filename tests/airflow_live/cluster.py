"""What a cluster is made of, as processes of one machine: hosts, Celery's workers, Redis.

A host is a name, a working folder and an ``AIRFLOW_HOME`` of its own. What real hosts share is
shared here, too, and nothing else: Postgres, Redis, the API server, the DAG folder, the folder of
task logs (where a cluster has a log store) and staging.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

from airflow_provider_liftos.cli.stack import Stack
from tests.conftest import skip_unless_required
from tests.ports import free_port

HOST_NAMES = """
import os


def mine() -> str:
    return os.environ["HOST_NAME"]
"""
"""A module for ``[core] hostname_callable``: by it Airflow tells its hosts apart."""


class Cluster(Stack):
    """Airflow with Celery's executor, each component on a host of its own.

    Workers are ``worker-1`` and so on; they stand beside the names of ``Stack``.
    """

    def __init__(
        self,
        home: Path,
        dags_folder: Path,
        *,
        env: Mapping[str, str],
        workers: int,
        patience: float,
    ) -> None:
        inherited = os.environ.get("PYTHONPATH", "")
        options = {
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__CORE__HOSTNAME_CALLABLE": "host_names.mine",
            "AIRFLOW__CELERY__WORKER_CONCURRENCY": "2",
            "PYTHONPATH": os.pathsep.join([str(home / "modules"), *inherited.split(os.pathsep)]),
        }
        super().__init__(
            home,
            dags_folder,
            env={**options, **env},
            port=free_port(),
            parallelism=8,
            triggerers=2,
            patience=patience,
        )
        self.workers = tuple(f"worker-{number + 1}" for number in range(workers))
        self.names = (*self.names, *self.workers)
        modules = self.home / "modules"
        modules.mkdir(parents=True)
        (modules / "host_names.py").write_text(HOST_NAMES)

    def _place(self, name: str) -> Path:
        return self.home / "hosts" / name

    def _environment(self, name: str) -> Mapping[str, str]:
        return {**self._env, "HOST_NAME": name, "AIRFLOW_HOME": str(self._place(name))}

    def _arguments(self, name: str) -> Sequence[str]:
        if name not in self.workers:
            return super()._arguments(name)
        return ("celery", "worker", "--celery-hostname", name, "--skip-serve-logs")

    def _all_report(self, names: Sequence[str], since: datetime) -> bool:
        workers = [name for name in names if name in self.workers]
        others = [name for name in names if name not in self.workers]
        return all(map(self._ready, workers)) and super()._all_report(others, since)

    def _ready(self, worker: str) -> bool:
        """Workers register nothing in Airflow's database; Celery says when one listens."""
        return f"{worker} ready." in self.log(worker).read_text(errors="replace")


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """A private Redis on a free port of loopback; its URL, with a password."""
    program = shutil.which("redis-server")
    if program is None:
        skip_unless_required("redis", "there is no redis-server here")
    port = free_port()
    password = secrets.token_hex(16)
    settings = folder / "redis.conf"  # not the command line, which everybody may read
    settings.write_text(
        f'bind 127.0.0.1\nport {port}\nrequirepass {password}\nsave ""\nappendonly no\n'
        f"dir {folder}\nlogfile {folder}/redis.log\n"
    )
    server = subprocess.Popen([program, str(settings)])
    try:
        _answers(port, server)
        yield f"redis://:{password}@127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait(timeout=60)


def _answers(port: int, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while server.poll() is None and time.monotonic() < until:
        with closing(socket.socket()) as connection:
            if connection.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("Redis did not start")
