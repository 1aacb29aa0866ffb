"""Databricks' SQL as DuckDB understands it, statement by statement."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

INFORMATION = "_information"
"""Schema that holds what ``information_schema`` shows in Databricks."""

_STAGING = re.compile(
    r"\s*(?:(?P<put>PUT)\s+'(?P<local>(?:[^'\\]|\\.)*)'\s+INTO|(?P<other>REMOVE|LIST))"
    r"\s+'(?P<path>(?:[^'\\]|\\.)*)'\s*(?P<overwrite>OVERWRITE)?\s*;?\s*",
    re.IGNORECASE | re.DOTALL,
)
_NOTHING = re.compile(
    r"\s*(CREATE\s+VOLUME|SET\s|ALTER\s+TABLE\s+\S+\s+SET\s+TBLPROPERTIES)", re.IGNORECASE
)
_SHAPE = re.compile(r"\b(array|string|bigint|int|double|boolean|date)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be done; ``kind`` says which of the other parts there are.

    ``placeholders`` counts those of the condition, which come before those of ``sql``.
    """

    kind: str
    sql: str = ""
    table: str = ""
    condition: str = ""
    placeholders: int = 0
    path: str = ""
    local: str = ""
    force: bool = False
    overwrite: bool = False
    comment: str = ""


@lru_cache(maxsize=1_000)
def plan(statement: str) -> Plan:
    """How to carry out one statement; ValueError where it is no Databricks SQL."""
    staging = _STAGING.fullmatch(statement)
    if staging:
        return Plan(
            kind=(staging["put"] or staging["other"]).lower(),
            path=_unescaped(staging["path"]),
            local=_unescaped(staging["local"] or ""),
            overwrite=bool(staging["overwrite"]),
        )
    if _NOTHING.match(statement):
        return Plan(kind="nothing")
    import sqlglot
    from sqlglot import errors, exp

    try:
        tree = sqlglot.parse_one(statement, read="databricks")
    except errors.SqlglotError as error:
        raise ValueError(str(error)) from error
    kinds: tuple[tuple[Any, Callable[[Any], Plan]], ...] = (
        (exp.Copy, _copy),
        (exp.Insert, _insert),
        (exp.Describe, lambda tree: Plan(kind="describe", table=_sql(tree.this))),
        (exp.Create, _create),
        (exp.Query, lambda tree: Plan(kind="read", sql=_sql(tree))),
    )
    made = next((make for kind, make in kinds if isinstance(tree, kind)), None)
    return made(tree) if made else Plan(kind="write", sql=_sql(tree))


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _copy(tree: Any) -> Plan:
    from sqlglot import exp

    [source] = tree.args["files"]
    table = source.find(exp.Table)
    path = table.name
    options = tree.sql("databricks").lower()
    if "fileformat" not in options or "parquet" not in options:
        raise ValueError("COPY INTO: only FILEFORMAT = PARQUET is served here")
    table.replace(exp.to_table("_files"))
    select = source.this if isinstance(source, exp.Subquery) else exp.select("*").from_("_files")
    return Plan(
        kind="copy",
        table=_sql(tree.this),
        sql=_sql(select),
        path=path,
        force=bool(re.search(r"'?force'?\s*=\s*'true'", options)),
    )


def _insert(tree: Any) -> Plan:
    from sqlglot import exp

    where = tree.args.get("where")
    if where is None:
        return Plan(kind="write", sql=_sql(tree))
    where = where.this if isinstance(where, exp.Where) else where
    return Plan(
        kind="replace",
        table=_sql(tree.this),
        condition=_sql(where),
        placeholders=len(list(where.find_all(exp.Placeholder))),
        sql=_sql(tree.expression),
    )


def _create(tree: Any) -> Plan:
    from sqlglot import exp

    comment = ""
    for found in tree.find_all(exp.SchemaCommentProperty):
        comment = found.this.name
    tree.set("properties", None)
    is_view = str(tree.args.get("kind")).upper() == "VIEW"
    return Plan(
        kind="view" if is_view and comment else "write",
        sql=_sql(tree),
        table=_sql(tree.this),
        comment=comment,
    )


def _sql(tree: Any) -> str:
    tree = tree.copy()
    for node in reversed(list(tree.walk())):  # from the leaves up
        changed = _node(node)
        if node is tree:
            tree = changed
        elif changed is not node:
            node.replace(changed)
    return str(tree.sql("duckdb"))


def _node(node: Any) -> Any:
    from sqlglot import exp

    for kind, change in _changes(exp):
        if isinstance(node, kind):
            return change(node)
    return node


def _changes(exp: Any) -> tuple[tuple[Any, Callable[[Any], Any]], ...]:
    return (
        (exp.Table, _information),
        (exp.Column, _metadata),
        (exp.IntDiv, _whole),
        (exp.FromJson, _from_json),
        (exp.ArrayContains, _contains),
        (exp.Anonymous, _function),
        (exp.SubstringIndex, _substring),
        (exp.JSONExtractScalar, _json_text),
    )


def _information(table: Any) -> Any:
    from sqlglot import exp

    if table.db.lower() == "information_schema":
        table.set("db", exp.to_identifier(INFORMATION))
    return table


def _metadata(column: Any) -> Any:
    """Where a row of COPY INTO comes from."""
    from sqlglot import exp

    if column.table == "_metadata":
        name = exp.column("filename")
        return exp.func("parse_filename", name) if column.name == "file_name" else name
    return column


def _whole(division: Any) -> Any:
    """DuckDB divides decimals as floating point; whole numbers exactly."""
    from sqlglot import exp

    top, bottom = (exp.cast(division.args[part], "INT128") for part in ("this", "expression"))
    return exp.cast(exp.paren(exp.IntDiv(this=top, expression=bottom)), "BIGINT")


def _from_json(call: Any) -> Any:
    from sqlglot import exp

    shape = call.expression.name.lower()
    depth, base = shape.count("array<"), shape.rstrip(">").rpartition("<")[2]
    if not _SHAPE.fullmatch(base):
        raise ValueError(f"from_json: {shape} is not served here")
    kind = {"string": "VARCHAR"}.get(base, base.upper())
    text = exp.Literal.string("[" * depth + f'"{kind}"' + "]" * depth)
    return exp.Anonymous(this="from_json", expressions=[call.this, text])


def _contains(call: Any) -> Any:
    from sqlglot import exp

    return exp.Anonymous(this="list_contains", expressions=[call.this, call.expression])


def _json_text(call: Any) -> Any:
    """A path may be put together; the parser makes a call of a plain one, too."""
    from sqlglot import exp

    path = call.expression
    if isinstance(path, exp.JSONPath):
        path = exp.Literal.string(path.sql("duckdb").strip("'"))
    return exp.Anonymous(this="json_extract_string", expressions=[call.this, path])


def _substring(call: Any) -> Any:
    """Only what stands before the first delimiter."""
    from sqlglot import exp

    return exp.func("split_part", call.this, call.args["delimiter"], exp.Literal.number(1))


def _function(call: Any) -> Any:
    from sqlglot import exp

    name = call.name.lower()
    if name == "xxhash64":
        hashed = exp.Anonymous(this="hash", expressions=call.expressions)
        # Signed, as Spark's.
        return exp.cast(
            exp.BitwiseRightShift(this=hashed, expression=exp.Literal.number(1)), "BIGINT"
        )
    return call
