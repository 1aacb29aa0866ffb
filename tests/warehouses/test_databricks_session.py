"""Sessions of Databricks: opened with or without tags, and left alone by children."""

from __future__ import annotations

import logging
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import pytest

from airflow_provider_liftos.model.errors import WarehouseError
from airflow_provider_liftos.sandbox.databricks import DatabricksSandbox
from airflow_provider_liftos.warehouses.databricks_session import DatabricksServer
from tests.warehouses.databricks_server import connector

LOG = "airflow_provider_liftos.warehouses.databricks_session"


@pytest.fixture
def sandbox() -> Iterator[DatabricksSandbox]:
    with DatabricksSandbox() as running:
        yield running


def asked(server: DatabricksServer) -> object:
    with server.session() as session:
        return session.execute("SELECT 1 AS n")


def test_tags_are_sent(sandbox):
    assert asked(DatabricksServer(connector(sandbox), "w")) == [(1,)]
    assert sandbox.service.last["QUERY_TAGS"].startswith("app:liftos")


def test_a_workspace_without_tags_is_asked_once(sandbox, caplog):
    sandbox.service.known -= {"QUERY_TAGS"}
    opened = []
    connect = connector(sandbox)

    def counted(folder: str, *, tags: bool) -> object:
        opened.append(tags)
        return connect(folder, tags=tags)

    now = 0.0
    server = DatabricksServer(counted, "host/main", clock=lambda: now)
    with caplog.at_level(logging.INFO, logger=LOG):
        assert asked(server) == [(1,)]
        now += 61  # a new connection
        assert asked(server) == [(1,)]
    assert opened == [True, False, False]
    assert "QUERY_TAGS" not in sandbox.service.last
    assert sandbox.service.last["TIMEZONE"] == "UTC"
    [line] = [one for one in caplog.records if one.name == LOG]
    assert "host/main" in line.message


def test_what_else_a_workspace_lacks_is_told_and_not_left_out(sandbox):
    sandbox.service.known -= {"TIMEZONE"}
    opened = []
    connect = connector(sandbox)

    def counted(folder: str, *, tags: bool) -> object:
        opened.append(tags)
        return connect(folder, tags=tags)

    with pytest.raises(WarehouseError, match="TIMEZONE is not available"):
        asked(DatabricksServer(counted, "w"))
    assert opened == [True]


FORKED = """
    import gc, os, sys
    from types import SimpleNamespace
    from airflow_provider_liftos.warehouses.databricks_session import DatabricksServer
    from tests.warehouses.databricks_server import connector

    url, token, path = sys.argv[1:]
    extra = {"http_path": path, "_connection_uri": url + path, "enable_telemetry": False}
    there = SimpleNamespace(host="127.0.0.1", http_path=path, token=token, extra=extra)
    server = DatabricksServer(connector(there), "w")

    def ask():
        with server.session() as session:
            return session.connection, session.execute("SELECT 1 AS n")

    def in_child(work):
        child = os.fork()
        if not child:
            work()
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0

    def forget():
        global server, mine
        del server, mine
        gc.collect()

    def fail():
        raise OSError("of the child")

    mine, _ = ask()
    in_child(ask)          # has a connection of its own, which it closes
    assert ask()[0] is mine
    in_child(forget)       # and one that only lets go of everything
    assert ask()[0] is mine
    with server.session() as session:
        pid = os.getpid()
        child = os.fork()  # one that leaves the block in which its parent still is
        if child:
            assert os.waitpid(child, 0)[1] == 0
            session.execute("SELECT 1 AS n")
    if os.getpid() != pid:
        server = session = mine = None
        gc.collect()
        sys.exit(0)
    assert ask()[0] is mine
"""


def test_children_leave_their_parents_sessions_open(sandbox):
    """Three that were forked: one works on, one lets go, one was forked amid a statement's block."""
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", textwrap.dedent(FORKED),
         sandbox.url, sandbox.token, sandbox.http_path],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert sandbox.service.opened == 2, "the parent's, and the first child's own"
    assert sandbox.service.sessions == set(), "each was closed by who had opened it"
