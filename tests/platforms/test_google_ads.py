from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_liftos.hooks.google_ads import _Kept
from airflow_provider_liftos.model.errors import ConfigurationError, Missing, NotAuthorized
from airflow_provider_liftos.model.platform import Coverage, Streamed
from airflow_provider_liftos.model.report import Ids, Level, Report, Slice
from airflow_provider_liftos.model.secret import Secret
from airflow_provider_liftos.platforms import get
from airflow_provider_liftos.platforms.google_ads import (
    connection,
    gaql,
    reports,
    resources,
    schema,
    wire,
)
from airflow_provider_liftos.platforms.google_ads.countries import CODES
from airflow_provider_liftos.transport.flow import run
from tests.engine.harness import Harness, basic, last

pytest.importorskip("google.ads.googleads")

GOOGLE = get("google_ads")
PAIRS = [
    (name, level)
    for name in GOOGLE.presets
    for level in Level
    if not (name in {"keyword", "search_term", "click_view"} and level is not Level.AD_GROUP)
    and not (name.startswith("demographics") and level is Level.AD)
]


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


def test_keywords_come_with_their_quality_score_where_nothing_is_added_up(google: Harness) -> None:
    score = "metrics.historical_quality_score"
    asked = {level: GOOGLE.preset("keyword", level) for level in list(Level)[:3]}
    assert [score in asked[level].metrics for level in asked] == [False, False, True]
    with pytest.raises(ConfigurationError, match="cannot be added up"):
        GOOGLE.check(replace(asked[Level.CAMPAIGN], metrics=(score,)))
    google.run_to_end(google.slices([asked[Level.AD_GROUP]], last(2), accounts=range(1)))
    [(known, low, high)] = google.warehouse.query(
        "SELECT count(s), min(s), max(s) FROM (SELECT"
        f" (extra_metrics->>'{score}')::INT AS s FROM liftos.performance WHERE report = 'keyword')"
    )
    assert 1 <= low < high <= 10
    assert known > 0


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
    for version in (v.name for v in GOOGLE.versions[:4]):
        of_streams = [name for stream in GOOGLE.streams for name in stream.sources_in(version)]
        missing = [name for name in names + of_streams if schema.leaf(version, name) is None]
        assert not missing, version


def test_fields_that_come_or_go_are_asked_for_in_their_versions_alone(google: Harness) -> None:
    ended = "customer.conversion_tracking_setting.enhanced_conversions_for_leads_enabled"
    begun = "customer.conversion_tracking_setting.enablement_setting"
    for version, has, lacks in (("v25", ended, begun), ("v26", begun, ended)):
        assert schema.leaf(version, lacks) is None, "the bounds are as narrow as can be"
        session = google.session()
        session.credentials = replace(session.credentials, version=version)
        [cut] = google.slices([], streams=["accounts"])
        reading = GOOGLE.reading(cut, session.credentials)
        assert isinstance(reading, Streamed)
        asked = (reading.request.body or b"").decode("utf-8", "replace")
        assert (has in asked, lacks in asked) == (True, False)
        rows = run(
            session.stream(reading.request, lambda it=reading: _Kept(it.decoder())), google.sender
        )
        assert rows


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
    ("client", "key", "expected"),
    [
        ("77-a.apps.googleusercontent.com", "", "77"), ("77-b.apps.googleusercontent.com", "", "77"),
        ("77-a.x", '{"client_email": "x", "private_key": "y", "project_id": "ads"}', "ads"),
        ("77-a.x", '{"client_email": "x", "private_key": "y"}', ""), ("77-a.x", "{", ""),
        ("", "", ""),
    ],
)  # fmt: skip
def test_quota_is_of_the_cloud_project(
    google: Harness, client: str, key: str, expected: str
) -> None:
    given = replace(
        google.session().credentials,
        options={"client_id": client},
        secrets={"keyfile_dict": Secret(key)},
    )
    assert GOOGLE.app(given) == expected


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
