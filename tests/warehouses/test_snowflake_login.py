"""Logins to Snowflake: what the client is given, how long it is kept, who is refused and how."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
from snowflake.connector import connection as client

from airflow_provider_liftos.hooks.warehouse import lineage_of, open_warehouse
from airflow_provider_liftos.model.errors import (
    ConfigurationError,
    WarehouseDenied,
    WarehouseError,
)
from airflow_provider_liftos.warehouses.snowflake import SnowflakeWarehouse
from airflow_provider_liftos.warehouses.snowflake_session import SnowflakeAccount
from tests.warehouses import snowflake_server
from tests.warehouses.staging import DAY1, NOON, ORG, Lab, manifest, performance_row, report_slice


def pem(content: str) -> str:
    """Looks like a key, and is none."""
    first, last = (f"-----{edge} PRIVATE KEY-----" for edge in ("BEGIN", "END"))
    return f"{first}\n{content}\n{last}"


class Logins:
    """Stands in for the client's connections; tells what each was made with."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.given: list[dict[str, Any]] = []
        self.closed = 0
        ours = {
            "__init__": lambda _, **given: self.given.append(given),
            "__del__": lambda _: None,
            "close": lambda _, **_more: self._close(),
        }
        for name, stand_in in ours.items():
            monkeypatch.setattr(client.SnowflakeConnection, name, stand_in, raising=False)

    def _close(self) -> None:
        self.closed += 1


def test_a_login_is_kept_for_a_minute(monkeypatch):
    logins, now = Logins(monkeypatch), 0.0
    account = SnowflakeAccount(parameters=lambda: {"database": "d"}, clock=lambda: now)
    for now in (0.0, 59.0, 118.0, 178.0):  # noqa: B007 - the clock reads it
        with account.session():
            pass
    assert (len(logins.given), logins.closed) == (2, 1)
    with pytest.raises(ZeroDivisionError), account.session():
        raise ZeroDivisionError
    with account.session() as one, account.session() as other:
        assert one.connection is not other.connection
    assert len(logins.given) == 4


def test_a_connection_without_a_database_is_refused(monkeypatch):
    Logins(monkeypatch)
    account = SnowflakeAccount(parameters=lambda: {"account": "a", "password": "s3cret"})
    assert "s3cret" not in repr(account)
    with pytest.raises(ConfigurationError, match="names no database"), account.session():
        pass


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    def define(*, password: str | None = None, **extra: Any) -> str:
        value = {"conn_type": "snowflake", "login": "liftos", "password": password,
                 "extra": {"account": "acme", "database": "ADS", **extra}}  # fmt: skip
        monkeypatch.setenv("AIRFLOW_CONN_MY_SNOWFLAKE", json.dumps(value))
        return "my_snowflake"

    return define


@pytest.fixture(scope="module")
def private_key() -> str:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return made.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def login(monkeypatch: pytest.MonkeyPatch, conn_id: str) -> dict[str, Any]:
    """What the client is given for a connection."""
    logins = Logins(monkeypatch)
    warehouse = open_warehouse(conn_id, ORG, store=None)
    assert isinstance(warehouse, SnowflakeWarehouse)
    with warehouse._account.session():
        pass
    return logins.given[0]


def test_a_password_and_what_stands_in_the_extra_reach_the_client(connect, monkeypatch):
    name = connect(password="s3cret", warehouse="SMALL", role="LOADER", host="sf.internal",
                   port=8443, network_timeout=9, session_parameters={"QUERY_TAG": "mine"})  # fmt: skip
    given = login(monkeypatch, name)
    wanted = {"user": "liftos", "password": "s3cret", "account": "acme", "database": "ADS",
              "warehouse": "SMALL", "role": "LOADER", "host": "sf.internal", "port": 8443,
              "network_timeout": 9, "login_timeout": 30, "paramstyle": "qmark"}  # fmt: skip
    assert given | wanted == given
    session = given["session_parameters"]
    assert (session["QUERY_TAG"], session["TIMEZONE"], session["LOCK_TIMEOUT"]) == (
        "mine",
        "UTC",
        420,
    )


