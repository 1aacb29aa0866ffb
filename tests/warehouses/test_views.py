"""The views read one un-broken report in one attribution window, and divide with care."""

from __future__ import annotations

from decimal import Decimal

from airflow_provider_liftos.model.report import Level
from airflow_provider_liftos.warehouses.contract import Layout
from airflow_provider_liftos.warehouses.views import VIEWS, ViewSettings, create_views
from tests.warehouses.engines import columns, reopened
from tests.warehouses.staging import DAY1, DAY3, Lab, performance_row, report_slice

COMMON = [
    "clicks", "impressions", "spend", "conversions", "conversions_value", "spend_reporting",
    "conversions_value_reporting", "reporting_currency", "fx_date", "is_estimated", "ctr", "cpc",
    "cpm", "conversion_rate", "cpa", "roas",
]  # fmt: skip


def test_every_view_can_be_read_before_anything_is_published(warehouse):
    warehouse.prepare()
    for view in VIEWS:
        assert warehouse.query(f"SELECT * FROM liftos.{view.name}") == []


def test_columns_are_named_as_people_know_them(warehouse):
    warehouse.prepare()
    found = [name for _, _, name in columns(warehouse, table="ad_report")]
    head = ["org_id", "platform", "date_day", "account_id", "account_name", "campaign_id",
            "campaign_name", "ad_group_id", "ad_group_name", "ad_id", "ad_name", "currency",
            "account_timezone", "attribution_window"]  # fmt: skip
    assert found == head + COMMON
    found = [name for _, _, name in columns(warehouse, table="country_report")]
    assert found[7:9] == ["country", "currency"]


def test_each_view_reads_its_own_level_and_no_other_report_or_window(lab):
    part = report_slice(attribution_windows=("default", "1d_view"))
    lab.publish(part, [performance_row(DAY1),
                       performance_row(DAY1, attribution_window="1d_view")])  # fmt: skip
    wide = "demographics_country"
    lab.publish(
        report_slice(report=wide),
        [performance_row(DAY1, report=wide, breakdown_key=f"country={c}",
                         breakdowns=f'{{"country": "{c}"}}', spend=s)
         for c, s in (("DE", "3"), ("FR", "2"))],
        load_id="b",
    )  # fmt: skip
    lab.publish(report_slice(level=Level.AD), [performance_row(DAY1, level="ad")], load_id="c")
    weekly = report_slice(DAY1, DAY3, level=Level.ACCOUNT, time_increment=3)
    lab.publish(weekly, [performance_row(DAY1, level="account", date_end=DAY3)], load_id="d")
    query = lab.warehouse.query
    assert query("SELECT date_day, spend FROM liftos.campaign_report") == [(DAY1, 5)]
    assert query("SELECT sum(spend) FROM liftos.ad_report") == [(5,)]
    assert query("SELECT count(*) FROM liftos.account_report") == [(0,)]
    assert query("SELECT country, spend FROM liftos.country_report ORDER BY 1") == [
        ("DE", 3), ("FR", 2),
    ]  # fmt: skip


def test_quotients_are_fractions(lab):
    lab.publish(report_slice(), [performance_row(DAY1)])
    assert lab.warehouse.query(
        "SELECT ctr, cpc, cpm, conversion_rate, cpa, roas FROM liftos.campaign_report"
    ) == [(0.01, 0.5, 5.0, 0.1, 5.0, 4.0)]


def test_quotients_are_null_where_the_divisor_is_zero_or_null(lab):
    nothing = {"impressions": 0, "clicks": 0, "spend": "0", "conversions": None}
    lab.publish(report_slice(), [performance_row(DAY1, **nothing)])
    assert lab.warehouse.query(
        "SELECT ctr, cpc, cpm, conversion_rate, cpa, roas FROM liftos.campaign_report"
    ) == [(None,) * 6]


def test_settings_choose_reports_and_windows_by_platform(bare, tmp_path):
    settings = ViewSettings(reports={"meta": "it's mine?"}, attribution_windows={"meta": "7d"})
    warehouse = reopened(bare, views=settings)
    lab = Lab(tmp_path, warehouse)
    part = report_slice(report="it's mine?", attribution_windows=("7d",))
    lab.publish(part, [performance_row(DAY1, report="it's mine?", attribution_window="7d")])
    lab.publish(report_slice(), [performance_row(DAY1, spend="8")], load_id="b")
    assert warehouse.query("SELECT spend FROM liftos.campaign_report") == [(Decimal(5),)]


def test_changed_settings_reach_the_views_when_prepared_again(bare, tmp_path):
    Lab(tmp_path, bare).publish(report_slice(), [performance_row(DAY1)])
    reopened(bare, views=ViewSettings(report="other")).prepare()
    assert bare.query("SELECT * FROM liftos.campaign_report") == []


def test_another_schema_gets_views_of_its_own(bare, tmp_path):
    warehouse = reopened(bare, schema="liftos_mock")
    Lab(tmp_path, warehouse).publish(report_slice(), [performance_row(DAY1)])
    assert warehouse.query("SELECT spend FROM liftos_mock.campaign_report") == [(5,)]
    layout = Layout(capabilities=bare.layout.capabilities, schema="liftos_mock", audit_schema="a")
    assert not any('"liftos"' in sql for sql in create_views(layout, ViewSettings()))
