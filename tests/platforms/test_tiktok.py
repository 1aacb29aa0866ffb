from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_liftos.engine import polling
from airflow_provider_liftos.engine.checkpoint import SUBMITTED, Checkpoints
from airflow_provider_liftos.hooks import liftos
from airflow_provider_liftos.hooks.configuration import Extraction
from airflow_provider_liftos.hooks.report_types import reports_for
from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.model.platform import Paged, Pending, ReportState, Streamed
from airflow_provider_liftos.model.report import Ids, Level, Report, Slice, Window
from airflow_provider_liftos.model.secret import Secret
from airflow_provider_liftos.model.wire import Response, Verdict, judge
from airflow_provider_liftos.platforms import get
from airflow_provider_liftos.platforms.tiktok import (
    catalog,
    entities,
    mapping,
    reading,
    reports,
    wire,
)
from airflow_provider_liftos.platforms.tiktok.table import Table
from airflow_provider_liftos.transport.client import HttpSender
from airflow_provider_liftos.transport.flow import run
from tests.engine.conftest import NOON
from tests.engine.harness import YESTERDAY, Harness, credentials, last

TIKTOK = get("tiktok")
V = Verdict
FIELDS = {"access_token": "t", "app_id": "1001", "secret": "s"}


def preset(name: str = "basic", level: Level = Level.AD) -> Report:
    return TIKTOK.check(TIKTOK.preset(name, level))


def a_slice(report: Report | None = None, days: int = 4, **parts: Any) -> Slice:
    return Slice(
        platform="tiktok", account_id="501", window=last(days), report=report or preset(), **parts
    )


def connection(**options: Any) -> Any:
    return credentials("http://127.0.0.1", TIKTOK, FIELDS, **options)


@pytest.fixture
def harness(tmp_path: Path, sandbox: Any, prepared: Path) -> Iterator[Harness]:
    shutil.copy(prepared, tmp_path)
    made = Harness(sandbox=sandbox, folder=tmp_path, platform=TIKTOK)
    yield made
    made.close()


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


def test_limits_are_the_documented_ones(harness: Harness) -> None:
    found = {limit.name: (limit.scope, limit.calls, limit.per) for limit in TIKTOK.limits}
    assert found["hour"] == ("app", 1000, 3600)
    assert found["second"] == ("app", 10, 1)
    assert found["tasks"] == ("app", 1, 1)
    assert found["account_tasks"] == ("account", 500, 3600)
    session = harness.session()
    task = [place.key.rpartition("/")[2] for place in session.places(reading.submit(a_slice()))]
    assert task == ["hour", "second", "tasks", "account_tasks"]
    assert len(session.places(wire.get("campaign/get/", "501"))) == 2


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


def test_a_task_that_is_waited_for_no_more_is_cancelled(harness: Harness) -> None:
    harness.sandbox.world.report_seconds = 600
    try:
        extraction = harness.extraction()
        extraction.advance(harness.slices([preset()], last(2)))
        points = Checkpoints(harness.store, "default", harness.scope)
        assert [point.state for point in harness.points()] == [SUBMITTED]
        assert run(polling.cancel(extraction.session, points), harness.sender) == 1
        (entry,) = harness.journal("task/cancel")
        assert entry["status"] == 200
        run(polling.poll(extraction.session, points, harness.clock.now()), harness.sender)
        assert [point.state for point in harness.points()] == ["failed"]
    finally:
        harness.sandbox.world.report_seconds = 0
    done = harness.run_to_end(harness.slices([preset()], last(2)))
    assert not done.failed
    assert harness.published_equals_truth()


def test_a_task_that_is_gone_is_created_again(harness: Harness) -> None:
    extraction = harness.extraction()
    cuts = harness.slices([preset()], last(2))
    (point,) = extraction.checkpoints.add(cuts)
    point.state, point.report_id, point.deadline = SUBMITTED, "70000000000000001", 4e9
    extraction.checkpoints.save(point)
    done = harness.run_to_end(cuts)
    assert not done.failed
    assert harness.published_equals_truth()


