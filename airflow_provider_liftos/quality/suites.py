"""Suites for Great Expectations, as plain dictionaries built from the unified schema and the rules.

Rows are judged by codes that SQL computes, because Great Expectations compares numbers one by one
in Python but looks up nulls and sets of small integers as whole columns (15 times cheaper).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from airflow_provider_liftos.model.quality import Lawful, Quality
from airflow_provider_liftos.model.report import Level
from airflow_provider_liftos.model.sql import literal
from airflow_provider_liftos.model.unified import (
    PERFORMANCE,
    Column,
    Kind,
    Relation,
    Role,
    Table,
)
from airflow_provider_liftos.quality.rules import Rule

PLAIN = Quality()

BROKEN, LAWFUL, EXEMPT = 0, 1, 2

LEVEL_IDS: Mapping[str, tuple[str, ...]] = {
    "campaign_id": (Level.CAMPAIGN, Level.AD_GROUP, Level.AD),
    "ad_group_id": (Level.AD_GROUP, Level.AD),
    "ad_id": (Level.AD,),
}
MAY_BE_EMPTY = frozenset({"breakdown_key"})  # empty text says: no breakdowns
NOT_STAGED = frozenset({"valid_from", "valid_to", "is_deleted"})  # publishing fills them in


@dataclass(frozen=True, slots=True, kw_only=True)
class RowCheck:
    """One expectation over rows.

    ``sql`` gives, over a staged row and the columns ``slice_*`` of its slice, ``BROKEN``,
    ``LAWFUL`` or ``EXEMPT``; where ``presence``, null stands for broken. ``needs`` are the staged
    columns it reads.
    """

    rule: str
    subject: str
    sql: str
    needs: tuple[str, ...]
    presence: bool = False

    @property
    def id(self) -> str:
        """Also the name of the frame's column."""
        return self.rule if self.subject == self.rule else f"{self.rule}__{self.subject}"


def quoted(name: str) -> str:
    """An identifier for SQL."""
    return '"' + name.replace('"', '""') + '"'


def row_checks(table: Table, quality: Quality = PLAIN) -> tuple[RowCheck, ...]:
    """Everything that is expected of single rows of the table, of a platform's rows."""
    lawful = quality.lawful if table is PERFORMANCE else ()
    checks = (
        *_required(table, quality),
        RowCheck(
            rule="values_readable", subject="values_readable", needs=("unreadable",),
            sql=law("unreadable = 0"),
        ),
        *(_range(c) for c in table.columns if c.role is not Role.LINEAGE and _bound(c)),
        *(_relation(relation) for relation in table.relations),
        *_given(table, quality),
        *_belonging(table),
    )  # fmt: skip
    return tuple(_but_for(check, lawful) for check in checks)


def row_suite(
    table: Table,
    catalogue: Mapping[str, Rule],
    quality: Quality = PLAIN,
    more: Sequence[RowCheck] = (),
) -> dict[str, Any]:
    """The suite over rows of a staged table, with ``more`` checks than the built ones."""
    checks = (*row_checks(table, quality), *more)
    return {
        "name": f"{table.name}_rows",
        "expectations": [_row_expectation(c, catalogue[c.rule]) for c in checks],
    }


def given_paths(quality: Quality) -> list[str]:
    """Where in ``extra_metrics`` the numbers are that checks read, in order of ``slice_given``."""
    quotients = [f'$."{q.metric}"{q.path}' for q in quality.quotients if not _is_column(q.metric)]
    return [*quotients, *(f'$."{bound.name}"' for bound in quality.bounds if bound.extra)]


# What a slice's or an account's number may be at most; what it counts is said in ``facts`` and
# ``history``. Rules' thresholds replace it.
SLICE_LIMITS: Mapping[str, float] = {
    "slice_complete": 0,
    "rows_kept": 0,
    "rows_loaded": 0,
    "key_unique": 0,
    "data_fresh": 0,
    "week_covered": 0,
    "expected_days_present": 0,
    "empty_is_not_zero": 0,
    "account_is_heard": 0,
    "delivery_goes_on": 0,
    "entities_go_on": 0,
    "hierarchy_intact": 0,
    "levels_add_up": 1,
    "breakdowns_add_up": 1,
    "volume_as_usual": 2,
    "settled_days_stay": 1,
    "conversions_go_on": 2,
}
ACCOUNT_LIMITS: Mapping[str, float] = {"accounts_present": 0, "platforms_agree": 50}