def test_a_key_pair_reaches_the_client_and_no_password(connect, monkeypatch, private_key):
    given = login(monkeypatch, connect(private_key_content=private_key))
    assert given["private_key"].startswith(b"0\x82")
    assert "password" not in given
    assert json.loads(given["session_parameters"]["QUERY_TAG"]) == {"app": "liftos"}


def test_oauth_gives_each_login_a_token_that_counts(connect, monkeypatch):
    from airflow.providers.snowflake.hooks import snowflake as provider

    asked: list[str] = []
    monkeypatch.setattr(
        provider._SnowflakeOAuthManager, "get_valid_oauth_token",
        lambda _self, **given: asked.append(given["grant_type"]) or "t0ken",
    )  # fmt: skip
    given = login(monkeypatch, connect(password="client", authenticator="oauth",
                                       grant_type="client_credentials"))  # fmt: skip
    assert (given["token"], given["authenticator"]) == ("t0ken", "oauth")
    assert asked == ["client_credentials"]
    assert "password" not in given


def test_without_tls_only_this_host_is_spoken_to(connect, monkeypatch):
    with pytest.raises(ConfigurationError, match="without TLS"):
        login(monkeypatch, connect(password="p", host="sf.internal", protocol="http"))
    given = login(monkeypatch, connect(password="p", host="127.0.0.1", protocol="http"))
    assert given["protocol"] == "http"


def test_lineage_names_the_account_and_the_database(connect):
    assert lineage_of(connect(region="eu-central-1")) == ("snowflake://acme.eu-central-1", "ADS.")


def opened(monkeypatch: pytest.MonkeyPatch, wait: float = 420.0, **given: Any) -> dict[str, Any]:
    """What the client is given, of these parameters."""
    logins = Logins(monkeypatch)
    account = SnowflakeAccount(parameters=lambda: {"database": "d", **given}, wait=wait)
    with account.session():
        pass
    return logins.given[0]


@pytest.mark.parametrize(("wait", "seconds"), [(20, 600), (420, 600), (900, 1080)])
def test_an_outage_ends_a_statement_after_whoever_waits_for_a_lock_was_told(
    monkeypatch, wait, seconds
):
    given = opened(monkeypatch, wait)
    assert given["network_timeout"] == seconds
    assert given["session_parameters"]["LOCK_TIMEOUT"] == wait


def test_an_idle_session_keeps_no_warehouse_awake_whatever_the_connection_says(monkeypatch):
    own = {"client_session_keep_alive": True, "CLIENT_SESSION_KEEP_ALIVE": True, "timezone": "X"}
    session = opened(monkeypatch, session_parameters=own)["session_parameters"]
    assert session["CLIENT_SESSION_KEEP_ALIVE"] is False
    assert session["TIMEZONE"] == "UTC"
    assert {"client_session_keep_alive", "timezone"}.isdisjoint(session)


def test_a_tag_of_the_connection_wins_in_either_case(connect, monkeypatch):
    name = connect(password="p", session_parameters={"query_tag": "mine"})
    session = login(monkeypatch, name)["session_parameters"]
    assert {key.lower(): value for key, value in session.items()}["query_tag"] == "mine"
    assert "QUERY_TAG" not in session


def test_a_task_is_named_in_the_query_history(connect, monkeypatch):
    ti = SimpleNamespace(dag_id="liftos_meta", task_id="load", run_id="scheduled__2026-11-20")
    monkeypatch.setattr("airflow.sdk.get_current_context", lambda: {"ti": ti})
    given = login(monkeypatch, connect(password="p"))
    assert json.loads(given["session_parameters"]["QUERY_TAG"]) == {
        "app": "liftos", "dag_id": "liftos_meta", "task_id": "load",
        "run_id": "scheduled__2026-11-20",
    }  # fmt: skip


@pytest.fixture
def tokens() -> Iterator[Any]:
    """An endpoint of tokens on this host, and what it answers with."""
    answers = SimpleNamespace(status=400, asked=[])

    class Endpoint(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            answers.asked.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(answers.status)
            self.end_headers()
            self.wfile.write(b'{"error": "invalid_grant"}')

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Endpoint) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        answers.url = f"http://127.0.0.1:{server.server_port}/token?key=s3cret-key"
        yield answers
        server.shutdown()
        thread.join()


