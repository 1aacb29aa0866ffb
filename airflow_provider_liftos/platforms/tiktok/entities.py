"""TikTok's entities as streams: advertisers, campaigns, ad groups, ads, creatives, audiences.

Deleted ones included. The lists hold campaigns and ad groups of every kind; of upgraded Smart+ ads
the list of ads has only the creatives, each naming its ad, and the ads are listed elsewhere. What
an ad shows is a part of the ad: a creative has the id of its ad, and the creatives of a Smart+ ad
have ids of their own. GMV Max and Promote campaigns are in none of these lists.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from airflow_provider_liftos.model.errors import ConfigurationError, NotAuthorized, Rejected
from airflow_provider_liftos.model.platform import (
    Caller,
    Credentials,
    Field,
    Page,
    Paged,
    Stream,
)
from airflow_provider_liftos.model.report import Account, Slice
from airflow_provider_liftos.model.unified import Kind
from airflow_provider_liftos.model.wire import Request
from airflow_provider_liftos.platforms.tiktok import wire

_ALL = {"primary_status": "STATUS_ALL"}
MOST_ADVERTISERS = 100


def _text(source: str, column: str = "") -> Field:
    return Field(source=source, column=column)


def _json(*sources: str) -> tuple[Field, ...]:
    return tuple(Field(source=source, kind=Kind.JSON) for source in sources)


def _time(source: str, column: str) -> Field:
    """UTC, without saying so."""
    return Field(source=source, column=column, kind=Kind.TIMESTAMP)


def _state(running: str) -> tuple[Field, ...]:
    """What the person set; and what delivery obeys, that of the owners included."""
    theirs = "secondary_status"
    return (
        _text("operation_status", "status"),
        Field(source=theirs, column="effective_status", expression=(
            f"CASE WHEN {theirs} LIKE '%DELETE' THEN 'DELETED'"
            f" WHEN {theirs} LIKE '%DISABLE' THEN 'PAUSED'"
            f" WHEN {theirs} = '{running}' THEN 'ACTIVE' ELSE {theirs} END")),
        _text(theirs),
        _time("create_time", "created_at"),
        _time("modify_time", "updated_at"),
    )  # fmt: skip


def _budget(column: str, *modes: str) -> Field:
    """Units of the currency; 0 stands for none."""
    named = ", ".join(f"'BUDGET_MODE_{mode}'" for mode in modes)
    amount = "nullif(try_cast(budget AS DECIMAL(18,6)), 0)"
    return Field(source="budget", column=column, kind=Kind.MONEY,
                 expression=f"CASE WHEN budget_mode IN ({named}) THEN {amount} END")  # fmt: skip


_BUDGET = (
    _budget("daily_budget", "DAY", "DYNAMIC_DAILY_BUDGET"),
    _budget("lifetime_budget", "TOTAL"),
    _text("budget_mode"),
)
_OF_CAMPAIGNS = (
    Field(source="campaign_id", column="campaign_id", kind=Kind.ID),
    _text("campaign_name", "name"),
    *_state("CAMPAIGN_STATUS_ENABLE"),
    *_BUDGET,
    _text("objective_type", "objective"),
    _text("campaign_type"),
    _text("campaign_automation_type"),
    _text("budget_optimize_on"),
    *_json("special_industries"),
)
_TARGETING = ("location_ids", "age_groups", "languages", "audience_ids", "excluded_audience_ids")
_OF_AD_GROUPS = (
    Field(source="adgroup_id", column="ad_group_id", kind=Kind.ID),
    _text("adgroup_name", "name"),
    Field(source="campaign_id", column="campaign_id", kind=Kind.ID),
    *_state("ADGROUP_STATUS_DELIVERY_OK"),
    *_BUDGET,
    _text("optimization_goal", "optimization_goal"),
    _text("billing_event", "billing_event"),
    _text("bid_type", "bid_strategy"),
    Field(source="bid_price", column="bid_amount", kind=Kind.MONEY, expression=(
        "coalesce(nullif(try_cast(conversion_bid_price AS DECIMAL(18,6)), 0),"
        " nullif(try_cast(bid_price AS DECIMAL(18,6)), 0))")),
    _text("conversion_bid_price"),
    _time("schedule_start_time", "start_at"),
    _time("schedule_end_time", "end_at"),
    Field(source="gender", column="targeting", expression="json_object('gender', gender, "
          + ", ".join(f"'{name}', {name}" for name in _TARGETING) + ")"),
    *_json(*_TARGETING, "placements"),
    _text("optimization_event"),
    _text("pixel_id"),
    _text("click_attribution_window"),
    _text("view_attribution_window"),
    _text("engaged_view_attribution_window"),
    _text("attribution_event_count"),
)  # fmt: skip
_OF_ADS = (
    Field(source="ad_id", column="ad_id", kind=Kind.ID),
    _text("ad_name", "name"),
    Field(source="adgroup_id", column="ad_group_id", kind=Kind.ID),
    Field(source="campaign_id", column="campaign_id", kind=Kind.ID),
    Field(source="ad_id", column="creative_id", kind=Kind.ID),
    *_state("AD_STATUS_DELIVERY_OK"),
    _text("ad_format"),
    _text("tracking_pixel_id"),
    _text("smart_plus_ad_id"),
)
_LISTS = ("ad_text_list", "landing_page_url_list", "creative_list")
_OF_CREATIVES = (
    Field(source="ad_id", column="creative_id", kind=Kind.ID),
    _text("ad_name", "name"),
    *_state("AD_STATUS_DELIVERY_OK"),
    Field(source="ad_text", column="body", expression=(
        "coalesce(ad_text, json_extract_string(ad_text_list, '$[0].ad_text'))")),
    _text("ad_format", "object_type"),
    Field(source="landing_page_url", column="link_url", expression=(
        "coalesce(landing_page_url,"
        " json_extract_string(landing_page_url_list, '$[0].landing_page_url'))")),
    Field(source="video_id", column="video_id", kind=Kind.ID),
    _text("call_to_action", "call_to_action"),
    _text("smart_plus_ad_id"),
    _text("display_name"),
    _text("identity_id"),
    _text("identity_type"),
    *_json("image_ids", *_LISTS),
)  # fmt: skip
_OF_AUDIENCES = (
    Field(source="audience_id", column="audience_id", kind=Kind.ID),
    _text("name", "name"),
    Field(source="audience_type", column="audience_type", expression="lower(audience_type)"),
    Field(source="cover_num", column="size_low", kind=Kind.INT),
    Field(source="cover_num", column="size_high", kind=Kind.INT),
    _time("create_time", "created_at"),
    Field(source="is_valid", column="status", expression=(
        "CASE is_valid WHEN 'true' THEN 'VALID' WHEN 'false' THEN 'INVALID' END")),
    _text("calculate_type"),
    _text("is_expiring"),
    _text("expired_time"),
    _text("shared"),
)  # fmt: skip
_OF_ACCOUNTS = (
    _text("advertiser_id"),
    _text("name", "name"),
    Field(source="status", column="status", expression=(
        "CASE status WHEN 'STATUS_ENABLE' THEN 'active'"
        " ELSE lower(replace(status, 'STATUS_', '')) END")),
    _text("currency", "currency"),
    Field(source="display_timezone", column="timezone",
          expression="coalesce(nullif(display_timezone, ''), timezone)"),
    Field(source="balance", column="balance", kind=Kind.MONEY),
    Field(source="create_time", column="created_at", kind=Kind.TIMESTAMP,
          expression="to_timestamp(try_cast(create_time AS BIGINT))"),
    _text("timezone"),
    _text("country"),
    _text("company"),
    _text("industry"),
    _text("role"),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """One of the lists a stream is made of.

    ``asks`` says whether fields may be named, ``lacks`` which of the stream's it does not have.
    """

    path: str
    most: int = 1000
    query: Mapping[str, Any]
    asks: bool = True
    lacks: frozenset[str] = frozenset()
    read: Callable[[bytes], Page] = wire.page

    def listing(self, cut: Slice, names: Sequence[str]) -> Paged:
        """The list of a slice's account, with those of these fields that it has."""
        asked = [name for name in names if name not in (*cut.without, *self.lacks)]
        query = {**self.query, "fields": asked} if self.asks else self.query
        return wire.listing(self.path, cut.account_id, query, most=self.most, read=self.read)


