"""From clauses to a plan: what is asked makes sense, or is refused with the platform's code."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from . import conditions
from .catalogue import (
    CORE_DATES,
    OF_CONVERSIONS,
    Source,
    conversion_metric,
    selectable_with,
    source,
)
from .dates import Span, first_day, parse_day, span_of
from .errors import AdsError, query_error, unrecognized_field
from .gaql import Query
from .hierarchy import Customer
from .schema import METRICS, SEGMENTS, Field, Schema

_PARAMETERS = ("include_drafts", "omit_unselected_resource_names")
_CHANGES = {
    "change_status": ("last_change_date_time", 90),
    "change_event": ("change_date_time", 30),
}
_CLICK_DAYS = 90
_MOST_CHANGES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A query that makes sense. ``fields`` are all fields mentioned, by name."""

    query: Query
    source: Source
    fields: dict[str, Field]
    span: Span
    changes: Span = field(default_factory=Span)

    def changed_within(self, day: date) -> bool:
        """Say whether a change of ``day`` is asked for."""
        since, until = self.changes.since, self.changes.until
        return (since is None or since <= day) and (until is None or day <= until)

    def selected(self, part: str) -> list[Field]:
        """Return the selected metrics, or segments."""
        found = [self.fields[name] for name in self.query.fields]
        return [one for one in found if one.resource == part]

    @property
    def segments(self) -> list[str]:
        """Return the words behind ``segments.`` that are selected."""
        return [one.name.split(".")[1] for one in self.selected(SEGMENTS)]


def check(query: Query, schema: Schema, customer: Customer, today: date) -> Plan:
    """Return the plan of a query to one customer; raises AdsError."""
    if query.resource not in schema.resources:
        raise query_error(
            "BAD_RESOURCE_TYPE_IN_FROM_CLAUSE",
            f"'{query.resource}' is not a valid resource type in the FROM clause.",
            trigger=query.resource,
        )
    fields = _fields(query, schema)
    plan = Plan(
        query=query,
        source=source(query.resource),
        fields=fields,
        span=span_of(
            [one for one in query.conditions if _core_date(fields[one.field])],
            today,
        ),
    )
    _check_compatible(plan)
    _check_references(plan)
    for one in query.conditions:
        conditions.check(one, fields[one.field])
    _check_parameters(query)
    _check_dates(plan)
    plan = _check_special(plan, today)
    if customer.manager and any(one.resource == METRICS for one in fields.values()):
        raise query_error(
            "REQUESTED_METRICS_FOR_MANAGER",
            "Metrics cannot be requested for a manager account. To retrieve metrics, issue "
            "separate requests against each client account under the manager account.",
        )
    return plan


def _core_date(field: Field) -> bool:
    return field.resource == SEGMENTS and field.path[1] in CORE_DATES and field.name.count(".") == 1


def _fields(query: Query, schema: Schema) -> dict[str, Field]:
    found: dict[str, Field] = {}
    filtered = [one.field for one in query.conditions]
    for name in (*query.fields, *filtered, *(name for name, _ in query.order)):
        field = schema.field(name)
        if field is None:
            raise unrecognized_field(name)
        found[name] = field
    for name in query.fields:
        one = found[name]
        if one.kind == "MESSAGE" and not one.repeated and one.resource != "change_event":
            raise query_error(
                "PROHIBITED_FIELD_IN_SELECT_CLAUSE",
                f"'{name}' is a message: select the fields within it.",
                trigger=name,
            )
    return found


def _check_compatible(plan: Plan) -> None:
    query, known = plan.query, plan.source
    for name, one in plan.fields.items():
        word = one.name.split(".")[1]
        if one.resource == METRICS and known.metrics is not None and word not in known.metrics:
            raise query_error(
                "PROHIBITED_METRIC_IN_SELECT_OR_WHERE_CLAUSE",
                f"Cannot select or filter on the following metrics: '{name}', since the resource "
                f"'{query.resource}' in the FROM clause does not have them.",
                trigger=name,
            )
        if one.resource == SEGMENTS and word not in known.segments:
            raise query_error(
                "PROHIBITED_SEGMENT_IN_SELECT_OR_WHERE_CLAUSE",
                f"Cannot select or filter on the following segments: '{name}', since the resource "
                f"'{query.resource}' in the FROM clause is incompatible with them.",
                trigger=name,
            )
        if not selectable_with(query.resource, one.resource):
            clause = "SELECT" if name in query.fields else "WHERE"
            raise query_error(
                f"PROHIBITED_RESOURCE_TYPE_IN_{clause}_CLAUSE",
                f"Resource '{one.resource}' cannot be used in the {clause} clause with resource "
                f"'{query.resource}' in the FROM clause.",
                trigger=name,
            )
    _check_conversions(plan)


