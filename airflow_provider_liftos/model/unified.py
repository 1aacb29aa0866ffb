"""The unified schema: every table and column once. DDL, casts and suites come from it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum


class Kind(Enum):
    """What a value is; each warehouse has one type for each kind."""

    TEXT = "text"
    ID = "id"
    DATE = "date"
    TIMESTAMP = "timestamp"
    INT = "int"
    DECIMAL = "decimal"
    MONEY = "money"
    BOOL = "bool"
    JSON = "json"


class Role(StrEnum):
    """What a column is for."""

    KEY = "key"
    NAME = "name"
    METRIC = "metric"
    UNIQUE_METRIC = "unique_metric"
    FACT = "fact"
    LINEAGE = "lineage"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column. ``low`` and ``high`` bound lawful values; ``required`` forbids null.

    ``volatile`` ones of an entity change without anybody's doing: a change makes no version, the
    current one is brought up to date.
    """

    name: str
    kind: Kind
    role: Role = Role.FACT
    required: bool = False
    low: int | None = None
    high: int | None = None
    volatile: bool = False
    doc: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """A law between columns, as SQL over one row; null operands make a row exempt."""

    name: str
    sql: str
    columns: tuple[str, ...]
    severity: str
    doc: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of the unified schema."""

    name: str
    columns: tuple[Column, ...]
    relations: tuple[Relation, ...] = ()
    doc: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        """Columns that identify a row."""
        return tuple(column.name for column in self.columns if column.role is Role.KEY)

    def column(self, name: str) -> Column:
        """The column of that name; KeyError when there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    def names(self) -> tuple[str, ...]:
        """Column names in order."""
        return tuple(column.name for column in self.columns)


def _key(name: str, kind: Kind = Kind.TEXT, doc: str = "", *, required: bool = True) -> Column:
    return Column(name=name, kind=kind, role=Role.KEY, required=required, doc=doc)


def _metric(name: str, kind: Kind = Kind.INT, doc: str = "", low: int | None = 0) -> Column:
    return Column(name=name, kind=kind, role=Role.METRIC, low=low, doc=doc)


LINEAGE = (
    Column(name="as_of", kind=Kind.TIMESTAMP, role=Role.LINEAGE, required=True,
           doc="when the platform was asked; newer replaces older, never the reverse"),
    Column(name="load_id", kind=Kind.TEXT, role=Role.LINEAGE, required=True,
           doc="the load that brought the row"),
    Column(name="is_mock", kind=Kind.BOOL, role=Role.LINEAGE, required=True,
           doc="true for invented rows; they never enter published tables unless asked"),
)  # fmt: skip

