"""Formatted amounts are read exactly, or refused."""
# ruff: noqa: RUF001  digits and signs of other scripts are the subject

from __future__ import annotations

from decimal import Decimal

import pytest
from babel.numbers import format_currency
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.transforms.money import parse_amount

PLACES = {"JPY": 0, "KWD": 3, "BRL": 2, "EUR": 2, "USD": 2, "INR": 2, "CHF": 2}
LOCALES = ["en_US", "de_DE", "pt_BR", "ja_JP", "fr_FR", "fr_CH", "de_CH", "en_IN", "sv_SE", "ar_KW",
           "pl_PL", "he_IL"]  # fmt: skip


@given(
    cents=st.integers(-(10**14), 10**14),
    currency=st.sampled_from(sorted(PLACES)),
    locale=st.sampled_from(LOCALES),
    numbering=st.sampled_from(["latn", "default"]),
)
def test_what_a_locale_writes_is_read_back(cents, currency, locale, numbering):
    value = Decimal(cents).scaleb(-PLACES[currency])
    text = format_currency(value, currency, locale=locale, numbering_system=numbering)
    assert parse_amount(text, currency=currency, locale=locale) == value


@pytest.mark.parametrize(
    ("text", "currency", "locale", "value"),
    [
        ("R$ 1.234,56", "BRL", "pt_BR", "1234.56"),
        ("R$1.234", "BRL", "pt_BR", "1234"),
        ("￥1,234", "JPY", "ja_JP", "1234"),
        ("1,234円", "JPY", "ja_JP", "1234"),
        ("KWD 1,234.567", "KWD", "en_US", "1234.567"),
        ("KD 1.234", "KWD", "en_US", "1.234"),
        ("د.ك.\u200f ١٬٢٣٤٫٥٦٧", "KWD", "ar_KW", "1234.567"),
        ("1'234.50", "CHF", "de_CH", "1234.50"),
        ("1 234,50 €", "EUR", "fr_FR", "1234.50"),
        ("12,34,567.89", "INR", "en_IN", "1234567.89"),
        ("(1,234.50)", "USD", "en_US", "-1234.50"),
        ("1,234.50-", "USD", "en_US", "-1234.50"),
        ("−5", "", "sv_SE", "-5"),
        ("0,001", "KWD", "de_DE", "0.001"),
        ("1,234.56", "", "", "1234.56"),
        ("1.234,56", "", "", "1234.56"),
        ("1 234,5", "", "", "1234.5"),
        ("1’234’567.5", "", "", "1234567.5"),
        ("1.234.567", "", "", "1234567"),
        ("1234,5", "", "", "1234.5"),
        ("1234.567", "", "", "1234.567"),
        ("0.123", "", "", "0.123"),
        ("12 345", "", "", "12345"),
        ("$1,234.50", "", "", "1234.50"),
        ("USD 7", "", "", "7"),
        ("1,234", "JPY", "", "1234"),
        ("¥1.234", "JPY", "", "1234"),
        ("١٬٢٣٤٫٥", "", "", "1234.5"),
        ("0", "", "", "0"),
    ],
)
def test_amounts_are_read_as_they_are_meant(text, currency, locale, value):
    assert parse_amount(text, currency=currency, locale=locale) == Decimal(value)


@pytest.mark.parametrize(
    ("text", "currency", "locale", "why"),
    [
        ("1,234", "", "", "read in two ways"),
        ("1.234", "KWD", "", "read in two ways"),
        ("R$ 1.234", "BRL", "", "read in two ways"),
        ("1.234", "EUR", "", "read in two ways"),
        ("1.234.56", "", "", "not between thousands"),
        ("12 34", "", "", "not between thousands"),
        ("1,23.456,7", "", "", "not between thousands"),
        ("1.234,5 6", "", "", "mixed up"),
        ("1,2345.6", "", "", "not between thousands"),
        ("1.234,56", "USD", "en_US", "not written as in en_US"),
        ("1,23", "USD", "en_US", "not written as in en_US"),
        ("€ 5", "USD", "en_US", "no sign of USD"),
        ("5 apples", "", "", "no currency"),
        ("1.2k", "", "", "no currency"),
        ("", "", "", "not one number"),
        ("n/a", "", "", "not one number"),
        ("5 to 7", "", "", "not one number"),
        ("--5", "", "", "sign is not clear"),
        ("(5", "", "", "sign is not clear"),
        ("5", "", "xx_YY", "no locale 'xx_YY'"),
    ],
)
def test_what_is_not_certain_is_refused(text, currency, locale, why):
    with pytest.raises(ConfigurationError, match=why):
        parse_amount(text, currency=currency, locale=locale)
