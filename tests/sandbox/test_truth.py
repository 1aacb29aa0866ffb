from __future__ import annotations

from decimal import Decimal

import pytest

from airflow_provider_liftos.sandbox import Sandbox
from airflow_provider_liftos.sandbox.truth import UnknownTruthError
from airflow_provider_liftos.sandbox.wire.meta import results, rows
from tests.sandbox.client import Wire, span, sums, truth_sums

LEVELS = ("account", "campaign", "ad_group", "ad")
FIELDS = (
    "account_id,campaign_id,adset_id,ad_id,impressions,clicks,spend,reach,actions,action_values"
)


def test_every_level_has_the_same_sums(sandbox: Sandbox, wire: Wire) -> None:
    for act in wire.accounts().values():
        found = [sandbox.truth(level=level, account=act)["sums"] for level in LEVELS]
        kept = [{k: v for k, v in one.items() if k != "rows"} for one in found]
        assert all(one == kept[0] for one in kept)


@pytest.mark.parametrize("level", LEVELS)
def test_the_wire_arrives_at_the_truth_at_every_level(
    sandbox: Sandbox, wire: Wire, level: str
) -> None:
    theirs = {"ad_group": "adset"}.get(level, level)
    for act in wire.accounts().values():
        found = wire.rows(
            f"{act}/insights",
            level=theirs,
            fields=FIELDS,
            time_increment="1",
            time_range=span("2026-09-20", "2026-11-21"),
            limit=1000,
        )
        truth = sandbox.truth(level=level, account=act)
        assert sums(found) == truth_sums(truth)
        names = {"ad": "ad_id", "ad_group": "adset_id", "campaign": "campaign_id"}
        keys = {(row["date_start"], row.get(names.get(level, "account_id"))) for row in found}
        assert len(keys) == len(found) == len(truth["rows"])
        reach = {(r["date"], r[f"{level}_id"]): r["reach"] for r in truth["rows"]}
        for row in found:
            key = (row["date_start"], row[names.get(level, "account_id")])
            assert int(row.get("reach", 0)) == reach[key]


@pytest.mark.parametrize(
    "breakdown",
    [
        "age", "age,gender", "country", "publisher_platform,platform_position", "product_id",
        "image_asset", "region", "hourly_stats_aggregated_by_advertiser_time_zone",
    ],
)  # fmt: skip
def test_the_wire_arrives_at_the_truth_of_a_breakdown(
    sandbox: Sandbox, wire: Wire, breakdown: str
) -> None:
    days = ("2026-11-18", "2026-11-21")
    for currency in ("EUR", "JPY"):
        act = wire.accounts()[currency]
        found = wire.rows(
            f"{act}/insights",
            level="ad",
            fields="ad_id,impressions,clicks,spend,actions,action_values",
            time_increment="1",
            time_range=span(*days),
            breakdowns=breakdown,
            limit=5000,
        )
        truth = sandbox.truth(
            level="ad", account=act, since=days[0], until=days[1], breakdown=breakdown
        )
        assert sums(found) == truth_sums(truth)
        assert len(found) == len(truth["rows"])
        whole = sandbox.truth(level="ad", account=act, since=days[0], until=days[1])["sums"]
        kept = ["impressions", "clicks", "spend"] + (
            [] if truth["withheld"] else ["conversions", "conversions_value"]
        )
        assert all(Decimal(truth["sums"][name]) == Decimal(whole[name]) for name in kept)


def test_a_row_lost_in_a_wire_handler_shows(
    sandbox: Sandbox, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    act = wire.accounts()["USD"]
    question = {"level": "ad", "fields": FIELDS, "time_increment": "1", "limit": 1000}
    days = ("2026-11-01", "2026-11-05")
    block = rows.block
    monkeypatch.setattr(results, "block", lambda scene, days: block(scene, days)[1:])
    lossy = wire.rows(f"{act}/insights", time_range=span(*days), **question)
    truth = sandbox.truth(level="ad", account=act, since=days[0], until=days[1])
    assert len(lossy) == len(truth["rows"]) - 5
    assert sums(lossy) != truth_sums(truth)


def test_yesterday_grows_while_days_pass(own: Sandbox) -> None:
    day = {"level": "account", "since": "2026-11-20", "until": "2026-11-20"}
    act = "act_" + own.world.dataset("meta").accounts[0].id
    first = own.truth(account=act, **day)["sums"]
    before = own.clock.now().isoformat()
    own.clock.advance(7 * 86_400)
    second = own.truth(account=act, **day)["sums"]
    assert second["spend"] == first["spend"]
    assert second["conversions"] > first["conversions"]
    assert own.truth(account=act, as_of=before, **day)["sums"] == first
    later = own.truth(account=act, as_of="2027-01-01", **day)["sums"]
    assert later["conversions"] > second["conversions"]
    new_day = {"level": "ad", "since": "2026-11-27", "until": "2026-11-27"}
    assert own.truth(account=act, **new_day)["sums"]["rows"] > 15


def test_windows_contain_one_another(sandbox: Sandbox, wire: Wire) -> None:
    act = wire.accounts()["EUR"]
    found = {
        window: sandbox.truth(level="account", account=act, window=window)["sums"]["conversions"]
        for window in ("default", "1d_click", "7d_click", "28d_click", "1d_view", "1d_ev")
    }
    assert 0 < found["1d_click"] < found["7d_click"] < found["28d_click"]
    assert found["default"] == found["7d_click"] + found["1d_view"]
    assert found["1d_ev"] > 0


def test_entity_truth_tells_what_is_gone(sandbox: Sandbox, wire: Wire) -> None:
    act = wire.accounts()["EUR"]
    counts = {}
    for stream in ("campaigns", "ad_groups", "ads", "creatives", "audiences"):
        truth = sandbox.truth(stream=stream, account=act)
        counts[stream] = (truth["sums"]["rows"], truth["sums"]["deleted"] > 0)
        assert all(row["account_id"] == act.removeprefix("act_") for row in truth["rows"])
    assert counts == {
        "campaigns": (5, True),
        "ad_groups": (10, True),
        "ads": (40, True),
        "creatives": (30, False),
        "audiences": (12, True),
    }
    assert sandbox.truth(stream="accounts")["sums"]["rows"] == 6


@pytest.mark.parametrize(
    "question",
    [
        {"platform": "nowhere"},
        {"level": "adset"},
        {"account": "999"},
        {"breakdown": "shoe_size"},
        {"breakdown": "platform_position"},
        {"window": "2d_click"},
        {"since": "yesterday"},
        {"as_of": "soon"},
        {"stream": "adsets"},
    ],
    ids=str,
)
def test_a_senseless_question_is_refused(sandbox: Sandbox, question: dict[str, str]) -> None:
    with pytest.raises(UnknownTruthError):
        sandbox.truth(**question)


def test_money_has_the_decimals_of_its_currency(sandbox: Sandbox, wire: Wire) -> None:
    for currency, act in wire.accounts().items():
        for row in sandbox.truth(level="account", account=act)["rows"]:
            places = 0 if currency == "JPY" else 2
            assert -Decimal(row["spend"]).as_tuple().exponent == places
            assert row["currency"] == currency
