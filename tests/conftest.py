"""Fixtures for the whole suite."""

from __future__ import annotations

import functools
import os
import pwd
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import httpcore2
import pytest
from hypothesis import HealthCheck, settings

from tests import distribution
from tests.ports import free_port
from tests.processes import forked

# How long an example takes says something of the machine alone, which may have much to do.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def required(what: str) -> bool:
    """Whether ``LIFTOS_REQUIRE`` (a list by commas) says that a missing ``what`` is a failure."""
    return what in os.environ.get("LIFTOS_REQUIRE", "").replace(" ", "").split(",")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: distribution.rank(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    given = "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ
    return None if given else distribution.workers()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> distribution.Together:
    return distribution.Together(config, log)


@pytest.fixture(scope="session", autouse=True)
def authorities() -> Iterator[None]:
    """The authorities' certificates are read once: 30 ms that each of thousands of clients spends."""
    read = functools.lru_cache(_certificates)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "httpcore2.default_ssl_context",
            lambda *, _trust_env=True: read(
                _trust_env, os.getpid(), *map(os.environ.get, ("SSL_CERT_FILE", "SSL_CERT_DIR"))
            ),
        )
        yield


def _certificates(trust_env: bool, *_: object) -> ssl.SSLContext:
    return httpcore2._ssl.default_ssl_context(_trust_env=trust_env)


@pytest.fixture(scope="module")
def processes() -> Iterator[ForkServerContext]:
    with forked() as context:
        yield context


def skip_unless_required(what: str, reason: str) -> None:
    """Skip with a visible reason, or fail when this machine promised to have it."""
    if required(what):
        pytest.fail(f"LIFTOS_REQUIRE names {what}, but {reason}")
    pytest.skip(reason)


class PostgresServer:
    """A private Postgres server on a unix socket, gone at the end of the session."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._folder = folder
        self._data = folder / "data"

    def start(self, *, port: int = 0) -> str:
        """Its URL; over TCP, on this host alone, where a port is given."""
        self._run("initdb", "-D", self._data, "-U", "liftos", "-A", "trust", "-E", "UTF8", "-N")
        # No TCP at all, and no waiting for the disk: the data is thrown away.
        options = f"-k {self._folder} -c listen_addresses= -c fsync=off -c max_connections=300"
        if port:
            options += f" -c listen_addresses=127.0.0.1 -c port={port}"
        log = self._folder / "log"
        self._run("pg_ctl", "-D", self._data, "-l", log, "-w", "-t", "180", "-o", options, "start")
        if port:
            return f"postgresql://liftos@127.0.0.1:{port}/postgres"
        return f"postgresql://liftos@/postgres?host={self._folder}"

    def stop(self) -> None:
        self._run("pg_ctl", "-D", self._data, "-m", "immediate", "stop")

    def _run(self, program: str, *arguments: object) -> None:
        command = [str(self._programs / program), *map(str, arguments)]
        if os.geteuid() == 0:  # Postgres refuses to run as root
            command = ["runuser", "-u", unprivileged_user(), "--", *command]
        with (self._folder / "commands").open("a+") as output:  # a pipe would outlive pg_ctl
            done = subprocess.run(
                command, check=False, cwd=self._folder, stdout=output, stderr=output
            )
            if done.returncode:
                output.seek(0)
                raise RuntimeError(f"{program} failed: {output.read()}")


def unprivileged_user() -> str:
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def postgres_programs() -> Path | None:
    on_path = shutil.which("pg_ctl")
    found = [Path(on_path).resolve().parent] if on_path else []
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in found if (folder / "initdb").exists()), None)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of the server's own database."""
    with _running() as url:
        yield url


@contextmanager
def postgres_over_tcp() -> Iterator[str]:
    """A server that is spoken to as those of other hosts are; the URL of its own database."""
    with _running(port=free_port()) as url:
        yield url


@contextmanager
def _running(*, port: int = 0) -> Iterator[str]:
    programs = postgres_programs()
    if programs is None:
        skip_unless_required("postgres", "there is no Postgres server here (initdb, pg_ctl)")
    if os.geteuid() == 0 and not shutil.which("runuser"):
        skip_unless_required("postgres", "Postgres does not run as root, and there is no runuser")
    # Not pytest's own temporary folder: others could not enter it, and socket paths must be short.
    folder = Path(tempfile.mkdtemp(prefix="liftos-pg-"))
    if os.geteuid() == 0:
        shutil.chown(folder, unprivileged_user())
    server = PostgresServer(programs, folder)
    try:
        yield server.start(port=port)
    finally:
        if (folder / "data" / "postmaster.pid").exists():
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def new_postgres_database(postgres_server: str) -> Callable[[], str]:
    """Makes an empty database and gives its URL."""
    psycopg = pytest.importorskip("psycopg")
    count = 0

    def make() -> str:
        nonlocal count
        count += 1
        with psycopg.connect(postgres_server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE liftos_{count}")
        return postgres_server.replace("/postgres?", f"/liftos_{count}?")

    return make


@pytest.fixture(scope="session")
def postgres_url(new_postgres_database: Callable[[], str]) -> str:
    """One database for the whole session; tests in it use an ``org_id`` of their own."""
    return new_postgres_database()


@pytest.fixture(params=["sqlite", "postgres"])
def empty_store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A state URL with nothing behind it yet, once per kind of store."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/state/state.db"
    return request.getfixturevalue("new_postgres_database")()


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A state URL, once per kind of store."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/state.db"
    return request.getfixturevalue("postgres_url")
