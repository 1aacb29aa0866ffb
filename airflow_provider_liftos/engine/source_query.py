"""SQL around a user's query: values are bound, names quoted, the query itself is theirs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Mark = Callable[[object], str]
"""Binds a value; what stands for it in the text."""

_HERE = "\x00"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How a driver has values bound, by place and by name, and how its engine quotes names."""

    positional: str = "?"
    named: str = ":{}"
    quote: str = '"'

    def ident(self, name: str) -> str:
        """A quoted name."""
        return f"{self.quote}{name.replace(self.quote, self.quote * 2)}{self.quote}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A statement for a driver; without ``parameters`` it is to be executed without any."""

    text: str
    parameters: Sequence[Any] | Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A user's query, and the values of its own placeholders, if any.

    ``order`` is what its rows' cursor is compared by, where that is not the column as it is.
    """

    sql: str
    dialect: Dialect
    parameters: Sequence[Any] | Mapping[str, Any] | None = None
    order: str = ""

    def column(self, name: str) -> str:
        """A column of its rows."""
        return f"q.{self.dialect.ident(name)}"

    def select(
        self,
        columns: str,
        where: Callable[[Mark], str] | None = None,
        tail: str = "",
    ) -> Statement:
        """A statement over the query's rows. ``where`` is given what binds values."""
        values: list[object] = []

        def mark(value: object) -> str:
            values.append(value)
            return _HERE

        condition = where(mark) if where else ""
        after = f"\n) AS q{f' WHERE {condition}' if condition else ''}{tail}"
        return self._statement(f"SELECT {columns} FROM (\n", after, values)

    def _statement(self, before: str, after: str, values: Sequence[object]) -> Statement:
        body, own = self.sql.strip().rstrip(";"), self.parameters
        if not own and not values:
            return Statement(text=before + body + after, parameters=None)
        if self.dialect.positional == "%s":
            # Such drivers look for placeholders in all of the text as soon as there are values; a
            # query that has values of its own is written with that in mind.
            before, after = before.replace("%", "%%"), after.replace("%", "%%")
            body = body if own else body.replace("%", "%%")
        if isinstance(own, Mapping):
            names = [f"liftos_{number}" for number in range(len(values))]
            marks = [self.dialect.named.format(name) for name in names]
            bound: Any = {**own, **dict(zip(names, values, strict=True))}
        else:
            marks = [self.dialect.positional] * len(values)
            bound = (*(own or ()), *values)
        for text in marks:
            after = after.replace(_HERE, text, 1)
        return Statement(text=before + body + after, parameters=bound)