def number_suite(
    name: str, limits: Mapping[str, float], catalogue: Mapping[str, Rule]
) -> dict[str, Any]:
    """The suite over a small frame with one number per rule and subject."""
    return {
        "name": name,
        "expectations": [
            _expectation(
                "expect_numbers_within_limit", rule, catalogue[rule],
                {"column": rule, "min_value": 0, "max_value": limit_of(catalogue[rule], limit)},
            )
            for rule, limit in limits.items()
        ],
    }  # fmt: skip


def limit_of(rule: Rule, usual: float) -> float:
    """What the rule's number may be at most."""
    return usual if rule.threshold is None else rule.threshold


def _row_expectation(check: RowCheck, rule: Rule) -> dict[str, Any]:
    kwargs: dict[str, Any] = {"column": check.id}
    if rule.mostly < 1:
        kwargs["mostly"] = rule.mostly
    if check.presence:
        return _expectation("expect_column_to_be_filled", check.id, rule, kwargs)
    kwargs["value_set"] = [LAWFUL, EXEMPT]
    return _expectation("expect_rows_to_obey_law", check.id, rule, kwargs)


def _expectation(kind: str, id_: str, rule: Rule, kwargs: dict[str, Any]) -> dict[str, Any]:
    meta = {
        "id": id_,
        "rule": rule.name,
        "dimension": rule.dimension.value,
        "severity": rule.severity.value,
        "weight": rule.weight,
        "judges": rule.judges.value,
    }
    kwargs = {**kwargs, "law": rule.doc}
    return {"type": kind, "kwargs": kwargs, "severity": rule.severity.gx, "meta": meta}


def law(holds: str, exempt: str = "false") -> str:
    """The code of a law; a law over nulls that is not exempt is broken."""
    return f"CASE WHEN {exempt} THEN {EXEMPT} WHEN {holds} THEN {LAWFUL} ELSE {BROKEN} END::TINYINT"


def presence(there: str) -> str:
    """The code of a value that must be there; NaN, not null, keeps the column a plain numpy one."""
    return f"CASE WHEN {there} THEN {LAWFUL}::FLOAT ELSE 'nan'::FLOAT END"


def _but_for(check: RowCheck, lawful: Sequence[Lawful]) -> RowCheck:
    """The check without rows that the platform means to be so."""
    mine = [one for one in lawful if one.rule == check.rule]
    if not mine or check.presence:
        return check
    when = " OR ".join(f"({one.when})" for one in mine)
    needs = dict.fromkeys((*check.needs, *(name for one in mine for name in one.needs)))
    return replace(
        check, needs=tuple(needs), sql=f"CASE WHEN {when} THEN {EXEMPT} ELSE {check.sql} END"
    )


def _required(table: Table, quality: Quality) -> Iterator[RowCheck]:
    asked = {one.column: one.metric for one in quality.required} if table is PERFORMANCE else {}
    for column in table.columns:
        levels = LEVEL_IDS.get(column.name, ()) if table is PERFORMANCE else ()
        wanted = column.required or levels or column.name in asked
        if column.name in NOT_STAGED or not wanted:
            continue
        there = f"{quoted(column.name)} IS NOT NULL"
        if column.kind in {Kind.TEXT, Kind.ID} and column.name not in MAY_BE_EMPTY:
            there += f" AND {quoted(column.name)} <> ''"
        if levels:
            named = ", ".join(f"'{level}'" for level in levels)
            there = f"slice_level NOT IN ({named}) OR ({there})"
        elif column.name in asked:
            metric = literal(asked[column.name])
            there = f"NOT list_contains(slice_asked, {metric}) OR ({there})"
        yield RowCheck(
            rule="required_fields", subject=column.name, needs=(column.name,), presence=True,
            sql=presence(there),
        )  # fmt: skip


