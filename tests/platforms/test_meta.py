from __future__ import annotations

import json
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_liftos.model.errors import ConfigurationError, Throttled
from airflow_provider_liftos.model.platform import Pending, ReportState
from airflow_provider_liftos.model.report import Ids, Level, Report, Slice
from airflow_provider_liftos.model.wire import Request, Response, Verdict, judge
from airflow_provider_liftos.platforms.meta import catalog, entities, insights, money, wire
from airflow_provider_liftos.transport.client import HttpSender
from airflow_provider_liftos.transport.flow import run
from tests.engine.harness import META, basic, credentials, last
from tests.transport.conftest import Caller, answer, refusal

V = Verdict
SEVEN = Pending(
    report_id="7",
    slice=Slice(platform="meta", account_id="501", window=last(1), report=basic()),
)


@pytest.mark.parametrize(
    ("report", "told"),
    [
        (Report(metrics=("spent",)), "no metric 'spent'; did you mean 'spend'"),
        (Report(metrics=("impresions",)), "did you mean 'impressions'"),
        (Report(metrics=("",)), "no metric ''"),
        (Report(breakdowns=("agee",)), "did you mean 'age'"),
        (Report(action_breakdowns=("action_typ",)), "did you mean 'action_type'"),
        (Report(attribution_windows=("7d_clik",)), "did you mean '7d_click'"),
        (Report(attribution_windows=("7d_view",)), "returns nothing since 2026-01-12"),
        (Report(attribution_windows=("default", "28d_view")), "returns nothing since 2026-01-12"),
        (Report(breakdowns=("age", "country")), "does not combine"),
        (Report(breakdowns=("region", "device_platform")), "does not combine"),
        (Report(breakdowns=("age", "age")), "named twice"),
        (Report(metrics=("newsfeed_clicks",), breakdowns=("age",)), "no metric"),
        (Report(metrics=("reach",), breakdowns=("hourly_stats_aggregated_by_advertiser_time_zone",)),
         "counted by the hour"),
        (Report(metrics=("video_p25_watched_actions",), breakdowns=("region",)), "video quartiles"),
        (Report(level=Level.ACCOUNT, metrics=("spend",), breakdowns=("image_asset",)), "account level"),
        (Report(metrics=("spend", "actions"), action_breakdowns=("action_type",)),
         "metric 'spend' cannot be broken down by actions"),
        (Report(metrics=("video_p100_watched_actions",), action_breakdowns=("action_type",)),
         "metric 'video_p100_watched_actions' cannot be broken down by actions"),
        (Report(time_increment=0), "1 to 90"),
        (Report(time_increment=91), "1 to 90"),
    ],
)  # fmt: skip
def test_what_meta_would_refuse_is_refused_before(report: Report, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        insights.check(report)


@pytest.mark.parametrize("breakdowns", [*map(tuple, catalog.COMBINATIONS), ("age",), ("country",)])
def test_what_meta_combines_is_let_through(breakdowns: tuple[str, ...]) -> None:
    assert insights.check(Report(metrics=("spend",), breakdowns=breakdowns))


@pytest.mark.parametrize("level", list(Level))
@pytest.mark.parametrize("name", sorted(insights.PRESETS))
def test_every_preset_passes_its_own_check(name: str, level: Level) -> None:
    assert insights.check(META.preset(name, level)).name == name


def test_defaults_are_filled_in_and_doubles_left_out() -> None:
    report = insights.check(Report(metrics=("spend", "spend"), attribution_windows=()))
    assert report.metrics == ("spend",)
    assert report.attribution_windows == ("default",)
    assert "spend" in insights.check(Report()).metrics
    by_action = insights.check(Report(action_breakdowns=("action_type",)))
    assert by_action.metrics == ("actions", "action_values")


def test_unknown_presets_and_streams_name_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="basic"):
        META.preset("nope", Level.AD)
    with pytest.raises(ConfigurationError, match="campaigns"):
        META.stream("nope")


@pytest.mark.parametrize(
    ("currency", "units"),
    [("EUR", 100), ("usd", 100), ("JPY", 1), ("HUF", 1), ("COP", 1), ("TWD", 1), ("IDR", 1),
     ("CRC", 1), ("KWD", 100), ("BHD", 100), ("ISK", 1), ("", 100)],
)  # fmt: skip
def test_minor_units_are_metas_and_not_the_iso_ones(currency: str, units: int) -> None:
    assert money.offset(currency) == units


