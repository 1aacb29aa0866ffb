"""The ``filtering`` parameter: fields, operators, values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from .call import Call
from .errors import invalid

_Test = Callable[[Any, Any], bool]


def _text(value: Any) -> str:
    return str(value).lower()


def _many(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]


def _size(value: Any) -> Decimal:
    try:
        return Decimal(str(value))
    except InvalidOperation:
        raise invalid(f"filtering value {value!r} must be a number") from None


def _between(have: Any, asked: Any) -> bool:
    if not isinstance(asked, list) or len(asked) != 2:
        raise invalid("filtering value must be a pair for IN_RANGE")
    return _size(asked[0]) <= _size(have) <= _size(asked[1])


_OPERATORS: dict[str, _Test] = {
    "EQUAL": lambda have, asked: str(have) in _many(asked),
    "NOT_EQUAL": lambda have, asked: str(have) not in _many(asked),
    "IN": lambda have, asked: str(have) in _many(asked),
    "NOT_IN": lambda have, asked: str(have) not in _many(asked),
    "ANY": lambda have, asked: str(have) in _many(asked),
    "NONE": lambda have, asked: str(have) not in _many(asked),
    "ALL": lambda have, asked: all(str(have) == one for one in _many(asked)),
    "CONTAIN": lambda have, asked: _text(asked) in _text(have),
    "NOT_CONTAIN": lambda have, asked: _text(asked) not in _text(have),
    "GREATER_THAN": lambda have, asked: _size(have) > _size(asked),
    "GREATER_THAN_OR_EQUAL": lambda have, asked: _size(have) >= _size(asked),
    "LESS_THAN": lambda have, asked: _size(have) < _size(asked),
    "LESS_THAN_OR_EQUAL": lambda have, asked: _size(have) <= _size(asked),
    "IN_RANGE": _between,
    "NOT_IN_RANGE": lambda have, asked: not _between(have, asked),
}


@dataclass(frozen=True, slots=True)
class Condition:
    """One filter; ``value`` is a text, or a tuple of texts for a list."""

    field: str
    operator: str
    value: str | tuple[str, ...]

    def holds(self, have: Any) -> bool:
        """Say whether a value passes."""
        asked = list(self.value) if isinstance(self.value, tuple) else self.value
        return _OPERATORS[self.operator](have, asked)

    def ids(self) -> tuple[str, ...]:
        """Return the ids that an inclusive filter names."""
        if self.operator not in ("IN", "EQUAL", "ANY"):
            return ()
        return self.value if isinstance(self.value, tuple) else (self.value,)


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
    return Condition(
        str(given["field"]),
        operator,
        tuple(str(one) for one in value) if isinstance(value, list) else str(value),
    )
