"""A fresh virtual environment with a bare Airflow and our wheel in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """An Airflow release and the versions it is tried with."""

    airflow: str
    constraints: Path


NEWEST = Release(airflow="3.3.2", constraints=ROOT / "constraints.txt")
OLDEST = Release(airflow="3.2.0", constraints=Path(__file__).with_name("floor.txt"))


class Environment:
    """Runs programs of the environment with an Airflow home of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.programs = folder / "venv" / "bin"
        self.variables = {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
        }

    def install(self, release: Release, *requirements: str | Path) -> None:
        """Make the environment; nothing of the one that runs the tests leaks into it."""
        self.home.mkdir(parents=True)
        uv("venv", "--quiet", "--python", sys.executable, self.folder / "venv")
        uv(
            "pip", "install", "--quiet", "--python", self.programs / "python",
            "--constraint", release.constraints,
            f"apache-airflow=={release.airflow}", *requirements,
        )  # fmt: skip

    def run(self, program: str, *arguments: object, timeout: float = 600, **env: str) -> str:
        """Output of a program; its complaints are in the AssertionError when it fails."""
        done = subprocess.run(
            [str(self.programs / program), *map(str, arguments)],
            env=self.environment(**env), cwd=self.folder, timeout=timeout,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{program} {arguments}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def environment(self, **env: str) -> dict[str, str]:
        """The caller's environment without its Airflow and Python settings, and ours."""
        alien = ("AIRFLOW_", "_AIRFLOW_", "PYTHON", "PYTEST_", "VIRTUAL_ENV")
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(alien)}
        return inherited | self.variables | env

    def ask(self, program: str, *arguments: object, timeout: float = 600, **env: str) -> Any:
        """What a Python text has assigned to ``answer``."""
        text = f"{program}\nimport json\nprint('ANSWER' + json.dumps(answer))"
        output = self.run("python", "-c", text, *arguments, timeout=timeout, **env)
        line = [line for line in output.splitlines() if line.startswith("ANSWER")][-1]
        return json.loads(line.removeprefix("ANSWER"))


def uv(*arguments: object, given: str | None = None) -> str:
    """Run uv; it uses the configured registry and its cache."""
    done = subprocess.run(
        [str(UV), *map(str, arguments)],
        input=given, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, f"uv {arguments}\n{done.stderr}"
    return done.stdout
