from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from shutil import copy
from typing import Any

import pytest

from airflow_provider_liftos.model.errors import ConfigurationError, Missing, NotAuthorized
from airflow_provider_liftos.model.platform import Coverage
from airflow_provider_liftos.model.report import Ids, Level, Report, Slice
from airflow_provider_liftos.model.secret import Secret
from airflow_provider_liftos.model.wire import BrokenStream, Response, Verdict, judge
from airflow_provider_liftos.platforms import get
from airflow_provider_liftos.platforms.google_ads import (
    connection,
    decode,
    errors,
    gaql,
    reports,
    resources,
    schema,
    wire,
)
from airflow_provider_liftos.platforms.google_ads.countries import CODES
from airflow_provider_liftos.sandbox import Sandbox
from airflow_provider_liftos.transport.flow import run
from tests.engine.harness import Harness, basic, last

pytest.importorskip("google.ads.googleads")

GOOGLE = get("google_ads")
V = Verdict
PAIRS = [
    (name, level)
    for name in GOOGLE.presets
    for level in Level
    if not (name in {"keyword", "search_term", "click_view"} and level is not Level.AD_GROUP)
    and not (name.startswith("demographics") and level is Level.AD)
]


@pytest.fixture
def google(tmp_path: Path, sandbox: Sandbox, prepared: Path) -> Iterator[Harness]:
    copy(prepared, tmp_path)
    made = Harness(sandbox=sandbox, folder=tmp_path, platform=GOOGLE)
    yield made
    made.close()


# -- totals -------------------------------------------------------------------------------------

TRUE_BREAKDOWNS = {
    "basic": "", "demographics_country": "country", "demographics_region": "region",
    "demographics_age": "age", "demographics_gender": "gender", "delivery_device": "device",
    "delivery_network": "network", "hourly": "hour", "conversion_action": "conversion_action",
    "search_term": "search_term", "keyword": "",
}  # fmt: skip


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_every_report_at_every_level_is_true_day_by_day(google: Harness, transport: str) -> None:
    google.options["transport"] = transport
    asked = [GOOGLE.preset(name, level) for name, level in PAIRS]
    done = google.run_to_end(google.slices(asked, last(3), accounts=range(3)))
    assert not done.failed
    assert not google.rejected
    for name, level in PAIRS:
        if name in TRUE_BREAKDOWNS:
            assert published(google, name, level) == true(google, name, level), (name, level)
    repeated = google.warehouse.query(
        "SELECT count(*) - count(DISTINCT (report, level, date, account_id, campaign_id,"
        " ad_group_id, ad_id, breakdown_key)) FROM liftos.performance"
    )
    assert repeated == [(0,)]


def published(harness: Harness, name: str, level: Level) -> dict[Any, Any]:
    rows = harness.warehouse.query(
        "SELECT account_id, date::VARCHAR, count(*), sum(coalesce(impressions, 0)),"
        " sum(coalesce(clicks, 0)), sum(coalesce(spend, 0)), sum(conversions),"
        " sum(conversions_value), sum((extra_metrics->>'metrics.all_conversions')::DECIMAL(18,6))"
        f" FROM liftos.performance WHERE report = '{name}' AND level = '{level}' GROUP BY ALL"
    )
    return {tuple(row[:2]): tuple(float(value) for value in row[2:]) for row in rows}


def true(harness: Harness, name: str, level: Level) -> dict[Any, Any]:
    days: dict[Any, list[float]] = {}
    question: dict[str, Any] = {"since": "2026-11-18", "until": "2026-11-20"}
    question["level"] = "keyword" if name == "keyword" else str(level)
    if TRUE_BREAKDOWNS[name]:
        question["breakdown"] = TRUE_BREAKDOWNS[name]
    names = (
        "impressions",
        "clicks",
        "spend",
        "conversions",
        "conversions_value",
        "all_conversions",
    )
    for account in harness.accounts[:3]:
        answer = harness.sandbox.truth(
            platform="google_ads", account=account.account_id, **question
        )
        for row in answer["rows"]:
            sums = days.setdefault((account.account_id, row["date"]), [0.0] * 7)
            sums[0] += 1
            for place, part in enumerate(names, start=1):
                sums[place] += float(row[part])
    return {key: tuple(pytest.approx(value, abs=1e-4) for value in sums) for key, sums in days.items()}  # fmt: skip


