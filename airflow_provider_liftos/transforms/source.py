"""How rows of a source of one's own become unified ones: they come under unified names already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_liftos.model.platform import Field, Reading, RowMapping, Stream
from airflow_provider_liftos.model.report import DEFAULT_WINDOW, Report, Slice
from airflow_provider_liftos.model.source import CUT, METRIC, OWN_IDS, fillable
from airflow_provider_liftos.model.sql import identifier, literal
from airflow_provider_liftos.model.unified import ENTITIES, PERFORMANCE, Kind, Table


def mapping(report: Report, _facts: Mapping[str, Any]) -> RowMapping:
    """SQL of every unified column; fields that a source does not fill are null."""
    names = [column.name for column in fillable(PERFORMANCE)]
    extra = [name for name in report.metrics if name not in names]
    raw = [*names, *(METRIC + n for n in extra), *(CUT + n for n in report.breakdowns)]
    select = {name: identifier(name) for name in names}
    select["date_end"] = select["date"]
    if extra:
        pairs = ", ".join(f"{literal(n)}, {identifier(METRIC + n)}" for n in extra)
        select["extra_metrics"] = f"json_object({pairs})"
    return RowMapping(
        raw=dict.fromkeys(raw, "VARCHAR"),
        select=select | _breakdowns(report),
        windows={DEFAULT_WINDOW: {}},
        required=("date", *([OWN_IDS[report.level]] if report.level in OWN_IDS else [])),
        measures=tuple(name for name in raw if not name.startswith(CUT)),
    )


def _breakdowns(report: Report) -> dict[str, str]:
    """Under their own names, in an order that is the same in every run."""
    cuts = {name: identifier(CUT + name) for name in sorted(report.breakdowns)}
    if not cuts:
        return {"breakdown_key": "''"}
    key = ", ".join(
        f"{literal(name)} || coalesce('=' || url_encode({column}), '')"
        for name, column in cuts.items()
    )
    pairs = ", ".join(f"{literal(name)}, {column}" for name, column in cuts.items())
    return {"breakdown_key": f"concat_ws('&', {key})", "breakdowns": f"json_object({pairs})"}


def streams() -> tuple[Stream, ...]:
    """One for each table of entities."""
    return tuple(_stream(table) for table in ENTITIES)


def _stream(table: Table) -> Stream:
    fields = [
        Field(
            source=column.name,
            column=column.name,
            kind=Kind.JSON if column.kind is Kind.JSON else Kind.TEXT,
        )
        for column in fillable(table)
        if column.name != "account_id"
    ]
    return Stream(name=table.name, table=table.name, fields=tuple(fields), read=_nothing)


def _nothing(_cut: Slice, _credentials: Any) -> Reading:
    raise AssertionError("entities of a source are not asked for by requests")
