"""What the drivers behind Airflow's SQL hooks take, and how their engines quote names.

Seen in the drivers' own code: what stands for a value, whether by place or by name, and whether a
percent sign must be doubled once there are values. Hooks do not tell; theirs is the last resort.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from airflow_provider_liftos.engine.source_query import DUCKDB, PYFORMAT, Dialect

_BACKTICKS = "`{}`"

KNOWN: Mapping[str, Dialect] = {
    "bigquery": replace(PYFORMAT, positional="", quotes=_BACKTICKS),
    "databricks": Dialect(quotes=_BACKTICKS),
    "duckdb": DUCKDB,
    "mssql": replace(PYFORMAT, quotes="[{}]", percent="%"),  # pymssql leaves %% as it is
    "mysql": replace(PYFORMAT, quotes=_BACKTICKS),
    "oracle": Dialect(positional=":{}"),
    "postgres": PYFORMAT,
    # Its driver looks for percent signs outside of quotes, always; ours are inside of them.
    "redshift": Dialect(positional="%s", named=""),
    "snowflake": PYFORMAT,
    "sqlite": Dialect(),
    "trino": Dialect(named=""),
    "vertica": replace(PYFORMAT, named=""),
}
_TYPES = {"gcpbigquery": "bigquery", "presto": "trino"}


def dialect_of(connection: Any, hook: Any = None) -> Dialect:
    """The dialect of a connection; of a type that is not known, what its hook says."""
    known = KNOWN.get(_TYPES.get(connection.conn_type, connection.conn_type))
    if known and connection.extra_dejson.get("client") == "mysql-connector-python":
        return replace(known, percent="%")  # which leaves %% as it is
    if known or hook is None:
        return known or Dialect()
    quotes = str(hook.escape_word_format)
    quotes = quotes if all(quotes.partition("{}")) else Dialect().quotes
    if str(hook.placeholder) == "%s":
        return replace(PYFORMAT, quotes=quotes)
    return Dialect(positional=str(hook.placeholder), named="", quotes=quotes)
