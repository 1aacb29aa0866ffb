"""The environment of the local Airflow: settings, secrets, and nothing inherited by accident."""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

HOST = "127.0.0.1"


def airflow_env(
    home: Path,
    dags_folder: Path,
    *,
    port: int,
    parallelism: int,
    paused_at_creation: bool,
    extra: Mapping[str, str],
) -> dict[str, str]:
    """Return the whole environment of each component.

    ``AIRFLOW_*`` of the caller is dropped, so that a developer's own Airflow neither disturbs
    nor is disturbed; ``extra`` wins over everything.
    """
    inherited = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("AIRFLOW_", "_AIRFLOW_"))
    }
    loopback = ",".join(filter(None, [inherited.get("NO_PROXY"), HOST, "localhost"]))
    options = {
        **_server(home, port),
        **_tempo(),
        "CORE__DAGS_FOLDER": str(dags_folder),
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": str(paused_at_creation),
        "CORE__PARALLELISM": str(parallelism),
    }
    return {
        **inherited,
        "AIRFLOW_HOME": str(home),
        "NO_PROXY": loopback,
        "no_proxy": loopback,
        "PYTHONUNBUFFERED": "1",
        **{f"AIRFLOW__{key}": value for key, value in options.items()},
        **extra,
    }


def _server(home: Path, port: int) -> dict[str, str]:
    keys = _secrets(home / "secrets.json")
    url = f"http://{HOST}:{port}"
    return {
        "API__BASE_URL": url,
        "API__HOST": HOST,
        "API__PORT": str(port),
        "API__SECRET_KEY": keys["session"],
        "API__WORKER_TIMEOUT": "15",  # also how long a shutdown waits for open connections
        "API_AUTH__JWT_SECRET": keys["jwt"],
        "CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__FERNET_KEY": keys["fernet"],
        "CORE__HOSTNAME_CALLABLE": "socket.gethostname",  # no name server is asked
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",  # nobody but loopback reaches it
        "CORE__TEST_CONNECTION": "Enabled",
        # Four processes share one SQLite file: wait for the writer rather than fail after 5 s.
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{database(home)}?timeout=30",
        "LIFTOS__CREDENTIAL_KEYS": keys["credentials"],
        "LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "LOGGING__COLORED_CONSOLE_LOG": "False",
        "USAGE_DATA_COLLECTION__ENABLED": "False",
        # The first Execution API request after a start took 9.8 s on a busy machine.
        "WORKERS__EXECUTION_API_TIMEOUT": "30",
    }


def _tempo() -> dict[str, str]:
    """Return intervals for a person who waits.

    ``[workers] min_heartbeat_interval`` stays at Airflow's default (5 s) on purpose: our
    operators have to hold with it.
    """
    return {
        "CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "2",
        # New files are looked for every 3 s and changed ones read again at once; only unchanged
        # files wait for the long interval, otherwise reading them over and over eats a core.
        "DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "120",
        "DAG_PROCESSOR__REFRESH_INTERVAL": "3",
        # A killed scheduler's or triggerer's work is taken over after 15 s instead of 5 min.
        "SCHEDULER__JOB_HEARTBEAT_SEC": "2",
        "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
        "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
        "SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "2",
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "120",
        "TRIGGERER__JOB_HEARTBEAT_SEC": "2",
        "TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "15",
    }


def database(home: Path) -> Path:
    """Return the SQLite file of the metadata; Airflow itself switches it to WAL."""
    return home / "airflow.db"


def _key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def _secrets(path: Path) -> dict[str, str]:
    """Return this home's keys; made once, because what is stored is encrypted with some of them."""
    kept: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    made = {
        "fernet": _key(),
        "jwt": secrets.token_urlsafe(64),
        "session": secrets.token_urlsafe(32),
        "credentials": _key(),
        **kept,
    }
    if made == kept:
        return kept
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(made, file)
    draft.replace(path)
    return made
