"""Google Ads: reports by GAQL over SearchStream, as remote procedures or REST.

Facts without another source: Google Ads API documentation as of v26. Nothing is prepared there:
every report is read at once. Access tokens live an hour and are made from a refresh token or a
service account's key, which do not change.
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
from airflow_provider_liftos.platforms.google_ads import (
    connection,
    consent,
    entities,
    errors,
    mapping,
    reports,
    wire,
)
from airflow_provider_liftos.platforms.google_ads.quality import QUALITY

PLATFORM = Platform(
    name="google_ads",
    title="Google Ads",
    conn_type="liftosgoogleads",
    hook="airflow_provider_liftos.hooks.google_ads.GoogleAdsHook",
    documentation="https://developers.google.com/google-ads/api/docs/start",
    base_url="https://googleads.googleapis.com",
    # Last days of months that Google has only named so far; it tells the day weeks ahead.
    versions=(
        Version(name="v26", sunset=date(2027, 11, 30)),
        Version(name="v25", sunset=date(2027, 8, 31)),
        Version(name="v24", sunset=date(2027, 6, 30)),
        Version(name="v23", sunset=date(2027, 2, 28)),
        Version(name="v22", sunset=date(2026, 10, 7)),
    ),
    conn_fields=(
        ConnectionField(
            name="client_id", label="Client id", description="Of your OAuth client."),
        ConnectionField(
            name="client_secret", label="Client secret", secret=True,
            description="Of your OAuth client."),
        ConnectionField(
            name="refresh_token", label="Refresh token", secret=True,
            description="Of a user who sees the accounts. Empty with a service account."),
        ConnectionField(
            name="keyfile_dict", label="Service account key", secret=True,
            description="The JSON file of a service account, instead of a user's token."),
        ConnectionField(
            name="impersonated_email", label="Acting for",
            description="E-mail of the user that the service account acts for, if for any."),
        ConnectionField(
            name="login_customer_id", label="Manager",
            description="Id of the manager through which accounts are reached."
            " Empty: every manager the token sees."),
        ConnectionField(
            name="account_ids", label="Accounts",
            description="Customer ids, separated by commas. Empty: all below the managers."),
        ConnectionField(
            name="developer_token", label="Developer token", secret=True,
            description="Not needed any more: Google ignores it since 2026-09-09."),
        ConnectionField(
            name="transport", label="Transport", default="grpc",
            description="grpc, or rest where procedures do not get through."),
        ConnectionField(
            name="grpc_endpoint", label="Procedure endpoint",
            description=f"Empty: {wire.GRPC}"),
        ConnectionField(
            name="token_uri", label="Token address", description=f"Empty: {wire.TOKEN_URI}"),
        ConnectionField(
            name="requests_per_day", label="Requests per day", kind="integer", default=15_000,
            description="Our own cap: what basic access allows. Explorer access: 2880."),
        ConnectionField(
            name="requests_per_minute", label="Requests per minute", kind="integer", default=600,
            description="Our own cap; Google does not tell its own."),
    ),
    adopt=connection.adopt,
    trace_header="request-id",
    app=connection.project,
    limits=(
        Limit(name="day", scope="app", calls=15_000, per=86_400, option="requests_per_day"),
        Limit(name="minute", scope="app", calls=600, per=60, option="requests_per_minute"),
        # Google limits each customer, too, and its refusals need something to pause.
        Limit(name="allowance", scope="account", calls=600, per=60,
              option="account_requests_per_minute"),
    ),
    rules=errors.RULES,
    authorize=wire.authorize,
    grant=wire.GRANT,
    consent=consent.CONSENT,
    error=errors.read,
    signals=lambda _headers, _account: (),
    scopes=(wire.SCOPE,),
    token=wire.ask_roots,
    read_token=wire.read_token,
    accounts=entities.accounts,
    at_once=reports.at_once,
    presets=reports.PRESETS,
    usual_reports=(
        "basic:account", "basic:campaign", "basic:ad_group", "basic:ad", "keyword:ad_group",
        "search_term:ad_group", "demographics_country:campaign", "delivery_device:campaign",
    ),
    query_language="GAQL",
    check=reports.check,
    coverage=reports.coverage,
    longest=reports.longest,
    kept_days=reports.kept_days,
    mapping=mapping.mapping,
    minor_units=lambda _currency: 1,
    streams=entities.STREAMS,
    quality=QUALITY,
    availability=Availability(
        history_days=1123, restatement_days=30,
        note="37 months less a day for time zones; conversions count on the day of the click, and"
        " most actions take them for 30 days, at most 90"),
    account_url=lambda account: f"https://ads.google.com/aw/campaigns?__e={account}",
)  # fmt: skip
