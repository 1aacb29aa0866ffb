"""The ``filtering`` parameter: fields, operators, values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from .call import Call
from .errors import invalid

_Test = Callable[[Any, "Condition"], bool]


def _text(value: Any) -> str:
    return str(value).lower()


def _size(value: Any) -> Decimal:
    try:
        return Decimal(str(value))
    except InvalidOperation:
        raise invalid(f"filtering value {value!r} must be a number") from None


def _between(have: Any, asked: Condition) -> bool:
    if not isinstance(asked.value, tuple) or len(asked.value) != 2:
        raise invalid("filtering value must be a pair for IN_RANGE")
    return _size(asked.value[0]) <= _size(have) <= _size(asked.value[1])


_OPERATORS: dict[str, _Test] = {
    "EQUAL": lambda have, asked: str(have) in asked.choices,
    "NOT_EQUAL": lambda have, asked: str(have) not in asked.choices,
    "IN": lambda have, asked: str(have) in asked.choices,
    "NOT_IN": lambda have, asked: str(have) not in asked.choices,
    "ANY": lambda have, asked: str(have) in asked.choices,
    "NONE": lambda have, asked: str(have) not in asked.choices,
    "ALL": lambda have, asked: {str(have)} == asked.choices,
    "CONTAIN": lambda have, asked: _text(asked.value) in _text(have),
    "NOT_CONTAIN": lambda have, asked: _text(asked.value) not in _text(have),
    "GREATER_THAN": lambda have, asked: _size(have) > _size(asked.value),
    "GREATER_THAN_OR_EQUAL": lambda have, asked: _size(have) >= _size(asked.value),
    "LESS_THAN": lambda have, asked: _size(have) < _size(asked.value),
    "LESS_THAN_OR_EQUAL": lambda have, asked: _size(have) <= _size(asked.value),
    "IN_RANGE": _between,
    "NOT_IN_RANGE": lambda have, asked: not _between(have, asked),
}


@dataclass(frozen=True, slots=True)
class Condition:
    """One filter; ``value`` is a text, or a tuple of texts for a list."""

    field: str
    operator: str
    value: str | tuple[str, ...]
    choices: frozenset[str] = frozenset()

    def holds(self, have: Any) -> bool:
        """Say whether a value passes."""
        return _OPERATORS[self.operator](have, self)


def parse_conditions(call: Call) -> tuple[Condition, ...]:
    """Read ``filtering``; raises GraphError for what is not a filter."""
    given = call.json("filtering")
    if given is None:
        return ()
    if not isinstance(given, list):
        raise invalid("param filtering must be an array.")
    return tuple(_condition(one, at) for at, one in enumerate(given))


def _condition(given: Any, at: int) -> Condition:
    if not isinstance(given, dict) or not {"field", "operator", "value"} <= set(given):
        raise invalid(f"filtering[{at}] must have field, operator and value")
    operator = str(given["operator"]).upper()
    if operator not in _OPERATORS:
        known = ", ".join(_OPERATORS)
        raise invalid(f"param filtering[{at}][operator] must be one of {{{known}}}")
    value = given["value"]
    many = tuple(str(one) for one in value) if isinstance(value, list) else (str(value),)
    return Condition(
        str(given["field"]),
        operator,
        many if isinstance(value, list) else many[0],
        frozenset(many),
    )
