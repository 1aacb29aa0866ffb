"""The YAML configuration: accepted as documented, wrong keys named with the nearest right one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_provider_liftos.hooks.configuration import read
from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.pipelines import PlatformPipeline
from airflow_provider_liftos.platforms import names

EXAMPLE = Path(__file__).parents[2] / "include" / "config" / "liftos.yaml"

# As documented, one of each choice taken.
PLATFORMS = {
    "meta": """
    app_id: "${META_APP_ID}"
    app_secret: "${META_APP_SECRET}"
    api_version: "v19.0"
    access_token: "${META_ACCESS_TOKEN}"
    ad_accounts: ["act_123456", "act_789012"]
""",
    "google_ads": """
    client_id: "${GOOGLE_ADS_CLIENT_ID}"
    client_secret: "${GOOGLE_ADS_CLIENT_SECRET}"
    refresh_token: "${GOOGLE_ADS_REFRESH_TOKEN}"
    customer_id: "123-456-7890"
    api_version: "v14"
""",
    "tiktok": """
    app_id: "${TIKTOK_APP_ID}"
    secret: "${TIKTOK_SECRET}"
    access_token: "${TIKTOK_ACCESS_TOKEN}"
    advertiser_ids: ["1234567890"]
""",
}
PACE = {
    "meta": """
    requests_per_hour: 200
    requests_per_minute: 4
    backoff_multiplier: 2
    max_retries: 5
""",
    "google_ads": """
    requests_per_minute: 15
    concurrent_requests: 10
""",
}
EXTRACTION = """
extraction:
  date_range:
    type: "{kind}"
    days: 7
    start_date: "2024-01-01"
    end_date: "2024-01-15"

  metrics:
    - "impressions"
    - "clicks"
    - "spend"
    - "conversions"
    - "ctr"
    - "cpc"

  breakdowns:
    - "age"
    - "gender"
    - "device"

  report_type: "{report}"
"""


def document(kind: str = "last_n_days", report: str = "campaign_performance") -> str:
    """The documented file, of the platforms that there are."""
    here = [name for name in PLATFORMS if name in names()]
    sections = "".join(f"  {name}:{PLATFORMS[name]}" for name in here)
    pace = "".join(f"  {name}:{PACE[name]}" for name in here if name in PACE)
    extraction = EXTRACTION.format(kind=kind, report=report)
    return f"platforms:\n{sections}{extraction}rate_limiting:\n{pace}"


def named(pipeline: PlatformPipeline) -> list[str]:
    return [
        item if isinstance(item, str) else f"{item.name}:{item.level}" for item in pipeline.reports
    ]


def test_the_documented_file_makes_a_pipeline_of_each_platform(caplog):
    found = PlatformPipeline.from_yaml(document())
    assert set(found) == set(PLATFORMS) & set(names())
    meta = found["meta"]
    assert meta.accounts == ["123456", "789012"]
    assert (meta.last_days, meta.conn_id) == (7, "liftos_meta_default")
    assert named(meta) == [
        "basic:account", "basic:campaign", "basic:ad_group", "basic:ad",
        "demographics_age:campaign", "demographics_gender:campaign", "delivery_device:campaign",
    ]  # fmt: skip
    assert "meta: API version v19.0 is switched off; v26.0 is used instead" in caplog.messages
    assert meta.dag("from_a_file").get_task("extract")


def test_a_cap_on_requests_in_flight_goes_into_the_connection(caplog):
    pace = "{concurrent_requests: 3, concurrent_requests_per_account: 1}"
    [section] = read(
        f"platforms: {{google_ads: {{}}}}\nrate_limiting: {{google_ads: {pace}}}\n"
    ).sections
    extra = section.connection()["extra"]
    assert extra["concurrent_requests"] == 3
    assert extra["concurrent_requests_per_account"] == 1
    assert caplog.messages == []


@pytest.mark.parametrize("wrong", ["1.5", "0", "many"])
def test_one_that_is_no_whole_number_is_refused(wrong):
    pace = f"{{google_ads: {{concurrent_requests: {wrong}}}}}"
    with pytest.raises(ConfigurationError, match=r"rate_limiting\.google_ads\.concurrent_requests"):
        read(f"platforms: {{google_ads: {{}}}}\nrate_limiting: {pace}\n")


def test_of_a_cap_that_a_platform_does_not_have_is_said_which_it_has(caplog):
    PlatformPipeline.from_yaml(
        "platforms: {tiktok: {}}\nrate_limiting: {tiktok: {requests_per_minute: 15}}\n"
    )
    (told,) = [line for line in caplog.messages if "no effect" in line]
    assert "TikTok" in told
    assert "requests_per_second" in told
    assert "fetch_threads" not in told


def test_the_example_file_is_read_and_makes_a_dag():
    found = PlatformPipeline.from_yaml(EXAMPLE)
    assert [pipeline.dag(f"example_{name}").dag_id for name, pipeline in found.items()] == [
        "example_meta"
    ]


def test_audience_insights_are_the_audiences_a_platform_has(caplog):
    text = "platforms: {meta: {}}\nextraction: {report_type: audience_insights}\n"
    assert named(PlatformPipeline.from_yaml(text)["meta"]) == [
        "basic:campaign", "demographics_age:campaign", "demographics_gender:campaign",
        "demographics_country:campaign", "delivery_device:campaign",
    ]  # fmt: skip
    assert "meta: no prebuilt report by interest; it is left out there" in caplog.messages


def test_a_custom_report_is_taken_apart_where_the_platform_does_not_combine():
    found = PlatformPipeline.from_yaml(document(report="custom"))["meta"]
    assert named(found) == ["basic:campaign", "custom_age:campaign", "custom_gender:campaign",
                            "custom_device_platform:campaign"]  # fmt: skip
    text = document(report="custom").replace('    - "device"\n', "")
    together = PlatformPipeline.from_yaml(text)["meta"].reports[1]
    assert (together.name, together.breakdowns) == ("custom", ("age", "gender"))
    assert {"impressions", "clicks", "spend", "actions"} <= set(together.metrics)


def test_a_custom_report_may_name_the_platforms_own_metrics_and_breakdowns():
    text = """
