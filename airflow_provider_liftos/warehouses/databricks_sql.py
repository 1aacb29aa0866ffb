"""Databricks' ways, as data. Sources: its SQL language manual, and Delta Lake's for writing.

``INSERT INTO … REPLACE WHERE`` (Databricks Runtime 12.2 and later) replaces what a condition says,
in one commit, finds the files by the condition, and refuses rows that do not meet it. A MERGE that
deletes what its source lacks would read every file of the table instead.
"""

from __future__ import annotations

from airflow_provider_liftos.model.unified import Kind
from airflow_provider_liftos.warehouses.contract import Capabilities
from airflow_provider_liftos.warehouses.widening import widens_on_delta

LONGEST_NAME = 255
"""Characters of a name of schema, table or column."""
REFUSED_IN_NAMES = "./ "
"""Characters that Unity Catalog takes in no name of an object; it keeps all in lower case."""

# Decimals have 38 digits at most, and a quotient of two of them is rounded before it can be cut: so
# amounts are counted in millionths, as whole numbers of at most 2 x 10^18 x 10^18, and divided by
# ``div``, whose result is a BIGINT. What would not fit is not divided.
_MILLIONTHS = "CAST(CAST({} AS decimal(24,6)) * CAST(1000000 AS decimal(7,0)) AS decimal(19,0))"
_AMOUNT, _TIMES, _BY = (_MILLIONTHS.format(f"{{{part}}}") for part in ("amount", "times", "by"))
_TOP, _BOTTOM = f"(2 * abs({_AMOUNT}) * {_TIMES} + {_BY})", f"(2 * {_BY})"
_CONVERT = (
    f"CASE WHEN {_TOP} < {_BOTTOM} * CAST(1000000000000000000 AS decimal(19,0))"
    f" THEN CAST(CAST(CAST(sign({_AMOUNT}) AS int) * ({_TOP} div {_BOTTOM}) AS decimal(18,0))"
    " * CAST(0.000001 AS decimal(6,6)) AS decimal(18,6)) END"
)

CAPABILITIES = Capabilities(
    name="databricks",
    types={
        Kind.TEXT: "string",
        Kind.ID: "string",
        Kind.DATE: "date",
        Kind.TIMESTAMP: "timestamp",
        Kind.INT: "bigint",
        Kind.DECIMAL: "decimal(18,6)",
        Kind.MONEY: "decimal(18,6)",
        Kind.BOOL: "boolean",
        Kind.JSON: "string",
    },
    ratio="double",
    json_text="get_json_object({column}, concat('$.', {key}))",
    convert=_CONVERT,
    unnest="",  # one generator makes rows in a SELECT, no more
    plus_hours="timestampadd(HOUR, CAST({hours} AS int), CAST({day} AS timestamp_ntz))",
    zoned="convert_timezone({here}, {there}, {clock})",
    digest="sum(CAST(xxhash64({columns}) AS decimal(38,0)))",
    quote="`",
    backslash=True,
    joined=True,
    json_rows="SELECT explode(from_json(?, 'array<array<string>>')) AS r",
    replace="INSERT INTO {table} REPLACE WHERE {condition} {query}",
    columns="SELECT column_name FROM information_schema.columns"
    " WHERE table_schema = ? AND table_name = ? ORDER BY ordinal_position",
    widen=(
        "ALTER TABLE {table} SET TBLPROPERTIES ('delta.enableTypeWidening' = 'true')",
        "ALTER TABLE {table} ALTER COLUMN {column} TYPE {type}",
    ),
    widens=widens_on_delta,
)
