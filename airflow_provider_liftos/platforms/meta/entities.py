"""Meta's entities as streams: accounts, campaigns, ad sets, ads, creatives, audiences."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

from airflow_provider_liftos.model.platform import Caller, Credentials, Field, Paged, Stream
from airflow_provider_liftos.model.report import Account, Slice
from airflow_provider_liftos.model.unified import Kind
from airflow_provider_liftos.model.wire import Request
from airflow_provider_liftos.platforms.meta import wire

_OF_CAMPAIGNS = ("ACTIVE", "PAUSED", "DELETED", "ARCHIVED", "IN_PROCESS", "WITH_ISSUES")
_OF_AD_SETS = (*_OF_CAMPAIGNS, "CAMPAIGN_PAUSED")
_OF_ADS = (*_OF_AD_SETS, "ADSET_PAUSED", "PENDING_REVIEW", "DISAPPROVED", "PREAPPROVED",
           "PENDING_BILLING_INFO")  # fmt: skip
"""Without naming statuses Meta leaves deleted and archived entities out; each edge has its own."""

ACCOUNT_STATUS = {
    "1": "active", "2": "disabled", "3": "unsettled", "7": "risk_review", "8": "pending_settlement",
    "9": "grace_period", "100": "pending_closure", "101": "closed",
}  # fmt: skip


def _minor(column: str) -> Field:
    return Field(source=column, column=column, kind=Kind.MONEY, expression=minor(column))


def minor(source: str) -> str:
    """SQL: minor units to major ones; ``{minor_unit}`` is a fact of the account's currency."""
    return f"try_cast({source} AS DECIMAL(28,0)) * {{minor_unit}}"


def _unsigned(source: str) -> Field:
    """JSON without the signatures and nearest hosts of Meta's files: they change by the day."""
    # A slash may come with a backslash before it.
    found = r"https?:(\\?/\\?/)[\w.-]+\.fbcdn\.net([^\"?]*)(\?[^\"]*)?"
    text = f"regexp_replace({source}::VARCHAR, '{found}', 'https:\\1scontent.xx.fbcdn.net\\2', 'g')"
    return Field(source=source, kind=Kind.JSON, expression=f"{text}::JSON")


_NAME = Field(source="name", column="name")
_STATUS = (
    Field(source="status", column="status"),
    Field(source="effective_status", column="effective_status"),
)
_TIMES = (
    Field(source="created_time", column="created_at", kind=Kind.TIMESTAMP),
    Field(source="updated_time", column="updated_at", kind=Kind.TIMESTAMP),
)
_BUDGET = (
    _minor("daily_budget"),
    _minor("lifetime_budget"),
    _minor("budget_remaining"),
    Field(source="start_time", column="start_at", kind=Kind.TIMESTAMP),
)


def _listing(
    edge: str, fields: Sequence[Field], size: int, query: Mapping[str, str]
) -> Callable[[Slice, Credentials], Paged]:
    names = tuple(dict.fromkeys(field.source for field in fields))

    def read(cut: Slice, _credentials: Credentials) -> Paged:
        asked = [name for name in names if name not in cut.without]
        path = f"act_{cut.account_id}/{edge}"
        return Paged(
            request=lambda limit, after: wire.edge(path, asked, limit, after, **query),
            page=wire.page,
            page_size=size,
        )

    return read


def _stream(name: str, edge: str, fields: tuple[Field, ...], size: int, **query: str) -> Stream:
    return Stream(name=name, table=name, fields=fields, read=_listing(edge, fields, size, query))


_ACCOUNT_FIELDS = (
    Field(source="account_id"),
    _NAME,
    Field(source="account_status", column="status",
          expression="CASE account_status "
          + " ".join(f"WHEN '{code}' THEN '{name}'" for code, name in ACCOUNT_STATUS.items())
          + " ELSE account_status END"),
    Field(source="currency", column="currency"),
    Field(source="timezone_name", column="timezone"),
    _minor("amount_spent"),
    _minor("spend_cap"),
    _minor("balance"),
    Field(source="created_time", column="created_at", kind=Kind.TIMESTAMP),
    Field(source="disable_reason"),
    Field(source="timezone_offset_hours_utc"),
    Field(source="min_daily_budget"),
)  # fmt: skip


def _read_account(cut: Slice, _credentials: Credentials) -> Paged:
    names = dict.fromkeys(field.source for field in _ACCOUNT_FIELDS)
    fields = ",".join(name for name in names if name not in cut.without)
    asked = Request(
        method="GET",
        path=f"act_{cut.account_id}",
        query={"fields": fields},
        account=cut.account_id,
    )
    return Paged(request=lambda _limit, _after: asked, page=wire.node, page_size=1)