platforms: {meta: {}}
extraction:
  report_type: custom
  metrics: [spend, video_p100_watched_actions]
  breakdowns: [publisher_platform]
"""
    report = PlatformPipeline.from_yaml(text)["meta"].reports[1]
    assert "video_p100_watched_actions" in report.metrics
    assert report.breakdowns == ("publisher_platform",)
    with pytest.raises(ConfigurationError, match="video_p100_watched_actions"):
        PlatformPipeline.from_yaml(text.replace("video_p100_watched", "video_p100_wached"))


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("last_n_days", {"since": None, "until": None, "lifetime": False}),
        ("custom", {"since": "2024-01-01", "until": "2024-01-15", "lifetime": False}),
        ("lifetime", {"since": None, "until": None, "lifetime": True}),
    ],
)
def test_date_ranges_become_defaults_of_a_runs_params(kind, params):
    pipeline = PlatformPipeline.from_yaml(document(kind))["meta"]
    dag = pipeline.dag(f"dates_{kind}")
    assert {name: dag.params[name] for name in params} == params


def test_options_of_the_constructor_win_over_the_file():
    found = PlatformPipeline.from_yaml(document(), last_days=3, conn_id="mine")["meta"]
    assert (found.last_days, found.conn_id) == (3, "mine")


def test_a_connection_holds_secrets_and_caps(monkeypatch):
    for name in ("META_APP_ID", "META_APP_SECRET", "META_ACCESS_TOKEN"):
        monkeypatch.setenv(name, f"of {name}")
    [section] = [s for s in read(document()).sections if s.platform.name == "meta"]
    assert section.connection() == {
        "conn_type": "liftosmeta",
        "host": None,
        "extra": {
            "app_id": "of META_APP_ID", "app_secret": "of META_APP_SECRET",
            "access_token": "of META_ACCESS_TOKEN", "account_ids": "123456,789012",
            "requests_per_hour": 200, "requests_per_minute": 4,
        },
    }  # fmt: skip
    monkeypatch.delenv("META_APP_SECRET")
    with pytest.raises(ConfigurationError, match=r"app_secret refers to \$\{META_APP_SECRET\}"):
        section.connection()


def test_reading_a_dag_needs_no_secret(monkeypatch):
    monkeypatch.delenv("META_ACCESS_TOKEN", raising=False)
    found = PlatformPipeline.from_yaml(document())["meta"]
    assert "META_ACCESS_TOKEN" not in json.dumps(vars(found), default=str)


WRONG = {
    "extration: {}": "has no 'extration'; did you mean 'extraction'",
    "platforms: {meat: {}}": "platforms has no 'meat'; did you mean 'meta'",
    "platforms: {meta: {acces_token: x}}": "platforms.meta has no 'acces_token'; did you mean"
    " 'access_token'",
    "platforms: {meta: {}}\nrate_limiting: {meta: {request_per_hour: 5}}": "rate_limiting.meta has"
    " no 'request_per_hour'; did you mean 'requests_per_hour'",
    "platforms: {meta: {}}\nrate_limiting: {tiktok: {}}": "rate_limiting has no 'tiktok'",
    "platforms: {meta: {}}\nrate_limiting: {meta: {requests_per_hour: lots}}": "a number above 0",
    "platforms: {meta: {}}\nrate_limiting: {meta: {max_retries: 9}}": "max_retries is 9; calls are"
    " tried 5 times",
    "platforms: {meta: {}}\nextraction: {metric: [spend]}": "did you mean 'metrics'",
    "platforms: {meta: {}}\nextraction: {metrics: [spent]}": "did you mean 'spend'",
    "platforms: {meta: {}}\nextraction: {metrics: spend}": "is a list of names",
    "platforms: {meta: {}}\nextraction: {breakdowns: [gendr]}": "did you mean 'gender'",
    "platforms: {meta: {}}\nextraction: {report_type: audience}": "did you mean"
    " 'audience_insights'",
    "platforms: {meta: {}}\nextraction: {date_range: {type: last_days}}": "did you mean"
    " 'last_n_days'",
    "platforms: {meta: {}}\nextraction: {date_range: {days: 0}}": "a number of days from 1",
    "platforms: {meta: {}}\nextraction: {date_range: {type: custom}}": "start_date is None; write"
    " it as YYYY-MM-DD",
    "platforms: {meta: {}}\nextraction: {date_range: {type: custom, start_date: 2024-02-01,"
    " end_date: 2024-01-01}}": "before it begins",
    "platforms: [meta]": "platforms is .*; it is a mapping",
    "extraction: {}": "names no platform",
    "platforms:\n  meta: {\n": "line 3 of the configuration is no YAML",
    'platforms: {meta: {}}\nextraction:\n  report_type: "a" | "b"\n': "line 3 of the configuration"
    " lists alternatives for 'report_type'; keep one",
    "nowhere.yaml": "nowhere.yaml cannot be read",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_named(text):
    with pytest.raises(ConfigurationError, match=WRONG[text]):
        PlatformPipeline.from_yaml(text)