def test_rest_and_a_second_run_change_nothing(google: Harness) -> None:
    cuts = google.slices(
        [basic(platform=GOOGLE)], last(2), streams=[s.name for s in GOOGLE.streams]
    )
    first = google.run_to_end(cuts)
    before = everything(google)
    assert before
    assert all(cut.staged_rows for cut in first.slices)
    for transport in ("grpc", "rest"):
        google.options, google.scope = {"transport": transport}, f"other/{transport}"
        google.run_to_end(cuts, f"load of {transport}")
        assert everything(google) == before
    assert google.published_equals_truth()


def everything(harness: Harness) -> list[Any]:
    """Published rows of all tables, but for the load that brought them."""
    tables = ("performance", *dict.fromkeys(stream.table for stream in GOOGLE.streams))
    query = "SELECT * EXCLUDE (load_id, as_of) FROM liftos.{} ORDER BY ALL"
    return [harness.warehouse.query(query.format(table)) for table in tables]


@pytest.mark.parametrize("version", [v.name for v in GOOGLE.versions[:4]])
def test_every_version_of_the_library_reads_reports(google: Harness, version: str) -> None:
    session = google.session()
    session.credentials = replace(session.credentials, version=version)
    extraction = replace(google.extraction(), session=session)
    outcome = extraction.advance(google.slices([basic(platform=GOOGLE)], last(2)))
    google.publish(outcome.manifest)  # type: ignore[union-attr]
    assert google.published_equals_truth()


def test_a_query_of_a_user_loads_like_a_prebuilt_report(google: Harness) -> None:
    query = (
        "SELECT campaign.id, segments.device, metrics.clicks, metrics.search_impression_share,"
        " metrics.ctr FROM campaign WHERE campaign.status != 'REMOVED' AND metrics.clicks > 0"
    )
    google.run_to_end(google.slices([Report(name="mine", query=query)], last(2)))
    rows = google.warehouse.query(
        "SELECT level, campaign_id, breakdowns->>'segments.device', clicks, impressions,"
        " extra_metrics->>'metrics.ctr' FROM liftos.performance WHERE report = 'mine'"
    )
    assert rows
    assert {row[0] for row in rows} == {"campaign"}
    assert {"MOBILE", "DESKTOP"} <= {row[2] for row in rows}
    assert all(row[3] > 0 and row[4] is None and 0 < float(row[5]) < 1 for row in rows)


def test_ids_narrow_a_query_and_all_but_these_are_the_rest(google: Harness) -> None:
    (cut,) = google.slices([basic(Level.CAMPAIGN, platform=GOOGLE)], last(2))
    found = reports.question(cut.narrowed(find_ids=True))
    assert found.fields == ("campaign.id",)
    these = cut.narrowed(ids=Ids(values=("1", "2")))
    others = cut.narrowed(ids=Ids(values=("1", "2"), everything_else=True))
    assert "campaign.id IN (1, 2)" in reports.question(these).text
    assert "campaign.id NOT IN (1, 2)" in reports.question(others).text
    with pytest.raises(ConfigurationError, match="no id"):
        reports.question(cut.narrowed(ids=Ids(values=("1) OR 1",))))


