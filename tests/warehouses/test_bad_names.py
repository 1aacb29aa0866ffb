"""Names of schemas that somebody may think of: quoted everywhere, or refused in one short line."""

from __future__ import annotations

from typing import Any

import pytest
import sqlglot
from sqlglot import exp

from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.warehouses import databricks_sql, duckdb, postgres_sql, snowflake_sql
from airflow_provider_liftos.warehouses.contract import Capabilities
from airflow_provider_liftos.warehouses.databricks_sql import REFUSED_IN_NAMES
from tests.warehouses.engines import reopened
from tests.warehouses.staging import DAY1, Lab, performance_row, report_slice

HOSTILE = (
    "a\"b'c`d", "a; DROP--", "a b.c", "größe🦩", "a\\b", "b\\", "what?", "100%s %", "{table}", "/* a",
)  # fmt: skip
OBJECTS = tuple(name for name in HOSTILE if not set(name) & set(REFUSED_IN_NAMES))
DIALECTS = {
    made.name: made
    for made in (
        duckdb.CAPABILITIES,
        postgres_sql.CAPABILITIES,
        snowflake_sql.CAPABILITIES,
        databricks_sql.CAPABILITIES,
    )
}


def called(bare: Any, name: str) -> Any:
    return reopened(bare, schema=name, audit_schema=f"{name}_audit")


@pytest.mark.parametrize(
    ("engine", "name"),
    [
        *(("duckdb", name) for name in HOSTILE),
        *(("postgres", name) for name in HOSTILE),
        *(("databricks", name) for name in OBJECTS),
        ("snowflake", "größe🦩"),  # others the emulator does not quote where it describes a table
    ],
)
def test_a_schema_may_be_called_anything(bare, tmp_path, name):
    made = called(bare, name)
    Lab(tmp_path, made).publish(report_slice(), [performance_row(DAY1)])
    count = f"SELECT count(*) FROM {made.layout.published('performance')}"
    assert made.query(count) == [(1,)]
    changes = f"SELECT count(*) FROM {made.layout.published('schema_changes')}"
    noted = made.query(changes)
    called(bare, name).prepare()
    assert made.query(changes) == noted, "it finds its tables again"


@pytest.mark.parametrize("capabilities", DIALECTS.values(), ids=DIALECTS)
@pytest.mark.parametrize("name", HOSTILE)
def test_names_and_texts_are_read_as_they_were_meant(capabilities: Capabilities, name: str) -> None:
    dialect, kept = capabilities.name, capabilities.kept(name)
    sent = f"SELECT {capabilities.text(name)} FROM {capabilities.ident(name, name)}"
    for sql in (sent, sqlglot.parse_one(sent, read=dialect).sql(dialect)):
        [statement] = sqlglot.parse(sql, read=dialect)
        assert statement is not None
        [table], [text] = statement.find_all(exp.Table), statement.find_all(exp.Literal)
        assert (table.db, table.name, text.this) == (kept, kept, name)


@pytest.mark.parametrize("capabilities", DIALECTS.values(), ids=DIALECTS)
def test_a_megabyte_is_quoted_as_a_word_is(capabilities: Capabilities) -> None:
    word, often = "`\"'\\", 250_000
    for quoted in (capabilities.ident, capabilities.text):
        first, body, last = quoted(word)[0], quoted(word)[1:-1], quoted(word)[-1]
        assert quoted(word * often) == first + body * often + last


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("x" * 1_000_000, "is longer than"),
        ("nul\x00in", "holds the character NUL"),
        ("new\nline", r"holds the character '\\n'"),  # which views would show as a space
        ("", "has no name"),
    ],
    ids=["1 MB", "NUL", "line", "none"],
)
def test_a_name_that_an_engine_cannot_keep_is_refused_in_a_short_line(bare, name, said):
    with pytest.raises(ConfigurationError, match=said) as caught:
        reopened(bare, schema=name).prepare()
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("engine", ["databricks"])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a b", "holds the character ' '"),
        ("a.b", "holds the character '.'"),
        ("a/b", "holds the character '/'"),
        ("Ads", "is kept as 'ads': write it so"),
    ],
)
def test_what_unity_catalog_keeps_otherwise_is_refused_before_it_is_sent(bare, name, said):
    with pytest.raises(ConfigurationError, match=said):
        reopened(bare, schema=name).prepare()
