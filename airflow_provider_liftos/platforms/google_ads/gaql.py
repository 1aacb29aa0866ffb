"""Google Ads Query Language: queries written from parts, and users' own taken apart.

Only what this house must know of a query is read: the fields, the resource and the conditions as
they are. Google reads the rest.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from airflow_provider_liftos.model.errors import ConfigurationError

_WORDS = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|-?[\w.]+|\S""")
_CLAUSES = ("SELECT", "FROM", "WHERE", "ORDER", "LIMIT", "PARAMETERS")
_FIELD = re.compile(r"[a-z][a-zA-Z0-9_.]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A query's parts; ``conditions`` are joined by AND. ``rest`` is what comes behind them."""

    fields: tuple[str, ...]
    resource: str
    conditions: tuple[str, ...] = ()
    rest: str = ""

    @property
    def text(self) -> str:
        """The query as Google reads it."""
        where = f" WHERE {' AND '.join(self.conditions)}" if self.conditions else ""
        rest = f" {self.rest}" if self.rest else ""
        return f"SELECT {', '.join(self.fields)} FROM {self.resource}{where}{rest}"


def one_of(field: str, values: Sequence[str], *, negated: bool = False) -> str:
    """A condition on numbers such as ids; ConfigurationError for what is no number."""
    for value in values:
        if not value.isdigit():
            raise ConfigurationError(f"{value!r} is no id of Google Ads")
    return f"{field} {'NOT IN' if negated else 'IN'} ({', '.join(values)})"


def parse(text: str) -> Query:
    """The parts of a query; ConfigurationError says what is wrong with it."""
    words = _WORDS.findall(text)
    places = [n for n, word in enumerate(words) if word.upper() in _CLAUSES]
    heads = [words[n].upper() for n in places]
    if heads[:2] != ["SELECT", "FROM"] or places[0] != 0 or len(set(heads)) != len(heads):
        raise ConfigurationError(f"not a query of Google Ads: {text[:80]!r}; SELECT ... FROM ...")
    parts = {
        head: words[start + 1 : end]
        for head, start, end in zip(heads, places, [*places[1:], len(words)], strict=True)
    }
    fields = [word for word in parts["SELECT"] if word != ","]
    for name in (*fields, *parts["FROM"]):
        if not _FIELD.fullmatch(name):
            raise ConfigurationError(f"{name!r} is no name of a field or resource")
    if len(parts["FROM"]) != 1:
        raise ConfigurationError("a query is FROM one resource")
    rest = [f"{head} {_spaced(parts[head])}" for head in heads if head not in _CLAUSES[:3]]
    return Query(
        fields=tuple(dict.fromkeys(fields)),
        resource=parts["FROM"][0],
        conditions=tuple(_conditions(parts.get("WHERE", []))),
        rest=" ".join(rest),
    )


def _conditions(words: Sequence[str]) -> list[str]:
    """Conditions apart; the AND of BETWEEN is none."""
    found: list[list[str]] = [[]] if words else []
    between = False
    for word in words:
        if word.upper() == "AND" and not between:
            found.append([])
            continue
        between = word.upper() == "BETWEEN" or (between and word.upper() != "AND")
        found[-1].append(word)
    return [_spaced(one) for one in found if one]


def _spaced(words: Sequence[str]) -> str:
    """Words as text again; operators of two signs were taken apart by reading."""
    text = " ".join(words)
    return re.sub(r"([!<>]) =", r"\1=", text)
