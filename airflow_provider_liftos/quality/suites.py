"""Suites for Great Expectations, as plain dictionaries built from the unified schema and the rules.

Rows are judged by codes that SQL computes, because Great Expectations compares numbers one by one
in Python but looks up nulls and sets of small integers as whole columns (15 times cheaper).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_liftos.model.report import Level
from airflow_provider_liftos.model.unified import Column, Kind, Relation, Role, Table
from airflow_provider_liftos.quality.rules import Rule

BROKEN, LAWFUL, EXEMPT = 0, 1, 2

LEVEL_IDS: Mapping[str, tuple[str, ...]] = {
    "campaign_id": (Level.CAMPAIGN, Level.AD_GROUP, Level.AD),
    "ad_group_id": (Level.AD_GROUP, Level.AD),
    "ad_id": (Level.AD,),
}
MAY_BE_EMPTY = frozenset({"breakdown_key"})  # empty text says: no breakdowns
NOT_STAGED = frozenset({"valid_from", "valid_to", "is_deleted"})  # publishing fills them in

# As platforms print them: percent and major units, rounded; hence one percent or 0.01.
DERIVED = (
    ("ctr", "100.0 * clicks / nullif(impressions, 0)", ("clicks", "impressions")),
    ("cpm", "1000.0 * spend / nullif(impressions, 0)", ("spend", "impressions")),
    ("cpc", "1.0 * spend / nullif(clicks, 0)", ("spend", "clicks")),
)


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


def row_checks(table: Table) -> tuple[RowCheck, ...]:
    """Everything that is expected of single rows of the table."""
    return (
        *_required(table),
        RowCheck(
            rule="values_readable", subject="values_readable", needs=("unreadable",),
            sql=_code("unreadable = 0"),
        ),
        *(_range(c) for c in table.columns if c.role is not Role.LINEAGE and _bound(c)),
        *(_relation(relation) for relation in table.relations),
        *_derived(table),
        *_belonging(table),
    )  # fmt: skip


def row_suite(table: Table, catalogue: Mapping[str, Rule]) -> dict[str, Any]:
    """The suite over rows of a staged table."""
    return {
        "name": f"{table.name}_rows",
        "expectations": [_row_expectation(c, catalogue[c.rule]) for c in row_checks(table)],
    }


# What a slice's or an account's number may be at most; what it counts is said in ``facts``.
SLICE_LIMITS: Mapping[str, float] = {
    "slice_complete": 0,
    "rows_kept": 0,
    "rows_loaded": 0,
    "key_unique": 0,
    "data_fresh": 0,
    "expected_days_present": 0,
    "empty_is_not_zero": 0,
    "account_is_heard": 0,
    "delivery_goes_on": 0,
    "entities_go_on": 0,
    "levels_add_up": 1,
    "breakdowns_add_up": 1,
}
ACCOUNT_LIMITS: Mapping[str, float] = {"accounts_present": 0}


def number_suite(
    name: str, limits: Mapping[str, float], catalogue: Mapping[str, Rule]
) -> dict[str, Any]:
    """The suite over a small frame with one number per rule and subject."""
    return {
        "name": name,
        "expectations": [
            _expectation(
                "expect_column_values_to_be_between", rule, catalogue[rule],
                {"column": rule, "min_value": 0, "max_value": limit},
            )
            for rule, limit in limits.items()
        ],
    }  # fmt: skip


def _row_expectation(check: RowCheck, rule: Rule) -> dict[str, Any]:
    kwargs: dict[str, Any] = {"column": check.id}
    if rule.mostly < 1:
        kwargs["mostly"] = rule.mostly
    if check.presence:
        return _expectation("expect_column_values_to_not_be_null", check.id, rule, kwargs)
    kwargs["value_set"] = [LAWFUL, EXEMPT]
    return _expectation("expect_column_values_to_be_in_set", check.id, rule, kwargs)


def _expectation(kind: str, id_: str, rule: Rule, kwargs: dict[str, Any]) -> dict[str, Any]:
    meta = {
        "id": id_,
        "rule": rule.name,
        "dimension": rule.dimension.value,
        "severity": rule.severity.value,
        "weight": rule.weight,
        "judges": rule.judges.value,
    }
    return {"type": kind, "kwargs": kwargs, "severity": rule.severity.gx, "meta": meta}


def _code(holds: str, exempt: str = "false") -> str:
    """The code of a law; a law over nulls that is not exempt is broken."""
    return f"CASE WHEN {exempt} THEN {EXEMPT} WHEN {holds} THEN {LAWFUL} ELSE {BROKEN} END::TINYINT"


def _required(table: Table) -> Iterator[RowCheck]:
    for column in table.columns:
        levels = LEVEL_IDS.get(column.name, ()) if table.name == "performance" else ()
        if column.name in NOT_STAGED or not (column.required or levels):
            continue
        there = f"{quoted(column.name)} IS NOT NULL"
        if column.kind in {Kind.TEXT, Kind.ID} and column.name not in MAY_BE_EMPTY:
            there += f" AND {quoted(column.name)} <> ''"
        if levels:
            named = ", ".join(f"'{level}'" for level in levels)
            there = f"slice_level NOT IN ({named}) OR ({there})"
        # NaN instead of NULL keeps the column a plain numpy one.
        yield RowCheck(
            rule="required_fields", subject=column.name, needs=(column.name,), presence=True,
            sql=f"CASE WHEN {there} THEN {LAWFUL}::FLOAT ELSE 'nan'::FLOAT END",
        )  # fmt: skip


def _bound(column: Column) -> str:
    name = quoted(column.name)
    bounds = ((">=", column.low), ("<=", column.high))
    return " AND ".join(f"{name} {sign} {value}" for sign, value in bounds if value is not None)


def _range(column: Column) -> RowCheck:
    rule = "spend_not_negative" if column.name == "spend" else "value_ranges"
    return RowCheck(
        rule=rule, subject=rule if column.name == "spend" else column.name, needs=(column.name,),
        sql=_code(_bound(column), f"{quoted(column.name)} IS NULL"),
    )  # fmt: skip


def _relation(relation: Relation) -> RowCheck:
    exempt = " OR ".join(f"{quoted(column)} IS NULL" for column in relation.columns)
    return RowCheck(
        rule=relation.name, subject=relation.name, needs=relation.columns,
        sql=_code(relation.sql, exempt),
    )  # fmt: skip


def _derived(table: Table) -> Iterator[RowCheck]:
    if "extra_metrics" not in table.names():
        return
    for position, (name, formula, needs) in enumerate(DERIVED, 1):
        given = f"try_cast(slice_derived[{position}] AS DOUBLE)"
        yield RowCheck(
            rule="derived_metrics_agree", subject=name, needs=("extra_metrics", *needs),
            sql=_code(
                f"abs({given} - {formula}) <= greatest(0.01, 0.01 * abs({given}))",
                f"({given} - {formula}) IS NULL",
            ),
        )  # fmt: skip


def _belonging(table: Table) -> Iterator[RowCheck]:
    own = ["org_id", "platform", "account_id"]
    if table.name == "performance":
        own += ["report", "level"]
    holds = " AND ".join(f"{quoted(name)} = slice_{name}" for name in own)
    if table.name == "performance":
        own.append("date")
        holds += ' AND "date" BETWEEN slice_since AND slice_until'
        for rule, column in (
            ("currency_matches_account", "currency"),
            ("timezone_matches_account", "account_timezone"),
        ):
            yield RowCheck(
                rule=rule, subject=rule, needs=(column,),
                sql=_code(
                    f"{quoted(column)} = slice_{column}",
                    f"slice_{column} = '' OR coalesce({quoted(column)}, '') = ''",
                ),
            )  # fmt: skip
    yield RowCheck(
        rule="rows_in_slice", subject="rows_in_slice", needs=tuple(own),
        # A missing value is for required_fields to report.
        sql=_code(f"coalesce({holds}, true)"),
    )  # fmt: skip
    yield RowCheck(
        rule="mock_rows_marked", subject="mock_rows_marked", needs=("is_mock",),
        sql=_code("coalesce(is_mock = slice_is_mock, true)"),
    )  # fmt: skip