STREAMS = (
    Stream(name="accounts", table="accounts", fields=_ACCOUNT_FIELDS, read=_read_account),
    _stream("campaigns", "campaigns", (
        Field(source="id", column="campaign_id", kind=Kind.ID), _NAME, *_STATUS, *_TIMES, *_BUDGET,
        Field(source="objective", column="objective"),
        Field(source="bid_strategy", column="bid_strategy"),
        Field(source="stop_time", column="end_at", kind=Kind.TIMESTAMP),
        _minor("spend_cap"),
        Field(source="buying_type"),
        Field(source="configured_status"),
        Field(source="special_ad_categories", kind=Kind.JSON),
    ), 200, effective_status=json.dumps(_OF_CAMPAIGNS)),
    _stream("ad_groups", "adsets", (
        Field(source="id", column="ad_group_id", kind=Kind.ID), _NAME, *_STATUS, *_TIMES, *_BUDGET,
        Field(source="campaign_id", column="campaign_id", kind=Kind.ID),
        Field(source="optimization_goal", column="optimization_goal"),
        Field(source="billing_event", column="billing_event"),
        Field(source="bid_strategy", column="bid_strategy"),
        _minor("bid_amount"),
        Field(source="end_time", column="end_at", kind=Kind.TIMESTAMP),
        Field(source="targeting", column="targeting", kind=Kind.JSON),
        Field(source="attribution_spec", kind=Kind.JSON),
        Field(source="promoted_object", kind=Kind.JSON),
        Field(source="learning_stage_info", kind=Kind.JSON),
    ), 200, effective_status=json.dumps(_OF_AD_SETS)),
    _stream("ads", "ads", (
        Field(source="id", column="ad_id", kind=Kind.ID), _NAME, *_STATUS, *_TIMES,
        Field(source="adset_id", column="ad_group_id", kind=Kind.ID),
        Field(source="campaign_id", column="campaign_id", kind=Kind.ID),
        Field(source="creative", column="creative_id", kind=Kind.JSON,
              expression="json_extract_string(creative, '$.id')"),
        Field(source="tracking_specs", kind=Kind.JSON),
    ), 200, effective_status=json.dumps(_OF_ADS)),
    _stream("creatives", "adcreatives", (
        Field(source="id", column="creative_id", kind=Kind.ID), _NAME,
        Field(source="status", column="status"),
        Field(source="title", column="title", expression=(
            "coalesce(title, json_extract_string(object_story_spec, '$.link_data.name'),"
            " json_extract_string(object_story_spec, '$.video_data.title'),"
            " json_extract_string(asset_feed_spec, '$.titles[0].text'))")),
        Field(source="body", column="body", expression=(
            "coalesce(body, json_extract_string(object_story_spec, '$.link_data.message'),"
            " json_extract_string(object_story_spec, '$.video_data.message'),"
            " json_extract_string(object_story_spec, '$.photo_data.caption'),"
            " json_extract_string(asset_feed_spec, '$.bodies[0].text'))")),
        Field(source="object_type", column="object_type"),
        Field(source="link_url", column="link_url", expression=(
            "coalesce(link_url, json_extract_string(object_story_spec, '$.link_data.link'),"
            " json_extract_string(asset_feed_spec, '$.link_urls[0].website_url'))")),
        Field(source="image_url", column="image_url"),
        Field(source="image_hash"),
        Field(source="video_id", column="video_id", kind=Kind.ID, expression=(
            "coalesce(video_id, json_extract_string(object_story_spec, '$.video_data.video_id'))")),
        Field(source="call_to_action_type", column="call_to_action"),
        _unsigned("object_story_spec"),
        _unsigned("asset_feed_spec"),
        Field(source="url_tags"),
    ), 100),
    _stream("audiences", "customaudiences", (
        Field(source="id", column="audience_id", kind=Kind.ID), _NAME,
        Field(source="subtype", column="audience_type", expression="lower(subtype)"),
        Field(source="description", column="description"),
        Field(source="approximate_count_lower_bound", column="size_low", kind=Kind.INT),
        Field(source="approximate_count_upper_bound", column="size_high", kind=Kind.INT),
        Field(source="retention_days", column="retention_days", kind=Kind.INT),
        Field(source="lookalike_spec", column="lookalike", kind=Kind.JSON),
        Field(source="operation_status", column="status", kind=Kind.JSON,
              expression="json_extract_string(operation_status, '$.description')"),
        Field(source="delivery_status", column="effective_status", kind=Kind.JSON,
              expression="json_extract_string(delivery_status, '$.description')"),
        Field(source="time_created", column="created_at", kind=Kind.TIMESTAMP,
              expression="to_timestamp(try_cast(time_created AS BIGINT))"),
        Field(source="time_updated", column="updated_at", kind=Kind.TIMESTAMP,
              expression="to_timestamp(try_cast(time_updated AS BIGINT))"),
        Field(source="customer_file_source"),
    ), 200),
)  # fmt: skip


def accounts(caller: Caller, _credentials: Credentials) -> Generator[Any, Any, Sequence[Account]]:
    """Every account the token sees, with what the house needs to know of each."""
    fields = ("account_id", "name", "currency", "timezone_name", "account_status")
    found: list[Account] = []
    after: str | None = None
    while True:
        page = yield from caller.call(wire.edge("me/adaccounts", fields, 100, after), wire.page)
        read = [read_account(row) for row in map(json.loads, map(bytes, page.rows)) if row]
        found += [account for account in read if account.account_id]
        after = page.cursor
        if after is None:
            return found


def read_account(row: Mapping[str, Any]) -> Account:
    """One account; its id without the ``act_`` of paths."""
    return Account(
        account_id=str(row.get("account_id") or str(row.get("id") or "").removeprefix("act_")),
        name=str(row.get("name") or ""),
        currency=str(row.get("currency") or ""),
        timezone=str(row.get("timezone_name") or ""),
        status=ACCOUNT_STATUS.get(str(row.get("account_status")), ""),
    )
