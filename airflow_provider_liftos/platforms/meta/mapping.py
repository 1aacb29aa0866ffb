"""How a row of Meta's insights becomes rows of ``performance``.

Values are texts or numbers on the wire; zero metrics and empty lists are absent. A purchase appears
under several action types at once: of each group of ``conversion_actions`` the first one present
counts, groups are added up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_liftos.model.platform import RowMapping
from airflow_provider_liftos.model.report import DEFAULT_WINDOW, Level, Report
from airflow_provider_liftos.model.sql import identifier, literal
from airflow_provider_liftos.platforms.meta import catalog

CONVERSION_ACTIONS: Sequence[Sequence[str]] = (
    ("omni_purchase", "purchase", "offsite_conversion.fb_pixel_purchase"),
)
"""What counts as a conversion unless the connection or the DAG says otherwise."""

_IDS = {
    Level.ACCOUNT: (),
    Level.CAMPAIGN: (("campaign", "campaign"),),
    Level.AD_GROUP: (("campaign", "campaign"), ("adset", "ad_group")),
    Level.AD: (("campaign", "campaign"), ("adset", "ad_group"), ("ad", "ad")),
}
_PLAIN = {
    "impressions": "impressions",
    "clicks": "clicks",
    "inline_link_clicks": "link_clicks",
    "spend": "spend",
}
_UNIQUE = ("reach", "frequency")
_LISTS = ("actions", "action_values")
_SCALARS = frozenset({"cpc", "cpm", "cpp", "ctr", "unique_clicks", "unique_ctr", "social_spend"})
"""Further metrics that are never lists: read as text, which is faster than looking."""


def mapping(report: Report, facts: Mapping[str, Any]) -> RowMapping:
    """SQL of every unified column that rows of this report fill.

    ``facts`` may hold ``conversion_actions``, groups of action types.
    """
    raw = _raw(report)
    select = _dimensions(report)
    if report.action_breakdowns:
        return RowMapping(
            raw=raw,
            select=select | _breakdowns(report, (*report.breakdowns, *report.action_breakdowns)),
            windows={w: _one_action(w) for w in report.attribution_windows},
            unnest=tuple(name for name in _LISTS if name in report.metrics),
            required=_required(report),
            measures=_measures(report),
        )
    select |= _metrics(report) | _breakdowns(report, report.breakdowns)
    groups = facts.get("conversion_actions") or CONVERSION_ACTIONS
    windows = {w: _conversions(report, w, groups) for w in report.attribution_windows}
    return RowMapping(
        raw=raw,
        select=select,
        windows=windows,
        required=_required(report),
        measures=_measures(report),
    )


def _measures(report: Report) -> tuple[str, ...]:
    """All but what identifies a row: names and currency may change between two reports."""
    names = [f"{meta}_name" for meta, _ in _IDS[report.level]]
    return (*report.metrics, *names, "account_name", "account_currency")


def _required(report: Report) -> tuple[str, ...]:
    return ("date_start", *(f"{meta}_id" for meta, _ in _IDS[report.level]))


def _raw(report: Report) -> dict[str, str]:
    names = ["date_start", "date_stop", "account_id", "account_name", "account_currency"]
    for meta, _ in _IDS[report.level]:
        names += [f"{meta}_id", f"{meta}_name"]
    raw = dict.fromkeys((*names, *report.breakdowns), "VARCHAR")
    for metric in report.metrics:
        looked_at = metric in _extra(report) and metric not in _SCALARS
        raw[metric] = "JSON" if looked_at else "VARCHAR"
    keys = {"action_type", "value", *report.action_breakdowns}
    keys |= {_value(window) for window in report.attribution_windows}
    item = ", ".join(f"{identifier(key)} VARCHAR" for key in sorted(keys))
    for name in _LISTS:
        if name in report.metrics:
            raw[name] = f"STRUCT({item})[]"
    return raw


def _value(window: str) -> str:
    return "value" if window == DEFAULT_WINDOW else window


def _extra(report: Report) -> list[str]:
    known = {*_PLAIN, *_UNIQUE, *_LISTS, "attribution_setting"}
    return [metric for metric in report.metrics if metric not in known]


def _dimensions(report: Report) -> dict[str, str]:
    select = {
        "date": "date_start",
        "date_end": "coalesce(date_stop, date_start)",
        "account_id": "account_id",
        "account_name": "account_name",
        "currency": "account_currency",
    }
    for meta, ours in _IDS[report.level]:
        select[f"{ours}_id"] = f"{meta}_id"
        select[f"{ours}_name"] = f"{meta}_name"
    if "attribution_setting" in report.metrics:
        select["attribution_setting"] = "attribution_setting"
    return select


def _metrics(report: Report) -> dict[str, str]:
    select = {ours: f"coalesce({meta}, '0')" for meta, ours in _PLAIN.items()
              if meta in report.metrics}  # fmt: skip
    select |= {name: name for name in _UNIQUE if name in report.metrics}
    if extra := _extra(report):
        pairs = ", ".join(f"{literal(name)}, {_plain_text(name)}" for name in extra)
        select["extra_metrics"] = f"json_object({pairs})"
    if "actions" in report.metrics:
        select["video_views"] = f"coalesce({_action('actions', ['video_view'], 'value')}, '0')"
    return select


def _plain_text(name: str) -> str:
    """Numbers as text, since the wire sends both; lists and objects as they are."""
    column = identifier(name)
    if name in _SCALARS:
        return column
    nested = f"json_type({column}) IN ('ARRAY', 'OBJECT')"
    return f"CASE WHEN {nested} THEN {column} ELSE to_json({column}->>'$') END"


def _breakdowns(report: Report, names: Sequence[str]) -> dict[str, str]:
    if not names:
        return {"breakdown_key": "''"}
    columns = {name: _column(report, name) for name in sorted(names)}
    key = ", ".join(
        f"{literal(name)} || coalesce('=' || url_encode({column}), '')"
        for name, column in columns.items()
    )
    pairs = ", ".join(f"{literal(name)}, {column}" for name, column in columns.items())
    return {"breakdown_key": f"concat_ws('&', {key})", "breakdowns": f"json_object({pairs})"}


def _column(report: Report, name: str) -> str:
    return f"item.{identifier(name)}" if name in report.action_breakdowns else identifier(name)


def _action(column: str, types: Sequence[str], value: str) -> str:
    """The value of the first of these action types that is present."""
    found = [
        f"list_filter({column}, lambda a: a.action_type = {literal(name)})[1].{identifier(value)}"
        for name in types
    ]
    return found[0] if len(found) == 1 else f"coalesce({', '.join(found)})"


def _conversions(report: Report, window: str, groups: Sequence[Sequence[str]]) -> dict[str, str]:
    withheld = any(
        name in catalog.WITHOUT_CONVERSIONS or name.startswith("hourly_")
        for name in report.breakdowns
    )
    if withheld:
        return {}
    select = {}
    for column, target in zip(_LISTS, ("conversions", "conversions_value"), strict=True):
        if column in report.metrics:
            parts = [f"coalesce({_action(column, g, _value(window))}, '0')" for g in groups]
            select[target] = parts[0] if len(parts) == 1 else _sum(parts)
    return select


def _sum(parts: Sequence[str]) -> str:
    """Their sum as text; a part that is no number makes the whole unreadable, never smaller."""
    total = " + ".join(f"try_cast({part} AS DECIMAL(18,6))" for part in parts)
    return f"coalesce(({total})::VARCHAR, 'unreadable')"


def _one_action(window: str) -> dict[str, str]:
    value = identifier(_value(window))
    return {
        "actions": f"CASE WHEN list_name = 'actions' THEN item.{value} END",
        "actions_value": f"CASE WHEN list_name = 'action_values' THEN item.{value} END",
    }
