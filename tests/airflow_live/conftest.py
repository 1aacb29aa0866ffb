"""One real Airflow and one sandbox for all tests of this folder: they take half a minute to start.

A test module may define ``begin(live)``: what it returns is kept as ``live.begun[<module>]``. All
of them are called before the first test, so that runs overlap.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_liftos.cli import airflow_env
from airflow_provider_liftos.cli.airflow_api import AirflowApi
from airflow_provider_liftos.cli.stack import Stack
from airflow_provider_liftos.sandbox import Sandbox
from tests.airflow_live.live import CAPS, PATIENCE, WAREHOUSES, Live, LoggedIn
from tests.conftest import postgres_programs
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
DAG_FOLDERS = (ROOT / "dags", Path(__file__).parent / "dags")

USERS = ("admin", "viewer")
TOKENS = {
    "liftos_meta_default": "sandbox-token",
    "liftos_meta_live": "sandbox-token",
    "liftos_meta_faulty": "sandbox-token",
    "liftos_meta_some": "sandbox-token-some",
    "liftos_meta_capped": "sandbox-token",
    "liftos_meta_refused": "EAAB-wrong-token-of-nobody",
}


@pytest.fixture(scope="session")
def live(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Live]:
    base = tmp_path_factory.mktemp("airflow")
    dags = base / "dags"
    dags.mkdir()
    for folder in DAG_FOLDERS:
        for file in sorted(folder.glob("*.py")):
            shutil.copy(file, dags / file.name)
    home = base / "liftos"
    home.mkdir()
    database = metadata(request, base / "home")
    env = {**settings(home), **logins(base), **database}
    airflow = Stack(base / "home", dags, env=env, port=free_port(), patience=PATIENCE)
    airflow.api = LoggedIn(airflow.base_url)
    # No longer than a deferral lasts at least, and longer than submitting takes on a busy machine.
    with Sandbox(report_seconds=12.0) as sandbox, airflow as stack:
        url = database["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
        running = Live(stack=stack, sandbox=sandbox, home=home, metadata_url=url)
        connect(running)
        modules = dict.fromkeys(item.module for item in request.session.items)
        for module in modules:
            if begin := getattr(module, "begin", None):
                running.begun[module.__name__] = begin(running)
        yield running


@pytest.fixture(scope="session")
def stack(live: Live) -> tuple[Stack, AirflowApi]:
    """The same Airflow, with nothing around it."""
    return live.stack, live.api


def metadata(request: pytest.FixtureRequest, home: Path) -> dict[str, str]:
    """Airflow's metadata in Postgres, as in every cluster, where this machine has one.

    Its SQLite now and then answers "database is locked" when many runs are under way.
    """
    if postgres_programs() is None:
        path = f"sqlite:///{airflow_env.database(home)}?timeout=30"
        return {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": path}
    place = request.getfixturevalue("new_postgres_database")().removeprefix("postgresql://")
    return {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{place}",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": f"postgresql+asyncpg://{place}",
    }


def logins(base: Path) -> dict[str, str]:
    """Airflow with a login, so that a request without one is nobody's."""
    passwords = base / "passwords.json"
    passwords.write_text(json.dumps({name: name for name in USERS}))
    return {
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{n}:{n}" for n in USERS),
    }


def settings(home: Path) -> dict[str, str]:
    """Only what a deployment has to say; the deferral settings are ours and Airflow's defaults."""
    return {
        "AIRFLOW__LIFTOS__STAGING_URL": str(home / "staging"),
        "AIRFLOW__LIFTOS__STATE_URL": f"sqlite:///{home / 'state.db'}",
        "AIRFLOW__LIFTOS__DUCKDB_PATH": str(home / "warehouse.duckdb"),
        "AIRFLOW__LIFTOS__POLL_SECONDS": "2",
        "AIRFLOW__LIFTOS__ACCOUNTS_PER_TASK": "3",
    }


def connect(live: Live) -> None:
    for conn_id, token in TOKENS.items():
        extra = {"access_token": token, "app_id": "1001", "app_secret": "sandbox-secret", **CAPS}
        if conn_id.endswith("faulty"):  # its failures are not to slow the others
            extra["org_id"] = "faulty"
        if conn_id.endswith("capped"):
            # Within an organization, connections of one app share its limits.
            extra |= {"requests_per_hour": 1, "org_id": "capped"}
        live.api.create_connection(
            conn_id, "liftosmeta", host=f"{live.sandbox.url}/meta", extra=extra
        )
    for name in WAREHOUSES:
        live.api.create_connection(f"warehouse_{name}", "duckdb", host=str(live.warehouse(name)))
