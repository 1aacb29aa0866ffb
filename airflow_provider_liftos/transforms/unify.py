"""SQL that turns raw rows into unified ones. Pure text: DuckDB runs it elsewhere.

Raw rows are read with every field as text, so that ``12`` and ``"12"`` are equal, and cast once.
A value that is not what its column holds becomes null and is counted in ``unreadable``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from airflow_provider_liftos.model.platform import RowMapping, Stream
from airflow_provider_liftos.model.report import Report
from airflow_provider_liftos.model.sql import identifier, literal
from airflow_provider_liftos.model.unified import PERFORMANCE, TABLES, Column, Kind, Role, Table

TYPES = {
    Kind.TEXT: "VARCHAR",
    Kind.ID: "VARCHAR",
    Kind.DATE: "DATE",
    Kind.TIMESTAMP: "TIMESTAMPTZ",
    Kind.INT: "BIGINT",
    Kind.DECIMAL: "DECIMAL(18,6)",
    Kind.MONEY: "DECIMAL(18,6)",
    Kind.BOOL: "BOOLEAN",
    Kind.JSON: "VARCHAR",
}
_READABLE = {Kind.DATE, Kind.INT, Kind.DECIMAL, Kind.MONEY, Kind.TIMESTAMP}
COMPUTED = {"valid_from", "valid_to", "is_deleted"}
"""Columns of history that only the warehouse can know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is the same for every row of a slice. ``as_of`` in epoch seconds."""

    org_id: str
    platform: str
    account_id: str
    account_name: str
    currency: str
    timezone: str
    as_of: float
    load_id: str
    is_mock: bool
    restatement_days: int
    minor_units: int


def report_sql(
    mapping: RowMapping, report: Report, facts: Facts, files: Sequence[str], *, merge: bool
) -> str:
    """A SELECT of ``performance`` rows, plus ``unreadable``, from raw files."""
    source = _source(mapping.raw, files)
    source = _merged(mapping, source) if merge else source
    source = _added(mapping, source) if mapping.apart else source
    good = " AND ".join(
        (
            f"try_cast({identifier(mapping.required[0])} AS DATE) IS NOT NULL",
            *(f"{identifier(name)} <> ''" for name in mapping.required[1:]),
        )
    )
    rows = f"SELECT * FROM {source} WHERE {good}"
    if mapping.unnest:
        # Their items are added up, so a row that came twice must go before.
        rows = f"SELECT DISTINCT * FROM ({rows})"
        rows = " UNION ALL ".join(
            f"SELECT *, {literal(name)} AS list_name, unnest({identifier(name)}) AS item"
            f" FROM ({rows})"
            for name in mapping.unnest
        )
    fixed = _report_facts(report, facts)
    named = " UNION ALL ".join(
        _named(PERFORMANCE, {**mapping.select, **extra}, fixed, facts, window)
        for window, extra in mapping.windows.items()
    )
    select = _typed(PERFORMANCE, grouped=bool(mapping.unnest))
    return f"WITH rows_ AS ({rows}), named AS ({named}) SELECT {select} FROM named" + (
        " GROUP BY ALL" if mapping.unnest else ""
    )


def copies_sql(mapping: RowMapping, files: Sequence[str]) -> str:
    """How many raw rows are copies of another."""
    source = _source(mapping.raw, files)
    distinct = f"SELECT count(*) FROM (SELECT DISTINCT * FROM {source})"
    return f"SELECT count(*) - ({distinct}) FROM {source}"


def rejected_sql(mapping: RowMapping, files: Sequence[str]) -> str:
    """Raw lines that cannot become rows, with the first reason."""
    day, *ids = mapping.required
    reason = f"CASE WHEN try_cast(json->>{literal(day)} AS DATE) IS NULL THEN {literal(day)}"
    for name in ids:
        reason += f" WHEN coalesce(json->>{literal(name)}, '') = '' THEN {literal(name)}"
    lines = f"read_ndjson_objects({_paths(files)})"
    return (
        f"SELECT reason, json::VARCHAR AS line FROM (SELECT json, {reason} END AS reason"
        f" FROM {lines}) WHERE reason IS NOT NULL"
    )


def stream_sql(stream: Stream, facts: Facts, files: Sequence[str]) -> str:
    """A SELECT of one entity table's rows, without the columns of history."""
    table = TABLES[stream.table]
    unit = "1" if facts.minor_units == 1 else f"{1 / facts.minor_units:.2f}::DECIMAL(4,2)"
    select = {
        f.column: f.expression.replace("{minor_unit}", unit) or identifier(f.source)
        for f in stream.fields
        if f.column
    }
    rest = [f for f in stream.fields if not f.column]
    pairs = ", ".join(f"{literal(f.source)}, {f.expression or identifier(f.source)}" for f in rest)
    select["details"] = f"json_object({pairs})" if pairs else "NULL"
    fixed = {"currency": literal(facts.currency), **_lineage(facts)}
    named = _entity_named(table, select, fixed, facts, _source(stream_raw(stream), files))
    content = [
        c.name
        for c in table.columns
        if c.role is not Role.LINEAGE and not c.volatile and c.name not in {"org_id", "platform"}
    ]
    digest = ", ".join(f"coalesce({identifier(name)}::VARCHAR, chr(1))" for name in content)
    columns = ", ".join(
        f"md5(concat_ws(chr(31), {digest})) AS row_hash" if c.name == "row_hash" else _cast(c)
        for c in table.columns
        if c.name not in COMPUTED
    )
    own_key = table.key[-1]
    return f"SELECT {columns} FROM ({named}) WHERE {identifier(own_key)} <> ''"


