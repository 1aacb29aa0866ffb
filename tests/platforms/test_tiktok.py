from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_liftos.engine import polling
from airflow_provider_liftos.engine.checkpoint import SUBMITTED, Checkpoints
from airflow_provider_liftos.hooks import liftos
from airflow_provider_liftos.hooks.configuration import Extraction
from airflow_provider_liftos.hooks.report_types import reports_for
from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.model.platform import Paged, Pending, ReportState, Streamed
from airflow_provider_liftos.model.report import Ids, Level, Report, Slice, Window
from airflow_provider_liftos.model.secret import Secret
from airflow_provider_liftos.platforms import get
from airflow_provider_liftos.platforms.tiktok import (
    catalog,
    mapping,
    reading,
    reports,
    wire,
)
from airflow_provider_liftos.transport.client import HttpSender
from airflow_provider_liftos.transport.flow import run
from tests.engine.conftest import NOON
from tests.engine.harness import YESTERDAY, Harness, credentials, last

TIKTOK = get("tiktok")
FIELDS = {"access_token": "t", "app_id": "1001", "secret": "s"}


def preset(name: str = "basic", level: Level = Level.AD) -> Report:
    return TIKTOK.check(TIKTOK.preset(name, level))


def a_slice(report: Report | None = None, days: int = 4, **parts: Any) -> Slice:
    return Slice(
        platform="tiktok", account_id="501", window=last(days), report=report or preset(), **parts
    )


def connection(**options: Any) -> Any:
    return credentials("http://127.0.0.1", TIKTOK, FIELDS, **options)


# -- what is checked before anything is asked ---------------------------------------------------


@pytest.mark.parametrize(
    ("report", "told"),
    [
        (Report(metrics=("spent",)), "no metric 'spent'; did you mean 'spend'"),
        (Report(metrics=("conversions",)), "did you mean 'conversion'"),
        (Report(breakdowns=("agee",)), "did you mean 'age'"),
        (Report(breakdowns=("country",)), "did you mean 'country_code'"),
        (Report(action_breakdowns=("action_type",)), "nothing down by actions"),
        (Report(attribution_windows=("7d_click",)), "no attribution windows"),
        (Report(time_increment=7), "rows of one day"),
        (Report(breakdowns=("age", "age")), "named twice"),
        (Report(breakdowns=("age", "gender", "platform")), "2 breakdowns at most"),
        (Report(breakdowns=("province_id",)), "needs 'country_code'"),
        (Report(breakdowns=("stat_time_hour", "age")), "does not combine 'stat_time_hour'"),
        (Report(metrics=("reach",), breakdowns=("age",)), "'reach' cannot be broken down by age"),
        (Report(metrics=("result",), breakdowns=("age", "gender")), "counts people only as a whole"),
    ],
)  # fmt: skip
def test_what_tiktok_would_refuse_is_refused_before(report: Report, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        reports.check(report)


@pytest.mark.parametrize("level", list(Level))
@pytest.mark.parametrize("name", sorted(TIKTOK.presets))
def test_every_preset_passes_its_own_check(name: str, level: Level) -> None:
    report = TIKTOK.preset(name, level)
    assert reports.check(report) == report


def test_people_and_values_are_asked_for_where_tiktok_gives_them() -> None:
    assert {"reach", "total_complete_payment_rate"} <= set(preset().metrics)
    assert not {"reach", "total_complete_payment_rate"} & set(preset("demographics_age").metrics)
    hourly = set(preset("hourly").metrics)
    assert "total_complete_payment_rate" in hourly
    assert not hourly & catalog.PEOPLE


def test_report_types_of_a_yaml_file_have_their_reports() -> None:
    kinds = reports_for(TIKTOK, Extraction(report_type="audience_insights"))
    assert kinds == [
        "basic:campaign", "demographics_age:campaign", "demographics_gender:campaign",
        "demographics_country:campaign", "delivery_device:campaign", "audience_interest:campaign",
    ]  # fmt: skip
    custom = Extraction(report_type="custom", metrics=("ctr", "likes"), breakdowns=("age",))
    (_, report) = reports_for(TIKTOK, custom)
    assert isinstance(report, Report)
    assert report.breakdowns == ("age",)
    assert set(report.metrics) == {*reports.BY_AUDIENCE, "likes"}


@pytest.mark.parametrize(
    ("metric", "percent"),
    [("ctr", True), ("conversion_rate_v2", True), ("result_rate", True), ("spend", False),
     ("complete_payment_rate", True), ("total_complete_payment_rate", False), ("cpc", False)],
)  # fmt: skip
def test_percent_are_told_from_what_is_only_called_a_rate(metric: str, percent: bool) -> None:
    assert catalog.is_percent(metric) is percent


# -- at once, or as a task ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cut", "now"),
    [
        (a_slice(preset("basic", Level.ACCOUNT), 30), True),
        (a_slice(preset("basic", Level.CAMPAIGN), 30), True),
        (a_slice(preset("basic", Level.AD_GROUP), 1), False),
        (a_slice(preset("basic", Level.AD), 1), False),
        (a_slice(preset("demographics_age", Level.CAMPAIGN), 2), False),
        (a_slice(preset("demographics_age", Level.CAMPAIGN), 1), True),
        (a_slice(preset("demographics_age", Level.ACCOUNT), 30), True),
        (a_slice(preset("demographics_country", Level.AD), 30), True),
        (a_slice(preset("demographics_region", Level.AD), 30), True),
        (a_slice(preset("hourly", Level.AD), 1), True),
        (a_slice(at_once=True), True),
        (a_slice(find_ids=True), True),
        (a_slice(ids=Ids(values=("1",))), False),
        (a_slice(ids=Ids(values=("1",), everything_else=True)), True),
        (a_slice(ids=Ids(values=(), everything_else=True)), False),
    ],
)  # fmt: skip
def test_small_reports_are_read_at_once_and_large_ones_prepared(cut: Slice, now: bool) -> None:
    found = TIKTOK.reading(cut, connection())
    assert isinstance(found, Paged) is now
    assert isinstance(TIKTOK.reading(cut, connection(report_tasks="false")), Paged)