def verdict(code: int, subcode: int | None = None, message: str = "", **parts: Any) -> Verdict:
    said = {"code": code, "error_subcode": subcode, "message": message, **parts}
    error = wire.vendor_error({"error": said}, 400)
    return judge(wire.ERRORS, 400, error).verdict


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ((100, 1487534, "Too many rows"), V.SHRINK),
        ((1, None, "Please reduce the amount of data you're asking for"), V.SHRINK),
        ((100, None, "Please reduce the amount of data you're asking for"), V.SHRINK),
        ((1, 99), V.SHRINK), ((-3, 1504045), V.SHRINK), ((2, 1504038), V.SHRINK),
        ((100, 1504018), V.SHRINK), ((2, 1504044), V.RETRY), ((2, 1504043), V.RETRY),
        ((2, 1504041), V.REJECTED), ((2, 1504042), V.REJECTED), ((100, 3191001), V.REJECTED),
        ((-2, 2490547), V.REPORT_FAILED),
        ((2601, 1815107), V.NOT_READY), ((2637, 1815107), V.NOT_READY),
        ((17, 2446079), V.THROTTLED), ((4, 1504022), V.THROTTLED), ((4, 1504039), V.THROTTLED),
        *(((code, None), V.THROTTLED) for code in
          (4, 17, 32, 341, 613, *range(80000, 80007), 80008, 80009, 80014)),
        ((613, 1996), V.THROTTLED), ((613, 1487742), V.THROTTLED), ((613, 5044001), V.THROTTLED),
        ((1, None), V.RETRY), ((2, None), V.RETRY), ((104, None), V.RETRY), ((960, None), V.RETRY),
        ((102, None), V.REAUTHORIZE), *(((190, s), V.REAUTHORIZE) for s in (458, 460, 463, 467, 492)),
        ((10, None), V.REAUTHORIZE), ((200, None), V.REAUTHORIZE), ((294, None), V.REAUTHORIZE),
        ((100, None, "Invalid appsecret_proof provided in the API argument"), V.REAUTHORIZE),
        ((2635, None), V.VERSION_DEAD), ((368, None), V.FATAL), ((100, 33), V.SKIP),
        ((100, None, "(#100) Tried accessing nonexisting field (x) on node type (Y)"), V.FIELD_GONE),
        ((100, None, "(#100) x is not valid for fields param. please check"), V.FIELD_GONE),
        ((100, None, "(#100) Cannot include reach in summary param because they ..."), V.RETRY),
        ((3018, None), V.REJECTED), ((100, None, "invalid"), V.REJECTED), ((12345, None), V.REJECTED),
    ],
    ids=lambda value: "-".join(map(str, value[:2])) if isinstance(value, tuple) else value.value,
)  # fmt: skip
def test_every_known_error_has_its_meaning(error: tuple[Any, ...], expected: Verdict) -> None:
    assert verdict(*error) is expected
    assert verdict(*error, is_transient=True) in {expected, V.RETRY}


def test_the_abuse_signal_asks_for_a_long_pause_of_everything() -> None:
    error = wire.vendor_error({"error": {"code": 613, "error_subcode": 1996}}, 400)
    assert error.wait == 900
    assert not judge(wire.ERRORS, 400, error).one_account


@pytest.mark.parametrize(
    "body", [{}, [], None, "x", {"error": "x"}, {"error": {"code": "?"}}, {"error": []}]
)
def test_an_error_of_any_shape_is_an_error(body: Any) -> None:
    response = Response(status=500, headers={}, body=json.dumps(body).encode())
    error = wire.error(response)
    assert error is not None
    assert judge(wire.ERRORS, 500, error).verdict is V.RETRY


def status(body: Any, code: int = 200) -> ReportState:
    item = {"code": code, "body": body if isinstance(body, str) else json.dumps(body)}
    (found,) = insights.statuses(json.dumps([item]).encode(), [SEVEN])
    return found.state


@pytest.mark.parametrize(
    ("name", "percent", "state"),
    [
        ("Job Not Started", 0, "running"), ("Job Started", 0, "running"), ("Job Running", 100, "running"),
        ("Job Completed", 99, "running"), ("Job Completed", 100, "ready"), ("Job Failed", 0, "failed"),
        ("Job Skipped", 0, "failed"), ("Job Invented", 100, "running"),
    ],
)  # fmt: skip
def test_a_report_is_ready_when_both_status_and_percent_say_so(
    name: str, percent: int, state: str
) -> None:
    assert status({"async_status": name, "async_percent_completion": percent}).value == state


@pytest.mark.parametrize("body", ["", "[]", "null", "7", '"x"', "<html>", "{}"])
def test_a_poll_that_says_nothing_changes_nothing(body: str) -> None:
    assert status(body) is ReportState.RUNNING


@pytest.mark.parametrize("answers", [[None], ["x"], [7], [{"code": 200}], [{"body": None}]])
def test_items_that_were_not_carried_out_are_still_running(answers: list[Any]) -> None:
    (found,) = insights.statuses(json.dumps(answers).encode(), [SEVEN])
    assert found.state is ReportState.RUNNING