def nameless_sql(stream: Stream, files: Sequence[str]) -> str:
    """Raw lines of entities without an id, with that reason."""
    own_key = TABLES[stream.table].key[-1]
    names = [f.source for f in stream.fields if f.column == own_key]
    value = f"json->>{literal(names[0])}" if names else "NULL"
    return (
        f"SELECT {literal(own_key)} AS reason, json::VARCHAR AS line"
        f" FROM read_ndjson_objects({_paths(files)}) WHERE coalesce({value}, '') = ''"
    )


def stream_raw(stream: Stream) -> dict[str, str]:
    """DuckDB types to read a stream's raw fields with."""
    return {f.source: "JSON" if f.kind is Kind.JSON else "VARCHAR" for f in stream.fields}


def _paths(files: Sequence[str]) -> str:
    return "[" + ", ".join(map(literal, files)) + "]"


def _source(raw: Mapping[str, str], files: Sequence[str]) -> str:
    columns = ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in raw.items())
    return (
        f"read_json({_paths(files)}, format='newline_delimited', columns={{{columns}}},"
        " maximum_object_size=4194304)"
    )


def _merged(mapping: RowMapping, source: str) -> str:
    """Rows whose fields came in several files, put together on their dimensions."""
    dims = [name for name in mapping.raw if name not in mapping.measures]
    parts = [identifier(name) for name in dims]
    parts += [
        f"any_value({identifier(n)}) AS {identifier(n)}" for n in mapping.raw if n not in dims
    ]
    return f"(SELECT {', '.join(parts)} FROM {source} GROUP BY ALL)"


def _added(mapping: RowMapping, source: str) -> str:
    """Rows of the platform added up to those of the report; one that came twice counts once."""
    parts = []
    for name in mapping.raw:
        column = identifier(name)
        if name in mapping.added:
            total = f"sum(try_cast({column} AS DECIMAL(38,12)))::VARCHAR"
            parts.append(f"regexp_replace({total}, '\\.?0+$', '') AS {column}")
        elif name in mapping.measures:
            parts.append(f"any_value({column}) AS {column}")
        else:
            parts.append("NULL AS " + column if name in mapping.apart else column)
    return f"(SELECT {', '.join(parts)} FROM (SELECT DISTINCT * FROM {source}) GROUP BY ALL)"