# -- errors -------------------------------------------------------------------------------------


def verdict(code: int, message: str = "no", **headers: str) -> tuple[Verdict, bool]:
    body = json.dumps({"code": code, "message": message, "request_id": "r", "data": {}})
    error = wire.error(Response(status=200, headers=headers, body=body.encode()))
    assert error is not None
    found = judge(TIKTOK.rules, 200, error)
    return found.verdict, found.one_account


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        *(((code,), (V.THROTTLED, False)) for code in (40100, 40132, 61000, 60001)),
        *(((code,), (V.REAUTHORIZE, False)) for code in (40102, 40104, 40105, 40107, 40110)),
        *(((code,), (V.REAUTHORIZE, True)) for code in (40001, 40003, 40113, 40124, 40131, 40302)),
        ((40001, "The app has no permission to access this API"), (V.REAUTHORIZE, False)),
        ((40117,), (V.NOT_PREPARED, False)), ((40118,), (V.NOT_PREPARED, False)),
        ((40006,), (V.FATAL, False)), ((40009,), (V.FATAL, False)),
        ((40007,), (V.SKIP, False)), ((40011,), (V.TOO_MANY_IDS, False)),
        ((40201,), (V.NOT_READY, False)), ((40200,), (V.REPORT_FAILED, False)),
        ((40002, "Invalid metric fields: ['likes']"), (V.FIELD_GONE, False)),
        ((40002, "Conflict occurs. The input params"), (V.REJECTED, False)),
        ((40002, "max time span is 30 days"), (V.SHRINK, False)),
        ((40002, "Not a valid string"), (V.REJECTED, False)), ((40000,), (V.REJECTED, False)),
        ((50002,), (V.SHRINK, False)),
        *(((code,), (V.RETRY, False)) for code in (40016, 40202, 40700, 50000, 51010, 51037, 52001, 53000)),
    ],
    ids=lambda value: str(value[0]) if isinstance(value[0], int) else value[0].value,
)  # fmt: skip
def test_every_known_code_has_its_meaning(
    error: tuple[Any, ...], expected: tuple[Verdict, bool]
) -> None:
    assert verdict(*error) == expected


def test_a_header_alone_says_that_ads_were_left_out() -> None:
    headers = {"x-tt-ads-throttle": "Number of ad ids is equal or more than 20k"}
    assert verdict(0, "OK", **headers) == (V.TOO_MANY_IDS, False)


@pytest.mark.parametrize(
    ("body", "status", "expected"),
    [
        (b"", 200, None), (b"ad_id_v2,stat_time_day\n1,2026-11-01\n", 200, None),
        (b'{"code": 0, "data": {}}', 200, None), (b'{"code": 20001, "data": {}}', 200, None),
        (b'{"code": "40100", "message": "x"}', 200, V.THROTTLED),
        (b"<html>", 502, V.RETRY), (b"", 500, V.RETRY), (b"[]", 503, V.RETRY),
        (b"slow down", 429, V.THROTTLED), (b"<html>", 404, V.REJECTED),
        (b'{"code": 40105}', 401, V.REAUTHORIZE), (b'{"broken', 200, None),
    ],
)  # fmt: skip
def test_answers_of_any_shape_are_judged(
    body: bytes, status: int, expected: Verdict | None
) -> None:
    error = wire.error(Response(status=status, headers={}, body=body))
    assert (judge(TIKTOK.rules, status, error).verdict if error else None) is expected


def test_the_field_that_is_gone_is_named() -> None:
    body = json.dumps({"code": 40002, "message": "Invalid metric fields: ['likes', 'shares']"})
    error = wire.error(Response(status=200, headers={}, body=body.encode()))
    assert error is not None
    assert error.field == "likes"


# -- pages and files ----------------------------------------------------------------------------