PERFORMANCE = Table(
    name="performance",
    doc="One row per account, report, level, day, ids, breakdown values and attribution window.",
    columns=(
        _key("org_id", doc="organization, from the connection"),
        _key("platform"),
        _key("report", doc="preset or the user's own report"),
        _key("level", doc="account, campaign, ad_group or ad"),
        _key("date", Kind.DATE, "first day of the row, in the account's time zone"),
        _key("account_id", Kind.ID),
        _key("campaign_id", Kind.ID, required=False),
        _key("ad_group_id", Kind.ID, required=False),
        _key("ad_id", Kind.ID, required=False),
        _key("breakdown_key", doc="breakdown values as canonical text; empty without breakdowns"),
        _key("attribution_window", doc="the platform's name, or default for the account's own"),
        Column(name="date_end", kind=Kind.DATE, required=True, doc="last day of the row"),
        Column(name="breakdowns", kind=Kind.JSON, doc="the breakdown values as an object"),
        Column(name="account_name", kind=Kind.TEXT, role=Role.NAME),
        Column(name="campaign_name", kind=Kind.TEXT, role=Role.NAME),
        Column(name="ad_group_name", kind=Kind.TEXT, role=Role.NAME),
        Column(name="ad_name", kind=Kind.TEXT, role=Role.NAME),
        Column(name="currency", kind=Kind.TEXT, required=True, doc="ISO 4217 code of all money"),
        Column(name="account_timezone", kind=Kind.TEXT, required=True, doc="IANA zone of date"),
        Column(name="day_start_utc", kind=Kind.TIMESTAMP, doc="where date begins, in UTC"),
        Column(name="day_end_utc", kind=Kind.TIMESTAMP, doc="where date_end ends, in UTC"),
        Column(name="attribution_setting", kind=Kind.TEXT, doc="what the platform says it used"),
        _metric("impressions"),
        _metric("clicks"),
        _metric("link_clicks"),
        _metric("spend", Kind.MONEY, "in the account's currency, major units"),
        _metric("conversions", Kind.DECIMAL, "by the declared list of actions"),
        _metric("conversions_value", Kind.MONEY, "in the account's currency", low=None),
        _metric("video_views"),
        _metric("actions", Kind.DECIMAL, "count of one action; only in reports broken by action"),
        _metric("actions_value", Kind.MONEY, "its value; only in reports broken by action",
                low=None),
        Column(name="reach", kind=Kind.INT, role=Role.UNIQUE_METRIC, low=0,
               doc="people; never to be summed over days or breakdowns"),
        Column(name="frequency", kind=Kind.DECIMAL, role=Role.UNIQUE_METRIC, low=0,
               doc="impressions per person; never to be summed"),
        Column(name="extra_metrics", kind=Kind.JSON, doc="other metrics of the report, as texts"),
        Column(name="is_estimated", kind=Kind.BOOL, required=True,
               doc="true while the platform may still restate the day"),
        *LINEAGE,
    ),
    relations=(
        Relation(name="clicks_within_impressions", severity="high",
                 columns=("clicks", "impressions"), sql="clicks <= impressions",
                 doc="more clicks than impressions"),
        Relation(name="reach_within_impressions", severity="medium",
                 columns=("reach", "impressions"), sql="reach <= impressions",
                 doc="more people reached than impressions"),
    ),
)  # fmt: skip

_ENTITY_KEY = (
    _key("org_id"),
    _key("platform"),
    _key("account_id", Kind.ID),
)

_ENTITY_STATE = (
    Column(name="name", kind=Kind.TEXT, role=Role.NAME),
    Column(name="status", kind=Kind.TEXT, doc="as the person set it"),
    Column(name="effective_status", kind=Kind.TEXT, doc="as the platform acts on it"),
    Column(name="created_at", kind=Kind.TIMESTAMP),
    Column(name="updated_at", kind=Kind.TIMESTAMP),
)

_HISTORY = (
    Column(name="details", kind=Kind.JSON, doc="other fields of the platform, as received"),
    Column(name="row_hash", kind=Kind.TEXT, role=Role.LINEAGE, required=True,
           doc="digest of all but lineage and what is volatile; a change begins a version"),
    Column(name="valid_from", kind=Kind.TIMESTAMP, role=Role.LINEAGE, required=True),
    Column(name="valid_to", kind=Kind.TIMESTAMP, role=Role.LINEAGE,
           doc="null for the current version"),
    Column(name="is_deleted", kind=Kind.BOOL, role=Role.LINEAGE, required=True,
           doc="the platform no longer lists it"),
    *LINEAGE,
)  # fmt: skip

_BUDGET = (
    Column(name="currency", kind=Kind.TEXT),
    Column(name="daily_budget", kind=Kind.MONEY, low=0, doc="major units"),
    Column(name="lifetime_budget", kind=Kind.MONEY, low=0, doc="major units"),
    Column(name="budget_remaining", kind=Kind.MONEY, volatile=True, doc="major units"),
    Column(name="start_at", kind=Kind.TIMESTAMP),
    Column(name="end_at", kind=Kind.TIMESTAMP),
)


def _entity(name: str, doc: str, *columns: Column) -> Table:
    return Table(name=name, doc=doc, columns=(*_ENTITY_KEY, *columns, *_ENTITY_STATE, *_HISTORY))