class _Chain:
    """Lists read one after another; a cursor is the list's number and a position in it.

    An answer does not say which list it is of, so the one asked last is remembered.
    """

    def __init__(self, parts: Sequence[tuple[_Part, Paged]]) -> None:
        self._parts = parts
        self._at = 0

    def request(self, size: int, cursor: str | None) -> Request:
        at, _, position = (cursor or "0:").partition(":")
        self._at = int(at)
        return self._parts[self._at][1].request(size, position or None)

    def page(self, body: bytes) -> Page:
        found = self._parts[self._at][1].page(body)
        if found.cursor is not None:
            return replace(found, cursor=f"{self._at}:{found.cursor}")
        following = self._at + 1
        return replace(found, cursor=f"{following}:" if following < len(self._parts) else None)


def _stream(name: str, fields: tuple[Field, ...], *parts: _Part) -> Stream:
    names = tuple(dict.fromkeys(field.source for field in fields))

    def read(cut: Slice, _credentials: Credentials) -> Paged:
        lists = [part.listing(cut, names) for part in parts]
        if len(parts) == 1:
            return lists[0]
        chain = _Chain(list(zip(parts, lists, strict=True)))
        return Paged(request=chain.request, page=chain.page, page_size=parts[0].most)

    return Stream(name=name, table=name, fields=fields, read=read)