@pytest.mark.parametrize("body", [b"{}", b"[]", b"[1,2]", b"x"])
def test_a_batch_of_another_length_is_no_answer(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        insights.statuses(body, [SEVEN])


def test_an_expired_report_is_known_as_such() -> None:
    assert status({"error": {"code": 100, "error_subcode": 33}}, 400) is ReportState.EXPIRED
    assert status({"error": {"code": 2}}, 500) is ReportState.RUNNING
    assert status({"error": {"code": 100}}, 400) is ReportState.RUNNING


def test_a_limit_inside_a_batch_names_its_wait() -> None:
    use = {"501": [{"call_count": 100, "estimated_time_to_regain_access": 7}]}
    headers = [{"name": "X-Business-Use-Case-Usage", "value": json.dumps(use)}, None]
    item = {"code": 400, "headers": headers, "body": json.dumps({"error": {"code": 80000}})}
    (found,) = insights.statuses(json.dumps([item]).encode(), [SEVEN])
    assert found.error is not None
    assert found.error.wait == 7 * 60


@pytest.mark.parametrize("account", ["501", None])
def test_use_cases_of_an_account_hold_up_that_account_and_never_the_app(
    tmp_path: Path, account: str | None
) -> None:
    caller = Caller(tmp_path)
    use = {"type": "ads_insights", "call_count": 100, "estimated_time_to_regain_access": 7}
    caller.call(answer({}, x_business_use_case_usage={"501": [use]}), account=account)
    assert caller.paused() == {"meta/account/501/allowance": 420}
    caller.clock.advance(420)
    with pytest.raises(Throttled) as caught:
        caller.call(answer(refusal(4), 400, x_business_use_case_usage={"501": [use]}), account=None)
    assert caught.value.retry_at - caller.clock.now() == 420, "the wait it names is taken"
    caller.store.close()


def test_an_account_that_a_batch_says_is_locked_holds_up_no_other(tmp_path: Path) -> None:
    caller = Caller(tmp_path)
    use = {"type": "ads_insights", "call_count": 100, "estimated_time_to_regain_access": 7}
    calm = {"type": "ads_insights", "call_count": 3, "estimated_time_to_regain_access": 0}
    locked = answer(
        refusal(80000), 400, x_business_use_case_usage={"act_501": [use], "502": [calm]}
    )
    with pytest.raises(Throttled):
        caller.call(locked, account=None)
    assert caller.paused() == {"meta/account/501/allowance": 420}
    caller.clock.advance(420)
    with pytest.raises(Throttled):
        caller.call(answer(refusal(80000), 400, x_app_usage={"call_count": 100}), account=None)
    assert {key.split("/")[1] for key in caller.paused()} == {"app"}, "it names nobody"
    caller.store.close()


def test_a_submission_names_each_field_once_and_no_breakdown_among_them() -> None:
    report = META.preset("demographics_age_and_gender", Level.AD)
    cut = Slice(
        platform="meta", account_id="501", window=last(2), report=report, without=("ad_name",)
    )
    form = insights.submit(cut).form or {}
    fields = json.loads(form["fields"])
    assert len(fields) == len(set(fields))
    assert not {"age", "gender", "ad_name"} & set(fields)
    assert json.loads(form["breakdowns"]) == ["age", "gender"]
    assert "filtering" not in form


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (Ids(values=("1", "2")), [{"field": "ad.id", "operator": "IN", "value": ["1", "2"]}]),
        (Ids(values=("1",), everything_else=True), [{"field": "ad.id", "operator": "NOT_IN", "value": ["1"]}]),
        (Ids(values=(), everything_else=True), None),
    ],
)  # fmt: skip
def test_ids_become_a_filter(ids: Ids, expected: Any) -> None:
    cut = Slice(platform="meta", account_id="501", window=last(2), report=basic(), ids=ids)
    filtering = (insights.submit(cut).form or {}).get("filtering")
    assert (json.loads(filtering) if filtering else None) == expected


def test_accounts_without_an_id_are_no_accounts() -> None:
    rows = [{"id": "act_5", "name": None}, {"name": "nobody"}, {}, {"account_id": 7}]
    flow = entities.accounts(Answering({"data": rows}), credentials("http://127.0.0.1"))
    found = run(flow, HttpSender())
    assert [account.account_id for account in found] == ["5", "7"]


@dataclass
class Answering:
    """A caller whose platform always says the same."""

    answer: Any

    def call(self, _request: Request, read: Callable[[bytes], Any]) -> Generator[Any, Any, Any]:
        yield from ()
        return read(json.dumps(self.answer).encode())


@pytest.mark.parametrize(
    "body", [b"[]", b"[{}]", b"{}", b'[{"body": "x"}]', b'[{"body": "{}"}]', b"x"]
)
def test_a_token_that_nobody_speaks_of_is_no_answer(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        wire.read_token(body)


def test_what_is_told_of_a_token() -> None:
    data = {"is_valid": True, "scopes": ["ads_read"], "expires_at": 1_800_000_000}
    facts = wire.read_token(json.dumps([{"body": json.dumps({"data": data})}]).encode())
    assert (facts.valid, facts.scopes, facts.expires_at) == (True, ("ads_read",), 1_800_000_000)
