"""Which warehouse a connection names."""

from __future__ import annotations

import json

import pytest

from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.hooks.warehouse import lineage_of, open_warehouse
from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.warehouses.duckdb import DuckDbWarehouse
from airflow_provider_liftos.warehouses.postgres import PostgresWarehouse

CELERY = "CeleryExecutor"


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch):
    def define(conn_type: str, **parts) -> str:
        value = json.dumps({"conn_type": conn_type, **parts})
        monkeypatch.setenv("AIRFLOW_CONN_MY_WAREHOUSE", value)
        return "my_warehouse"

    return define


def test_a_connection_of_type_postgres_is_a_postgres_warehouse(connect):
    name = connect(
        "postgres", host="db.example", port=5433, schema="ads", login="liftos", password="s3cret",
        extra={"sslmode": "verify-full", "cursor": "dictcursor"},
    )  # fmt: skip
    found = open_warehouse(name, "acme", store=None, mock=True)
    assert isinstance(found, PostgresWarehouse)
    assert found._server.parameters == {
        "host": "db.example", "port": "5433", "dbname": "ads", "user": "liftos",
        "password": "s3cret", "sslmode": "verify-full",
    }  # fmt: skip
    assert (found.layout.schema, found.layout.audit_schema) == ("liftos_mock", "liftos_mock_audit")
    assert "s3cret" not in repr(found._server)


def test_a_connection_of_type_duckdb_names_its_file(connect, tmp_path):
    name = connect("duckdb", host=str(tmp_path / "w.duckdb"))
    found = open_warehouse(name, "acme", store=None)
    assert isinstance(found, DuckDbWarehouse)
    assert found._file.path == tmp_path / "w.duckdb"


def test_the_warehouse_of_the_deployment_alone_has_a_read_copy(connect, monkeypatch, tmp_path):
    monkeypatch.setenv("AIRFLOW__LIFTOS__DUCKDB_PATH", str(tmp_path / "w.duckdb"))
    monkeypatch.setenv("AIRFLOW__LIFTOS__DUCKDB_READ_COPY", str(tmp_path / "bi.duckdb"))
    assert open_warehouse(None, "acme", store=None)._read_copy == tmp_path / "bi.duckdb"
    other = connect("duckdb", host=str(tmp_path / "other.duckdb"))
    assert open_warehouse(other, "acme", store=None)._read_copy is None
    monkeypatch.setenv("AIRFLOW__LIFTOS__DUCKDB_READ_COPY", str(tmp_path / "x" / ".." / "w.duckdb"))
    with pytest.raises(ConfigurationError, match="is the warehouse itself"):
        open_warehouse(None, "acme", store=None)


def test_a_connection_of_another_type_says_what_there_is(connect):
    with pytest.raises(ConfigurationError, match=r"is of type 'mysql'.*of type postgres"):
        open_warehouse(connect("mysql", host="db"), "acme", store=None)


def test_a_password_by_aws_is_refused(connect):
    with pytest.raises(ConfigurationError, match=r"\(iam\)"):
        open_warehouse(connect("postgres", host="db", extra={"iam": True}), "acme", store=None)


def test_who_names_none_has_the_warehouse_of_the_deployment(connect, monkeypatch, tmp_path):
    monkeypatch.setenv("AIRFLOW__LIFTOS__WAREHOUSE_CONN_ID", connect("postgres", host="db"))
    assert isinstance(open_warehouse(None, "acme", store=None), PostgresWarehouse)
    assert lineage_of(None)[0] == "postgres://db:5432"
    monkeypatch.setenv(
        "AIRFLOW_CONN_ANOTHER", json.dumps({"conn_type": "duckdb", "host": f"{tmp_path}/w.duckdb"})
    )
    assert isinstance(open_warehouse("another", "acme", store=None), DuckDbWarehouse)


def test_several_hosts_need_no_file_when_the_warehouse_is_a_server(connect, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", CELERY)
    monkeypatch.setenv("AIRFLOW__LIFTOS__STATE_URL", "postgresql://db/liftos")
    monkeypatch.setenv("AIRFLOW__LIFTOS__STAGING_URL", "shared:///mnt/staging")
    config.refuse_one_host(duckdb=False)
    open_warehouse(connect("postgres", host="db"), "acme", store=None)
    for name in (None, connect("duckdb", host="/data/w.duckdb"), connect("duckdb")):
        with pytest.raises(ConfigurationError, match="DuckDB warehouse is a file on one"):
            open_warehouse(name, "acme", store=None)


def test_lineage_names_the_server_and_its_database(connect):
    name = connect("postgres", host="db.example", schema="ads")
    assert lineage_of(name) == ("postgres://db.example:5432", "ads.")
    assert lineage_of(connect("duckdb", host="/data/w.duckdb")) == ("duckdb:///data/w.duckdb", "")