# -- checks -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("report", "told"),
    [
        (Report(metrics=("metrics.impresions",)), "did you mean 'metrics.impressions'"),
        (Report(metrics=("costs_micros",)), "did you mean 'metrics.cost_micros'"),
        (Report(breakdowns=("devise",)), "did you mean 'device'"),
        (Report(breakdowns=("segments.devise",)), "did you mean 'segments.device'"),
        (Report(breakdowns=("age", "gender")), "does not combine"),
        (Report(breakdowns=("device", "device")), "named twice"),
        (Report(breakdowns=("keyword_id",), level=Level.AD), "no rows of level ad"),
        (Report(breakdowns=("conversion_action",), metrics=("clicks",)), "by conversion actions"),
        (Report(breakdowns=("age",), metrics=("ctr",)), "cannot be added up"),
        (Report(metrics=("campaign.name",)), "is no metric"),
        (Report(action_breakdowns=("action_type",)), "conversion_action"),
        (Report(attribution_windows=("7d_click",)), "attribution windows"),
        (Report(time_increment=7), "counts days"),
        (Report(query="SELECT campaign.id FROM campaign"), "needs a metric"),
        (Report(query="SELECT metrics.clicks FROM campain"), "no resource 'campain'"),
        (Report(query="SELECT metrics.clicks FROM campaign LIMIT 5"), "take LIMIT out"),
        (Report(query="SELECT metrics.clicks FROM campaign WHERE segments.date DURING TODAY"),
         "the run's window"),
        (Report(query="DELETE everything"), "not a query"),
        (Report(query="SELECT metrics.clicks, ad_group_ad.ad.responsive_search_ad.headlines"
                " FROM ad_group_ad"), "list of messages"),
    ],
)  # fmt: skip
def test_what_google_would_refuse_is_refused_before(report: Report, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        reports.check(report)


@pytest.mark.parametrize(("name", "level"), PAIRS)
def test_every_preset_passes_its_own_check(name: str, level: Level) -> None:
    assert reports.check(GOOGLE.preset(name, level)).name == name


def test_every_usual_report_is_one() -> None:
    for text in GOOGLE.usual_reports:
        name, _, level = text.partition(":")
        assert reports.check(GOOGLE.preset(name, Level(level)))


def test_what_rows_may_lack_depends_on_what_is_selected() -> None:
    cover = {name: reports.coverage(GOOGLE.preset(name, Level.CAMPAIGN)) for name in GOOGLE.presets}
    assert cover["basic"] == cover["delivery_device"] == Coverage()
    assert cover["keyword"] == cover["conversion_action"] == Coverage(sparse=True, partial=True)
    assert cover["asset"].overlapping
    assert reports.coverage(basic(Level.AD, platform=GOOGLE)) == Coverage(partial=True)


def test_clicks_are_asked_for_day_by_day() -> None:
    assert GOOGLE.longest(GOOGLE.preset("click_view", Level.AD_GROUP)) == 1
    assert GOOGLE.longest(basic(platform=GOOGLE)) is None


def test_clicks_are_kept_for_ninety_days_less_one_for_zones() -> None:
    assert GOOGLE.kept_days(GOOGLE.preset("click_view", Level.AD_GROUP)) == 89
    assert GOOGLE.kept_days(basic(platform=GOOGLE)) is None


def test_every_field_of_every_breakdown_exists_in_every_version() -> None:
    names = [one.field for view in resources.VIEWS.values() for one in view.breakdowns.values()]
    names += [one.field for one in resources.SEGMENTS.values()]
    names += [name for stream in GOOGLE.streams for name in stream.sources]
    for version in (v.name for v in GOOGLE.versions[:4]):
        missing = [name for name in names if schema.leaf(version, name) is None]
        assert not missing, version


def test_countries_are_known_by_criterion() -> None:
    assert (CODES["2276"], CODES["2840"], CODES["2004"]) == ("DE", "US", "AF")


@pytest.mark.parametrize(
    "text",
    [
        """SELECT campaign.id FROM campaign WHERE segments.date BETWEEN '2026-11-01' AND
        '2026-11-02' AND campaign.name LIKE '%AND (x)%' AND campaign.status IN ('PAUSED')""",
        "select campaign.id from campaign where metrics.clicks >= -1 order by campaign.id desc",
    ],
)
def test_queries_come_apart_at_their_clauses(text: str) -> None:
    query = gaql.parse(text)
    again = gaql.parse(query.text)
    assert (query.fields[0], query.resource) == ("campaign.id", "campaign")
    assert again == query
    assert len(query.conditions) == (3 if "BETWEEN" in text else 1)


# -- decoding -----------------------------------------------------------------------------------

NAMES = (
    "campaign.id", "campaign.name", "campaign.status", "ad_group_ad.ad.final_urls",
    "ad_group.type", "metrics.clicks", "metrics.conversions", "metrics.search_impression_share",
    "customer.manager",
)  # fmt: skip
LEAVES = tuple(schema.require("v26", name) for name in NAMES)


def answer(**parts: Any) -> Any:
    """A full message, as Google's own library makes it."""
    made = schema.service("v26").SearchGoogleAdsStreamResponse.pb()()
    row = made.results.add()
    row.campaign.id, row.campaign.name = 2**53 + 1, 'Brand "{always}" \\ on'
    row.campaign.status, row.campaign.resource_name = parts.get("status", 2), "customers/1"
    row.ad_group_ad.ad.final_urls.extend(["https://a.example/{x}"])
    row.metrics.clicks, row.metrics.conversions = 3, 0.1
    made.results.add().campaign.id = 7
    return made


def both_ways(message: Any) -> tuple[list[Any], list[Any]]:
    from google.protobuf import json_format

    lines = decode.Reader(LEAVES).lines
    proto = decode.Messages("v26", LEAVES, lines).feed(message.SerializeToString())
    text = f"[{json_format.MessageToJson(message)}\n,\r\n{{}}]".encode()
    batches = decode.Batches(LEAVES, lines)
    plain = [row for n in range(len(text)) for row in batches.feed(text[n : n + 1])]
    assert not list(batches.end())
    return [json.loads(row) for row in proto], [json.loads(row) for row in plain]


def test_both_transports_give_exactly_the_same_rows() -> None:
    proto, plain = both_ways(answer())
    assert proto == plain
    first, second = proto
    assert list(first) == list(NAMES)
    assert (first["campaign.id"], first["campaign.status"]) == (2**53 + 1, "ENABLED")
    assert first["campaign.name"] == 'Brand "{always}" \\ on'
    assert first["ad_group_ad.ad.final_urls"] == ["https://a.example/{x}"]
    assert (second["metrics.clicks"], second["metrics.conversions"]) == (0, 0.0)
    assert (second["campaign.status"], second["customer.manager"]) == ("UNSPECIFIED", False)
    assert second["metrics.search_impression_share"] is None


def test_an_enum_newer_than_the_library_is_unknown_and_never_fails() -> None:
    proto, plain = both_ways(answer(status=97))
    assert proto == plain
    assert proto[0]["campaign.status"] == "UNKNOWN"


def test_an_answer_of_nothing_is_no_rows_and_one_that_ends_early_is_none() -> None:
    empty = decode.Batches(LEAVES, decode.Reader(LEAVES).lines)
    assert not list(empty.feed(b"[]"))
    assert not list(empty.end())
    for text in (b"", b"[", b'[{"results": []}', b'[{"results": [', b'[{"a": "'):
        cut = decode.Batches(LEAVES, decode.Reader(LEAVES).lines)
        assert not list(cut.feed(text))
        with pytest.raises(ValueError, match="amid"):
            cut.end()


def test_what_is_no_message_is_an_error_that_may_be_tried_again() -> None:
    lines = decode.Reader(LEAVES).lines
    with pytest.raises(ValueError, match="not a message"):
        decode.Messages("v26", LEAVES, lines).feed(b"\xff\xff")
    with pytest.raises(ValueError, match="not an answer"):
        decode.Batches(LEAVES, lines).feed(b'[{"results": 7}]')


def test_an_error_amid_a_stream_says_which() -> None:
    said = {"error": {"code": 429, "details": [
        {"requestId": "rq", "errors": [{"errorCode": {"quotaError": "RESOURCE_EXHAUSTED"}}]}]}}  # fmt: skip
    stream = decode.Batches(LEAVES, decode.Reader(LEAVES).lines)
    with pytest.raises(BrokenStream) as broken:
        stream.feed(f'[{{"results": []}},{json.dumps(said)}]'.encode())
    assert (broken.value.status, broken.value.error.request_id) == (429, "rq")
    assert judge(errors.RULES, 429, broken.value.error).verdict is V.THROTTLED


# -- errors -------------------------------------------------------------------------------------

KNOWN = [
    ("QuotaError", "RESOURCE_TEMPORARILY_EXHAUSTED", V.THROTTLED),
    ("QuotaError", "RESOURCE_EXHAUSTED", V.THROTTLED),
    ("QuotaError", "EXCESSIVE_LONG_TERM_QUERY_RESOURCE_CONSUMPTION", V.THROTTLED),
    ("QuotaError", "ACCESS_PROHIBITED", V.REAUTHORIZE),
    ("InternalError", "INTERNAL_ERROR", V.RETRY), ("InternalError", "TRANSIENT_ERROR", V.RETRY),
    ("InternalError", "DEADLINE_EXCEEDED", V.SHRINK),
    ("DatabaseError", "CONCURRENT_MODIFICATION", V.RETRY),
    ("AuthorizationError", "CUSTOMER_NOT_ENABLED", V.SKIP),
    ("AuthorizationError", "USER_PERMISSION_DENIED", V.REAUTHORIZE),
    ("AuthorizationError", "CLOUD_PROJECT_NOT_APPROVED_FOR_PRODUCTION", V.REAUTHORIZE),
    ("AuthenticationError", "OAUTH_TOKEN_EXPIRED", V.REAUTHORIZE),
    ("HeaderError", "INVALID_LOGIN_CUSTOMER_ID", V.REAUTHORIZE),
    ("RequestError", "UNSUPPORTED_VERSION", V.FATAL),
    ("QueryError", "UNRECOGNIZED_FIELD", V.FIELD_GONE),
    ("QueryError", "DATE_RANGE_TOO_WIDE", V.SHRINK),
    ("QueryError", "BAD_ENUM_CONSTANT", V.REJECTED),
    ("RequestError", "INVALID_CUSTOMER_ID", V.REJECTED),
]  # fmt: skip


def told(kind: str, code: str, message: str = "m", **quota: Any) -> Response:
    key = kind[0].lower() + kind[1:]
    error = {"errorCode": {key: code}, "message": message}
    if quota:
        error["details"] = {"quotaErrorDetails": quota}
    body = {"error": {"code": 400, "message": "above", "details": [{"errors": [error]}]}}
    return Response(status=400, headers={}, body=json.dumps(body).encode())


def as_procedure(kind: str, code: str, message: str = "m", **quota: Any) -> Response:
    from google.ads.googleads.v26.errors.types.errors import GoogleAdsFailure
    from google.protobuf import json_format

    said = json.loads(told(kind, code, message, **quota).body)["error"]["details"][0]
    failure = json_format.ParseDict(said, GoogleAdsFailure.pb()())
    name = "google.ads.googleads.v26.errors.googleadsfailure-bin"
    value = base64.b64encode(failure.SerializeToString()).decode()
    return Response(status=400, headers={name: value, "request-id": "rq"}, body=b"above")


@pytest.mark.parametrize(("kind", "code", "verdict"), KNOWN)
def test_an_error_means_the_same_in_both_transports(kind: str, code: str, verdict: Verdict) -> None:
    rest, grpc = errors.read(told(kind, code)), errors.read(as_procedure(kind, code))
    assert rest is not None
    assert grpc is not None
    assert rest.message == grpc.message == f"{kind}.{code}: m"
    assert judge(errors.RULES, 400, rest).verdict is verdict
    assert grpc.wait == rest.wait


@pytest.mark.parametrize("read", [told, as_procedure])
def test_a_quota_says_whose_it_is_and_how_long(read: Any) -> None:
    mine = errors.read(
        read("QuotaError", "RESOURCE_TEMPORARILY_EXHAUSTED", rateScope="ACCOUNT", retryDelay="5s")
    )
    assert mine.wait == 5
    assert judge(errors.RULES, 429, mine).one_account
    day = errors.read(
        read("QuotaError", "RESOURCE_EXHAUSTED", rateScope="DEVELOPER", retryDelay="2s")
    )
    assert day.wait == 3600
    assert not judge(errors.RULES, 429, day).one_account


def test_a_field_that_is_gone_is_named() -> None:
    text = "Unrecognized field in the query: 'metrics.gone'."
    found = errors.read(told("QueryError", "UNRECOGNIZED_FIELD", text))
    assert found is not None
    assert found.field == "metrics.gone"


@pytest.mark.parametrize(
    ("status", "body", "verdict"),
    [
        (503, b"gone", V.RETRY), (500, b"{}", V.RETRY), (502, b"<html>", V.RETRY),
        (429, b"", V.THROTTLED), (401, b"", V.REAUTHORIZE), (409, b"aborted", V.RETRY),
        (501, b"no such method", V.FATAL), (404, b"<html>404", V.FATAL), (504, b"late", V.RETRY),
        (429, b"Received message larger than max (70 vs. 64)", V.SHRINK),
        (400, b'{"error": "invalid_grant", "error_description": "revoked"}', V.REAUTHORIZE),
        (500, b'[{"error": {"code": 500, "message": "x"}}]', V.RETRY),
    ],
)  # fmt: skip
def test_answers_without_a_failure_are_judged_by_their_status(
    status: int, body: bytes, verdict: Verdict
) -> None:
    error = errors.read(Response(status=status, headers={}, body=body))
    assert error is not None
    assert judge(errors.RULES, status, error).verdict is verdict


# -- access -------------------------------------------------------------------------------------


def test_accounts_below_several_managers_are_found_once(google: Harness) -> None:
    del google.fields["login_customer_id"]
    session = google.session()
    found = list(run(GOOGLE.accounts(session, session.credentials), google.sender))
    by_id = {account.account_id: account for account in found}
    assert len(by_id) == len(found) == 6
    assert "5555555555" not in by_id
    assert by_id[google.accounts[1].account_id].via == "", "open to the user directly"
    assert {a.via for a in found} <= {"1111111111", "3333333333", ""}
    assert all(account.currency and account.timezone for account in found)


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_a_manager_out_of_reach_is_refused_by_name(google: Harness, transport: str) -> None:
    google.fields["login_customer_id"] = "999-999-9999"
    google.options["transport"] = transport
    session = google.session()
    with pytest.raises((NotAuthorized, Missing), match="9999999999"):
        run(GOOGLE.accounts(session, session.credentials), google.sender)


def test_a_service_account_is_let_in_by_what_its_key_signs(google: Harness) -> None:
    import httpx2

    key = httpx2.get(f"{google.sandbox.url}/google_ads/service_account.json", trust_env=False)
    google.fields = {
        name: value
        for name, value in google.fields.items()
        if name not in {"client_secret", "refresh_token", "client_id", "token_uri"}
    } | {"keyfile_dict": key.text}
    google.run_to_end(google.slices([basic(platform=GOOGLE)], last(1)))
    assert google.published_equals_truth()


@pytest.mark.parametrize("key", ["{", "[]", "7", '{"client_email": "x"}'])
def test_a_key_that_is_none_is_refused_without_showing_it(google: Harness, key: str) -> None:
    credentials = replace(google.session().credentials, secrets={"keyfile_dict": Secret(key)})
    with pytest.raises(ConfigurationError, match="cannot be read"):
        wire.GRANT.request(credentials)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("127.0.0.1:5", "grpc://127.0.0.1:5"), ("localhost:5", "grpc://localhost:5"),
        ("ads.example:443", "grpcs://ads.example:443"), ("", wire.GRPC),
        ("grpcs://127.0.0.1:5/", "grpcs://127.0.0.1:5"),
    ],
)  # fmt: skip
def test_procedures_are_called_in_clear_on_loopback_alone(
    google: Harness, given: str, expected: str
) -> None:
    credentials = google.session().credentials
    asked = replace(credentials, options={"grpc_endpoint": given})
    assert wire.endpoint(asked) == expected
    for bad in ("grpc://ads.example:80", "http://ads.example"):
        with pytest.raises(ConfigurationError):
            wire.endpoint(replace(credentials, options={"grpc_endpoint": bad}))
    with pytest.raises(ConfigurationError, match="in clear"):
        wire.GRANT.request(replace(credentials, options={"token_uri": "http://ads.example/token"}))


