"""TikTok: Business (Marketing) API.

Facts without another source: TikTok's portal texts of v1.3 as of late 2025. Tokens for advertisers
live until they are revoked; there is nothing to refresh.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_liftos.model.platform import (
    Availability,
    ConnectionField,
    Limit,
    Platform,
    Version,
)
from airflow_provider_liftos.platforms.tiktok import (
    consent,
    entities,
    mapping,
    reading,
    reports,
    wire,
)
from airflow_provider_liftos.platforms.tiktok.quality import QUALITY


def _adopt(extra: Mapping[str, Any]) -> Mapping[str, Any]:
    """The names that other tools use for the same."""
    other = {"app_secret": "secret", "advertiser_ids": "account_ids"}
    return {other.get(name, name): value for name, value in extra.items()}


PLATFORM = Platform(
    name="tiktok",
    title="TikTok Ads",
    conn_type="liftostiktok",
    documentation="https://business-api.tiktok.com/portal/docs",
    base_url="https://business-api.tiktok.com/open_api",
    versions=(Version(name="v1.3"),),
    conn_fields=(
        ConnectionField(
            name="access_token", label="Access token", secret=True,
            description="Of a user who may see the advertisers; it lasts until it is revoked."),
        ConnectionField(
            name="app_id", label="App id",
            description="With the secret, TikTok is asked which advertisers the token sees."),
        ConnectionField(
            name="secret", label="App secret", secret=True, description="Of that app."),
        ConnectionField(
            name="account_ids", label="Advertisers",
            description="Ids, separated by commas. Empty: all the token sees."),
        ConnectionField(
            name="report_tasks", label="Prepare reports", kind="boolean", default=True,
            description="Off: everything is read at once, for apps that TikTok lets prepare none."),
        ConnectionField(
            name="campaigns_per_filter", label="Campaigns per call", kind="integer",
            default=reading.CAMPAIGNS_PER_FILTER,
            description="How many one call names, where a report is divided; at most 100."),
        ConnectionField(
            name="requests_per_hour", label="Requests per hour", kind="integer", default=1000,
            description="Our own cap, of the app."),
        ConnectionField(
            name="requests_per_second", label="Requests per second", kind="integer", default=10,
            description="What TikTok allows an app of the level Basic; Advanced: 20."),
        ConnectionField(
            name="conversion_actions", label="Conversions",
            description="Metrics counted as conversions, e.g. complete_payment,total_purchase."
            " Empty: what the ad groups are optimized for."),
    ),
    adopt=_adopt,
    trace_header="x-tt-logid",
    app=lambda credentials: str(credentials.options.get("app_id") or ""),
    limits=(
        Limit(name="hour", scope="app", calls=1000, per=3600, option="requests_per_hour"),
        Limit(name="second", scope="app", calls=10, per=1, option="requests_per_second"),
        Limit(name="tasks", scope="app", calls=1, per=1, option="tasks_per_second",
              path="report/task/create/"),
        Limit(name="account_tasks", scope="account", calls=500, per=3600,
              option="account_tasks_per_hour", path="report/task/create/"),
    ),
    rules=wire.ERRORS,
    authorize=wire.authorize,
    error=wire.error,
    signals=lambda _headers, _account: (),
    scopes=(),
    consent=consent.CONSENT,
    token=wire.ask_token,
    read_token=wire.read_token,
    accounts=entities.accounts,
    prepared=reading.TASKS,
    at_once=reading.at_once,
    presets=reports.PRESETS,
    usual_reports=(
        "basic:account", "basic:campaign", "basic:ad_group", "basic:ad",
        "demographics_age_and_gender:campaign", "demographics_country:campaign",
        "delivery_device:campaign",
    ),
    check=reports.check,
    mapping=mapping.mapping,
    longest=reading.longest,
    at_once_days=reading.LONGEST,
    ids_per_part=reading.campaigns_per_filter,
    minor_units=lambda _currency: 1,
    streams=entities.STREAMS,
    quality=QUALITY,
    availability=Availability(
        history_days=1826, restatement_days=7,
        note="TikTok keeps everything, we look back five years; the day before is final from 12:00"
        " UTC, people are counted after 16 hours, conversions settle within 7 days"),
    account_url=lambda account: f"https://ads.tiktok.com/i18n/perf/campaign?aadvid={account}",
)  # fmt: skip
