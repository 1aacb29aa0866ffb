"""Texts that platforms and people choose are values everywhere, and statements nowhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_liftos.model.report import Level
from airflow_provider_liftos.state.leases import Leases
from airflow_provider_liftos.warehouses.campaign_report import CampaignReport
from airflow_provider_liftos.warehouses.duckdb import DuckDbWarehouse
from airflow_provider_liftos.warehouses.postgres import PostgresWarehouse
from tests.engine.harness import Harness, basic, last
from tests.platforms.conftest import Make
from tests.warehouses.engines import parameters

EVIL = (
    "'; DROP TABLE liftos.performance; --",
    "x' OR '1'='1",
    '"; DROP SCHEMA liftos CASCADE; --',
    "$$; DELETE FROM liftos.performance; $$",
    "?",
    "%s %(x)s :x {x} [account_id]",
    "\\'; --",
    "a'); COPY liftos.performance TO '/tmp/x'; --",
    "*/ UNION SELECT 1 /*",
)


@pytest.fixture(params=["duckdb", "postgres"])
def warehouse(request: pytest.FixtureRequest) -> Callable[[Harness], Any]:
    """A warehouse of the harness's own, on every engine."""

    def open_for(harness: Harness) -> Any:
        if request.param == "duckdb":
            path = harness.folder / "warehouse.duckdb"
            return DuckDbWarehouse(path, Leases(harness.store, "default"), wait=20)
        made = PostgresWarehouse(parameters(request.getfixturevalue("new_postgres_database")()))
        made.prepare()
        return made

    return open_for


def test_names_of_accounts_reports_and_campaigns_are_kept_as_they_are(
    make: Make, warehouse: Callable[[Harness], Any]
) -> None:
    """From the platform's answer to the views and the campaign report, each text in each place."""
    harness = make("meta")
    harness.warehouse = warehouse(harness)
    platform = harness.platform
    broken = replace(platform.preset("basic", Level.CAMPAIGN), breakdowns=("age",))
    reports = [basic(Level.CAMPAIGN), basic(Level.AD)]
    reports += [replace(broken, name=text) for text in EVIL]
    cuts = harness.slices(reports, last(1), streams=["campaigns"])
    done = harness.run_to_end(cuts)
    assert not done.failed

    query = harness.warehouse.query
    kept = {row[0] for row in query("SELECT DISTINCT report FROM liftos.performance")}
    assert kept == {"basic", *EVIL}
    names = {row[0] for row in query("SELECT DISTINCT ad_name FROM liftos.performance")}
    assert "Robert'); DROP TABLE performance;--" in names
    per_report = query("SELECT report, count(*) FROM liftos.performance GROUP BY report")
    assert all(count > 0 for _, count in per_report)

    document = CampaignReport(
        warehouse=harness.warehouse, org_id="default", platform="meta", now=harness.clock.now()
    ).document(harness.accounts[0].account_id, last(1))
    assert document["campaigns"]
    assert json.dumps(document)


def test_the_name_of_an_account_is_kept_as_it_is(
    make: Make, warehouse: Callable[[Harness], Any]
) -> None:
    """Where rows do not tell it, it is written into the statement that makes them."""
    harness = make("tiktok")
    harness.warehouse = warehouse(harness)
    name = "".join(EVIL)
    harness.accounts[0] = replace(harness.accounts[0], name=name)
    report = basic(Level.CAMPAIGN, platform=harness.platform)
    harness.run_to_end(harness.slices([report], last(1)))
    shown = "SELECT DISTINCT account_name FROM liftos.campaign_report"
    assert harness.warehouse.query(shown) == [(name,)]


def test_replacing_such_a_report_replaces_nothing_else(
    make: Make, warehouse: Callable[[Harness], Any]
) -> None:
    harness = make("meta")
    harness.warehouse = warehouse(harness)
    reports = [replace(basic(Level.CAMPAIGN), name=text) for text in ("basic", *EVIL)]
    harness.run_to_end(harness.slices(reports, last(1)))
    count = "SELECT report, count(*) FROM liftos.performance GROUP BY report ORDER BY report"
    before = harness.warehouse.query(count)
    harness.scope = "dag/again/extract/-1"
    harness.run_to_end(harness.slices(reports[1:2], last(1)), "load2")
    assert harness.warehouse.query(count) == before


@pytest.mark.parametrize("text", EVIL)
def test_organizations_and_accounts_that_are_asked_for_are_values(
    make: Make, warehouse: Callable[[Harness], Any], text: str
) -> None:
    harness = make("meta")
    harness.warehouse = warehouse(harness)
    harness.run_to_end(harness.slices([basic(Level.CAMPAIGN)], last(1)))
    before = harness.checksum()
    other = CampaignReport(
        warehouse=harness.warehouse, org_id=text, platform=text,
        now=datetime.now(UTC).timestamp(), report=text, attribution_window=text,
    )  # fmt: skip
    assert other.accounts() == {}
    assert harness.checksum() == before
