"""What an insights call asks for, checked as the platform checks it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from airflow_provider_liftos.sandbox.dataset import Account, Entity
from airflow_provider_liftos.sandbox.dataset.dimensions import DIMENSIONS, HOURLY

from . import known_fields
from .calendar_presets import MONTHS_KEPT, PRESETS, Days, chunks, months_back
from .call import Call, select
from .errors import GraphError, invalid, invalid_insights_field
from .filters import Condition, parse_conditions

LEVELS = {"account": "account", "campaign": "campaign", "adset": "ad_group", "ad": "ad"}
DEFAULT_FIELDS = ("impressions", "spend")

LIVE_WINDOWS = ("1d_click", "7d_click", "28d_click", "1d_view", "1d_ev")
# Accepted, but nothing comes back for them (any more).
SILENT_WINDOWS = frozenset(
    [
        "default",
        "dda",
        "custom",
        "7d_view",
        "28d_view",
        "1d_sequenced",
        "7d_sequenced",
        "28d_sequenced",
        "incrementality",
        "incrementality_all_conversions",
        "incrementality_first_conversion",
        "skan_click",
        "skan_view",
        "skan_click_second_postback",
        "skan_click_third_postback",
        "skan_view_second_postback",
        "skan_view_third_postback",
        "7d_view_all_conversions",
        "7d_view_first_conversion",
        "28d_view_all_conversions",
        "28d_view_first_conversion",
    ]
)
ACTION_BREAKDOWNS = frozenset(
    [
        "action_type",
        "action_device",
        "action_destination",
        "action_target_id",
        "action_reaction",
        "action_video_sound",
        "action_video_type",
        "action_carousel_card_id",
        "action_carousel_card_name",
        "action_canvas_component_name",
        "conversion_destination",
        "signal_source_bucket",
        "standard_event_content_type",
        "is_business_ai_assisted",
        "matched_persona_id",
        "matched_persona_name",
    ]
)
# Only listed permutations exist; every other one is refused.
_PERMUTATIONS = frozenset(
    frozenset(one.split(","))
    for one in (
        "age gender age,gender country region dma comscore_market publisher_platform product_id "
        "frequency_value "
        "publisher_platform,platform_position publisher_platform,impression_device "
        "publisher_platform,platform_position,impression_device publisher_platform,device_platform "
        "publisher_platform,platform_position,device_platform "
        + " ".join(HOURLY)
        + " "
        + " ".join(name for name in DIMENSIONS if name.endswith("_asset"))
    ).split()
)
OPT_IN = frozenset(
    {"impression_device", "hourly_stats_aggregated_by_audience_time_zone", "frequency_value"}
)
_NEVER_BROKEN_DOWN = frozenset(
    [
        "app_store_clicks",
        "newsfeed_avg_position",
        "newsfeed_clicks",
        "relevance_score",
        "newsfeed_impressions",
    ]
)
_REACH_ONLY = frozenset({"reach", "date_start", "date_stop", "account_currency"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A checked question; two equal ones have the same answer at the same moment."""

    account_id: str
    scope: tuple[str, str]  # kind and id of the node that was asked
    level: str
    fields: tuple[str, ...]
    periods: tuple[Days, ...]
    breakdowns: tuple[str, ...] = ()
    action_breakdowns: tuple[str, ...] = ()
    windows: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()
    sort: tuple[str, ...] = ()

    @property
    def since(self) -> date:
        """Return the first day."""
        return min(since for since, _ in self.periods)

    @property
    def until(self) -> date:
        """Return the last day."""
        return max(until for _, until in self.periods)

    @property
    def days(self) -> int:
        """Return how many days the periods have together."""
        return sum((until - since).days + 1 for since, until in self.periods)

    def narrowed(self, fields: Sequence[str]) -> Query:
        """Return the query with fewer fields; its rows are the same."""
        kept = tuple(name for name in self.fields if name in fields)
        return replace(self, fields=kept)


def parse_query(call: Call, owner: Account | Entity, *, today: date) -> Query:
    """Read and check an insights call; raises GraphError in the platform's words."""
    account = owner.account if isinstance(owner, Entity) else owner
    kind = owner.kind if isinstance(owner, Entity) else "account"
    breakdowns = _breakdowns(call)
    level = _level(call, kind, breakdowns)
    fields = parse_fields(call) or DEFAULT_FIELDS
    _check_fields(fields, breakdowns)
    return Query(
        account_id=account.id,
        scope=(kind, owner.id),
        level=level,
        fields=fields,
        periods=_periods(call, today),
        breakdowns=breakdowns,
        action_breakdowns=_action_breakdowns(call),
        windows=_windows(call),
        conditions=parse_conditions(call),
        sort=_sort(call),
    )