class _Ad(msgspec.Struct):
    smart_plus_ad_id: str | int | None = None


_read_ad = msgspec.json.Decoder(_Ad).decode


def _smart_ad(row: Any) -> str:
    """Id of the Smart+ ad that a row is, or is a creative of; empty for any other."""
    try:
        found = str(_read_ad(row).smart_plus_ad_id or "")
    except msgspec.MsgspecError as failure:
        raise ValueError(f"not an ad: {failure}") from None
    return "" if found == "0" else found


def _plain_ads(body: bytes) -> Page:
    """Ads without the creatives of Smart+ ads, which stand among them."""
    found = wire.page(body)
    return replace(found, rows=[row for row in found.rows if not _smart_ad(row)])


def _smart_ads(body: bytes) -> Page:
    """Smart+ ads, under the name that ids of ads have."""
    found = wire.page(body)
    return replace(found, rows=[_named(row) for row in found.rows])


def _named(row: Any) -> bytes:
    identity = json.dumps(_smart_ad(row))
    return b'{"ad_id":' + identity.encode() + b"," + bytes(row).lstrip()[1:]


_ADS = _Part(path="ad/get/", query={"filtering": _ALL}, lacks=frozenset(_LISTS))
# Which fields that list takes is not documented: all of them come.
_SMART_ADS = _Part(
    path="smart_plus/ad/get/", query={"filtering": _ALL}, most=100, asks=False, read=_smart_ads
)


def _info(ids: Sequence[str], fields: Sequence[str], account: str | None = None) -> Request:
    asked = wire.get("advertiser/info/", None, advertiser_ids=list(ids), fields=list(fields))
    return replace(asked, account=account)


def _read_account(cut: Slice, _credentials: Credentials) -> Paged:
    names = dict.fromkeys(field.source for field in _OF_ACCOUNTS)
    asked = [name for name in names if name not in cut.without]
    request = _info([cut.account_id], asked, cut.account_id)
    return Paged(request=lambda _size, _cursor: request, page=wire.rows, page_size=1)


