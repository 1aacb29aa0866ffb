"""Quoting for SQL: the only two ways a name or a value gets into a statement as text."""

from __future__ import annotations


def identifier(name: str) -> str:
    """A quoted identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """A quoted text literal; NUL cannot occur in SQL text and is refused."""
    if "\x00" in value:
        raise ValueError("a NUL character cannot be part of an SQL literal")
    return "'" + value.replace("'", "''") + "'"
