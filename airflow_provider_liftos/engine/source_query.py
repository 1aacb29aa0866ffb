"""SQL around a user's query: values are bound, names quoted, the query itself is theirs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_liftos.model.errors import ConfigurationError

Mark = Callable[[object], str]
"""Binds a value; what stands for it in the text."""

_HERE = "\x00"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How a driver has values bound, by place and by name, and how its engine quotes names.

    A ``{}`` is where a name goes, also in ``positional``. What a driver does not take is empty.
    ``percent`` is what stands for a percent sign in a text that has values.
    """

    positional: str = "?"
    named: str = ":{}"
    quotes: str = '"{}"'
    percent: str = "%"

    def ident(self, name: str) -> str:
        """A quoted name."""
        begin, _, end = self.quotes.partition("{}")
        return f"{begin}{name.replace(end, end * 2)}{end}"


PYFORMAT = Dialect(positional="%s", named="%({})s", percent="%%")
"""Drivers that look for placeholders in all of the text as soon as there are values."""

DUCKDB = Dialect(named="${}")


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

    def __post_init__(self) -> None:
        """Raises ConfigurationError for values that the driver does not take as they are given."""
        how = self.dialect
        if isinstance(self.parameters, Mapping) and self.parameters and not how.named:
            raise ConfigurationError(
                "parameters are given by name, but this driver takes them by place alone",
                hint=f"Make them a list; in the query each is a {how.positional}.",
            )
        if self.parameters and not isinstance(self.parameters, Mapping) and not how.positional:
            raise ConfigurationError(
                "parameters are given by place, but this driver takes them by name alone",
                hint=f"Make them a mapping; in the query each is a {how.named.format('name')}.",
            )

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
        # Without AS: Oracle knows none before the name of a query.
        after = f"\n) q{f' WHERE {condition}' if condition else ''}{tail}"
        return self._statement(f"SELECT {columns} FROM (\n", after, values)

    def _statement(self, before: str, after: str, values: Sequence[object]) -> Statement:
        body, own, how = self.sql.strip().rstrip(";"), self.parameters, self.dialect
        if not own and not values:
            return Statement(text=before + body + after, parameters=None)
        before, after = (text.replace("%", how.percent) for text in (before, after))
        # A query that has values of its own is written with that in mind.
        body = body if own else body.replace("%", how.percent)
        names = [f"liftos_{number}" for number in range(len(values))]
        form = how.positional
        bound: Any = (*(own or ()), *values)
        if isinstance(own, Mapping) or not how.positional:
            form, bound = how.named, {**dict(own or {}), **dict(zip(names, values, strict=True))}
        for name in names:
            after = after.replace(_HERE, form.format(name), 1)
        return Statement(text=before + body + after, parameters=bound)
