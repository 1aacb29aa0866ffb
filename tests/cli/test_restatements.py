"""``airflow liftos restatements`` over a ledger of two moves."""

from __future__ import annotations

import json
from argparse import Namespace
from decimal import Decimal

import pytest

from airflow_provider_liftos.cli.restatements import restatements
from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.state.restatements import note

OPTIONS = {"org": "default", "platform": None, "account": None, "since": None}


@pytest.fixture(autouse=True)
def ledger(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__LIFTOS__STATE_URL", f"sqlite:///{tmp_path / 'state.db'}")
    note(
        config.state_store(), "default", platform="meta", account_id="1", report="basic",
        level="ad", load_id="l",
        moved=[("2020-01-01", "spend", Decimal("1000.00"), Decimal("1100.00")),
               ("2020-01-02", "clicks", Decimal(3), None)],
    )  # fmt: skip


def test_sums_by_age(capsys):
    restatements(Namespace(json=False, days=False, **OPTIONS))
    _, clicks, spend = capsys.readouterr().out.splitlines()
    assert clicks.split() == ["meta", "basic:ad", "clicks", ">", "90", "d", "1", "-100.00%"]
    assert spend.split() == ["meta", "basic:ad", "spend", ">", "90", "d", "1", "+10.00%"]


def test_each_day(capsys):
    restatements(Namespace(json=False, days=True, **OPTIONS))
    _, newest, oldest = capsys.readouterr().out.splitlines()
    assert newest.split()[:8] == [
        "2020-01-02", "meta", "1", "basic:ad", "clicks", "3", "none", "-100.00%",
    ]  # fmt: skip
    assert oldest.split()[5:8] == ["1,000.00", "1,100.00", "+10.00%"]


def test_json(capsys):
    restatements(Namespace(json=True, days=False, **{**OPTIONS, "since": "2020-01-02"}))
    [one] = json.loads(capsys.readouterr().out)
    assert (one["date"], one["first"], one["now"], one["share"]) == ("2020-01-02", "3", None, -1.0)


def test_a_day_that_is_none_is_refused_in_words():
    with pytest.raises(SystemExit, match="--since is 'monday'"):
        restatements(Namespace(json=False, days=False, **{**OPTIONS, "since": "monday"}))
