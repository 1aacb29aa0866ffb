from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_liftos.model.secret import Secret
from airflow_provider_liftos.transport.redact import redact


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=5, max_size=40))
def test_a_secret_is_found_in_any_text(value: str) -> None:
    told = redact(f"before <{value}> after", [Secret(value)])
    assert f"<{value}>" not in told
    assert told.startswith("before <")


@pytest.mark.parametrize(
    "text",
    [
        "https://x/?access_token=TOPSECRET&a=1",
        '{"access_token": "TOPSECRET"}',
        "Authorization: Bearer TOPSECRET",
        "authorization=Bearer TOPSECRET",
        "appsecret_proof=TOPSECRET",
        "refresh_token: 'TOPSECRET'",
    ],
)
def test_parameters_named_like_secrets_lose_their_values(text: str) -> None:
    assert "TOPSECRET" not in redact(text)


def test_a_secret_is_found_where_an_address_quotes_it() -> None:
    assert "1001%7Cabcdef" not in redact("/debug?x=1001%7Cabcdef", [Secret("1001|abcdef")])


def test_a_secret_that_begins_like_another_does_not_lay_it_bare() -> None:
    told = redact("token abcdefgh-longer", [Secret("abcdefgh"), Secret("abcdefgh-longer")])
    assert "longer" not in told


def test_short_values_and_ordinary_words_stay_readable() -> None:
    assert redact("day 7 of 7", [Secret("7"), Secret("")]) == "day 7 of 7"


def test_a_long_text_is_cut() -> None:
    assert len(redact("x" * 10_000)) < 600