def test_days_of_one_report_are_what_tiktok_takes() -> None:
    assert TIKTOK.longest(preset("hourly")) == 1
    assert TIKTOK.longest(preset()) == 30


def asked_at_once(cut: Slice) -> dict[str, Any]:
    found = reading.at_once(cut.narrowed(at_once=True), connection())
    assert isinstance(found, Paged)
    request = found.request(1000, None)
    texts = {name: value for name, value in request.query.items() if value[:1] in "[{"}
    return dict(request.query) | {name: json.loads(value) for name, value in texts.items()}


@pytest.mark.parametrize(
    ("level", "identity", "status"),
    [(Level.CAMPAIGN, "campaign_id", "campaign_status"), (Level.AD_GROUP, "adgroup_id", "adgroup_status"),
     (Level.AD, "ad_id_v2", "ad_status")],
)  # fmt: skip
def test_what_was_deleted_is_asked_for_too(level: Level, identity: str, status: str) -> None:
    asked = asked_at_once(a_slice(preset("basic", level)))
    assert asked["dimensions"] == [identity, "stat_time_day"]
    assert asked["report_type"] == "BASIC"
    (condition,) = asked["filtering"]
    assert condition["field_name"] == status
    assert json.loads(condition["filter_value"]) == ["STATUS_ALL"]
    assert "filtering" not in asked_at_once(a_slice(preset("basic", Level.ACCOUNT)))


def test_a_task_is_asked_for_names_that_do_not_change_and_for_nothing_it_refuses() -> None:
    ids = Ids(values=tuple(map(str, range(50))))
    request = reading.submit(a_slice(preset("demographics_age"), ids=ids, without=("ad_name",)))
    asked = json.loads(request.body or b"")
    assert request.path == "report/task/create/"
    assert asked["enable_report_title_translation"] is False
    assert asked["output_format"] == "CSV_STRING"
    assert asked["report_type"] == "AUDIENCE"
    assert asked["dimensions"] == ["ad_id_v2", "stat_time_day", "age"]
    assert [one["field_name"] for one in asked["filtering"]] == ["campaign_ids"]
    assert "ad_name" not in asked["metrics"]
    assert "adgroup_name" in asked["metrics"]
    assert (asked["start_date"], asked["end_date"]) == ("2026-11-17", "2026-11-20")


def test_all_but_many_campaigns_are_named_in_lists_that_tiktok_takes() -> None:
    rest = Ids(values=tuple(map(str, range(250))), everything_else=True)
    _, *conditions = asked_at_once(a_slice(ids=rest))["filtering"]
    assert [one["filter_type"] for one in conditions] == ["NOT_IN"] * 3
    assert [len(json.loads(one["filter_value"])) for one in conditions] == [100, 100, 50]


def test_ids_are_sought_among_campaigns_at_every_level() -> None:
    asked = asked_at_once(a_slice(preset("demographics_age"), find_ids=True))
    assert asked["dimensions"] == ["campaign_id"]
    assert (asked["report_type"], asked["data_level"]) == ("BASIC", "AUCTION_CAMPAIGN")


@pytest.mark.parametrize(("given", "number"), [(None, 50), (7, 7), ("100", 100)])
def test_campaigns_per_call_are_the_documented_50_unless_set(given: Any, number: int) -> None:
    assert TIKTOK.ids_per_part(connection(campaigns_per_filter=given)) == number


