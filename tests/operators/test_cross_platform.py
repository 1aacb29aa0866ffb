"""All platforms side by side, from published rows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_provider_liftos.hooks.warehouse import open_warehouse
from airflow_provider_liftos.model.report import Level
from airflow_provider_liftos.operators.cross_platform import LiftosCrossPlatformOperator
from tests.warehouses.staging import (
    DAY1,
    DAY2,
    NOON,
    Lab,
    manifest,
    performance_row,
    report_slice,
)


def publish(liftos, folder, platform: str, days, load_id: str, **parts) -> None:
    warehouse = open_warehouse(None, "default", liftos.store)
    given = {"level": "account", "campaign_id": None, "campaign_name": None, **parts}
    rows = [
        performance_row(day, org_id="default", platform=platform, date_end=day,
                        load_id=load_id, **given)
        for day in days
    ]  # fmt: skip
    part = report_slice(days[0], days[-1], level=Level.ACCOUNT).narrowed(platform=platform)
    done = Lab(folder / load_id, warehouse).staged(part, rows, load_id=load_id)
    loaded = replace(manifest(done, org_id="default", load_id=load_id), platform=platform)
    warehouse.load(loaded)
    warehouse.publish(done, load_id, "default", NOON)


@pytest.fixture
def two(liftos, tmp_path):
    publish(liftos, tmp_path, "meta", (DAY1, DAY2), "a", spend="10", conversions="2",
            conversions_value="60", currency="USD")  # fmt: skip
    publish(liftos, tmp_path, "tiktok", (DAY1,), "b", spend="5", conversions="0",
            conversions_value="0", currency="XXX")  # fmt: skip
    return liftos


def compare(liftos, **options) -> dict:
    task = LiftosCrossPlatformOperator(task_id="compare", **options)
    return task.execute(liftos.context("compare"))


def test_each_platform_has_its_totals_in_one_currency(two):
    done = compare(two, last_days=60)
    meta, tiktok = done["platforms"]
    assert (meta["platform"], meta["currency"]) == ("meta", "USD")
    assert (meta["spend"], meta["cpa"], meta["roas"]) == ("20.000000", 5.0, 6.0)
    assert (tiktok["spend"], tiktok["cpa"], tiktok["roas"]) == (None, None, None)


def test_what_lags_and_what_has_no_rate_is_said(two):
    lag, rate = compare(two, last_days=60)["warnings"]
    assert lag.startswith(f"tiktok is published up to {DAY1} only")
    assert "tiktok: 1 account-days have no exchange rate" in rate


def test_an_empty_warehouse_compares_nothing(liftos):
    open_warehouse(None, "default", liftos.store).prepare()
    assert compare(liftos) | {"since": "", "until": ""} == {
        "since": "", "until": "", "platforms": [], "warnings": [],
    }  # fmt: skip
