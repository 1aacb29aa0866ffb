"""The sandbox as a process beside a local Airflow."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import httpx2

from airflow_provider_liftos.cli import component
from airflow_provider_liftos.cli.component import Component, StackError

_PATIENCE = 30.0


class SandboxProcess:
    """``liftos-sandbox serve`` under ``home``; its pid file lets another process end it."""

    def __init__(self, home: Path, *, port: int = 8650, report_seconds: float = 5.0) -> None:
        self.home = home.resolve()
        self.url = f"http://127.0.0.1:{port}"
        self.report_seconds = report_seconds
        self.secrets_file = self.home / "sandbox-secrets.txt"
        self._port = port

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            StackError: the port is taken, or it did not come up.
        """
        if self._healthy():
            raise StackError(f"something already answers on {self.url}.", hint="make down")
        self.home.mkdir(parents=True, exist_ok=True)
        command = [
            str(Path(sys.executable).with_name("liftos-sandbox")), "serve",
            "--http", f"127.0.0.1:{self._port}", "--report-seconds", str(self.report_seconds),
            "--secrets-file", str(self.secrets_file),
        ]  # fmt: skip
        log = self.home / "sandbox.log"
        started, child = component.spawn("sandbox", command, env=os.environ, cwd=self.home, log=log)
        _pid_file(self.home).write_text(json.dumps(started.record()))
        until = time.monotonic() + _PATIENCE
        while not self._healthy():
            if child.poll() is not None or time.monotonic() > until:
                self.stop()
                raise StackError(f"the sandbox did not start; end of {log}:\n{component.tail(log)}")
            time.sleep(0.1)

    def stop(self) -> None:
        """End it; may be called at any time, and twice."""
        stop_recorded(self.home)

    def _healthy(self) -> bool:
        try:
            answer = httpx2.get(f"{self.url}/_sandbox/health", timeout=2.0, trust_env=False)
        except httpx2.HTTPError:
            return False
        return answer.status_code == httpx2.codes.OK


def stop_recorded(home: Path) -> bool:
    """End the sandbox whose pid file is under ``home``; whether one was running."""
    path = _pid_file(home.resolve())
    try:
        started = Component(**json.loads(path.read_text()))
    except FileNotFoundError:
        return False
    running = bool(started.family())
    component.end([started], patience=3.0)
    path.unlink(missing_ok=True)
    return running


def _pid_file(home: Path) -> Path:
    return home / "sandbox.json"