def test_connections_of_the_older_provider_are_taken_as_they_are() -> None:
    older = {"google_ads_client": {
        "developer_token": "d", "client_id": "c", "client_secret": "s", "refresh_token": "r",
        "login_customer_id": "111-111-1111", "use_proto_plus": "True"}}  # fmt: skip
    found = connection.adopt(older)
    assert (found["refresh_token"], found["client_id"]) == ("r", "c")
    assert wire.digits(found["login_customer_id"]) == "1111111111"
    assert connection.adopt({"account_ids": "123-456-7890, 5"})["account_ids"] == "1234567890,5"
    assert connection.adopt({"keyfile_json": {"a": 1}})["keyfile_dict"] == '{"a": 1}'


def test_a_third_transport_is_no_transport(google: Harness) -> None:
    credentials = replace(google.session().credentials, options={"transport": "pigeon"})
    with pytest.raises(ConfigurationError, match="grpc or rest"):
        wire.ask_roots(credentials)


@pytest.mark.parametrize("body", [b"\x0a", b"\x0a\x05abc", b"[]", b"\x12\x01a", b"x"])
def test_what_is_no_list_of_customers_is_no_answer(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        wire.read_roots(body)


def test_a_slice_that_is_not_of_a_report_has_no_query() -> None:
    cut = Slice(platform="google_ads", account_id="1", window=last(1), stream="ads")
    with pytest.raises(ConfigurationError, match="not of a report"):
        reports.question(cut)
