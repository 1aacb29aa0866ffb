"""Which types hold all values of which others, by the names that engines' catalogues give them.

An engine that could keep all values in another type does not always change a column to it.
"""

from __future__ import annotations

import re
from typing import TypeAlias

# Decimal digits that a whole number may need; of one digit less each value fits.
_WHOLE = {
    "tinyint": 3, "smallint": 5, "int": 10, "integer": 10, "bigint": 19, "hugeint": 39,
}  # fmt: skip
_EXACT = frozenset({"decimal", "numeric", "number"})
_TEXT = frozenset({"varchar", "character varying", "text", "string"})
_INEXACT = {"real": 1, "float": 1, "double": 2, "double precision": 2}
_TYPE = re.compile(r"([a-z ]+?)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?")
_ENDLESS = 10**9

_Parsed: TypeAlias = tuple[str, int | None, int | None]


def holds(wide: str, narrow: str) -> bool:
    """Whether every value of type ``narrow`` is one of type ``wide``, exactly; False if unsure."""
    if wide == narrow:
        return True
    one, other = _parsed(wide), _parsed(narrow)
    if one is None or other is None:
        return False
    return _holds_numbers(one, other) or _holds_others(one, other)


def keeps_scale(given: str, needed: str) -> bool:
    """Whether Snowflake changes a column from one type to another that holds all its values.

    Its manual of ``ALTER TABLE … ALTER COLUMN``: texts may become longer and numbers more precise,
    but neither a number's scale changes nor one type becomes another; ``NUMBER`` alone is
    ``NUMBER(38,0)``, as all whole numbers are.
    """
    one, other = _parsed(given), _parsed(needed)
    if one is None or other is None:
        return False
    if one[0] in _TEXT and other[0] in _TEXT:
        return True
    return {one[0], other[0]} <= _EXACT | set(_WHOLE) and (one[2] or 0) == (other[2] or 0)


def widens_on_delta(given: str, needed: str) -> bool:
    """Whether Delta Lake changes a column from one type to another that holds all its values.

    Its manual of type widening: whole numbers become decimals only of ten digits before the point,
    and ``bigint`` only of twenty, also where fewer would do.
    """
    one, other = _parsed(given), _parsed(needed)
    if one is None or other is None:
        return False
    if one[0] in _WHOLE and other[0] in _EXACT:
        digits = _digits(other, spare=0)
        return digits is not None and digits[0] >= (20 if one[0] == "bigint" else 10)
    return not (one[0] in _EXACT and other[0] in _WHOLE)


def _holds_numbers(wide: _Parsed, narrow: _Parsed) -> bool:
    given, needed = _digits(wide, spare=1), _digits(narrow, spare=0)
    if given is None or needed is None:
        return False
    if wide[0] in _WHOLE and narrow[0] in _WHOLE:
        return _WHOLE[wide[0]] >= _WHOLE[narrow[0]]
    return given[0] >= needed[0] and given[1] >= needed[1]


def _holds_others(wide: _Parsed, narrow: _Parsed) -> bool:
    if wide[0] in _TEXT and narrow[0] in _TEXT:
        return (wide[1] or _ENDLESS) >= (narrow[1] or _ENDLESS)
    return _INEXACT.get(wide[0], 0) >= _INEXACT.get(narrow[0], 3)


def _parsed(type_: str) -> _Parsed | None:
    found = _TYPE.fullmatch(type_.strip().lower())
    if found is None:
        return None
    precision, scale = (None if part is None else int(part) for part in found.groups()[1:])
    return found[1], precision, scale


def _digits(parsed: _Parsed, *, spare: int) -> tuple[int, int] | None:
    """Before and behind the point; None for what is no exact number."""
    name, precision, scale = parsed
    if name in _WHOLE:
        return _WHOLE[name] - spare, 0
    if name not in _EXACT:
        return None
    if precision is None:
        return _ENDLESS, _ENDLESS
    return precision - (scale or 0), scale or 0
