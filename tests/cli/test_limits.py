"""``airflow liftos limits`` over a limit and two circuits."""

from __future__ import annotations

import json
from argparse import Namespace

import pytest

from airflow_provider_liftos.cli.limits import limits
from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.model.wire import Lane
from airflow_provider_liftos.resilience.breaker import Breaker
from airflow_provider_liftos.resilience.flights import Flights
from airflow_provider_liftos.resilience.limiter import Limiter, Place


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__LIFTOS__STATE_URL", f"sqlite:///{tmp_path / 'state.db'}")
    store = config.state_store()
    limiter, breaker = Limiter(store, "default"), Breaker(store, "default")
    limiter.reserve([Place("meta/app/c/hour", 1, 3600)])
    limiter.pause("meta/account/1/allowance", store.clock.now() + 600)
    limiter.correct(Place("meta/app/c/hour", 1, 3600), rate=0.5)
    for _ in range(5):
        breaker.fail("meta/1")
    breaker.fail("meta/2")
    Breaker(store, "other").fail("meta/3")
    for _ in range(3):
        Flights(store, "default").seat("meta/app/c/at_once", 2, Lane.FRESH).come()
    return store


def test_they_are_listed_with_the_moments_that_matter(capsys):
    limits(Namespace(json=False, org="default"))
    _, account, app, _, _, flight, _, _, one, two = capsys.readouterr().out.splitlines()
    assert account.split()[:3] == ["meta/account/1/allowance", "0.0", "s"]
    assert account.endswith("Z")
    assert app.split()[0] == "meta/app/c/hour"
    assert float(app.split()[1].replace(",", "")) == pytest.approx(3600, abs=300)
    assert app.endswith("0.5 per second")
    assert flight.split() == ["meta/app/c/at_once", "2", "2", "1"]
    assert one.split()[:2] == ["meta/1", "open"]
    assert two.split() == ["meta/2", "closed", "1"]


def test_each_organization_has_its_own_and_all_is_json_too(capsys):
    limits(Namespace(json=True, org="other"))
    found = json.loads(capsys.readouterr().out)
    assert found["limits"] == found["flights"] == []
    assert [circuit["key"] for circuit in found["circuits"]] == ["meta/3"]


def test_a_store_out_of_reach_is_one_line(monkeypatch):
    monkeypatch.setenv("AIRFLOW__LIFTOS__STATE_URL", "mysql://x")
    with pytest.raises(SystemExit, match="only in SQLite or Postgres"):
        limits(Namespace(json=False, org="default"))
