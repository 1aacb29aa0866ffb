"""What may be asked of a report: levels, dimensions, metrics, dates, order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from .call import Call
from .errors import conflict, invalid, lacking, too_long, unknown_fields
from .filters import Filter, parse_filters
from .metrics import ATTRIBUTES, LEVELS, METRICS, PEOPLE

REPORT_TYPES = ("BASIC", "AUDIENCE", "PLAYABLE_MATERIAL", "CATALOG", "BC", "TT_SHOP")
TASK_TYPES = ("BASIC", "AUDIENCE", "CATALOG")
_LEVELS = dict(
    zip(
        ("AUCTION_ADVERTISER", "AUCTION_CAMPAIGN", "AUCTION_ADGROUP", "AUCTION_AD"),
        LEVELS,
        strict=True,
    )
)
_RESERVED = tuple(name.replace("AUCTION", "RESERVATION") for name in _LEVELS)
ID_DIMENSIONS = {
    "advertiser_id": "account",
    "campaign_id": "campaign",
    "adgroup_id": "ad_group",
    "ad_id": "ad",
    "ad_id_v2": "ad",
}
TIME_DIMENSIONS = {"stat_time_day": 30, "stat_time_hour": 1}
_LONGEST = 365
AUDIENCE_DIMENSIONS = frozenset(
    "gender age country_code platform placement language province_id dma_id ac "
    "interest_category".split()
)
_BASIC_DIMENSIONS = frozenset({"country_code"})
_MOST_AUDIENCE = 2
DEFAULT_METRICS = ("spend", "impressions")
_MOST_ADVERTISERS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A checked question. ``level`` is empty where there is nothing here to report on.

    ``identity`` and ``time`` name the dimensions of that kind, empty if there is none.
    """

    accounts: tuple[str, ...]
    report_type: str
    level: str
    dimensions: tuple[str, ...]
    metrics: tuple[str, ...]
    since: date
    until: date
    filters: tuple[Filter, ...]
    order: tuple[str, bool] | None = None
    lifetime: bool = False
    several: bool = False
    task: bool = False

    @property
    def identity(self) -> str:
        """Return the dimension that names an entity."""
        return next((name for name in self.dimensions if name in ID_DIMENSIONS), "")

    @property
    def time(self) -> str:
        """Return the dimension that names a day or an hour."""
        return next((name for name in self.dimensions if name in TIME_DIMENSIONS), "")

    @property
    def audience(self) -> tuple[str, ...]:
        """Return the other dimensions."""
        return tuple(name for name in self.dimensions if name in AUDIENCE_DIMENSIONS)

    @property
    def days(self) -> int:
        """Return how many days are asked for."""
        return (self.until - self.since).days + 1


def parse_query(call: Call, *, task: bool) -> Query:
    """Read and check a report's parameters; raises TikTokError in the platform's words."""
    report_type = call.choice("report_type", TASK_TYPES if task else REPORT_TYPES)
    call.choice("service_type", ("AUCTION", "RESERVATION"), "AUCTION")
    call.choice("query_mode", ("REGULAR",), "REGULAR")
    several = call.words("advertiser_ids", most=_MOST_ADVERTISERS)
    since, until = _dates(call)
    query = Query(
        accounts=several or (call.required("advertiser_id"),),
        report_type=report_type,
        level=_level(call, report_type),
        dimensions=_dimensions(call),
        metrics=_metrics(call, report_type),
        since=since,
        until=until,
        filters=parse_filters(call, task=task),
        lifetime=call.flag("query_lifetime"),
        several=bool(several),
        task=task,
    )
    if query.several:
        extra = ("currency", "timezone", "advertiser_id")
        query = replace(query, metrics=tuple(dict.fromkeys((*query.metrics, *extra))))
    if query.level:
        _check(query)
    return replace(query, order=_order(call, query))


def _level(call: Call, report_type: str) -> str:
    """Return our word for the level; empty for reports that are empty here."""
    if report_type not in ("BASIC", "AUDIENCE"):
        return ""
    if not call.text("data_level"):
        raise lacking("data_level")
    name = call.choice("data_level", (*_LEVELS, *_RESERVED))
    return _LEVELS.get(name, "")


def _dimensions(call: Call) -> tuple[str, ...]:
    names = call.words("dimensions")
    if not names:
        raise lacking("dimensions")
    return names


def _metrics(call: Call, report_type: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(call.words("metrics"))) or DEFAULT_METRICS
    wrong = [name for name in names if name not in METRICS and name not in ATTRIBUTES]
    if wrong and report_type in ("BASIC", "AUDIENCE"):
        raise unknown_fields("metric", wrong)
    return names


def _dates(call: Call) -> tuple[date, date]:
    if call.flag("query_lifetime"):
        return date.min, date.max - timedelta(days=2)
    since, until = (_date(call, name) for name in ("start_date", "end_date"))
    if since > until:
        raise invalid("start_date: Must not be later than end_date.")
    return since, until


def _date(call: Call, name: str) -> date:
    text = call.required(name)
    try:
        if len(text) == len("2026-11-01"):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise invalid(f"{name}: Not a valid date.")


def _check(query: Query) -> None:
    """Refuse what does not go together, then what covers too many days."""
    names = query.dimensions
    known = {*ID_DIMENSIONS, *TIME_DIMENSIONS, *AUDIENCE_DIMENSIONS}
    wrong = [name for name in names if name not in known]
    if wrong:
        raise unknown_fields("dimension", wrong)
    ids = [name for name in names if name in ID_DIMENSIONS]
    times = [name for name in names if name in TIME_DIMENSIONS]
    if len(set(names)) < len(names) or len(ids) > 1 or len(times) > 1:
        raise conflict()
    if not ids and query.level != "account":
        raise conflict()
    if ids and ID_DIMENSIONS[ids[0]] != query.level:
        raise conflict()
    _check_audience(query)
    for name in query.metrics:
        if name in ATTRIBUTES and name not in METRICS:
            coarsest = ATTRIBUTES[name][0]
            if LEVELS.index(coarsest) > LEVELS.index(query.level):
                raise conflict()
    _check_span(query)


def _check_audience(query: Query) -> None:
    names = set(query.audience)
    allowed = AUDIENCE_DIMENSIONS if query.report_type == "AUDIENCE" else _BASIC_DIMENSIONS
    if names - allowed or len(names) > _MOST_AUDIENCE:
        raise conflict()
    if query.report_type == "AUDIENCE" and (not names or query.time == "stat_time_hour"):
        raise conflict()
    if query.task and names and PEOPLE & set(query.metrics):
        raise conflict()


def _check_span(query: Query) -> None:
    if query.lifetime:
        if query.report_type != "BASIC" or query.time or query.audience:
            raise conflict()
        return
    most = TIME_DIMENSIONS.get(query.time, _LONGEST)
    if not query.task and query.days > most:
        raise too_long(most, query.time)


def _order(call: Call, query: Query) -> tuple[str, bool] | None:
    """Return the field to order by, and whether downwards."""
    downwards = call.choice("order_type", ("ASC", "DESC"), "DESC") == "DESC"
    field: Any = call.text("order_field")
    if not field:
        return None
    if query.level and field not in (*query.metrics, *query.dimensions):
        raise invalid("order_field: Must be one of the metrics or dimensions of the report.")
    return field, downwards
