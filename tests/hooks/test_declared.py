from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_provider_liftos.hooks import declared, registry
from airflow_provider_liftos.hooks.liftos import LiftosHook
from tests.engine.harness import META


def test_a_platform_without_a_hook_of_its_own_gets_one(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = replace(META, name="some_ads", title="Some Ads", conn_type="liftossomeads", hook="")
    monkeypatch.setattr(declared, "discover", lambda: (plain,))
    module, _, name = registry.path(plain).rpartition(".")
    assert (module, name) == ("airflow_provider_liftos.hooks.declared", "SomeAdsHook")
    made = getattr(declared, name)
    assert issubclass(made, LiftosHook)
    assert (made.conn_type, made.default_conn_name) == ("liftossomeads", "liftos_some_ads_default")
    assert made.hook_name == "Some Ads (liftos)"
    assert getattr(declared, name) is made


def test_other_names_are_not_there() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'NobodysHook'"):
        declared.NobodysHook  # noqa: B018
