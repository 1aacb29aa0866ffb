"""``airflow liftos configure`` against the table that Airflow keeps its connections in."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from airflow_provider_liftos.cli.configure import configure
from tests.airflow_metadata import Connections

FILE = """
platforms:
  meta:
    access_token: "${META_ACCESS_TOKEN}"
    ad_accounts: ["act_1"]
    api_version: "v19.0"
"""


@pytest.fixture
def connections(tmp_path, monkeypatch):
    return Connections(tmp_path, monkeypatch)


def run(folder: Path, text: str) -> None:
    (folder / "liftos.yaml").write_text(text)
    configure(Namespace(configuration=str(folder / "liftos.yaml")))


def test_a_connection_is_made_and_then_changed_without_losing_fields(
    connections, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("META_ACCESS_TOKEN", "first-secret")
    run(tmp_path, FILE)
    said = capsys.readouterr().out
    assert "made    liftos_meta_default" in said
    assert "v19.0 is switched off" in said
    assert "first-secret" not in said
    monkeypatch.setenv("META_ACCESS_TOKEN", "second-secret")
    run(tmp_path, FILE.replace('ad_accounts: ["act_1"]', "app_id: 7"))
    assert "changed liftos_meta_default" in capsys.readouterr().out
    [found] = connections.all()
    assert (found.conn_id, found.conn_type) == ("liftos_meta_default", "liftosmeta")
    assert found.extra_dejson == {"access_token": "second-secret", "account_ids": "1", "app_id": 7}


def test_a_missing_variable_is_named_and_nothing_is_written(connections, tmp_path, monkeypatch):
    monkeypatch.delenv("META_ACCESS_TOKEN", raising=False)
    with pytest.raises(SystemExit, match=r"access_token refers to \$\{META_ACCESS_TOKEN\}"):
        run(tmp_path, FILE)
    assert connections.all() == []
