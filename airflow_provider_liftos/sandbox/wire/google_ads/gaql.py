"""Google Ads Query Language: from text to its clauses. What fields mean is none of its business."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn

from .errors import AdsError, query_error

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<string>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    | (?P<number>-?\d+(?:\.\d+)?(?![A-Za-z_]))
    | (?P<name>[A-Za-z_][A-Za-z0-9_.]*)
    | (?P<symbol><=|>=|!=|[=<>(),])
    )""",
    re.VERBOSE | re.DOTALL,
)
_COMPARISONS = ("=", "!=", ">", ">=", "<", "<=")
_CLAUSES = ("FROM", "WHERE", "ORDER", "LIMIT", "PARAMETERS")


class Token(NamedTuple):
    """A piece of the query; ``text`` of a string is what is between the quotes."""

    kind: str
    text: str
    at: int

    def word(self) -> str:
        """Return a name in capitals: keywords know no case."""
        return self.text.upper() if self.kind == "name" else ""


_END = Token("end", "", -1)


@dataclass(frozen=True, slots=True)
class Condition:
    """``field operator values``; single values are a tuple of one."""

    field: str
    operator: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """The clauses of a query."""

    fields: tuple[str, ...]
    resource: str = ""
    conditions: tuple[Condition, ...] = ()
    order: tuple[tuple[str, bool], ...] = ()  # field, descending
    limit: int | None = None
    parameters: dict[str, str] = field(default_factory=dict)


def parse(text: str, *, has_from: bool = True) -> Query:
    """Return the clauses of ``text``; raises AdsError as the platform would.

    ``has_from`` is off for the query language of field metadata, which knows no FROM.
    """
    return _Parser(_tokens(text)).query(has_from=has_from)


def _tokens(text: str) -> list[Token]:
    found: list[Token] = []
    at = 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            _no_token(text[at:].lstrip())
        kind = str(match.lastgroup)
        value = match.group(kind)
        if kind == "string":
            value = _unquoted(value)
        found.append(Token(kind, value, match.start(kind)))
        at = match.end()
    return found


def _no_token(rest: str) -> NoReturn:
    if rest[0] in "'\"":
        raise query_error("STRING_NOT_TERMINATED", "A string in the query is not terminated.")
    if rest[0].isdigit():
        raise query_error("BAD_NUMBER", f"Bad number in the query near '{rest[:20]}'.")
    raise query_error("BAD_SYMBOL", f"Bad symbol '{rest[0]}' in the query.", trigger=rest[0])