def _bound(column: Column) -> str:
    return _within(quoted(column.name), column.low, column.high)


def _within(name: str, low: float | None, high: float | None) -> str:
    bounds = ((">=", low), ("<=", high))
    return " AND ".join(f"{name} {sign} {value}" for sign, value in bounds if value is not None)


def _range(column: Column) -> RowCheck:
    rule = "spend_not_negative" if column.name == "spend" else "value_ranges"
    return RowCheck(
        rule=rule, subject=rule if column.name == "spend" else column.name, needs=(column.name,),
        sql=law(_bound(column), f"{quoted(column.name)} IS NULL"),
    )  # fmt: skip


def _relation(relation: Relation) -> RowCheck:
    exempt = " OR ".join(f"{quoted(column)} IS NULL" for column in relation.columns)
    return RowCheck(
        rule=relation.name, subject=relation.name, needs=relation.columns,
        sql=law(relation.sql, exempt),
    )  # fmt: skip


def _is_column(metric: str) -> bool:
    return metric in PERFORMANCE.names()


def _given(table: Table, quality: Quality) -> Iterator[RowCheck]:
    """Numbers that the platform gives beside the columns: quotients computed anew, bounds."""
    if table is not PERFORMANCE:
        return
    positions = count(1)
    for one in quality.quotients:
        column = _is_column(one.metric)
        given = quoted(one.metric) if column else _extra(next(positions))
        yield RowCheck(
            rule="derived_metrics_agree", subject=_plain(one.metric),
            needs=(one.metric if column else "extra_metrics", *one.needs),
            sql=law(
                f"abs({given} - {one.formula}) <= greatest({one.rounding}, 0.01 * abs({given}))",
                f"({given} - {one.formula}) IS NULL",
            ),
        )  # fmt: skip
    for bound in quality.bounds:
        given = _extra(next(positions)) if bound.extra else quoted(bound.name)
        yield RowCheck(
            rule=bound.rule, subject=_plain(bound.name),
            needs=("extra_metrics",) if bound.extra else (bound.name,),
            sql=law(_within(given, bound.low, bound.high), f"{given} IS NULL"),
        )  # fmt: skip


def _extra(position: int) -> str:
    return f"try_cast(slice_given[{position}] AS DOUBLE)"


def _plain(metric: str) -> str:
    """A metric's name as part of a column's."""
    return metric.replace(".", "_")


def _belonging(table: Table) -> Iterator[RowCheck]:
    own = ["org_id", "platform", "account_id"]
    if table is PERFORMANCE:
        own += ["report", "level"]
    holds = " AND ".join(f"{quoted(name)} = slice_{name}" for name in own)
    if table is PERFORMANCE:
        own.append("date")
        holds += ' AND "date" BETWEEN slice_since AND slice_until'
        yield RowCheck(
            rule="dates_in_order", subject="dates_in_order", needs=("date", "date_end"),
            sql=law(
                "date_end BETWEEN date AND slice_until + slice_step::INTEGER", "date_end IS NULL"
            ),
        )  # fmt: skip
        for rule, column in (
            ("currency_matches_account", "currency"),
            ("timezone_matches_account", "account_timezone"),
        ):
            yield RowCheck(
                rule=rule, subject=rule, needs=(column,),
                sql=law(
                    f"{quoted(column)} = slice_{column}",
                    f"slice_{column} = '' OR coalesce({quoted(column)}, '') = ''",
                ),
            )  # fmt: skip
    yield RowCheck(
        rule="rows_in_slice", subject="rows_in_slice", needs=tuple(own),
        # A missing value is for required_fields to report.
        sql=law(f"coalesce({holds}, true)"),
    )  # fmt: skip
    yield RowCheck(
        rule="mock_rows_marked", subject="mock_rows_marked", needs=("is_mock",),
        sql=law("coalesce(is_mock = slice_is_mock, true)"),
    )  # fmt: skip
