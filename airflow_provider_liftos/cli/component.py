"""One long-running process of the local Airflow and everything it forked.

Each component leads a session of its own. Airflow puts a running task into a process group of
its own (task SDK 1.3, ``supervisor.start(new_process_group=True)``) but never into a new session,
so the session id finds workers and tasks even after their parent was killed; what a task itself
moved to yet another session (``BashOperator`` does) is found as a descendant while the parent
lives.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from airflow_provider_liftos.model.errors import LiftosError

_CLOCK_STEP = 2.0
"""Seconds by which two readings of one process' start may differ when the clock is corrected."""


class StackError(LiftosError):
    """The local Airflow could not be started, or a part of it died."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A started process, recognisable later: ``started`` guards against a reused pid."""

    name: str
    pid: int
    started: float

    def record(self) -> dict[str, str | int | float]:
        """Return the plain form kept in the pid file."""
        return asdict(self)

    def leads(self) -> bool:
        """Whether the process itself still runs (a zombie does not)."""
        leader = _process(self.pid)
        return leader is not None and self._is_me(leader)

    def family(self) -> list[psutil.Process]:
        """Return the living process, if any, first, then all that it and its session forked."""
        leader = _process(self.pid)
        if leader is not None and not self._is_me(leader):
            return []  # the pid went to a stranger: all of ours are long gone
        found = [] if leader is None else [leader, *_descendants(leader)]
        known = {process.pid for process in found}
        found += [p for p in _session(self.pid) if p.pid not in known]
        return [p for p in found if _alive(p)]

    def _is_me(self, process: psutil.Process) -> bool:
        with suppress(psutil.Error):
            return bool(abs(process.create_time() - self.started) < _CLOCK_STEP)
        return False


def spawn(
    name: str, command: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path
) -> tuple[Component, subprocess.Popen[bytes]]:
    """Start ``command`` as the leader of a new session; its output is appended to ``log``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(
            command,
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    process = _process(child.pid)
    started = process.create_time() if process else time.time()
    return Component(name=name, pid=child.pid, started=started), child


def end(components: Sequence[Component], *, patience: float) -> None:
    """End the components and all they forked: SIGINT, then SIGTERM, then SIGKILL.

    Each of the first two is given ``patience`` seconds. SIGINT goes to the process group, as
    Ctrl-C would; the harder signals go to every single process that is left.

    Raises:
        StackError: something survived SIGKILL, which only a process stuck in the kernel does.
    """
    left = _families(components)
    for component in components:
        if component.leads():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(component.pid, signal.SIGINT)
    left = _outlive(components, left, patience)
    for stronger, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 5.0)):
        if not left:
            return
        _signal(left, stronger)
        left = _outlive(components, left, seconds)
    if left:
        _kill(components, left)


def kill(component: Component) -> None:
    """SIGKILL the whole family at once, as a power cut or an OOM killer would."""
    _kill([component], _families([component]))


def tail(log: Path, lines: int = 25) -> str:
    """Return the last lines of a log, for an error message."""
    if not log.exists():
        return "(no log)"
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def _kill(components: Sequence[Component], left: list[psutil.Process]) -> None:
    until = time.monotonic() + 5
    while left and time.monotonic() < until:  # again: a fork may race with the first round
        _signal(left, signal.SIGKILL)
        left = _outlive(components, left, 0.2)
    if left:
        pids = ", ".join(str(process.pid) for process in left)
        raise StackError(f"processes {pids} of the local Airflow do not end, even after SIGKILL.")


def _signal(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.send_signal(number)


def _outlive(
    components: Sequence[Component], known: list[psutil.Process], seconds: float
) -> list[psutil.Process]:
    """Wait until all are gone, at most ``seconds``; return who is left, newcomers included."""
    until = time.monotonic() + seconds
    while True:
        left = {p.pid: p for p in [*known, *_families(components)] if _alive(p)}
        if not left or time.monotonic() >= until:
            return list(left.values())
        known = list(left.values())
        time.sleep(0.05)


def _families(components: Sequence[Component]) -> list[psutil.Process]:
    return [process for component in components for process in component.family()]


def _process(pid: int) -> psutil.Process | None:
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        return process if _alive(process) else None
    return None


def _alive(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def _descendants(leader: psutil.Process) -> list[psutil.Process]:
    with suppress(psutil.Error):
        return list(leader.children(recursive=True))
    return []


def _session(leader: int) -> list[psutil.Process]:
    members = []
    for pid in psutil.pids():
        with suppress(psutil.Error, OSError):
            if os.getsid(pid) == leader:
                members.append(psutil.Process(pid))
    return members
