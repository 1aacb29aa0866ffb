"""WHERE: which operators a field takes, and whether a value meets a condition."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from .dates import parse_day
from .errors import query_error
from .gaql import Condition
from .schema import Field

_EQUALITY = frozenset({"=", "!=", "IN", "NOT IN", "IS NULL", "IS NOT NULL"})
_ORDERED = _EQUALITY | {"<", "<=", ">", ">=", "BETWEEN"}
_TEXTUAL = _EQUALITY | {"LIKE", "NOT LIKE", "REGEXP_MATCH", "NOT REGEXP_MATCH"}
_LISTS = frozenset({"CONTAINS ANY", "CONTAINS ALL", "CONTAINS NONE", "IS NULL", "IS NOT NULL"})
_MOST_VALUES = 20_000
Test = Callable[[Any], bool]


def check(condition: Condition, field: Field) -> None:
    """Refuse an operator or a value that the field does not take; raises AdsError."""
    if condition.operator not in _operators(field):
        raise query_error(
            "OPERATOR_FIELD_MISMATCH",
            f"Operator '{condition.operator}' cannot be used with '{field.name}'.",
            trigger=field.name,
        )
    if len(condition.values) > _MOST_VALUES:
        raise query_error("FILTER_HAS_TOO_MANY_VALUES", "A filter has too many values.")
    if condition.operator == "DURING":
        return
    for value in condition.values:
        _check_value(value, field)
    if condition.operator == "BETWEEN":
        low, high = (_typed(value, field) for value in condition.values)
        if low > high:
            raise query_error(
                "INVALID_VALUE_WITH_BETWEEN_OPERATOR", "The bounds of BETWEEN are reversed."
            )
    if "REGEXP" in condition.operator:
        _compiled(condition.values[0])


def _operators(field: Field) -> frozenset[str]:
    if field.repeated:
        return _LISTS
    if field.date_like:
        return _ORDERED | {"DURING"}
    if field.kind in ("INT32", "INT64", "DOUBLE"):
        return _ORDERED
    if field.kind in ("ENUM", "BOOLEAN"):
        return _EQUALITY
    return _TEXTUAL | {"<", "<=", ">", ">=", "BETWEEN"} if field.kind == "STRING" else _TEXTUAL


def _check_value(value: str, field: Field) -> None:
    if field.date_like:
        parse_day(value, field.name)
    elif field.kind == "ENUM" and value not in field.enum.values_by_name:
        raise query_error(
            "BAD_ENUM_CONSTANT", f"Invalid enum value '{value}' for '{field.name}'.", trigger=value
        )
    elif field.kind == "BOOLEAN" and value.upper() not in ("TRUE", "FALSE"):
        raise query_error("BAD_VALUE", f"'{value}' is not a boolean.", trigger=value)
    elif field.kind in ("INT32", "INT64", "DOUBLE"):
        try:
            float(value)
        except ValueError:
            raise query_error("BAD_NUMBER", f"'{value}' is not a number.", trigger=value) from None


def _typed(value: str, field: Field) -> Any:
    if field.date_like:
        rest = value[10:] if len(value) > 10 else ""
        return parse_day(value, field.name).isoformat() + rest
    if field.kind == "DOUBLE":
        return float(value)
    if field.kind in ("INT32", "INT64"):  # ids are longer than what a float keeps
        return int(value) if value.lstrip("-").isdecimal() else int(float(value))
    return value.upper() == "TRUE" if field.kind == "BOOLEAN" else value


def test_of(condition: Condition, field: Field) -> Test:
    """Return a function that says whether a value of ``field`` meets the condition."""
    operator = condition.operator
    if operator in ("IS NULL", "IS NOT NULL"):
        return lambda value: (value is None) == (operator == "IS NULL")
    negated = operator.startswith("NOT ") or operator in ("!=", "CONTAINS NONE")
    plain = _plain(operator.removeprefix("NOT "), [_typed(v, field) for v in condition.values])
    empty: Any = "" if field.kind in ("STRING", "RESOURCE_NAME") else 0
    if field.repeated:
        empty = ()

    def test(value: Any) -> bool:
        return bool(plain(empty if value is None else value)) != negated

    return test


def _plain(operator: str, given: list[Any]) -> Test:
    first = given[0]
    tests: dict[str, Callable[[], Test]] = {
        "=": lambda: lambda value: value == first,
        "!=": lambda: lambda value: value == first,
        ">": lambda: lambda value: value > first,
        ">=": lambda: lambda value: value >= first,
        "<": lambda: lambda value: value < first,
        "<=": lambda: lambda value: value <= first,
        "IN": lambda: set(given).__contains__,
        "BETWEEN": lambda: lambda value: given[0] <= value <= given[1],
        "LIKE": lambda: _like(str(first)),
        "REGEXP_MATCH": lambda: lambda value: bool(_compiled(str(first)).fullmatch(value)),
        "CONTAINS ANY": lambda: lambda value: bool(set(given) & set(value)),
        "CONTAINS NONE": lambda: lambda value: bool(set(given) & set(value)),
        "CONTAINS ALL": lambda: lambda value: set(given) <= set(value),
    }
    return tests[operator]()


def _like(pattern: str) -> Test:
    """``%`` stands for any text, ``_`` for one character, ``[%]`` for itself."""
    parts = re.findall(r"\[[%_\[\]]\]|%|_|[^%_\[]+|\[", pattern)
    words = {"%": ".*", "_": "."}
    text = "".join(words.get(part) or re.escape(part.strip("[]") or part) for part in parts)
    compiled = re.compile(text, re.DOTALL | re.IGNORECASE)
    return lambda value: compiled.fullmatch(value) is not None


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern, re.DOTALL)
    except re.error:
        raise query_error(
            "INVALID_STRING_VALUE", f"Invalid regular expression '{pattern}'.", trigger=pattern
        ) from None