def parse_fields(call: Call) -> tuple[str, ...]:
    """Read ``fields``; raises GraphError naming the first that does not exist."""
    names = tuple(dict.fromkeys(one.name for one in select(call.text("fields"))))
    for name in names:
        if name not in known_fields.INSIGHTS and name not in _NEVER_BROKEN_DOWN:
            raise invalid_insights_field(name)
    return names


def _level(call: Call, kind: str, breakdowns: tuple[str, ...]) -> str:
    asked = call.text("level") or {"ad_group": "adset"}.get(kind, kind)
    if asked not in LEVELS:
        raise invalid(f"level must be one of the following values: {', '.join(LEVELS)}")
    if asked == "account" and {"image_asset", "video_asset"} & set(breakdowns):
        raise invalid(f"breakdowns {', '.join(breakdowns)} is not valid at account level")
    return LEVELS[asked]


def _breakdowns(call: Call) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(call.names("breakdowns")))
    for at, name in enumerate(names):
        if name not in DIMENSIONS:
            known = ", ".join(DIMENSIONS)
            raise invalid(f"breakdowns[{at}] must be one of the following values: {known}")
    if names and frozenset(names) not in _PERMUTATIONS:
        raise GraphError(
            f"(#2) Current combination of data breakdown columns ({', '.join(names)}) is invalid",
            code=2,
            subcode=1504041,
            title="Invalid breakdowns",
            advice="Ask for a permutation of breakdowns that is documented.",
        )
    return names


def _check_fields(fields: tuple[str, ...], breakdowns: tuple[str, ...]) -> None:
    if not breakdowns:
        return
    for name in fields:
        if (
            name in _NEVER_BROKEN_DOWN
            or (name.startswith("video_p") and "region" in breakdowns)
            or ("frequency_value" in breakdowns and not _goes_with_frequency(name))
        ):
            raise invalid(f"{name} is not valid with breakdowns {', '.join(breakdowns)}")


def _goes_with_frequency(name: str) -> bool:
    return name in _REACH_ONLY or name.endswith(("_id", "_name"))


def _windows(call: Call) -> tuple[str, ...]:
    asked = call.names("action_attribution_windows")
    for at, name in enumerate(asked):
        if name not in LIVE_WINDOWS and name not in SILENT_WINDOWS:
            raise invalid(f"action_attribution_windows[{at}] must be one of {LIVE_WINDOWS}")
    return tuple(name for name in LIVE_WINDOWS if name in asked)


def _action_breakdowns(call: Call) -> tuple[str, ...]:
    asked = call.names("action_breakdowns")
    for at, name in enumerate(asked):
        if name not in ACTION_BREAKDOWNS:
            known = ", ".join(sorted(ACTION_BREAKDOWNS))
            raise invalid(f"action_breakdowns[{at}] must be one of the following values: {known}")
    return tuple(dict.fromkeys(name for name in asked if name != "action_type"))


def _sort(call: Call) -> tuple[str, ...]:
    asked = call.names("sort")
    for name in asked:
        field, _, direction = name.rpartition("_")
        if direction not in ("ascending", "descending") or field not in known_fields.INSIGHTS:
            raise invalid(f"sort {name!r} must be a field with _ascending or _descending")
    return asked


def _periods(call: Call, today: date) -> tuple[Days, ...]:
    several = call.json("time_ranges")
    if several:
        if not isinstance(several, list):
            raise invalid("param time_ranges must be an array.")
        return tuple(_range(one, today) for one in several)
    single = call.json("time_range")
    if single is not None:
        days = _range(single, today)
    else:
        preset = call.text("date_preset") or "last_30d"
        if preset not in PRESETS:
            raise invalid(f"date_preset must be one of {', '.join(PRESETS)}")
        days = PRESETS[preset](today)
    return chunks(days, _increment(call))


def _increment(call: Call) -> str:
    text = call.text("time_increment").strip('"') or "all_days"
    if text in ("all_days", "monthly"):
        return text
    if not text.isdigit() or not 1 <= int(text) <= 90:
        raise invalid("time_increment must be all_days, monthly or a number from 1 to 90")
    return text


def _range(given: Any, today: date) -> Days:
    try:
        since, until = (date.fromisoformat(str(given[name])) for name in ("since", "until"))
    except (KeyError, TypeError, ValueError):
        raise invalid("Must be a valid date range: since and until like 2026-11-01") from None
    if since > until:
        raise invalid(f"time_range: since ({since}) cannot be later than until ({until})")
    if since < months_back(today, MONTHS_KEPT):
        raise GraphError(
            "(#3018) The start date of the time range cannot be beyond 37 months from the "
            f"current date: {since}",
            code=3018,
        )
    return since, until
