"""The statements that a source's query becomes, in the SQL of each engine behind Airflow's hooks.

Run against engines elsewhere: SQLite, DuckDB and Postgres are real ones, Snowflake and Databricks
emulated. Those of all others are only parsed here.
"""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest
import sqlglot

from airflow_provider_liftos.engine.source_query import Query, Statement
from airflow_provider_liftos.hooks.source_dialects import KNOWN, dialect_of
from airflow_provider_liftos.model.errors import ConfigurationError

DAY, BOUND = date(2026, 11, 21), 7
QUOTED = {
    "bigquery": "q.`50% day`", "databricks": "q.`50% day`", "duckdb": 'q."50% day"',
    "mssql": "q.[50% day]", "mysql": "q.`50% day`", "oracle": 'q."50% day"',
    "postgres": 'q."50% day"', "redshift": 'q."50% day"', "snowflake": 'q."50% day"',
    "sqlite": 'q."50% day"', "trino": 'q."50% day"', "vertica": 'q."50% day"',
}  # fmt: skip
# The marks of two values behind a query without any of its own.
MARKS = {
    "bigquery": ("%(liftos_0)s", "%(liftos_1)s"), "mssql": ("%s", "%s"), "mysql": ("%s", "%s"),
    "oracle": (":liftos_0", ":liftos_1"), "postgres": ("%s", "%s"), "redshift": ("%s", "%s"),
    "snowflake": ("%s", "%s"), "vertica": ("%s", "%s"),
}  # fmt: skip
DOUBLED = {"bigquery", "mysql", "postgres", "snowflake", "vertica"}
_SQLGLOT = {"mssql": "tsql", "vertica": "postgres"}


def connection(conn_type: str, **extra: Any) -> Any:
    return SimpleNamespace(conn_type=conn_type, extra_dejson=extra)


def read(query: Query) -> list[Statement]:
    """All forms of statements that a reader makes of a query."""
    day = query.column("50% day")
    return [
        query.select("q.*", lambda _mark: "1 = 0"),
        query.select(f"min({day}), max({day})"),
        query.select(
            f"{day}, {query.column('shop')}",
            lambda mark: f"{day} >= {mark(BOUND)} OR {day} IS NULL",
            tail=f" GROUP BY {day}, {query.column('shop')}",
        ),
        query.select(day, lambda mark: f"({day} >= {mark(DAY)} AND {day} < {mark(DAY)})"),
    ]


def parsed(text: str, engine: str, marks: tuple[str, ...]) -> Any:
    """The statement as the engine's own grammar has it, with values where there are marks."""
    for mark in marks:
        text = text.replace(mark, "1", 1)
    return sqlglot.parse_one(text.replace("%%", "%"), dialect=_SQLGLOT.get(engine, engine))


@pytest.mark.parametrize("engine", sorted(KNOWN))
def test_statements_are_of_the_engines_grammar(engine: str) -> None:
    query = Query(sql="SELECT 1 AS x -- a remark\n;", dialect=KNOWN[engine])
    for statement in read(query):
        found = parsed(statement.text, engine, MARKS.get(engine, ("?", "?")))
        [inner] = found.find_all(sqlglot.exp.Subquery)
        assert inner.alias == "q"
        assert {column.name for column in found.find_all(sqlglot.exp.Column)} <= {
            "50% day", "shop", "*",
        }  # fmt: skip


@pytest.mark.parametrize("engine", sorted(KNOWN))
def test_no_statement_says_as_before_the_querys_name(engine: str) -> None:
    query = Query(sql="SELECT 1", dialect=KNOWN[engine])
    assert all("\n) q" in one.text for one in read(query))


@pytest.mark.parametrize("engine", sorted(KNOWN))
def test_days_are_asked_for_in_the_engines_quotes_and_marks(engine: str) -> None:
    statement = read(Query(sql="SELECT '5%'", dialect=KNOWN[engine]))[-1]
    begin, end = MARKS.get(engine, ("?", "?"))
    column, text = QUOTED[engine], "'5%'"
    if engine in DOUBLED:
        column, text = column.replace("%", "%%"), text.replace("%", "%%")
    assert statement.text == (
        f"SELECT {QUOTED[engine].replace('%', '%%') if engine in DOUBLED else column} FROM (\n"
        f"SELECT {text}\n) q WHERE ({column} >= {begin} AND {column} < {end})"
    )
    values = statement.parameters
    assert list(values.values() if isinstance(values, dict) else values or ()) == [DAY, DAY]


@pytest.mark.parametrize(
    ("quotes", "name", "quoted"),
    [("[{}]", "a]b[c", "[a]]b[c]"), ("`{}`", "a`b", "`a``b`"), ('"{}"', 'a"b', '"a""b"')],
)
def test_what_ends_a_name_is_doubled_within_it(quotes: str, name: str, quoted: str) -> None:
    hook = SimpleNamespace(placeholder="?", escape_word_format=quotes)
    assert dialect_of(connection("other"), hook).ident(name) == quoted


@pytest.mark.parametrize("quotes", ["", "{}", "[{}", '"'])
def test_a_format_without_both_halves_is_not_believed(quotes: str) -> None:
    hook = SimpleNamespace(placeholder="%s", escape_word_format=quotes)
    assert dialect_of(connection("other"), hook).ident("day") == '"day"'


@pytest.mark.parametrize(
    ("engine", "parameters", "said"),
    [
        ("bigquery", ["a"], "by place, but this driver takes them by name alone"),
        ("trino", {"n": "a"}, "by name, but this driver takes them by place alone"),
        ("redshift", {"n": "a"}, "by name, but this driver takes them by place alone"),
    ],
)
def test_values_that_a_driver_does_not_take_are_refused(
    engine: str, parameters: Any, said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said) as refused:
        Query(sql="SELECT 1", dialect=KNOWN[engine], parameters=parameters)
    assert "\n" not in str(refused.value)


def test_values_by_name_and_ours_are_bound_together() -> None:
    query = Query(sql="SELECT :n", dialect=KNOWN["oracle"], parameters={"n": "a"})
    statement = query.select("1", lambda mark: f"1 = {mark(1)}")
    assert statement.text == "SELECT 1 FROM (\nSELECT :n\n) q WHERE 1 = :liftos_0"
    assert statement.parameters == {"n": "a", "liftos_0": 1}


def test_only_drivers_that_halve_percent_signs_are_sent_two() -> None:
    connector = dialect_of(connection("mysql", client="mysql-connector-python"))
    assert (connector.percent, dialect_of(connection("mysql")).percent) == ("%", "%%")


def test_airflows_names_of_engines_are_known() -> None:
    assert dialect_of(connection("gcpbigquery")) == KNOWN["bigquery"]
    assert dialect_of(connection("presto")) == KNOWN["trino"]
