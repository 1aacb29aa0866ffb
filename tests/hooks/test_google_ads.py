"""Google's own face: queries of people, and the library's client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_liftos.hooks.google_ads import GoogleAdsHook
from airflow_provider_liftos.model.errors import ConfigurationError, NotAuthorized
from airflow_provider_liftos.platforms import get
from airflow_provider_liftos.sandbox import Sandbox
from tests.engine.harness import served

pytest.importorskip("google.ads.googleads")

QUERY = (
    "SELECT segments.date, campaign.id, campaign.name, campaign.status, metrics.clicks,"
    " metrics.conversions FROM campaign WHERE segments.date DURING LAST_7_DAYS"
)


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox() as running:
        extra = served(running, get("google_ads"))
        connection = {
            "conn_type": "liftosgoogleads", "host": f"{running.url}/google_ads", "extra": extra,
        }  # fmt: skip
        monkeypatch.setenv("AIRFLOW_CONN_LIFTOS_GOOGLE_ADS_DEFAULT", json.dumps(connection))
        older = {
            "conn_type": "google_ads", "host": f"{running.url}/google_ads",
            "extra": {"google_ads_client": {**extra, "developer_token": "d", "use_proto_plus": "True"}},
        }  # fmt: skip
        monkeypatch.setenv("AIRFLOW_CONN_GOOGLE_ADS_DEFAULT", json.dumps(older))
        monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
        monkeypatch.setenv("AIRFLOW__LIFTOS__STATE_URL", f"sqlite:///{tmp_path}/state.db")
        yield running


def customer(sandbox: Sandbox) -> str:
    return sandbox.world.dataset("google_ads").accounts[0].id


def test_a_query_gives_rows_a_table_or_a_frame_of_googles_types(sandbox: Sandbox) -> None:
    hook, account = GoogleAdsHook(), customer(sandbox)
    dashed = f"{account[:3]}-{account[3:6]}-{account[6:]}"
    rows = hook.search(QUERY, dashed)
    table = hook.search_arrow(QUERY, account)
    frame = hook.search_df(QUERY, account)
    assert rows
    assert table.to_pylist() == rows
    assert len(frame) == len(rows)
    assert {str(field.type) for field in table.schema} == {"string", "int64", "double"}
    assert rows[0]["campaign.status"] in {"ENABLED", "PAUSED", "REMOVED"}
    truth = sandbox.truth(platform="google_ads", account=account, level="campaign")
    days = {row["segments.date"] for row in rows}
    clicks = sum(row["clicks"] for row in truth["rows"] if row["date"] in days)
    assert sum(row["metrics.clicks"] for row in rows) == clicks


def test_an_answer_without_rows_still_has_its_columns(sandbox: Sandbox) -> None:
    query = "SELECT campaign.id, ad_group_ad.ad.final_urls FROM ad_group_ad WHERE campaign.id = 1"
    table = GoogleAdsHook().search_arrow(query, customer(sandbox))
    assert (table.num_rows, table.column_names) == (0, ["campaign.id", "ad_group_ad.ad.final_urls"])


def test_a_query_is_checked_before_it_is_sent(sandbox: Sandbox) -> None:
    with pytest.raises(ConfigurationError, match=r"did you mean 'campaign.name'"):
        GoogleAdsHook().search("SELECT campaign.nmae FROM campaign", customer(sandbox))
    with pytest.raises(NotAuthorized, match="no access"):
        GoogleAdsHook().search("SELECT campaign.id FROM campaign", "1234567890")


def test_the_librarys_client_is_bound_to_the_connection(sandbox: Sandbox) -> None:
    client = GoogleAdsHook().get_conn()
    service = client.get_service("GoogleAdsService")
    stream = service.search_stream(
        customer_id=customer(sandbox), query="SELECT campaign.id FROM campaign"
    )
    ids = {str(row.campaign.id) for batch in stream for row in batch.results}
    truth = sandbox.truth(platform="google_ads", stream="campaigns", account=customer(sandbox))
    assert ids == {row["id"] for row in truth["rows"]}


def test_a_connection_of_the_older_provider_works_as_it_is(sandbox: Sandbox) -> None:
    assert len(GoogleAdsHook("google_ads_default").accounts()) == 6


def test_the_test_of_a_connection_says_what_it_is(sandbox: Sandbox) -> None:
    works, words = GoogleAdsHook().test_connection()
    assert works, words
    assert "6 accounts" in words
    assert "adwords" in words
    assert "API v26, switched off 2027-11-30" in words
