"""``airflow liftos import-credentials``: what older tools had, and nothing from elsewhere."""

from __future__ import annotations

import json
from argparse import Namespace

import pytest

from airflow_provider_liftos.cli.import_credentials import import_credentials
from airflow_provider_liftos.cli.table import host
from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.hooks.liftos import read_connection
from airflow_provider_liftos.platforms import get
from airflow_provider_liftos.state.audit_log import AuditLog
from tests.airflow_metadata import Connections

TIKTOK = {"access_token": "tt-secret-1", "app_id": "7301", "app_secret": "tt-secret-2"}


@pytest.fixture
def connections(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__LIFTOS__STATE_URL", f"sqlite:///{tmp_path}/state.db")
    return Connections(tmp_path, monkeypatch)


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "credentials"
    made.mkdir()
    return made


def put(folder, org: str, name: str, value) -> None:
    home = folder / org
    home.mkdir(exist_ok=True)
    path = home / f"{name}.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    path.chmod(0o600)


def run(folder=None, *, dry: bool = False, replace: bool = False) -> None:
    given = str(folder) if folder else None
    import_credentials(Namespace(folder=given, dry_run=dry, replace=replace))


def by_id(connections: Connections):
    return {one.conn_id: one for one in connections.all()}


def test_each_file_becomes_a_connection_of_its_organization(connections, folder, capsys):
    put(folder, "acme", "tiktok", TIKTOK)
    put(folder, "default", "tiktok", {**TIKTOK, "access_token": "other"})
    run(folder)
    told = capsys.readouterr().out
    assert "liftos_tiktok_acme (liftostiktok) made: access_token, app_id, secret; from" in told
    assert "tt-secret" not in told
    found = by_id(connections)
    read = read_connection(get("tiktok"), found["liftos_tiktok_acme"])
    assert (read.org_id, read.secret("access_token")) == ("acme", "tt-secret-1")
    assert read.secret("secret") == "tt-secret-2"
    assert read_connection(get("tiktok"), found["liftos_tiktok_default"]).org_id == "default"
    [entry] = AuditLog(config.state_store(), "acme").entries()
    assert (entry.action, entry.subject) == ("imported credentials", "liftos_tiktok_acme")
    assert entry.detail["from"] == host()
    assert "tt-secret" not in str(entry)


def test_a_dry_run_says_the_same_and_changes_nothing(connections, folder, capsys):
    put(folder, "acme", "tiktok", TIKTOK)
    run(folder, dry=True)
    told = capsys.readouterr().out
    assert "would be made: access_token, app_id, secret" in told
    assert "tt-secret" not in told
    assert connections.all() == []
    assert AuditLog(config.state_store(), "acme").entries() == []


def test_what_is_there_stays_unless_it_is_to_be_replaced(connections, folder, capsys):
    put(folder, "acme", "tiktok", TIKTOK)
    run(folder)
    put(folder, "acme", "tiktok", {"access_token": "newer"})
    run(folder)
    assert "is there, and stays" in capsys.readouterr().out
    assert connections.extra("liftos_tiktok_acme")["access_token"] == "tt-secret-1"
    run(folder, dry=True, replace=True)
    assert "would be changed" in capsys.readouterr().out
    run(folder, replace=True)
    extra = connections.extra("liftos_tiktok_acme")
    assert (extra["access_token"], extra["app_id"]) == ("newer", "7301")


def test_warehouses_become_connections_of_airflows_own_types(connections, folder):
    put(folder, "acme", "snowflake", {
        "account": "ab1", "username": "u", "password": "p", "warehouse": "w", "database": "d",
        "schema": "s"})  # fmt: skip
    put(folder, "acme", "databricks", {"host": "h", "token": "t", "cluster_id": "c"})
    run(folder)
    snow, bricks = (by_id(connections)[f"liftos_{n}_acme"] for n in ("snowflake", "databricks"))
    assert (snow.conn_type, snow.login, snow.password, snow.schema) == ("snowflake", "u", "p", "s")
    assert snow.extra_dejson == {"account": "ab1", "warehouse": "w", "database": "d"}
    assert (bricks.conn_type, bricks.host, bricks.password) == ("databricks", "h", "t")


def test_a_service_accounts_key_is_taken_as_it_is(connections, folder):
    key = {"type": "service_account", "client_email": "a@b", "private_key": "PEM"}
    put(folder, "acme", "google_ads", key)
    run(folder)
    read = read_connection(get("google_ads"), by_id(connections)["liftos_google_ads_acme"])
    assert json.loads(read.secret("keyfile_dict")) == key


def test_variables_become_connections_of_the_default_organization(connections, monkeypatch, capsys):
    monkeypatch.setenv("TIKTOK_ACCESS_TOKEN", "tt-secret-1")
    monkeypatch.setenv("TIKTOK_APP_ID", "7301")
    monkeypatch.setenv("TIKTOK_APP_SECRET", "your_app_secret")
    monkeypatch.setenv("SNOWFLAKE_ACCOUNT", "ab1")
    monkeypatch.setenv("SNOWFLAKE_USERNAME", "u")
    run()
    told = capsys.readouterr().out
    assert "app_secret is still the example's" in told
    assert connections.extra("liftos_tiktok_default") == {
        "access_token": "tt-secret-1", "app_id": "7301", "org_id": "default",
    }  # fmt: skip
    assert by_id(connections)["liftos_snowflake_default"].login == "u"


def test_names_nobody_knows_are_said_and_left_out(connections, folder, capsys):
    put(folder, "acme", "tiktok", {**TIKTOK, "acess_token": "typo-secret"})
    put(folder, "acme", "unheard_of", {"a": 1})
    run(folder)
    told = capsys.readouterr().out
    assert "not known, and left out: acess_token" in told
    assert "typo-secret" not in told
    assert list(by_id(connections)) == ["liftos_tiktok_acme"]


def test_a_file_that_others_can_read_is_said(connections, folder, capsys):
    put(folder, "acme", "tiktok", TIKTOK)
    (folder / "acme" / "tiktok.json").chmod(0o644)
    run(folder)
    assert "other users of this machine can read that file" in capsys.readouterr().out


def test_a_connection_that_something_else_defines_is_said(connections, folder, monkeypatch, capsys):
    put(folder, "acme", "tiktok", TIKTOK)
    monkeypatch.setenv("AIRFLOW_CONN_LIFTOS_TIKTOK_ACME", '{"conn_type": "liftostiktok"}')
    run(folder)
    assert "the environment variable AIRFLOW_CONN_LIFTOS_TIKTOK_ACME" in capsys.readouterr().out


# --- what leads elsewhere ------------------------------------------------------------------------


@pytest.fixture
def elsewhere(tmp_path):
    made = tmp_path / "elsewhere"
    put(made.parent, "elsewhere", "tiktok", TIKTOK)
    return made


def refused(folder, connections, match: str) -> None:
    put(folder, "aaa", "tiktok", TIKTOK)
    with pytest.raises(SystemExit, match=match) as told:
        run(folder)
    assert "tt-secret" not in str(told.value)
    assert connections.all() == []


def test_a_linked_file_is_refused_and_nothing_imported(connections, folder, elsewhere):
    (folder / "zzz").mkdir()
    (folder / "zzz" / "tiktok.json").symlink_to(elsewhere / "tiktok.json")
    refused(folder, connections, "leads out of .*; nothing was imported")


def test_a_linked_folder_is_refused_and_nothing_imported(connections, folder, elsewhere):
    (folder / "zzz").symlink_to(elsewhere)
    refused(folder, connections, "leads out of")


def test_a_link_by_way_of_dots_is_refused(connections, folder, elsewhere):
    (folder / "zzz").mkdir()
    (folder / "zzz" / "tiktok.json").symlink_to("../../elsewhere/tiktok.json")
    refused(folder, connections, "leads out of")


def test_a_link_within_the_folder_is_none_of_these(connections, folder):
    put(folder, "acme", "tiktok", TIKTOK)
    (folder / "zzz").mkdir()
    (folder / "zzz" / "tiktok.json").symlink_to("../acme/tiktok.json")
    run(folder)
    assert set(by_id(connections)) == {"liftos_tiktok_acme", "liftos_tiktok_zzz"}


@pytest.mark.parametrize(
    ("content", "match"),
    [("{not json tt-secret-1", "is no JSON"), ("[1]", "is no JSON object"),
     ("x" * 1_000_001, "at most 1000000 bytes")],
    ids=["broken", "list", "large"],
)  # fmt: skip
def test_what_is_no_credential_file_stops_all(connections, folder, content, match):
    put(folder, "zzz", "tiktok", content)
    refused(folder, connections, match)


def test_an_organization_with_a_strange_name_is_refused(connections, folder):
    put(folder, "a b'; DROP", "tiktok", TIKTOK)
    refused(folder, connections, "is no name of an organization")


def test_nothing_to_import_is_said(connections, folder, monkeypatch):
    with pytest.raises(SystemExit, match="no credentials in"):
        run(folder)
    with pytest.raises(SystemExit, match="is no folder"):
        run(folder / "nowhere")
