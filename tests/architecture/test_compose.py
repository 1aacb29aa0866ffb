"""``docker-compose.yaml`` as far as it can be judged without an engine."""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.hooks.config import OPTIONS
from airflow_provider_liftos.hooks.warehouse import open_warehouse
from airflow_provider_liftos.provider_info import get_provider_info
from airflow_provider_liftos.sandbox import Sandbox
from airflow_provider_liftos.sandbox.cli import _split
from airflow_provider_liftos.state.keyring import KeyRing
from airflow_provider_liftos.warehouses.postgres import PostgresWarehouse

ROOT = Path(__file__).parents[2]
FILES = ROOT / "include" / "compose"
TEXT = (ROOT / "docker-compose.yaml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
AIRFLOW = {"api-server", "scheduler", "dag-processor", "triggerer", "worker"}
RUNNING = {"scheduler", "triggerer", "worker"}
CONNECTIONS = ("LIFTOS_META_CONNECTION", "LIFTOS_GOOGLE_ADS_CONNECTION", "LIFTOS_TIKTOK_CONNECTION")
PASSWORDS = ("POSTGRES_PASSWORD", "LIFTOS_DB_PASSWORD", "REDIS_PASSWORD")

KEYS = {"build", "command", "depends_on", "deploy", "entrypoint", "environment", "healthcheck", "image",
        "ports", "restart", "stop_grace_period", "volumes"}  # fmt: skip
OF_CELERY = {"celery", "celery_broker_transport_options"}
"""Sections that Airflow knows only with Celery's provider."""

each = pytest.mark.parametrize("name", SERVICES)


def new_env() -> dict[str, str]:
    done = subprocess.run(
        ["bash", str(FILES / "new-env.sh")], capture_output=True, text=True, check=True
    )
    lines = [line for line in done.stdout.splitlines() if line and not line.startswith("#")]
    return {key: shlex.split(value)[0] for key, _, value in (line.partition("=") for line in lines)}


def filled(value: str) -> str:
    """A value as compose fills it in."""
    env = new_env()
    return re.sub(r"\$\{(\w+)[^}]*\}", lambda found: env[found[1]], value)


def test_everything_that_airflow_needs_is_there() -> None:
    assert {*AIRFLOW, "postgres", "redis", "sandbox", "init"} == set(SERVICES)
    for name in AIRFLOW:
        assert SERVICES[name]["command"] == {"worker": "celery worker"}.get(name, name)
        assert SERVICES[name]["depends_on"]["init"] == {
            "condition": "service_completed_successfully"
        }


def test_there_are_two_of_what_may_die() -> None:
    assert SERVICES["worker"]["deploy"] == SERVICES["triggerer"]["deploy"] == {"replicas": 2}
    for name in RUNNING:
        waited = {"postgres", "redis", "init", "api-server", "sandbox"}
        assert set(SERVICES[name]["depends_on"]) == waited


@each
def test_ports_are_published_on_loopback_only(name: str) -> None:
    for port in SERVICES[name].get("ports", ()):
        assert re.fullmatch(r"127\.0\.0\.1:\$\{\w+:-\d+\}:\d+", port), port
    if name in {"postgres", "redis"}:
        assert "ports" not in SERVICES[name]


@each
def test_keys_are_those_of_the_specification(name: str) -> None:
    assert set(SERVICES[name]) <= KEYS
    assert set(SERVICES[name].get("healthcheck", {})) <= {
        "test", "interval", "timeout", "retries", "start_period",
    }  # fmt: skip


def test_every_dollar_is_a_variable_or_escaped() -> None:
    rest = re.sub(r"\$\$|\$\{[A-Z_]+(:\?[^}]*|:-[^}]*)\}", "", TEXT)
    assert "$" not in rest


@each
def test_who_is_waited_for_can_be_waited_for(name: str) -> None:
    for target, how in SERVICES[name].get("depends_on", {}).items():
        assert target in SERVICES
        if how["condition"] == "service_healthy":
            assert SERVICES[target]["healthcheck"]["test"]
        else:
            assert how == {"condition": "service_completed_successfully"}
            assert SERVICES[target]["restart"] == "no"


@each
def test_images_are_pinned(name: str) -> None:
    image, _, tag = SERVICES[name]["image"].rpartition(":")
    assert image
    assert re.match(r"\d+\.\d+", tag)


@each
def test_long_running_services_are_watched_and_come_back(name: str) -> None:
    if name == "init":
        return
    assert SERVICES[name]["restart"] == "unless-stopped"
    assert {"test", "interval", "timeout", "retries"} <= set(SERVICES[name]["healthcheck"])


@each
def test_volumes_are_declared_or_exist(name: str) -> None:
    for volume in SERVICES[name].get("volumes", ()):
        source, target, *mode = volume.split(":")
        assert target.startswith("/")
        if source.startswith("."):
            assert (ROOT / source).exists()
            assert mode == ["ro"]
        else:
            assert source in COMPOSE["volumes"]


def test_no_secret_has_a_default() -> None:
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            if (
                re.search("PASSWORD|SECRET|FERNET|CREDENTIAL", key)
                and key.rpartition("__")[2] != "ALL_ADMINS"
            ):
                assert re.fullmatch(r"\$\{\w+:\?.*\}", value), f"{name}: {key}"
            for word, given in re.findall(r"//(\w*):([^@]*)@", value):
                assert re.fullmatch(r"\$\{\w+PASSWORD:\?\}", given), f"{name}: {key} of {word}"
    for variable in re.findall(r"\$\{(\w*(?:PASSWORD|SECRET|KEY)\w*)[^?\w}]*-", TEXT):
        raise AssertionError(f"{variable} has a default")


def test_every_variable_is_in_the_example_and_the_other_way_round() -> None:
    used = set(re.findall(r"(?<!\$)\$\{(\w+)", TEXT))
    assert used == set(new_env())


def test_fresh_keys_differ_and_fit() -> None:
    one, other = new_env(), new_env()
    for key in ("FERNET_KEY", "JWT_SECRET", "API_SECRET_KEY", "LIFTOS_CREDENTIAL_KEYS"):
        assert len(base64.urlsafe_b64decode(one[key])) == 32
        assert one[key] != other[key]
    assert len({one[key] for key in PASSWORDS}) == len(PASSWORDS)
    for key in PASSWORDS:
        assert re.fullmatch(r"[A-Za-z0-9]{30,}", one[key])
        assert one[key] != other[key]


def test_tokens_are_sealed_everywhere_with_the_key_of_the_environment() -> None:
    sealed = KeyRing.read(new_env()["LIFTOS_CREDENTIAL_KEYS"]).seal(b"token", context="")
    assert sealed
    for name in {*AIRFLOW, "init"}:
        given = SERVICES[name]["environment"]["AIRFLOW__LIFTOS__CREDENTIAL_KEYS"]
        assert given == "${LIFTOS_CREDENTIAL_KEYS:?}"


def test_every_airflow_option_exists() -> None:
    from airflow.configuration import retrieve_configuration_description

    known = {
        section: set(options["options"])
        for section, options in retrieve_configuration_description().items()
    }
    known["liftos"] = {option.name for option in OPTIONS}
    for key in COMPOSE["x-airflow"]["environment"]:
        if key.startswith("AIRFLOW_CONN_"):
            continue
        _, section, option = key.lower().split("__")
        if section in OF_CELERY:
            continue
        assert option in known[section], key


def test_every_option_of_celery_exists() -> None:
    celery = pytest.importorskip("airflow.providers.celery.get_provider_info")
    known = celery.get_provider_info()["config"]
    for key in COMPOSE["x-airflow"]["environment"]:
        section, _, option = key.lower().removeprefix("airflow__").partition("__")
        if section in OF_CELERY:
            assert option in known[section]["options"], key


def test_all_hosts_reach_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in COMPOSE["x-airflow"]["environment"].items():
        monkeypatch.setenv(key, filled(value))
    config.refuse_one_host(duckdb=False)
    assert config.text("warehouse_conn_id") == "liftos_warehouse"
    assert config.text("state_url").startswith("postgresql://liftos:")
    found = open_warehouse(None, "default", store=None)
    assert isinstance(found, PostgresWarehouse)
    assert found._server.parameters["dbname"] == "warehouse"
    folder = config.text("staging_url").removeprefix("shared://")
    assert any(folder.startswith(mount.split(":")[1]) for mount in SERVICES["worker"]["volumes"])


def test_tasks_do_not_wait_in_the_queue_of_celery() -> None:
    env = new_env()
    slots = SERVICES["worker"]["deploy"]["replicas"] * int(env["AIRFLOW_WORKER_CONCURRENCY"])
    assert int(env["AIRFLOW_PARALLELISM"]) == slots


def test_databases_are_made_for_whom_they_are_used_by() -> None:
    script = (FILES / "databases.sh").read_text()
    for name in ("liftos", "warehouse"):
        assert f"CREATE DATABASE {name} OWNER liftos;" in script
    mounted = [volume.split(":")[0] for volume in SERVICES["postgres"]["volumes"]]
    assert "./include/compose/databases.sh" in mounted


@pytest.mark.parametrize("variable", CONNECTIONS)
def test_connections_use_fields_of_the_form(variable: str) -> None:
    connection = json.loads(new_env()[variable])
    (declared,) = [
        entry
        for entry in get_provider_info()["connection-types"]
        if entry["connection-type"] == connection["conn_type"]
    ]
    assert set(connection["extra"]) <= set(declared["conn-fields"])
    platform = variable.removeprefix("LIFTOS_").removesuffix("_CONNECTION").lower()
    assert connection["host"] == f"http://sandbox:8650/{platform}"
    assert connection["extra"]["allow_insecure"] is True
    assert SERVICES["init"]["environment"][variable] == f"${{{variable}:?}}"
    assert f'connect liftos_{platform}_default "${{{variable}}}"' in (FILES / "init.sh").read_text()


@pytest.mark.parametrize("variable", CONNECTIONS)
def test_connections_to_the_sandbox_have_what_it_asks_for(variable: str) -> None:
    with Sandbox() as sandbox:
        assert sandbox.grpc_target
        served = httpx2.get(f"{sandbox.url}/_sandbox/connections", trust_env=False).json()
    extra = json.loads(new_env()[variable])["extra"]
    platform = variable.removeprefix("LIFTOS_").removesuffix("_CONNECTION").lower()
    assert set(served[platform]) <= set(extra)
    for name, value in served[platform].items():
        if "//" not in value:
            assert extra[name] == value


@pytest.mark.parametrize(("option", "port"), [("--http", 8650), ("--grpc", 8651)])
def test_the_sandbox_leaves_loopback_only_when_told(option: str, port: int) -> None:
    entrypoint = SERVICES["sandbox"]["entrypoint"]
    assert "--any-address" in entrypoint
    (address,) = [part.partition("=")[2] for part in entrypoint if part.startswith(option)]
    assert _split(address, anywhere=True) == ("0.0.0.0", port)
    with pytest.raises(SystemExit, match="not a loopback address"):
        _split(address, anywhere=False)


def test_image_is_built_from_what_the_repository_holds() -> None:
    lines = (FILES / "Dockerfile").read_text().splitlines()
    sources = [part for line in lines if line.startswith("COPY") for part in line.split()[2:-1]]
    assert {"pyproject.toml", "README.md", "constraints.txt", "dags", "include"} < set(sources)
    assert [source for source in sources if not (ROOT / source).exists()] == []


def test_airflow_is_the_pinned_release_everywhere() -> None:
    pins = (ROOT / "constraints.txt").read_text()
    (pinned,) = re.findall(r"^apache-airflow==(.+)$", pins, re.MULTILINE)
    assert COMPOSE["x-airflow"]["image"].endswith(f":{pinned}")
    assert f"apache/airflow:slim-{pinned}-python3.11" in (FILES / "Dockerfile").read_text()


@pytest.mark.parametrize("script", sorted(FILES.glob("*.sh")), ids=lambda s: s.name)
def test_scripts_can_be_read_by_their_shell(script: Path) -> None:
    shell = script.read_text().splitlines()[0].split("/")[-1].split()[-1]
    subprocess.run([shell, "-n", str(script)], check=True)
    assert os.access(script, os.X_OK)


def test_compose_itself_accepts_it(tmp_path: Path) -> None:
    docker = shutil.which("docker")
    known = docker and subprocess.run(
        [docker, "compose", "version"], capture_output=True, check=False
    )
    if not docker or not known or known.returncode:
        pytest.skip("there is no docker compose here")
    env = tmp_path / "env"
    env.write_text("".join(f"{key}='{value}'\n" for key, value in new_env().items()))
    subprocess.run(
        [docker, "compose", "--env-file", str(env), "config", "--quiet"], cwd=ROOT, check=True
    )
