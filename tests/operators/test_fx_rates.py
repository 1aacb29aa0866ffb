"""The reference rates, from the ECB's file to the views."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from sqlalchemy import select

from airflow_provider_liftos.hooks.ecb import HOST, EcbHook
from airflow_provider_liftos.hooks.warehouse import open_warehouse
from airflow_provider_liftos.operators.fx_rates import LiftosFxRatesOperator
from airflow_provider_liftos.sandbox.ecb import is_working_day, newest_day, rate
from airflow_provider_liftos.state.tables import quality_results
from tests.airflow_doubles import CAPS
from tests.warehouses.staging import NOON, Lab, manifest, performance_row, report_slice


def load(liftos, **options) -> dict:
    task = LiftosFxRatesOperator(task_id="load", **options)
    return task.execute(liftos.context("load"))


@pytest.fixture
def connected(liftos):
    nothing = dict.fromkeys(("access_token", "app_id", "app_secret", *CAPS))
    liftos.connect(
        "liftos_ecb_default", conn_type="http", host=f"{liftos.sandbox.url}/ecb", extra=nothing
    )
    return liftos


@pytest.fixture
def warehouse(connected):
    return open_warehouse(None, "default", connected.store)


def test_the_first_load_brings_the_history_and_the_next_ninety_days(connected, warehouse):
    first = load(connected)
    assert first["file"] == "hist"
    newest = newest_day(connected.sandbox.world)
    assert first["newest"] == str(newest)
    second = load(connected)
    assert second["file"] == "hist-90d"
    assert second["rows"] < first["rows"] / 20
    [(total,)] = warehouse.query("SELECT count(*) FROM liftos.fx_rates")
    assert total == first["rows"]


def statuses(liftos) -> list[int]:
    return [entry["status"] for entry in liftos.sandbox.journal.entries(platform="ecb")]


def test_what_the_warehouse_has_is_not_sent_again(connected, warehouse):
    load(connected)
    assert load(connected)["unchanged"] is False  # another file
    before = warehouse.checksum("fx_rates")
    third = load(connected)
    assert (third["rows"], third["unchanged"]) == (0, True)
    assert load(connected)["unchanged"] is True
    assert statuses(connected) == [200, 200, 304, 304]
    assert warehouse.checksum("fx_rates") == before
    assert third["newest"] == str(newest_day(connected.sandbox.world))


def test_it_is_sent_to_a_warehouse_that_lost_it_and_for_other_organizations(connected, warehouse):
    load(connected, file="hist-90d")
    assert load(connected)["unchanged"] is True
    assert load(connected, file="hist-90d")["unchanged"] is False, "somebody asked for it"
    for file in ("hist", "hist-90d"):
        other = load(connected, org_ids=("default", "acme"))
        assert (other["file"], other["unchanged"]) == (file, False)
    assert load(connected, org_ids=("default", "acme"))["unchanged"] is True
    newest = newest_day(connected.sandbox.world)
    warehouse.apply([("DELETE FROM liftos.fx_rates WHERE fx_date = ?", (newest,))])
    assert load(connected)["unchanged"] is False
    assert load(connected)["unchanged"] is True


def test_a_tag_of_another_version_brings_the_new_one(connected, warehouse):
    load(connected, file="hist-90d")
    connected.sandbox.clock.advance(4 * 86_400)
    newer = load(connected)
    assert newer["unchanged"] is False
    assert newer["newest"] == str(newest_day(connected.sandbox.world))


def test_every_day_has_the_rate_of_its_last_working_day(connected, warehouse):
    load(connected, file="hist-90d")
    rows = warehouse.query(
        "SELECT rate_date, fx_date, rate FROM liftos.fx_rates WHERE currency = 'JPY' ORDER BY 1"
    )
    assert {(b[0] - a[0]).days for a, b in pairwise(rows)} == {1}
    for day, published, value in rows:
        assert is_working_day(published)
        assert published == max(d for _, d, _ in rows if d <= day)
        assert value == rate(7, "JPY", published)


def test_accounts_without_a_rate_are_findings_until_they_have_one(connected, warehouse, tmp_path):
    day = date(2026, 11, 2)
    lab = Lab(tmp_path, warehouse)
    row = performance_row(day, currency="KWD", org_id="default")
    part = report_slice(day, day)
    done = lab.staged(part, [row])
    warehouse.load(manifest(done, org_id="default"))
    warehouse.publish(done, "load-1", "default", NOON)
    summary = load(connected, file="hist-90d")
    [line] = summary["without_rate"]
    assert line.startswith("meta 1001: no rate of KWD on 1 days from 2026-11-02 to 2026-11-02;")

    def found() -> list:
        with connected.store.read() as connection:
            return connection.execute(
                select(quality_results.c.account_id, quality_results.c.status).where(
                    quality_results.c.rule == "currency_has_rate"
                )
            ).all()

    assert found() == [("1001", "failed")]
    connected.set("reporting_currency", "KWD")
    assert load(connected, file="hist-90d")["without_rate"] == []
    assert found() == []


def test_a_broken_answer_is_retried_and_known_rates_stay(connected, warehouse):
    load(connected, file="hist-90d")
    before = warehouse.checksum("fx_rates")
    for kind in ("http_500", "truncated_body"):
        connected.sandbox.faults.add(kind=kind, platform="ecb", times=1)
        with pytest.raises(AirflowException, match="retried") as error:
            load(connected, file="daily")
        assert not isinstance(error.value, AirflowFailException)
    assert warehouse.checksum("fx_rates") == before


def test_a_wrong_setting_is_said_at_once(connected):
    with pytest.raises(AirflowFailException, match="one of auto, daily, hist-90d, hist"):
        load(connected, file="weekly")
    connected.set("reporting_currency", "dollars")
    with pytest.raises(AirflowFailException, match="ISO 4217"):
        load(connected)


def test_without_a_connection_it_is_the_ecb_itself(liftos):
    assert EcbHook("liftos_ecb_default").get_connection("liftos_ecb_default").host == HOST


def test_rates_are_written_for_each_organization(connected, warehouse):
    load(connected, file="daily", org_ids=("acme", "globex"))
    assert warehouse.query("SELECT DISTINCT org_id FROM liftos.fx_rates ORDER BY 1") == [
        ("acme",), ("globex",),
    ]  # fmt: skip
