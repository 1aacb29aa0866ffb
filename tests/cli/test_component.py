from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from airflow_provider_liftos.cli import component
from airflow_provider_liftos.cli.component import Component

# A leader whose child moved to a process group of its own, as Airflow's tasks do.
FAMILY = """
import os, signal, sys, time
{leader}
if os.fork() == 0:
    os.setpgid(0, 0)
    {child}
    print("ready", flush=True)
    time.sleep(600)
os.wait()
"""
IGNORE = (
    "signal.signal(signal.SIGINT, signal.SIG_IGN); signal.signal(signal.SIGTERM, signal.SIG_IGN)"
)


def start(tmp_path: Path, *, leader: str = "", child: str = "") -> Component:
    log = tmp_path / "x.log"
    program = FAMILY.format(leader=leader, child=child)
    started, popen = component.spawn(
        "x", [sys.executable, "-c", program], env=dict(os.environ), cwd=tmp_path, log=log
    )
    until = time.monotonic() + 60
    while "ready" not in log.read_text():
        assert popen.poll() is None, log.read_text()
        assert time.monotonic() < until
        time.sleep(0.01)
    assert len(started.family()) == 2
    return started


def test_a_polite_end_reaches_children_in_their_own_process_group(tmp_path):
    started = start(tmp_path)
    component.end([started], patience=1)
    assert started.family() == []


def test_processes_that_ignore_polite_signals_are_killed(tmp_path):
    started = start(tmp_path, leader=IGNORE)
    component.end([started], patience=0.2)
    assert started.family() == []


def test_kill_takes_the_whole_family_at_once(tmp_path):
    started = start(tmp_path, leader=IGNORE)
    component.kill(started)
    assert started.family() == []


def test_children_of_a_dead_leader_are_still_found(tmp_path):
    started = start(tmp_path)
    psutil.Process(started.pid).kill()
    psutil.Process(started.pid).wait()
    assert not started.leads()
    assert len(started.family()) == 1
    component.end([started], patience=0.2)
    assert started.family() == []


def test_a_stranger_with_the_recorded_pid_is_not_touched(tmp_path):
    started = start(tmp_path)
    stranger = replace(started, started=started.started - 3600)
    component.end([stranger], patience=0.1)
    component.kill(stranger)
    assert stranger.family() == []
    assert len(started.family()) == 2
    component.kill(started)


def test_the_tail_of_a_log_is_its_last_lines(tmp_path):
    log = tmp_path / "x.log"
    assert component.tail(log) == "(no log)"
    log.write_text("\n".join(map(str, range(100))))
    assert component.tail(log, 2) == "98\n99"


@pytest.fixture(autouse=True)
def _reap():
    yield
    for child in psutil.Process().children(recursive=True):
        if child.status() == psutil.STATUS_ZOMBIE:
            child.wait()