def _check_conversions(plan: Plan) -> None:
    about = [
        name
        for name, field in plan.fields.items()
        if field.resource == SEGMENTS and name.split(".")[1] in OF_CONVERSIONS
    ]
    others = [
        name
        for name, field in plan.fields.items()
        if field.resource == METRICS and not conversion_metric(name.split(".")[1])
    ]
    if about and others:
        raise query_error(
            "PROHIBITED_SEGMENT_WITH_METRIC_IN_SELECT_OR_WHERE_CLAUSE",
            f"Cannot select or filter on '{about[0]}' together with '{others[0]}'.",
            trigger=about[0],
        )


def _check_references(plan: Plan) -> None:
    query = plan.query
    used = [one.field for one in query.conditions] + [name for name, _ in query.order]
    for name in used:
        field = plan.fields[name]
        if field.resource != SEGMENTS or _core_date(field) or name in query.fields:
            continue
        raise query_error(
            "EXPECTED_REFERENCED_FIELD_IN_SELECT_CLAUSE",
            f"'{name}' must be present in the SELECT clause, as it is used in another one.",
            trigger=name,
        )


def _check_parameters(query: Query) -> None:
    for name, value in query.parameters.items():
        if name not in _PARAMETERS:
            raise query_error("BAD_PARAMETER_NAME", f"Bad parameter '{name}'.", trigger=name)
        if value.lower() not in ("true", "false"):
            raise query_error("BAD_PARAMETER_VALUE", f"Bad value '{value}'.", trigger=value)


def _check_dates(plan: Plan) -> None:
    core = [name for name in plan.query.fields if _core_date(plan.fields[name])]
    if core and not plan.span.finite:
        raise query_error(
            "EXPECTED_FILTERS_ON_DATE_RANGE",
            f"'{core[0]}' is selected: a finite date range must be filtered on.",
            trigger=core[0],
        )
    for one in plan.query.conditions:
        segment = one.field.rpartition(".")[2]
        if not _core_date(plan.fields[one.field]) or segment not in ("week", "month", "quarter"):
            continue
        for value in one.values if one.operator != "DURING" else ():
            day = parse_day(value, one.field)
            if one.operator != "=" or first_day(segment, day) != day:
                raise query_error(
                    "MISALIGNED_DATE_FOR_FILTER",
                    f"'{one.field}' must equal the first day of a {segment}.",
                    trigger=value,
                )


def _check_special(plan: Plan, today: date) -> Plan:
    resource = plan.query.resource
    if resource == "click_view":
        if not plan.span.finite or plan.span.days != 1:
            raise AdsError(
                "click_view_error",
                "EXPECTED_FILTER_ON_A_SINGLE_DAY",
                "Missing filter on a single day.",
            )
        if plan.span.since and plan.span.since < today - timedelta(days=_CLICK_DAYS):
            raise AdsError("click_view_error", "DATE_TOO_OLD", "The requested date is too old.")
    elif resource in _CHANGES:
        return replace(plan, changes=_check_changes(plan, today))
    return plan


def _check_changes(plan: Plan, today: date) -> Span:
    resource = plan.query.resource
    word, most_days = _CHANGES[resource]
    span = span_of(
        [one for one in plan.query.conditions if one.field == f"{resource}.{word}"], today
    )
    kind = f"{resource}_error"
    if not span.finite or span.since is None or span.until is None:
        raise AdsError(kind, "CHANGE_DATE_RANGE_INFINITE", f"A finite range of {word} is needed.")
    if span.until < span.since:
        raise AdsError(kind, "CHANGE_DATE_RANGE_NEGATIVE", "The date range is negative.")
    if span.since < today - timedelta(days=most_days):
        raise AdsError(
            kind, "START_DATE_TOO_OLD", f"The start date is more than {most_days} days ago."
        )
    if plan.query.limit is None:
        raise AdsError(kind, "LIMIT_NOT_SPECIFIED", "A LIMIT clause is needed.")
    if plan.query.limit > _MOST_CHANGES:
        raise AdsError(kind, "INVALID_LIMIT_CLAUSE", "The limit must be at most 10000.")
    return span