@pytest.mark.parametrize("given", [101, "x", "-1", "0"])
def test_more_campaigns_than_tiktok_takes_are_refused(given: Any) -> None:
    with pytest.raises(ConfigurationError, match="1 to 100"):
        TIKTOK.ids_per_part(connection(campaigns_per_filter=given))


def test_limits_are_the_documented_ones(tiktok: Harness) -> None:
    found = {limit.name: (limit.scope, limit.calls, limit.per) for limit in TIKTOK.limits}
    assert found["hour"] == ("app", 1000, 3600)
    assert found["second"] == ("app", 10, 1)
    assert found["tasks"] == ("app", 1, 1)
    assert found["account_tasks"] == ("account", 500, 3600)
    session = tiktok.session()
    task = [
        place.key.rpartition("/")[2] for place in session.pace.places(reading.submit(a_slice()))
    ]
    assert task == ["hour", "second", "tasks", "account_tasks"]
    assert len(session.pace.places(wire.get("campaign/get/", "501"))) == 2


# -- the life of a task -------------------------------------------------------------------------

SEVEN = Pending(report_id="7", slice=a_slice())


@pytest.mark.parametrize(
    ("status", "state"),
    [("QUEUING", "running"), ("PROCESSING", "running"), ("SUCCESS", "ready"), ("FAILED", "failed"),
     ("CANCELED", "failed"), ("INVENTED", "running")],
)  # fmt: skip
def test_every_status_has_its_meaning(status: str, state: str) -> None:
    body = json.dumps({"code": 0, "data": {"status": status, "message": "why"}}).encode()
    (found,) = reading.statuses(body, [SEVEN])
    assert (found.report_id, found.state) == ("7", ReportState(state))
    assert (found.error is not None) is (state == "failed")


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"data": []}', b"x", b'{"data": null}'])
def test_answers_without_data_are_none(body: bytes) -> None:
    for read in (reading.report_id, wire.read_token, lambda b: reading.statuses(b, [SEVEN])):
        with pytest.raises(ValueError, match=r".*"):
            read(body)


def test_a_task_that_is_waited_for_no_more_is_cancelled(tiktok: Harness) -> None:
    tiktok.sandbox.world.report_seconds = 600
    try:
        extraction = tiktok.extraction()
        extraction.advance(tiktok.slices([preset()], last(2)))
        points = Checkpoints(tiktok.store, "default", tiktok.scope)
        assert [point.state for point in tiktok.points()] == [SUBMITTED]
        assert run(polling.cancel(extraction.session, points), tiktok.sender) == 1
        (entry,) = tiktok.journal("task/cancel")
        assert entry["status"] == 200
        run(polling.poll(extraction.session, points, tiktok.clock.now()), tiktok.sender)
        assert [point.state for point in tiktok.points()] == ["failed"]
    finally:
        tiktok.sandbox.world.report_seconds = 0
    done = tiktok.run_to_end(tiktok.slices([preset()], last(2)))
    assert not done.failed
    assert tiktok.published_equals_truth()


def test_a_task_that_is_gone_is_created_again(tiktok: Harness) -> None:
    extraction = tiktok.extraction()
    cuts = tiktok.slices([preset()], last(2))
    (point,) = extraction.checkpoints.add(cuts)
    point.state, point.report_id, point.deadline = SUBMITTED, "70000000000000001", 4e9
    extraction.checkpoints.save(point)
    done = tiktok.run_to_end(cuts)
    assert not done.failed
    assert tiktok.published_equals_truth()


# -- rows ---------------------------------------------------------------------------------------


def test_a_row_says_what_is_known_and_leaves_out_what_is_not(tiktok: Harness) -> None:
    report = replace(preset("basic", Level.CAMPAIGN), metrics=("spend", "ctr", "reach", "clicks"))
    tiktok.run_to_end(tiktok.slices([report], last(1)))
    rows = tiktok.warehouse.query(
        "SELECT reach, conversions, clicks = link_clicks, extra_metrics->>'ctr',"
        " clicks, impressions, currency, account_timezone FROM liftos.performance"
    )
    assert rows
    for reach, conversions, same, ctr, clicks, shown, currency, zone in rows:
        assert (reach, conversions, shown) == (None, None, None)  # people come after 16 hours
        assert same
        assert 0 <= Decimal(ctr) < 1, (ctr, clicks)
        assert (currency, zone) == ("EUR", "Europe/Berlin")