STREAMS = (
    Stream(name="accounts", table="accounts", fields=_OF_ACCOUNTS, read=_read_account),
    _stream("campaigns", _OF_CAMPAIGNS, _Part(path="campaign/get/", query={"filtering": _ALL})),
    _stream("ad_groups", _OF_AD_GROUPS, _Part(path="adgroup/get/", query={"filtering": _ALL})),
    _stream("ads", _OF_ADS, replace(_ADS, read=_plain_ads), _SMART_ADS),
    _stream("creatives", _OF_CREATIVES, _ADS, _SMART_ADS),
    _stream(
        "audiences", _OF_AUDIENCES,
        _Part(path="dmp/custom_audience/list/", query={}, most=100, asks=False),
    ),
)  # fmt: skip

_FACTS = ("advertiser_id", "name", "currency", "display_timezone", "timezone", "status")


def accounts(caller: Caller, credentials: Credentials) -> Generator[Any, Any, Sequence[Account]]:
    """Every advertiser the token sees; without the app's id and secret, those the connection names.

    An advertiser that the token does not see is left out, wherever it was named.
    """
    ids = yield from _granted(caller, credentials)
    found: list[Account] = []
    for group in wire.some(ids, MOST_ADVERTISERS):
        found += yield from _described(caller, group)
    return found


def _granted(caller: Caller, credentials: Credentials) -> Generator[Any, Any, Sequence[str]]:
    app_id = str(credentials.options.get("app_id") or "")
    secret = credentials.secrets.get("secret")
    if app_id and secret:
        asked = wire.get("oauth2/advertiser/get/", None, app_id=app_id, secret=secret.reveal())
        page: Page = yield from caller.call(asked, wire.rows)
        rows = [msgspec.json.decode(row) for row in page.rows]
        return [str(row["advertiser_id"]) for row in rows if row.get("advertiser_id")]
    named = _named_accounts(credentials.options.get("account_ids"))
    if not named:
        raise ConfigurationError(
            f"connection {credentials.conn_id!r} does not say which advertisers there are",
            platform="tiktok",
            hint="Fill in app_id and secret, so that TikTok can be asked, or account_ids.",
        )
    return named


def _named_accounts(value: Any) -> list[str]:
    parts = value if isinstance(value, list) else str(value or "").split(",")
    return list(dict.fromkeys(str(part).strip() for part in parts if str(part).strip()))


def _described(caller: Caller, ids: Sequence[str]) -> Generator[Any, Any, Sequence[Account]]:
    """What the house needs to know of each. One that is out of reach spoils the whole answer."""
    try:
        page: Page = yield from caller.call(_info(ids, _FACTS), wire.rows)
    except (NotAuthorized, Rejected) as error:
        if isinstance(error, NotAuthorized) and not error.one_account:
            raise
        if len(ids) == 1:
            return []
        middle = len(ids) // 2
        first = yield from _described(caller, ids[:middle])
        rest = yield from _described(caller, ids[middle:])
        return [*first, *rest]
    read = [read_account(msgspec.json.decode(row)) for row in page.rows]
    return [account for account in read if account.account_id]


def read_account(row: Mapping[str, Any]) -> Account:
    """One advertiser.

    ``timezone`` may be a fixed offset such as ``Etc/GMT+8``, eight hours behind UTC, which knows no
    summer; days of reports are those of ``display_timezone``.
    """
    status = str(row.get("status") or "").removeprefix("STATUS_").lower()
    return Account(
        account_id=str(row.get("advertiser_id") or ""),
        name=str(row.get("name") or ""),
        currency=str(row.get("currency") or ""),
        timezone=str(row.get("display_timezone") or row.get("timezone") or ""),
        status="active" if status == "enable" else status,
    )