def refused(conn_id: str) -> WarehouseError:
    with pytest.raises(WarehouseError) as caught:
        open_warehouse(conn_id, ORG, store=None).query("SELECT 1")
    assert "\n" not in str(caught.value)
    shown = str(caught.value) + repr(caught.value.__cause__)
    assert "s3cret" not in shown
    return caught.value


def of_oauth(connect: Callable[..., str], endpoint: str) -> str:
    return connect(
        password="s3cret-client", authenticator="oauth", grant_type="refresh_token",
        refresh_token="s3cret-refresh", token_endpoint=endpoint,
    )  # fmt: skip


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_an_endpoint_that_refuses_the_token_is_for_a_person(connect, tokens, status):
    tokens.status = status
    error = refused(of_oauth(connect, tokens.url))
    assert isinstance(error, WarehouseDenied)
    assert f"'my_snowflake' has no token: 127.0.0.1 answers {status}." in str(error)
    assert len(tokens.asked) == 1


def test_an_endpoint_that_is_busy_or_away_is_asked_again_later(connect, tokens, monkeypatch):
    from airflow.providers.snowflake.hooks.snowflake import _SnowflakeOAuthManager

    monkeypatch.setattr(_SnowflakeOAuthManager.request_oauth_token.retry, "sleep", lambda _: None)
    tokens.status = 429
    busy = refused(of_oauth(connect, tokens.url))
    away = refused(of_oauth(connect, "http://127.0.0.1:1/token?key=s3cret-key"))
    assert "127.0.0.1 answers 429." in str(busy)
    assert "127.0.0.1 does not answer (ConnectionError)." in str(away)
    assert not isinstance(busy, WarehouseDenied)
    assert not isinstance(away, WarehouseDenied)


def test_an_answer_without_a_token_is_for_a_person(connect, tokens):
    tokens.status = 200
    error = refused(of_oauth(connect, tokens.url))
    assert isinstance(error, WarehouseDenied)
    assert "cannot be used: it lacks 'access_token'" in str(error)


@pytest.mark.parametrize(
    "extra",
    [
        {"private_key_content": pem("s3cret")},
        {"private_key_file": "/nowhere/s3cret.p8"},
        {"authenticator": "oauth", "grant_type": "password"},
    ],
)
def test_a_key_or_a_grant_that_is_none_is_for_a_person(connect, extra):
    error = refused(connect(password=None, **extra))
    assert isinstance(error, WarehouseDenied)
    assert "connection 'my_snowflake' cannot be used: " in str(error)


def test_what_airflow_itself_fails_with_is_tried_again(connect, monkeypatch):
    from airflow.providers.snowflake.hooks.snowflake import SnowflakeHook
    from airflow.sdk.exceptions import AirflowException

    def fail(_hook: Any) -> None:
        raise AirflowException("the backend of secrets\nknows s3cret-password")

    name = connect(password="s3cret-password")
    monkeypatch.setattr(SnowflakeHook, "_get_conn_params", fail)
    assert not isinstance(refused(name), WarehouseDenied)


def test_the_hook_of_airflow_opens_it(snowflake, tmp_path, monkeypatch):
    given = snowflake_server.new_database(snowflake)
    extra = {name: given[name] for name in given if name not in {"user", "password"}}
    connection = {"conn_type": "snowflake", "login": given["user"], "password": given["password"],
                  "extra": extra}  # fmt: skip
    monkeypatch.setenv("AIRFLOW_CONN_SNOWFLAKE_TEST", json.dumps(connection))
    made = open_warehouse("snowflake_test", ORG, store=None)
    done = Lab(tmp_path, made).staged(report_slice(), [performance_row(DAY1)])
    made.load(manifest(done))
    assert made.publish(done, "load-1", ORG, NOON).rows_after == 1
    assert made.query("SELECT account_id, spend FROM liftos.performance") == [("1001", 5)]
    assert made._account._idle[-1][2].database == given["database"]