@given(st.integers(1, 1000), st.lists(st.integers(1, 1000), max_size=6))
def test_pages_that_become_smaller_on_the_way_neither_leave_out_nor_repeat(
    size: int, later: list[int]
) -> None:
    position, covered = 0, 0
    for wanted in (size, *later):
        asked = wire.paging(wanted, str(position) if position else None, 1000)
        page, fitting = int(asked["page"]), int(asked["page_size"])
        assert fitting <= wanted
        assert (page - 1) * fitting == position == covered
        position = covered = page * fitting


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"data": {}}', b'{"data": {"list": [{}]}}',
             b'{"data": {"list": [], "page_info": {"page": 0, "page_size": 1, "total_page": 2}}}']
)  # fmt: skip
def test_what_is_no_page_is_none(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        wire.page(body)


def test_rows_of_both_ways_are_alike() -> None:
    info = {"page": 1, "page_size": 10, "total_page": 1}
    parts = {"dimensions": {"campaign_id": "1", "stat_time_day": "2026-11-01 00:00:00"},
             "metrics": {"spend": "1.20", "campaign_name": 'a "b", c'}}  # fmt: skip
    body = json.dumps({"data": {"list": [parts, {"dimensions": {"campaign_id": "2"}, "metrics": {}}],
                                "page_info": info}})  # fmt: skip
    first, second = reading.page(body.encode()).rows
    assert json.loads(first) == parts["dimensions"] | parts["metrics"]
    assert json.loads(second) == {"campaign_id": "2"}
    text = (
        'campaign_id,stat_time_day,spend,campaign_name\n1,2026-11-01 00:00:00,1.20,"a ""b"", c"\n'
    )
    (row,) = read_table(text.encode(), 5)
    assert row == parts["dimensions"] | parts["metrics"]


def read_table(data: bytes, step: int, titles: tuple[str, ...] = ("campaign_id",)) -> list[Any]:
    table = Table(titles)
    pieces = [data[start : start + step] for start in range(0, len(data), step)]
    rows = [row for piece in pieces for row in table.feed(piece)]
    return [json.loads(row) for row in (*rows, *table.end())]


@given(
    st.lists(st.tuples(st.text(max_size=6), st.text("ab,\"\n\r'é🪑", max_size=8)), max_size=8),
    st.integers(1, 40),
    st.booleans(),
)
def test_a_file_reads_the_same_however_it_is_cut(
    rows: list[tuple[str, str]], step: int, last_break: bool
) -> None:
    rows = [(a.replace("\x00", ""), b) for a, b in rows]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(["campaign_id", "campaign_name"])
    writer.writerows(rows)
    data = text.getvalue().encode("utf-8", "surrogatepass")
    try:
        data.decode()
    except UnicodeDecodeError:
        return
    data = data if last_break or not rows else data.removesuffix(b"\n")
    found = read_table(data, step)
    assert [(row["campaign_id"], row["campaign_name"]) for row in found] == rows


@pytest.mark.parametrize(
    ("data", "told"),
    [(b"", "without titles"), (b"Campaign ID,Cost\n1,2\n", "no column 'campaign_id'"),
     (b"<html>502</html>", "no column"), (b"campaign_id,spend\n1\n", "a row of 1 values"),
     (b'campaign_id\n"1', "inside of a quoted"), (b"campaign_id\n1,2\n", "2 values under 1")],
)  # fmt: skip
def test_what_is_not_the_file_is_refused(data: bytes, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        read_table(data, 7)


# -- entities and accounts ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "zone"),
    [
        ({"display_timezone": "America/Los_Angeles", "timezone": "Etc/GMT+8"}, "America/Los_Angeles"),
        ({"display_timezone": "", "timezone": "Etc/GMT+8"}, "Etc/GMT+8"),
        ({"timezone": None}, ""),
    ],
)  # fmt: skip
def test_days_are_those_of_the_zone_that_is_displayed(row: dict[str, Any], zone: str) -> None:
    account = entities.read_account({"advertiser_id": 7, "status": "STATUS_ENABLE", **row})
    assert (account.account_id, account.timezone, account.status) == ("7", zone, "active")


def test_a_fixed_offset_has_its_sign_turned_around() -> None:
    from datetime import datetime
    from zoneinfo import ZoneInfo

    assert datetime(2026, 1, 1, tzinfo=ZoneInfo("Etc/GMT+8")).utcoffset() == timedelta(hours=-8)


def discovered(harness: Harness, **parts: Any) -> list[str]:
    session = harness.session()
    options = dict(session.credentials.options) | parts
    session.credentials = replace(session.credentials, options=options)
    found = run(TIKTOK.accounts(session, session.credentials), harness.sender)
    return [account.account_id for account in found]


def test_advertisers_are_asked_for_or_named(harness: Harness) -> None:
    everybody = [one.id for one in harness.sandbox.world.dataset("tiktok").accounts]
    assert discovered(harness) == everybody
    assert "oauth2/advertiser/get" in harness.journal()[0]["path"]
    harness.sandbox.journal.clear()
    assert discovered(harness, app_id="", account_ids=f"{everybody[1]}, {everybody[0]}") == [
        everybody[1], everybody[0]
    ]  # fmt: skip
    assert not harness.journal("oauth2")
    with pytest.raises(ConfigurationError, match="does not say which advertisers"):
        discovered(harness, app_id="")


def test_an_advertiser_out_of_reach_does_not_hide_the_others(harness: Harness) -> None:
    one, two = [account.account_id for account in harness.accounts[:2]]
    named = f"{one},7150000000000000404,{two},x"
    assert discovered(harness, app_id="", account_ids=named) == [one, two]
    assert len(harness.journal()) <= 7
    assert discovered(harness, app_id="", account_ids=[one, "404"]) == [one]


def test_connections_of_other_tools_read_the_same() -> None:
    adopted = TIKTOK.adopt({"app_secret": "s", "advertiser_ids": ["1"], "x": 2})
    assert adopted == {"secret": "s", "account_ids": ["1"], "x": 2}


def test_entities_come_once_with_what_was_deleted(harness: Harness) -> None:
    names = [stream.name for stream in TIKTOK.streams]
    harness.how = replace(harness.how, page_size=7)
    done = harness.run_to_end(harness.slices([], accounts=range(6), streams=names))
    assert not done.failed
    assert not [warning for cut in done.slices for warning in cut.warnings]
    truth = {s: harness.sandbox.truth(platform="tiktok", stream=s)["rows"] for s in names}
    for stream, own in (("campaigns", "campaign_id"), ("ad_groups", "ad_group_id")):
        rows = harness.warehouse.query(f"SELECT {own}, name FROM liftos.{stream}")
        assert sorted(rows) == sorted((row["id"], row["name"]) for row in truth[stream])
    ads = {row[0] for row in harness.warehouse.query("SELECT ad_id FROM liftos.ads")}
    creatives = [r[0] for r in harness.warehouse.query("SELECT creative_id FROM liftos.creatives")]
    assert len(set(creatives)) == len(creatives)
    assert ads <= set(creatives)
    assert {row["id"] for row in truth["ads"]} <= set(creatives)
    told = harness.sandbox.truth(platform="tiktok", level="ad")["rows"]
    assert {row["ad_id"] for row in told} <= ads
    deleted = "SELECT count(*) FROM liftos.campaigns WHERE effective_status = 'DELETED'"
    assert harness.warehouse.query(deleted) == [(6,)]
    linked = (
        "SELECT count(*), count(c.body), count(c.link_url) FROM liftos.ads AS a"
        " JOIN liftos.creatives AS c USING (account_id, creative_id)"
    )
    ((total, bodies, links),) = harness.warehouse.query(linked)
    assert total == bodies == links == len(ads)


def test_what_the_campaign_record_needs_is_there(harness: Harness) -> None:
    report = preset("basic", Level.CAMPAIGN)
    harness.run_to_end(harness.slices([report], last(7), streams=["campaigns"]))
    columns = (
        "campaign_id", "campaign_name", "objective", "status", "spend", "impressions", "clicks",
        "conversions", "ctr", "cpc", "cpm", "conversion_rate", "created_time", "updated_time",
    )  # fmt: skip
    counts = ", ".join(f"count({name})" for name in columns)
    (found,) = harness.warehouse.query(
        f"SELECT count(*), {counts} FROM liftos.tiktok_campaigns WHERE clicks > 0"
    )
    assert found[0] > 0
    assert set(found) == {found[0]}
    assert harness.warehouse.query("SELECT count(budget) > 0 FROM liftos.tiktok_campaigns") == [
        (True,)
    ]


# -- rows ---------------------------------------------------------------------------------------


def test_a_row_says_what_is_known_and_leaves_out_what_is_not(harness: Harness) -> None:
    report = replace(preset("basic", Level.CAMPAIGN), metrics=("spend", "ctr", "reach", "clicks"))
    harness.run_to_end(harness.slices([report], last(1)))
    rows = harness.warehouse.query(
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


def test_hours_and_places_have_the_names_of_every_platform(harness: Harness) -> None:
    cuts = [preset("hourly", Level.CAMPAIGN), preset("demographics_region", Level.CAMPAIGN)]
    harness.run_to_end(harness.slices(cuts, last(2)))
    assert harness.published_equals_truth(), harness.differences()
    hours = harness.warehouse.query(
        "SELECT DISTINCT (breakdowns->>'hour')::INT FROM liftos.performance"
        " WHERE report = 'hourly' ORDER BY ALL"
    )
    assert hours == [(hour,) for hour in range(24)]
    assert harness.warehouse.query("SELECT count(region) > 0 FROM liftos.region_report") == [
        (True,)
    ]


def test_every_account_level_and_breakdown_equals_the_truth(harness: Harness) -> None:
    cuts = [preset(name, level) for name in TIKTOK.presets for level in Level]
    done = harness.run_to_end(harness.slices(cuts, last(2), accounts=range(6)))
    assert not done.failed
    assert harness.published_equals_truth(), harness.differences()
    sums = harness.warehouse.query(
        "SELECT DISTINCT sum(spend), sum(impressions), sum(conversions) FROM liftos.performance"
        " WHERE currency = 'EUR' GROUP BY report, level"
    )
    assert len(sums) == 1, "every level and breakdown comes to the same"


# -- the connection -----------------------------------------------------------------------------


def test_a_connection_is_tested(harness: Harness) -> None:
    from airflow_provider_liftos.hooks.probe import probe

    fine = credentials(harness.sandbox.url, TIKTOK, harness.fields)
    worked, told = probe(TIKTOK, fine)
    assert worked, told
    assert told.startswith("6 accounts (")
    assert "API v1.3" in told
    bad = replace(fine, secrets={**fine.secrets, "access_token": Secret("nobody")})
    worked, told = probe(TIKTOK, bad)
    assert not worked
    assert "not valid" in told
    assert "nobody" not in told


def test_tokens_travel_in_a_header_alone(harness: Harness) -> None:
    harness.run_to_end(harness.slices([preset()], last(1), streams=["campaigns"]))
    assert {entry["auth"] for entry in harness.journal()} == {"header"}
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


def test_accounts_of_a_connection_narrow_what_the_token_sees(harness: Harness) -> None:
    session = harness.session()
    found = liftos.discover(session, HttpSender())
    one = harness.accounts[0].account_id
    options = {**session.credentials.options, "account_ids": one}
    chosen, unseen = liftos.choose(found, replace(session.credentials, options=options), TIKTOK)
    assert ([account.account_id for account in chosen], unseen) == ([one], [])
