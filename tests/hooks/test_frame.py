"""A report as a DataFrame, for people."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from airflow_provider_liftos.hooks.meta import MetaHook
from airflow_provider_liftos.model.report import Level
from airflow_provider_liftos.platforms import get
from airflow_provider_liftos.sandbox import Sandbox


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox() as running:
        connection = {
            "conn_type": "liftosmeta",
            "host": f"{running.url}/meta",
            "extra": {
                "access_token": "sandbox-token",
                "requests_per_hour": 1_000_000,
                "requests_per_minute": 100_000,
            },
        }
        monkeypatch.setenv("AIRFLOW_CONN_LIFTOS_META_DEFAULT", json.dumps(connection))
        monkeypatch.setenv("AIRFLOW__LIFTOS__STATE_URL", f"sqlite:///{tmp_path / 'state.db'}")
        monkeypatch.setenv("AIRFLOW__LIFTOS__POLL_SECONDS", "0.05")
        yield running


def test_a_report_is_a_frame_with_exact_money(sandbox: Sandbox) -> None:
    hook = MetaHook()
    account = hook.accounts()[0]
    until = sandbox.clock.now().date() - timedelta(days=3)
    since = until - timedelta(days=4)
    report = get("meta").preset("basic", Level.CAMPAIGN)
    frame = hook.get_df(report, since=str(since), until=str(until), accounts=[account.account_id])
    truth = sandbox.truth(
        level="campaign", account=account.account_id, since=str(since), until=str(until)
    )
    assert len(frame) == len(truth["rows"]) > 0
    assert sum(frame["spend"]) == Decimal(str(truth["sums"]["spend"]))
    assert str(frame["spend"].dtype) == "decimal128(18, 6)[pyarrow]"
    assert set(frame["currency"]) == {"EUR"}
