from __future__ import annotations

import json
import stat

from airflow_provider_liftos.cli.airflow_env import airflow_env
from airflow_provider_liftos.state.keyring import KeyRing


def env(home, **extra):
    return airflow_env(
        home,
        home / "dags",
        port=1234,
        parallelism=3,
        paused_at_creation=True,
        extra=extra,
    )


def test_airflow_variables_of_the_caller_are_dropped(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_X", "http://")
    monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", "/elsewhere")
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")
    found = env(tmp_path)
    assert "AIRFLOW_CONN_X" not in found
    assert "_AIRFLOW_PROCESS_CONTEXT" not in found
    assert found["AIRFLOW__CORE__DAGS_FOLDER"] == str(tmp_path / "dags")
    assert found["AIRFLOW_HOME"] == str(tmp_path)


def test_what_is_asked_for_wins(tmp_path):
    assert env(tmp_path, AIRFLOW__CORE__PARALLELISM="9")["AIRFLOW__CORE__PARALLELISM"] == "9"


def test_airflow_keeps_its_own_heartbeat_of_tasks(tmp_path):
    assert "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL" not in env(tmp_path)


def test_it_listens_on_loopback_only(tmp_path):
    assert env(tmp_path)["AIRFLOW__API__HOST"] == "127.0.0.1"


def test_keys_are_made_once_per_home_and_private(tmp_path):
    first, again, other = env(tmp_path), env(tmp_path), env(tmp_path / "other")
    for key in (
        "AIRFLOW__CORE__FERNET_KEY",
        "AIRFLOW__API_AUTH__JWT_SECRET",
        "AIRFLOW__LIFTOS__CREDENTIAL_KEYS",
    ):
        assert first[key] == again[key] != other[key]
    assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600


def test_a_home_of_an_older_release_keeps_its_keys_and_gets_what_it_lacks(tmp_path):
    first = env(tmp_path)
    file = tmp_path / "secrets.json"
    kept = json.loads(file.read_text())
    file.write_text(json.dumps({k: v for k, v in kept.items() if k != "credentials"}))
    again = env(tmp_path)
    assert again["AIRFLOW__CORE__FERNET_KEY"] == first["AIRFLOW__CORE__FERNET_KEY"]
    assert KeyRing.read(again["AIRFLOW__LIFTOS__CREDENTIAL_KEYS"])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_proxy_of_the_caller_is_not_asked_for_loopback(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "example.com")
    assert env(tmp_path)["NO_PROXY"] == "example.com,127.0.0.1,localhost"
