"""Entities of Google Ads as streams; and the accounts below managers.

A full listing is one operation whatever its length. What an account may have very many of, ad
groups and ads, is read below campaigns with changes alone, where a listing is known. Campaigns are
always listed: their states change by themselves, when a budget or their time runs out.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

from airflow_provider_liftos.model.errors import Missing, NotAuthorized
from airflow_provider_liftos.model.platform import (
    Caller,
    Changes,
    Credentials,
    Field,
    Stream,
    Streamed,
)
from airflow_provider_liftos.model.report import Account, Slice
from airflow_provider_liftos.model.sql import identifier
from airflow_provider_liftos.model.unified import Kind
from airflow_provider_liftos.platforms.google_ads import gaql, schema, wire
from airflow_provider_liftos.platforms.google_ads.changes import CHANGES
from airflow_provider_liftos.platforms.google_ads.mapping import micros

_ZONE = "customer.time_zone"


def _text(source: str, column: str = "") -> Field:
    return Field(source=source, column=column, expression=f"nullif({identifier(source)}, '')")


def _id(source: str, column: str) -> Field:
    return Field(source=source, column=column, kind=Kind.ID)


def _money(source: str, column: str) -> Field:
    return Field(source=source, column=column, kind=Kind.MONEY, expression=micros(source))


def _moment(source: str, column: str) -> Field:
    """A clock's time in the account's zone."""
    local = f"try_cast({identifier(source)} AS TIMESTAMP)"
    return Field(source=source, column=column, kind=Kind.TIMESTAMP,
                 expression=f"{local} AT TIME ZONE {identifier(_ZONE)}")  # fmt: skip


def _effective(*owners: str) -> str:
    """SQL: the entity's own status, unless it is kept from delivering by an owner's."""
    *above, own = owners
    cases = " ".join(
        f"WHEN {identifier(f'{owner}.status')} <> 'ENABLED'"
        f" THEN {identifier(f'{owner}.status')}" for owner in above
    )  # fmt: skip
    status = identifier(f"{own}.status")
    return f"CASE WHEN {status} <> 'ENABLED' THEN {status} {cases} ELSE {status} END"


def _bound(which: str) -> str:
    """SQL: the lower or the upper of the two sizes that Google estimates."""
    sizes = [
        f"try_cast({identifier(f'user_list.size_for_{n}')} AS BIGINT)"
        for n in ("search", "display")
    ]
    return f"{which}({', '.join(sizes)})"


def _stream(name: str, resource: str, *fields: Field, told: Changes | None = None) -> Stream:
    """A listing; what an expression needs beside its source must be a field, too."""

    def read(cut: Slice, credentials: Credentials) -> Streamed:
        names = dict.fromkeys(field.source for field in fields if field.is_in(credentials.version))
        asked = [one for one in names if one not in cut.without]
        leaves = [leaf for one in asked if (leaf := schema.leaf(credentials.version, one))]
        ids = cut.ids.values if cut.ids else ()
        query = gaql.Query(
            fields=tuple(asked),
            resource=resource,
            conditions=(gaql.one_of("campaign.id", ids),) if ids else (),
            rest="PARAMETERS omit_unselected_resource_names=true",
        )
        return wire.stream(query.text, tuple(leaves), cut.account_id, credentials)

    return Stream(name=name, table=name, fields=fields, read=read, changes=told)


STREAMS = (
    _stream(
        "accounts", "customer",
        Field(source="customer.id"),
        _text("customer.descriptive_name", "name"),
        Field(source="customer.status", column="status", expression='lower("customer.status")'),
        Field(source="customer.currency_code", column="currency"),
        Field(source=_ZONE, column="timezone"),
        Field(source="customer.auto_tagging_enabled"),
        Field(source="customer.test_account"),
        # One replaced the other; either is null in rows of versions that lack it.
        Field(source="customer.conversion_tracking_setting.enhanced_conversions_for_leads_enabled",
              until="v26"),
        Field(source="customer.conversion_tracking_setting.enablement_setting", since="v26"),
    ),
    _stream(
        "campaigns", "campaign",
        _id("campaign.id", "campaign_id"),
        _text("campaign.name", "name"),
        Field(source="campaign.status", column="status"),
        Field(source="campaign.primary_status", column="effective_status"),
        Field(source="campaign.advertising_channel_type", column="objective"),
        Field(source="campaign.bidding_strategy_type", column="bid_strategy"),
        Field(source="campaign_budget.amount_micros", column="daily_budget", kind=Kind.MONEY,
              expression=f"CASE \"campaign_budget.period\" WHEN 'DAILY'"
              f" THEN {micros('campaign_budget.amount_micros')} END"),
        Field(source="campaign_budget.total_amount_micros", column="lifetime_budget",
              kind=Kind.MONEY, expression=f"CASE \"campaign_budget.period\" WHEN 'CUSTOM_PERIOD'"
              f" THEN {micros('campaign_budget.total_amount_micros')} END"),
        Field(source="campaign_budget.period"),
        _moment("campaign.start_date_time", "start_at"),
        _moment("campaign.end_date_time", "end_at"),
        Field(source=_ZONE),
        Field(source="campaign.advertising_channel_sub_type"),
        Field(source="campaign.serving_status"),
        Field(source="campaign_budget.id"),
        Field(source="campaign_budget.explicitly_shared"),
    ),
    _stream(
        "ad_groups", "ad_group",
        _id("ad_group.id", "ad_group_id"),
        _id("campaign.id", "campaign_id"),
        _text("ad_group.name", "name"),
        Field(source="ad_group.status", column="status"),
        Field(source="campaign.status", column="effective_status",
              expression=_effective("campaign", "ad_group")),
        Field(source="ad_group.type"),
        _money("ad_group.cpc_bid_micros", "bid_amount"),
        Field(source="campaign.bidding_strategy_type", column="bid_strategy"),
        _moment("campaign.start_date_time", "start_at"),
        _moment("campaign.end_date_time", "end_at"),
        Field(source=_ZONE),
        told=CHANGES,
    ),
    _stream(
        "ads", "ad_group_ad",
        _id("ad_group_ad.ad.id", "ad_id"),
        _id("ad_group.id", "ad_group_id"),
        _id("campaign.id", "campaign_id"),
        _text("ad_group_ad.ad.name", "name"),
        Field(source="ad_group_ad.status", column="status"),
        Field(source="campaign.status", column="effective_status",
              expression=_effective("campaign", "ad_group", "ad_group_ad")),
        Field(source="ad_group.status"),
        Field(source="ad_group_ad.ad.type"),
        Field(source="ad_group_ad.ad.final_urls", kind=Kind.JSON),
        Field(source="ad_group_ad.policy_summary.approval_status"),
        told=CHANGES,
    ),
    _stream(
        "creatives", "asset",
        _id("asset.id", "creative_id"),
        _text("asset.name", "name"),
        Field(source="asset.type", column="object_type"),
        _text("asset.text_asset.text", "body"),
        _text("asset.image_asset.full_size.url", "image_url"),
        _text("asset.youtube_video_asset.youtube_video_id", "video_id"),
        Field(source="asset.call_to_action_asset.call_to_action", column="call_to_action",
              expression="nullif(\"asset.call_to_action_asset.call_to_action\", 'UNSPECIFIED')"),
        Field(source="asset.final_urls", column="link_url", kind=Kind.JSON,
              expression="json_extract_string(\"asset.final_urls\", '$[0]')"),
    ),
    _stream(
        "audiences", "user_list",
        _id("user_list.id", "audience_id"),
        _text("user_list.name", "name"),
        Field(source="user_list.type", column="audience_type",
              expression='lower("user_list.type")'),
        _text("user_list.description", "description"),
        Field(source="user_list.membership_status", column="status"),
        Field(source="user_list.membership_life_span", column="retention_days", kind=Kind.INT),
        Field(source="user_list.size_for_search", column="size_low", kind=Kind.INT,
              expression=_bound("least")),
        Field(source="user_list.size_for_display", column="size_high", kind=Kind.INT,
              expression=_bound("greatest")),
        Field(source="user_list.match_rate_percentage"),
        Field(source="user_list.read_only"),
    ),
)  # fmt: skip


def accounts(caller: Caller, credentials: Credentials) -> Generator[Any, Any, Sequence[Account]]:
    """Every active account below the customers that the user has access to, managers left out.

    One that lies below several managers is taken once. A customer without access any more does not
    stop the others; if none is left, its error is raised.
    """
    login = wire.digits(credentials.options.get("login_customer_id"))
    roots = (
        [login] if login else (yield from caller.call(wire.ask_roots(credentials), wire.read_roots))
    )
    found: dict[str, Account] = {}
    trouble: Missing | NotAuthorized | None = None
    for root in roots:
        try:
            below = yield from _below(caller, credentials, root)
        except Missing as error:
            trouble = error
        except NotAuthorized as error:
            if not error.one_account:
                raise
            trouble = error
        else:
            for account in below:
                known = found.get(account.account_id)
                found[account.account_id] = known if known and not known.via else account
    if trouble and not found:
        raise trouble
    return list(found.values())


_CLIENT = ("id", "descriptive_name", "currency_code", "time_zone", "status")


def _below(
    caller: Caller, credentials: Credentials, root: str
) -> Generator[Any, Any, list[Account]]:
    names = [f"customer_client.{part}" for part in _CLIENT]
    query = gaql.Query(
        fields=tuple(names),
        resource="customer_client",
        conditions=("customer_client.status = 'ENABLED'", "customer_client.manager = FALSE"),
    )
    leaves = tuple(schema.require(credentials.version, name) for name in names)
    rows = yield from wire.search(caller, query.text, leaves, root, credentials)
    return [_account(row, root) for row in rows]


def _account(row: Mapping[str, Any], root: str) -> Account:
    customer, name, currency, zone, status = (row[f"customer_client.{p}"] for p in _CLIENT)
    return Account(
        account_id=str(customer),
        name=name,
        currency=currency,
        timezone=zone,
        status=status.lower(),
        via="" if str(customer) == root else root,
    )