def _unquoted(literal: str) -> str:
    inner = literal[1:-1]
    if "\n" in inner:
        raise query_error("PROHIBITED_NEWLINE_IN_STRING", "A string contains a line break.")
    if re.search(r"""\\[^\\'"]""", inner.replace("\\\\", "")):
        # Patterns of REGEXP_MATCH carry their own escapes.
        return inner.replace("\\\\", "\\")
    return re.sub(r"\\(.)", r"\1", inner)


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._at = 0

    @property
    def _next(self) -> Token:
        return self._tokens[self._at] if self._at < len(self._tokens) else _END

    def _take(self) -> Token:
        token = self._next
        if token is _END:
            raise query_error("UNEXPECTED_END_OF_QUERY", "The query ends where more is expected.")
        self._at += 1
        return token

    def _accept(self, *words: str) -> bool:
        """Take the next tokens if they are these keywords."""
        ahead = self._tokens[self._at : self._at + len(words)]
        if [token.word() for token in ahead] != list(words):
            return False
        self._at += len(words)
        return True

    def _accept_symbol(self, symbol: str) -> bool:
        if self._next.kind != "symbol" or self._next.text != symbol:
            return False
        self._at += 1
        return True

    def query(self, *, has_from: bool) -> Query:
        if not self._accept("SELECT"):
            raise query_error("EXPECTED_SELECT", "The query must begin with SELECT.")
        fields = self._listed_names()
        resource = self._from(has_from=has_from)
        conditions = self._conditions() if self._accept("WHERE") else ()
        order = self._order() if self._accept("ORDER") else ()
        limit = self._limit() if self._accept("LIMIT") else None
        parameters = self._parameters() if self._accept("PARAMETERS") else {}
        if self._next is not _END:
            raise self._unexpected()
        return Query(
            fields=fields,
            resource=resource,
            conditions=conditions,
            order=order,
            limit=limit,
            parameters=parameters,
        )

    def _unexpected(self) -> AdsError:
        text = self._next.text
        return query_error("UNEXPECTED_INPUT", f"Unexpected input '{text}'.", trigger=text)

    def _name(self) -> str:
        token = self._take()
        if token.kind != "name" or token.word() in _CLAUSES:
            text = token.text
            raise query_error("BAD_FIELD_NAME", f"Bad field name '{text}'.", trigger=text)
        return token.text

    def _listed_names(self) -> tuple[str, ...]:
        names = [self._name()]
        while self._accept_symbol(","):
            names.append(self._name())
        return tuple(dict.fromkeys(names))

    def _from(self, *, has_from: bool) -> str:
        if not has_from:
            if self._accept("FROM"):
                raise query_error("UNEXPECTED_FROM_CLAUSE", "This query takes no FROM clause.")
            return ""
        if not self._accept("FROM"):
            raise query_error("EXPECTED_FROM", "The query needs a FROM clause.")
        token = self._take()
        if token.kind != "name":
            raise query_error(
                "BAD_RESOURCE_TYPE_IN_FROM_CLAUSE", f"Bad resource '{token.text}' in FROM."
            )
        if self._next.text == ",":
            raise query_error("UNEXPECTED_INPUT", "FROM takes exactly one resource.", trigger=",")
        return token.text

    def _conditions(self) -> tuple[Condition, ...]:
        found = [self._condition()]
        while self._accept("AND"):
            found.append(self._condition())
        return tuple(found)

    def _condition(self) -> Condition:
        name = self._name()
        operator = self._operator()
        if operator in ("IS NULL", "IS NOT NULL"):
            return Condition(name, operator)
        if operator in ("IN", "NOT IN") or operator.startswith("CONTAINS"):
            return Condition(name, operator, self._list())
        if operator == "BETWEEN":
            low = self._value()
            if not self._accept("AND"):
                raise query_error("EXPECTED_AND", "BETWEEN needs two values joined by AND.")
            return Condition(name, operator, (low, self._value()))
        return Condition(name, operator, (self._value(),))

    def _operator(self) -> str:
        token = self._take()
        if token.kind == "symbol" and token.text in _COMPARISONS:
            return token.text
        word = token.word()
        if word in ("IN", "LIKE", "DURING", "BETWEEN", "REGEXP_MATCH"):
            return word
        if word == "NOT":
            for other in ("IN", "LIKE", "REGEXP_MATCH"):
                if self._accept(other):
                    return f"NOT {other}"
        if word == "IS":
            return self._null()
        if word == "CONTAINS":
            for other in ("ANY", "ALL", "NONE"):
                if self._accept(other):
                    return f"CONTAINS {other}"
        text = token.text
        raise query_error("BAD_OPERATOR", f"Bad operator '{text}'.", trigger=text)

    def _null(self) -> str:
        if self._accept("NULL"):
            return "IS NULL"
        if self._accept("NOT", "NULL"):
            return "IS NOT NULL"
        raise query_error("BAD_OPERATOR", "IS must be followed by NULL or NOT NULL.")

    def _value(self) -> str:
        if self._next.text == "(" and self._next.kind == "symbol":
            raise query_error("EXPECTED_SINGLE_VALUE", "A single value is expected, not a list.")
        token = self._take()
        if token.kind == "symbol":
            raise query_error("BAD_VALUE", f"Bad value '{token.text}'.", trigger=token.text)
        return token.text

    def _list(self) -> tuple[str, ...]:
        if not self._accept_symbol("("):
            raise query_error("EXPECTED_LIST", "A list in parentheses is expected.")
        if self._accept_symbol(")"):
            raise query_error("PROHIBITED_EMPTY_LIST_IN_CONDITION", "The list is empty.")
        values = [self._value()]
        while self._accept_symbol(","):
            values.append(self._value())
        if not self._accept_symbol(")"):
            raise self._unexpected()
        return tuple(values)

    def _order(self) -> tuple[tuple[str, bool], ...]:
        if not self._accept("BY"):
            raise query_error("EXPECTED_BY", "ORDER must be followed by BY.")
        found = [self._direction(self._name())]
        while self._accept_symbol(","):
            found.append(self._direction(self._name()))
        return tuple(found)

    def _direction(self, name: str) -> tuple[str, bool]:
        if self._accept("DESC"):
            return name, True
        self._accept("ASC")
        return name, False

    def _limit(self) -> int:
        token = self._take()
        if token.kind != "number" or not token.text.lstrip("-").isdigit():
            raise query_error("BAD_LIMIT_VALUE", f"Bad limit '{token.text}'.", trigger=token.text)
        if int(token.text) < 1:
            raise query_error("LIMIT_VALUE_TOO_LOW", "The limit must be at least 1.")
        return int(token.text)

    def _parameters(self) -> dict[str, str]:
        found: dict[str, str] = {}
        while True:
            name = self._name()
            if not self._accept_symbol("="):
                raise self._unexpected()
            found[name] = self._value()
            if not self._accept_symbol(","):
                return found