def _lineage(facts: Facts) -> dict[str, str]:
    return {
        "org_id": literal(facts.org_id),
        "platform": literal(facts.platform),
        "as_of": f"to_timestamp({facts.as_of!r})",
        "load_id": literal(facts.load_id),
        "is_mock": str(facts.is_mock).lower(),
    }


def _report_facts(report: Report, facts: Facts) -> dict[str, str]:
    zone = literal(facts.timezone)
    day, end = "try_cast(date AS DATE)", "try_cast(date_end AS DATE)"
    asked = f"(to_timestamp({facts.as_of!r}) AT TIME ZONE {zone})::DATE"
    return {
        **_lineage(facts),
        "report": literal(report.name),
        "level": literal(report.level),
        "account_timezone": zone,
        "day_start_utc": f"{day}::TIMESTAMP AT TIME ZONE {zone}",
        "day_end_utc": f"({end} + 1)::TIMESTAMP AT TIME ZONE {zone}",
        "is_estimated": f"{end} > {asked} - {facts.restatement_days}",
    }


_LATE = ("day_start_utc", "day_end_utc", "is_estimated")
"""Computed from columns of the row, so only after these have their names."""


def _named(
    table: Table, select: Mapping[str, str], fixed: Mapping[str, str], facts: Facts, window: str
) -> str:
    """Raw columns under unified names, still as text; columns nobody fills are null."""
    known = {
        **{name: sql for name, sql in fixed.items() if name not in _LATE},
        **select,
        "attribution_window": literal(window),
        "account_id": f"coalesce({select['account_id']}, {literal(facts.account_id)})",
        "currency": f"coalesce({select.get('currency', 'NULL')}, {literal(facts.currency)})",
        "account_name": f"coalesce({select['account_name']}, {literal(facts.account_name)})",
    }
    inner = ", ".join(
        f"{known.get(c.name, 'NULL')} AS {identifier(c.name)}"
        for c in table.columns
        if c.name not in _LATE
    )
    late = ", ".join(f"{fixed[name]} AS {name}" for name in _LATE)
    return f"SELECT *, {late} FROM (SELECT {inner} FROM rows_)"


def _entity_named(
    table: Table, select: Mapping[str, str], fixed: Mapping[str, str], facts: Facts, source: str
) -> str:
    known = {**fixed, **select, "account_id": literal(facts.account_id)}
    columns = ", ".join(
        f"{known.get(c.name, 'NULL')} AS {identifier(c.name)}"
        for c in table.columns
        if c.name not in COMPUTED and c.name != "row_hash"
    )
    inner = f"SELECT {columns} FROM {source}"
    casts = ", ".join(
        f"{_cast(c)}" for c in table.columns if c.name not in COMPUTED and c.name != "row_hash"
    )
    return f"SELECT {casts} FROM ({inner})"


def _cast(column: Column) -> str:
    name = identifier(column.name)
    return f"try_cast({name} AS {TYPES[column.kind]}) AS {name}"


def _typed(table: Table, *, grouped: bool) -> str:
    columns = []
    for column in table.columns:
        if grouped and column.name in {"actions", "actions_value"}:
            name = identifier(column.name)
            cast = f"try_cast({name} AS {TYPES[column.kind]})"
            columns.append(f"sum({cast})::{TYPES[column.kind]} AS {name}")
        else:
            columns.append(_cast(column))
    checks = [
        f"({identifier(c.name)} IS NOT NULL AND"
        f" try_cast({identifier(c.name)} AS {TYPES[c.kind]}) IS NULL)::INTEGER"
        for c in table.columns
        if c.kind in _READABLE and c.name not in _LATE and c.role is not Role.LINEAGE
    ]
    unreadable = " + ".join(checks)
    columns.append(f"{f'sum({unreadable})' if grouped else unreadable} AS unreadable")
    return ", ".join(columns)