ENTITIES = (
    _entity(
        "accounts", "Advertising accounts.",
        Column(name="currency", kind=Kind.TEXT, required=True),
        Column(name="timezone", kind=Kind.TEXT, required=True),
        Column(name="amount_spent", kind=Kind.MONEY, volatile=True,
               doc="since the account began, major units"),
        Column(name="spend_cap", kind=Kind.MONEY, doc="major units"),
        Column(name="balance", kind=Kind.MONEY, volatile=True, doc="major units"),
    ),
    _entity(
        "campaigns", "Campaigns.",
        _key("campaign_id", Kind.ID),
        Column(name="objective", kind=Kind.TEXT),
        Column(name="bid_strategy", kind=Kind.TEXT),
        Column(name="spend_cap", kind=Kind.MONEY, doc="major units"),
        *_BUDGET,
    ),
    _entity(
        "ad_groups", "Ad groups; Meta says ad sets.",
        _key("ad_group_id", Kind.ID),
        Column(name="campaign_id", kind=Kind.ID),
        Column(name="optimization_goal", kind=Kind.TEXT),
        Column(name="billing_event", kind=Kind.TEXT),
        Column(name="bid_strategy", kind=Kind.TEXT),
        Column(name="bid_amount", kind=Kind.MONEY, doc="major units"),
        Column(name="targeting", kind=Kind.JSON),
        *_BUDGET,
    ),
    _entity(
        "ads", "Ads.",
        _key("ad_id", Kind.ID),
        Column(name="ad_group_id", kind=Kind.ID),
        Column(name="campaign_id", kind=Kind.ID),
        Column(name="creative_id", kind=Kind.ID),
    ),
    _entity(
        "creatives", "What an ad shows.",
        _key("creative_id", Kind.ID),
        Column(name="title", kind=Kind.TEXT),
        Column(name="body", kind=Kind.TEXT),
        Column(name="object_type", kind=Kind.TEXT),
        Column(name="link_url", kind=Kind.TEXT),
        Column(name="image_url", kind=Kind.TEXT, volatile=True,
               doc="platforms sign it anew each day, and it ends"),
        Column(name="video_id", kind=Kind.ID),
        Column(name="call_to_action", kind=Kind.TEXT),
    ),
    _entity(
        "audiences", "Custom and lookalike audiences.",
        _key("audience_id", Kind.ID),
        Column(name="audience_type", kind=Kind.TEXT, doc="custom, lookalike, ..."),
        Column(name="description", kind=Kind.TEXT),
        Column(name="size_low", kind=Kind.INT, volatile=True,
               doc="lower bound of the platform's estimate"),
        Column(name="size_high", kind=Kind.INT, volatile=True,
               doc="upper bound of the platform's estimate"),
        Column(name="retention_days", kind=Kind.INT),
        Column(name="lookalike", kind=Kind.JSON, doc="origin, country and ratio of a lookalike"),
    ),
)  # fmt: skip

LOADS = Table(
    name="loads",
    doc="What was published when: one row per account, report, level and day.",
    columns=(
        _key("org_id"),
        _key("platform"),
        _key("report"),
        _key("level"),
        _key("account_id", Kind.ID),
        _key("date", Kind.DATE),
        Column(name="rows", kind=Kind.INT, required=True),
        Column(name="spend", kind=Kind.MONEY),
        Column(name="conversions", kind=Kind.DECIMAL),
        Column(name="as_of", kind=Kind.TIMESTAMP, required=True),
        Column(name="load_id", kind=Kind.TEXT, required=True),
        Column(name="published_at", kind=Kind.TIMESTAMP, required=True),
    ),
)

FX_RATES = Table(
    name="fx_rates",
    doc="What one unit of the base costs in each currency, one row per calendar day. Days without a"
    " publication repeat the last known rate. Rows of another source than ecb are people's own:"
    " loading leaves them alone and adds none beside them.",
    columns=(
        _key("org_id"),
        _key("rate_date", Kind.DATE, "the day the rate is used for"),
        _key("base", doc="EUR; others are crossed over it"),
        _key("currency", doc="ISO 4217 code"),
        Column(name="rate", kind=Kind.DECIMAL, required=True, doc="units of currency for one base"),
        Column(name="fx_date", kind=Kind.DATE, required=True, doc="the day it was published for"),
        Column(name="source", kind=Kind.TEXT, required=True, doc="ecb, or whoever wrote the row"),
        Column(name="loaded_at", kind=Kind.TIMESTAMP, role=Role.LINEAGE),
    ),
)

TABLES: dict[str, Table] = {t.name: t for t in (PERFORMANCE, *ENTITIES, LOADS, FX_RATES)}

SAID = {"meta": "facebook", "google_ads": "google", "amazon_ads": "amazon", "tiktok": "tiktok"}
"""Platforms as people say them, in flat records for other tools."""
