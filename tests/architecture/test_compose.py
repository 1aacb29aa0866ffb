"""``docker-compose.yaml`` as far as it can be judged without an engine."""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import shutil
import subprocess
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx2
import jwt
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
from tests.conftest import skip_unless_required
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
FILES = ROOT / "include" / "compose"
TEXT = (ROOT / "docker-compose.yaml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
AIRFLOW = {"api-server", "scheduler", "dag-processor", "triggerer", "worker"}
RUNNING = {"scheduler", "triggerer", "worker"}
CONNECTIONS = ("LIFTOS_META_CONNECTION", "LIFTOS_GOOGLE_ADS_CONNECTION", "LIFTOS_TIKTOK_CONNECTION")
PASSWORDS = ("POSTGRES_PASSWORD", "LIFTOS_DB_PASSWORD", "REDIS_PASSWORD")

KEY_BYTES = {"FERNET_KEY": 32, "JWT_SECRET": 64, "API_SECRET_KEY": 32, "LIFTOS_CREDENTIAL_KEYS": 32}

KEYS = {"build", "command", "depends_on", "deploy", "entrypoint", "environment", "healthcheck", "image",
        "ports", "pull_policy", "restart", "stop_grace_period", "volumes"}  # fmt: skip
OF_CELERY = {"celery", "celery_broker_transport_options"}
"""Sections that Airflow knows only with Celery's provider."""

each = pytest.mark.parametrize("name", SERVICES)


def new_env() -> dict[str, str]:
    done = subprocess.run(
        ["bash", str(FILES / "new-env.sh")], capture_output=True, text=True, check=True
    )
    lines = [line for line in done.stdout.splitlines() if line and not line.startswith("#")]
    return {key: shlex.split(value)[0] for key, _, value in (line.partition("=") for line in lines)}


def filled(value: str, env: Mapping[str, str]) -> str:
    """A value as compose fills it in."""
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


def test_what_is_built_is_built_once_before_anything_starts_and_never_pulled() -> None:
    """Compose builds all at once: two services that build one image get in each other's way."""
    built = {name: service["image"] for name, service in SERVICES.items() if "build" in service}
    assert list(built) == ["init"]
    users = {name for name, service in SERVICES.items() if service["image"] == built["init"]}
    assert users == {*AIRFLOW, "sandbox", "init"}
    for name in users:
        assert SERVICES[name]["pull_policy"] == "never"
        if name != "init":  # so a service that is started alone has it built, too
            assert "init" in SERVICES[name]["depends_on"]


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
    for key, size in KEY_BYTES.items():
        assert len(base64.urlsafe_b64decode(one[key])) == size
        assert one[key] != other[key]
    assert len({one[key] for key in PASSWORDS}) == len(PASSWORDS)
    for key in PASSWORDS:
        assert re.fullmatch(r"[A-Za-z0-9]{30,}", one[key])
        assert one[key] != other[key]


def test_the_secret_of_tokens_is_as_long_as_their_algorithm_asks() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        jwt.encode(
            {}, new_env()["JWT_SECRET"], algorithm="HS512"
        )  # what Airflow takes for a secret


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
    env = new_env()
    for key, value in COMPOSE["x-airflow"]["environment"].items():
        monkeypatch.setenv(key, filled(value, env))
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


def program(folder: Path, name: str, script: str) -> dict[str, str]:
    """An environment in which a command is this script."""
    path = folder / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return {"PATH": f"{path.parent}:{os.environ['PATH']}", "HOME": str(folder)}


def test_connections_are_made_without_a_secret_on_a_command_line(tmp_path: Path) -> None:
    """And nothing of them is left on the disk."""
    env = program(tmp_path, "airflow", 'echo "$@" >>said; [ "$1" = db ] || cat "$3" >made.json')
    given = {name: new_env()[name] for name in CONNECTIONS}
    subprocess.run(
        ["bash", str(FILES / "init.sh")],
        cwd=tmp_path, env={**env, **given, "TMPDIR": str(tmp_path)}, check=True,
    )  # fmt: skip
    said = (tmp_path / "said").read_text().splitlines()
    [migrated, (*imported, file)] = [line.split() for line in said]
    assert (migrated, imported) == (["db", "migrate"], ["connections", "import"])
    assert not Path(file).exists()
    assert file.endswith(".json"), "by this Airflow knows what it is"
    assert json.loads((tmp_path / "made.json").read_text()) == {
        f"liftos_{name.split('_', 1)[1].removesuffix('_CONNECTION').lower()}_default": json.loads(
            one
        )
        for name, one in given.items()
    }


def test_databases_get_their_password_without_showing_it(tmp_path: Path) -> None:
    env = program(tmp_path, "psql", 'echo "$@" >said; cat >statements')
    given = {"LIFTOS_DB_PASSWORD": "hush", "POSTGRES_USER": "airflow", "POSTGRES_DB": "airflow"}
    subprocess.run(
        ["sh", str(FILES / "databases.sh")], cwd=tmp_path, env={**env, **given}, check=True
    )
    for name in ("said", "statements"):
        assert "hush" not in (tmp_path / name).read_text()
    assert "\\getenv password LIFTOS_DB_PASSWORD\n" in (tmp_path / "statements").read_text()


def test_redis_asks_for_its_password_and_does_not_show_it(tmp_path: Path) -> None:
    if shutil.which("redis-server") is None:
        skip_unless_required("redis", "there is no redis-server here")
    port = free_port()
    here = f"--port {port} --bind 127.0.0.1 --dir {tmp_path} --logfile log"
    env = program(tmp_path, "docker-entrypoint.sh", f'echo "$@" >said; exec "$@" {here}')
    password = new_env()["REDIS_PASSWORD"]
    command = [part.replace("$$", "$") for part in SERVICES["redis"]["command"]]
    given = {**env, "REDIS_PASSWORD": password}
    with subprocess.Popen(command, cwd=tmp_path, env=given) as server:
        try:
            assert until(lambda: asked(port, password, "ping")) == "PONG"
            assert "NOAUTH" in asked(port, "", "ping")
            assert asked(port, password, "config get appendonly").split() == ["appendonly", "yes"]
            assert (tmp_path / "said").read_text() == "redis-server -\n"
        finally:
            server.terminate()


def asked(port: int, password: str, question: str) -> str:
    done = subprocess.run(
        ["redis-cli", "-p", str(port), *question.split()],
        env={"PATH": os.environ["PATH"], **({"REDISCLI_AUTH": password} if password else {})},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout.strip()


def until(seen: Callable[[], str], patience: float = 60.0) -> str:
    end = time.monotonic() + patience
    while not (found := seen()) and time.monotonic() < end:
        time.sleep(0.05)
    return found


def compose(tmp_path: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """``config`` of Compose, or of its first edition, which knows no name of the whole."""
    asked = [["docker", "compose"], ["docker-compose"]]
    found = [one for one in asked if shutil.which(one[0]) and runs([*one, "version"])]
    if not found:
        skip_unless_required("compose", "there is neither docker compose nor docker-compose here")
    file, settings = tmp_path / "docker-compose.yaml", tmp_path / "settings"
    old = found[0] == ["docker-compose"]
    file.write_text(re.sub(r"^name: .*$", "", TEXT, flags=re.MULTILINE) if old else TEXT)
    settings.write_text("".join(f"{key}='{value}'\n" for key, value in env.items()))
    options = ["--project-directory", str(ROOT), "--env-file", str(settings), "--file", str(file)]
    return subprocess.run(
        [*found[0], *options, "config"],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def runs(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def published(port: str | dict[str, Any]) -> str:
    """A port as both editions show it: a text, or its parts."""
    if isinstance(port, dict):
        return f"{port['host_ip']}:{port['published']}:{port['target']}"
    return port.removesuffix("/tcp")


def test_compose_itself_accepts_it(tmp_path: Path) -> None:
    env = new_env()
    done = compose(tmp_path, env)
    assert done.returncode == 0, done.stderr
    services = yaml.safe_load(done.stdout)["services"]
    assert set(services) == set(SERVICES)
    ports = {
        name: [published(port) for port in service["ports"]]
        for name, service in services.items()
        if service.get("ports")
    }
    assert ports == {"api-server": ["127.0.0.1:8080:8080"], "sandbox": ["127.0.0.1:8650:8650"]}
    assert [name for name, service in services.items() if service.get("build")] == ["init"]
    for name, service in SERVICES.items():
        expected = {
            key: filled(value, env) for key, value in service.get("environment", {}).items()
        }
        assert (services[name].get("environment") or {}) == expected, name


def test_compose_itself_refuses_to_start_without_keys_and_passwords(tmp_path: Path) -> None:
    done = compose(tmp_path, {})
    assert done.returncode != 0
    assert any(name in done.stderr for name in (*KEY_BYTES, *PASSWORDS, *CONNECTIONS)), done.stderr
