"""The other baseline of anomalies: a trend and a season, where statsmodels is installed."""

from __future__ import annotations

import sys
from datetime import timedelta

import pytest

from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.quality import anomalies, seasons, stl
from airflow_provider_liftos.quality.anomalies import check_baseline
from tests.bench import anomalies as bench
from tests.quality.test_seasons import MONDAY, series


@pytest.fixture
def installed() -> None:
    pytest.importorskip("statsmodels")


def test_it_is_asked_for_by_name_and_refused_where_it_is_not_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "statsmodels.tsa.seasonal", None)
    with pytest.raises(ConfigurationError, match="needs statsmodels, which is not installed") as no:
        check_baseline("stl")
    assert "airflow-provider-liftos[forecast]" in str(no.value.hint)
    assert check_baseline("median") == "median"
    with pytest.raises(ConfigurationError, match="baselines are median, stl"):
        check_baseline("mean")


@pytest.mark.usefixtures("installed")
def test_it_expects_the_weekday_and_the_trend() -> None:
    assert check_baseline("stl") == "stl"
    flat, sunday = stl.Stl(series()), MONDAY - timedelta(days=1)
    assert flat.expected(MONDAY) == pytest.approx(100, rel=0.05)
    assert flat.expected(sunday) == pytest.approx(40, rel=0.05)
    growing = {day: value * 1.02 ** ((day - MONDAY).days) for day, value in series().items()}
    by_trend, by_medians = stl.Stl(growing).expected(MONDAY), seasons.expected(growing, MONDAY)
    assert by_trend == pytest.approx(100, rel=0.15)
    assert by_medians < 60, "medians of twelve weeks are six weeks old"


@pytest.mark.usefixtures("installed")
def test_a_bad_day_and_days_without_delivery_are_not_learned() -> None:
    values = series() | {MONDAY - timedelta(days=14): 5000.0, MONDAY - timedelta(days=5): 0.0}
    del values[MONDAY - timedelta(days=9)]
    assert stl.Stl(values).expected(MONDAY) == pytest.approx(100, rel=0.1)


@pytest.mark.usefixtures("installed")
def test_nothing_is_expected_where_medians_expect_nothing() -> None:
    young = stl.Stl(series(weeks=3))
    assert (young.expected(MONDAY), young.spread(MONDAY)) == (None, None)
    wide, usual = stl.Stl(series()).spread(MONDAY), seasons.spread(series(), MONDAY)
    assert wide.below == pytest.approx(stl.WIDER * usual.below)
    assert (wide.steady, wide.always) == (usual.steady, usual.always)


@pytest.mark.usefixtures("installed")
def test_planted_days_of_an_account_are_found_by_it() -> None:
    scene = next(bench.scenes(1))
    day = scene.judged[-3]
    planted = bench.Planted(
        campaign_id="", day=day, factor=5.0, only_spend=False, size=20.0, moves=4.0
    )
    found = anomalies.anomalies(bench._multiplied(scene.delivery, planted), scene.judged, stl.Stl)
    assert bench.seen(planted, found)
