"""Meta (Facebook, Instagram): Marketing API.

Facts without another source: Meta's Marketing API documentation as of v26.0. There is no refresh
token: those of users are exchanged for younger ones, those of system users need not be.
"""

from __future__ import annotations

from datetime import date

from airflow_provider_liftos.model.platform import (
    Availability,
    ConnectionField,
    Limit,
    Platform,
    Version,
)
from airflow_provider_liftos.platforms.meta import consent, entities, insights, mapping, money, wire
from airflow_provider_liftos.platforms.meta.grant import GRANT
from airflow_provider_liftos.platforms.meta.quality import QUALITY

PLATFORM = Platform(
    name="meta",
    title="Meta Ads",
    conn_type="liftosmeta",
    hook="airflow_provider_liftos.hooks.meta.MetaHook",
    documentation="https://developers.facebook.com/docs/marketing-api/insights",
    base_url="https://graph.facebook.com",
    versions=(
        Version(name="v26.0"),
        Version(name="v25.0"),
        Version(name="v24.0", sunset=date(2026, 10, 6)),
        Version(name="v23.0", sunset=date(2026, 6, 9)),
        Version(name="v22.0", sunset=date(2026, 2, 19)),
        Version(name="v21.0", sunset=date(2025, 9, 9)),
        Version(name="v20.0", sunset=date(2025, 5, 6)),
    ),
    conn_fields=(
        ConnectionField(
            name="access_token", label="Access token", secret=True,
            description="System-user token (does not expire), or a long-lived user token."),
        ConnectionField(name="app_id", label="App id", description="Id of your Meta app."),
        ConnectionField(
            name="app_secret", label="App secret", secret=True,
            description="Signs every call (appsecret_proof). Empty: calls are not signed."),
        ConnectionField(
            name="account_ids", label="Ad accounts",
            description="Ids, separated by commas. Empty: all the token sees."),
        ConnectionField(
            name="requests_per_hour", label="Requests per hour", kind="integer", default=200,
            description="Our own cap; Meta's usage headers win when they are stricter."),
        ConnectionField(
            name="requests_per_minute", label="Requests per minute", kind="integer", default=4,
            description="Our own cap on top of the hourly one."),
        ConnectionField(
            name="conversion_actions", label="Conversion actions",
            description="Action types counted as conversions, e.g. omni_purchase,lead."
            " Empty: purchases. Alternatives of one event are joined by |."),
    ),
    notices=wire.notices,
    outlived=wire.outlived,
    trace_header="x-fb-trace-id",
    app=lambda credentials: str(credentials.options.get("app_id") or ""),
    limits=(
        # Meta's own allowance of insights per ad account; its headers need something to pause.
        Limit(name="allowance", scope="account", calls=190_000, per=3600,
              option="account_requests_per_hour"),
        Limit(name="hour", scope="app", calls=200, per=3600, option="requests_per_hour"),
        Limit(name="minute", scope="app", calls=4, per=60, option="requests_per_minute"),
    ),
    rules=wire.ERRORS,
    authorize=wire.authorize,
    grant=GRANT,
    error=wire.error,
    signals=wire.signals,
    scopes=consent.SCOPES,
    consent=consent.CONSENT,
    token=wire.ask_token,
    read_token=wire.read_token,
    accounts=entities.accounts,
    prepared=insights.REPORTS,
    presets=insights.PRESETS,
    usual_reports=(
        "basic:account", "basic:campaign", "basic:ad_group", "basic:ad",
        "demographics_age_and_gender:campaign", "demographics_country:campaign",
        "delivery_platform_and_device:campaign",
    ),
    check=insights.check,
    mapping=mapping.mapping,
    minor_units=money.offset,
    streams=entities.STREAMS,
    quality=QUALITY,
    availability=Availability(
        history_days=1123, restatement_days=28,
        note="37 months less a day for time zones; conversions settle within 28 days"),
    account_url=lambda account: (
        f"https://adsmanager.facebook.com/adsmanager/manage/campaigns?act={account}"),
)  # fmt: skip