@pytest.mark.parametrize(
    ("actions", "conversions", "value"),
    [
        (None, "conversion", "total_complete_payment_rate+total_purchase_value"),
        ([["complete_payment"]], "complete_payment", "total_complete_payment_rate"),
        ([["form", "total_purchase"]], "total_purchase", "total_purchase_value"),
        ([["complete_payment"], ["total_purchase"]], "complete_payment+total_purchase",
         "total_complete_payment_rate+total_purchase_value"),
        ([["form"]], None, None),
        ([["complete_payment"], ["form"]], None, "total_complete_payment_rate"),
        ([["likes"]], "likes", None),
    ],
)  # fmt: skip
def test_conversions_are_what_the_connection_says(
    actions: Any, conversions: str | None, value: str | None
) -> None:
    import duckdb

    found = mapping.mapping(preset(), {"conversion_actions": actions}).windows["default"]
    names = sorted({*reports.EVENTS, "conversion", "likes"})
    numbers = {name: str(10**at) for at, name in enumerate(names)}
    row = ", ".join(f"'{number}' AS {name}" for name, number in numbers.items())

    def expected(sum_of: str | None) -> Decimal | None:
        return sum(Decimal(numbers[n]) for n in sum_of.split("+")) if sum_of else None  # type: ignore[return-value]

    for column, told in (("conversions", conversions), ("conversions_value", value)):
        if column == "conversions_value" and conversions is None:
            continue
        assert (column in found) is (told is not None)
        if told:
            ((text,),) = duckdb.sql(f"SELECT {found[column]} FROM (SELECT {row})").fetchall()
            assert Decimal(text) == expected(told)


def test_conversions_that_nobody_knows_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="no metric 'purchases'"):
        mapping.mapping(preset(), {"conversion_actions": [["purchases"]]})


def test_hours_and_places_have_the_names_of_every_platform(tiktok: Harness) -> None:
    cuts = [preset("hourly", Level.CAMPAIGN), preset("demographics_region", Level.CAMPAIGN)]
    tiktok.run_to_end(tiktok.slices(cuts, last(2)))
    assert tiktok.published_equals_truth(), tiktok.differences()
    hours = tiktok.warehouse.query(
        "SELECT DISTINCT (breakdowns->>'hour')::INT FROM liftos.performance"
        " WHERE report = 'hourly' ORDER BY ALL"
    )
    assert hours == [(hour,) for hour in range(24)]
    assert tiktok.warehouse.query("SELECT count(region) > 0 FROM liftos.region_report") == [(True,)]


def test_every_account_level_and_breakdown_equals_the_truth(tiktok: Harness) -> None:
    cuts = [preset(name, level) for name in TIKTOK.presets for level in Level]
    done = tiktok.run_to_end(tiktok.slices(cuts, last(2), accounts=range(6)))
    assert not done.failed
    assert tiktok.published_equals_truth(), tiktok.differences()
    sums = tiktok.warehouse.query(
        "SELECT DISTINCT sum(spend), sum(impressions), sum(conversions) FROM liftos.performance"
        " WHERE currency = 'EUR' GROUP BY report, level"
    )
    assert len(sums) == 1, "every level and breakdown comes to the same"


# -- the connection -----------------------------------------------------------------------------


def test_a_connection_is_tested(tiktok: Harness) -> None:
    from airflow_provider_liftos.hooks.probe import probe

    fine = credentials(tiktok.sandbox.url, TIKTOK, tiktok.fields)
    worked, told = probe(TIKTOK, fine)
    assert worked, told
    assert told.startswith("6 accounts (")
    assert "API v1.3" in told
    bad = replace(fine, secrets={**fine.secrets, "access_token": Secret("nobody")})
    worked, told = probe(TIKTOK, bad)
    assert not worked
    assert "not valid" in told
    assert "nobody" not in told


def test_tokens_travel_in_a_header_alone(tiktok: Harness) -> None:
    tiktok.run_to_end(tiktok.slices([preset()], last(1), streams=["campaigns"]))
    assert {entry["auth"] for entry in tiktok.journal()} == {"header"}
    assert TIKTOK.asynchronous().poll_batch == 1
    assert isinstance(TIKTOK.asynchronous().result(SEVEN), Streamed)


def test_a_window_before_tiktoks_memory_is_cut() -> None:
    from airflow_provider_liftos.engine import plan
    from airflow_provider_liftos.model.report import Account

    window, (warning,) = plan.resolve(
        plan.DateRange(lifetime=True), Account(account_id="1"), TIKTOK, NOON.timestamp()
    )
    assert window == Window(since=window.since, until=YESTERDAY)
    assert "five years" in warning


def test_accounts_of_a_connection_narrow_what_the_token_sees(tiktok: Harness) -> None:
    session = tiktok.session()
    found = liftos.discover(session, HttpSender())
    one = tiktok.accounts[0].account_id
    options = {**session.credentials.options, "account_ids": one}
    chosen, unseen = liftos.choose(found, replace(session.credentials, options=options), TIKTOK)
    assert ([account.account_id for account in chosen], unseen) == ([one], [])
