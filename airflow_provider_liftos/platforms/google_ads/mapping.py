"""How a row of Google Ads becomes rows of ``performance``.

Money is in millionths of the account's currency, conversions are fractional. Days are the account's
own. Reports of views may need several rows added up (see ``reports.is_added``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_liftos.model.platform import RowMapping
from airflow_provider_liftos.model.report import Report
from airflow_provider_liftos.model.sql import identifier, literal
from airflow_provider_liftos.platforms.google_ads import reports, resources
from airflow_provider_liftos.platforms.google_ads.countries import CODES
from airflow_provider_liftos.platforms.google_ads.resources import ACCOUNT, DAY, IDS, Breakdown


def mapping(report: Report, _facts: Mapping[str, Any]) -> RowMapping:
    """SQL of every unified column that rows of this report fill."""
    owners = IDS[report.level]
    names = [f"{owner}.name" for owner, _ in owners]
    view = reports.resource(report).name
    added = reports.is_added(report)
    return RowMapping(
        raw=dict.fromkeys(reports.fields(report), "VARCHAR"),
        select=_owners(owners) | _metrics(report) | _breakdowns(report),
        windows={window: {} for window in report.attribution_windows},
        required=(DAY, *(f"{owner}.id" for owner, _ in owners)),
        measures=(*report.metrics, *names, *ACCOUNT[1:]),
        apart=(f"{view}.resource_name",) if added else (),
        added=report.metrics if added else (),
    )


def _owners(owners: Sequence[tuple[str, str]]) -> dict[str, str]:
    day = identifier(DAY)
    account, name, currency = map(identifier, ACCOUNT)
    select = {
        "date": day,
        "date_end": day,
        "account_id": account,
        "account_name": name,
        "currency": currency,
    }
    for owner, ours in owners:
        select[f"{ours}_id"] = identifier(f"{owner}.id")
        select[f"{ours}_name"] = f"nullif({identifier(f'{owner}.name')}, '')"
    return select


def micros(source: str) -> str:
    """SQL: millionths to whole units of currency, exactly."""
    return f"(try_cast({identifier(source)} AS DECIMAL(28,0)) * 0.000001::DECIMAL(7,6))"


def _metrics(report: Report) -> dict[str, str]:
    select = {
        ours: micros(name) if name.endswith("_micros") else identifier(name)
        for name, ours in reports.UNIFIED.items()
        if name in report.metrics
    }
    extra = [name for name in report.metrics if name not in reports.UNIFIED]
    if extra:
        pairs = ", ".join(f"{literal(name)}, {identifier(name)}" for name in extra)
        select["extra_metrics"] = f"json_object({pairs})"
    return select


def _breakdowns(report: Report) -> dict[str, str]:
    if not report.breakdowns:
        return {"breakdown_key": "''"}
    view = resources.at(report.level) if report.query else reports.resource(report)
    columns = {name: _value(resources.breakdown(view, name)) for name in sorted(report.breakdowns)}
    key = ", ".join(
        f"{literal(name)} || coalesce('=' || url_encode({column}), '')"
        for name, column in columns.items()
    )
    pairs = ", ".join(f"{literal(name)}, {column}" for name, column in columns.items())
    return {"breakdown_key": f"concat_ws('&', {key})", "breakdowns": f"json_object({pairs})"}


def _value(one: Breakdown) -> str:
    """A breakdown's value as text; null where Google has none."""
    column = identifier(one.field)
    if one.tail:
        return f"nullif(regexp_extract({column}, '[^/~]*$'), '')"
    if one.country:
        pairs = ", ".join(f"{literal(number)}: {literal(code)}" for number, code in CODES.items())
        return f"coalesce(MAP {{{pairs}}}[{column}], {column})"
    return f"nullif({column}, '')"
