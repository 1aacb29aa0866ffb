"""Money in two currencies: exact, by one rate, and null where there is none."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal

import pytest

from airflow_provider_liftos.transforms.rates import Rate
from airflow_provider_liftos.warehouses.rates import gaps, newest
from airflow_provider_liftos.warehouses.views import ViewSettings
from tests.warehouses.engines import administer, reopened
from tests.warehouses.staging import DAY1, DAY2, NOON, ORG, Lab, performance_row, report_slice

USD, JPY, BRL = Decimal("1.1623"), Decimal("178.05"), Decimal("6.2510")
CONVERTED = (
    "SELECT spend_reporting, conversions_value_reporting, reporting_currency, fx_date"
    " FROM liftos.campaign_report"
)


def rates(day: date = DAY1, published: date = DAY1, **more: Decimal) -> list[Rate]:
    quoted = {"EUR": Decimal(1), "USD": USD, "JPY": JPY, "BRL": BRL, **more}
    return [
        Rate(day=day, currency=currency, rate=rate, published=published)
        for currency, rate in quoted.items()
    ]


def spent(lab: Lab, currency: str, spend: str, value: str | None = "0", day: date = DAY1) -> None:
    row = performance_row(day, currency=currency, spend=spend, conversions_value=value)
    lab.publish(report_slice(day, day), [row])


def exact(amount: str, times: Decimal, by: Decimal) -> Decimal:
    return (Decimal(amount) * times / by).quantize(Decimal("0.000001"), ROUND_HALF_UP)


@pytest.mark.parametrize(
    ("currency", "spend", "rate"),
    [
        ("EUR", "44565.330000", Decimal(1)),
        ("JPY", "1234567.000000", JPY),
        ("JPY", "999999999999.000000", JPY),
        ("BRL", "0.010000", BRL),
        ("BRL", "78901.230001", BRL),
    ],
)
def test_spend_and_value_are_converted_exactly_and_by_the_same_rate(lab, currency, spend, rate):
    lab.warehouse.replace_rates(rates(), ORG, NOON)
    spent(lab, currency, spend, spend)
    wanted = exact(spend, USD, rate)
    assert lab.warehouse.query(CONVERTED) == [(wanted, wanted, "USD", DAY1)]


def test_a_negative_value_is_rounded_like_a_positive_one(lab):
    lab.warehouse.replace_rates(rates(), ORG, NOON)
    spent(lab, "BRL", "7", "-7")
    [(spend, value, _, _)] = lab.warehouse.query(CONVERTED)
    assert spend == -value == exact("7", USD, BRL)


def test_the_reporting_currency_needs_no_rate(lab):
    spent(lab, "USD", "12.345678", None)
    assert lab.warehouse.query(CONVERTED) == [(Decimal("12.345678"), None, "USD", None)]
    assert list(gaps(lab.warehouse, ORG)) == []


def test_a_currency_without_a_rate_is_null_and_named(lab):
    lab.warehouse.replace_rates(rates(), ORG, NOON)
    spent(lab, "KWD", "3.125", "10")
    assert lab.warehouse.query(CONVERTED) == [(None, None, "USD", None)]
    [gap] = gaps(lab.warehouse, ORG)
    assert (gap.account_id, gap.currency, gap.first_day, gap.days) == ("1001", "KWD", DAY1, 1)


def test_a_rate_of_ones_own_is_used_and_survives_loading(lab):
    administer(
        lab.warehouse,
        "INSERT INTO liftos.fx_rates VALUES"
        f" ('{ORG}', DATE '{DAY1}', 'EUR', 'KWD', 0.355, DATE '{DAY1}', 'treasury', NULL)",
    )
    quoted = rates(KWD=Decimal("0.9"))
    assert lab.warehouse.replace_rates(quoted, ORG, NOON) == len(quoted) - 1
    spent(lab, "KWD", "3.125")
    assert lab.warehouse.query(CONVERTED)[0][0] == exact("3.125", USD, Decimal("0.355"))


def test_two_rates_for_one_day_are_none_and_multiply_nothing(lab):
    lab.warehouse.replace_rates(rates(), ORG, NOON)
    administer(
        lab.warehouse,
        "INSERT INTO liftos.fx_rates SELECT org_id, rate_date, base, currency, 2, fx_date, 'mine',"
        " loaded_at FROM liftos.fx_rates WHERE currency = 'EUR'",
    )
    spent(lab, "EUR", "5")
    assert lab.warehouse.query(CONVERTED) == [(None, None, "USD", None)]


def test_new_rates_change_what_the_views_say(lab):
    weekend = rates(DAY2, DAY1)
    lab.warehouse.replace_rates([*rates(), *weekend], ORG, NOON)
    spent(lab, "EUR", "100", day=DAY2)
    assert lab.warehouse.query(CONVERTED)[0][::3] == (Decimal("116.23"), DAY1)
    better = Rate(day=DAY2, currency="USD", rate=Decimal("1.2"), published=DAY2)
    lab.warehouse.replace_rates([better, *rates(DAY2, DAY2)[:1]], ORG, NOON + 1)
    assert lab.warehouse.query(CONVERTED)[0][::3] == (Decimal(120), DAY2)
    assert newest(lab.warehouse, ORG) == DAY2


def test_rates_of_another_organization_convert_nothing(lab):
    lab.warehouse.replace_rates(rates(), "other", NOON)
    spent(lab, "EUR", "100")
    assert lab.warehouse.query(CONVERTED)[0][0] is None
    assert newest(lab.warehouse, ORG) is None


def test_loading_the_same_rates_again_changes_nothing(lab):
    many = [r for n in range(400) for r in rates(DAY1 + timedelta(days=n), DAY1)]
    for moment in (NOON, NOON):
        assert lab.warehouse.replace_rates(many, ORG, moment) == len(many)
    assert lab.warehouse.query("SELECT count(*) FROM liftos.fx_rates") == [(len(many),)]


def test_another_reporting_currency_reaches_the_views_with_the_next_write(bare, tmp_path):
    lab = Lab(tmp_path, bare)
    lab.warehouse.replace_rates(rates(), ORG, NOON)
    spent(lab, "EUR", "100")
    yen = reopened(bare, views=ViewSettings(reporting_currency="JPY"))
    yen.discard("nothing")
    assert yen.query(CONVERTED)[0][::2] == (Decimal(17805), "JPY")


def test_what_does_not_fit_is_null_and_breaks_no_query(lab):
    lab.warehouse.replace_rates(rates(USD=Decimal(100_000)), ORG, NOON)
    spent(lab, "EUR", "999999999999.999999")
    assert lab.warehouse.query(CONVERTED)[0][0] is None
