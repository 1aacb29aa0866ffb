"""What the SQL builders need to know of Snowflake.

Names are kept in upper case, as Snowflake keeps those that people type without quotes: so
``select * from liftos.performance`` finds what is here. They are quoted all the same, because some
of them (``ROWS``) are reserved.
"""

from __future__ import annotations

from airflow_provider_liftos.model.unified import Kind
from airflow_provider_liftos.warehouses.contract import Capabilities
from airflow_provider_liftos.warehouses.widening import keeps_scale

LONGEST_NAME = 255
"""Characters of an identifier; Snowflake refuses what is longer."""

# Decimals divide to twelve places, which would round twice; integers less their remainder divide
# without one. Amounts are counted in millionths: at most 2 x 10^18 x 10^18, of 38 digits' room.
_MILLIONTHS = "CAST(CAST({} AS NUMBER(30,6)) * 1000000 AS NUMBER(37,0))"
_AMOUNT, _TIMES, _BY = (_MILLIONTHS.format(f"{{{part}}}") for part in ("amount", "times", "by"))
_DOUBLED = f"(2 * ABS({_AMOUNT}) * {_TIMES} + {_BY})"
_WHOLE = f"(({_DOUBLED} - MOD({_DOUBLED}, 2 * {_BY})) / NULLIF(2 * {_BY}, 0))"
# An overflow would be an error, so what cannot fit is found in floating point, before it is tried.
_ABOUT = "ABS({amount}) * CAST({times} AS FLOAT) / NULLIF(CAST({by} AS FLOAT), 0)"
_CONVERT = (
    f"CASE WHEN {_ABOUT} < 999999999999.9999"
    f" THEN CAST(SIGN({{amount}}) * {_WHOLE} * 0.000001 AS NUMBER(18,6)) END"
)

CAPABILITIES = Capabilities(
    name="snowflake",
    types={
        Kind.TEXT: "TEXT",
        Kind.ID: "TEXT",
        Kind.DATE: "DATE",
        Kind.TIMESTAMP: "TIMESTAMP_TZ",
        Kind.INT: "NUMBER(38,0)",
        Kind.DECIMAL: "NUMBER(18,6)",
        Kind.MONEY: "NUMBER(18,6)",
        Kind.BOOL: "BOOLEAN",
        Kind.JSON: "VARIANT",
    },
    ratio="FLOAT",
    json_text="CAST({column}[{key}] AS TEXT)",
    convert=_CONVERT,
    plus_days="DATEADD(DAY, {days}, {day})",
    plus_hours="DATEADD(HOUR, {hours}, CAST({day} AS TIMESTAMP_NTZ))",
    zoned="CONVERT_TIMEZONE({here}, {there}, {clock})",
    digest="SUM(CAST(HASH({columns}) AS NUMBER(37,0)))",
    unnest="",  # lists are no parameters
    upper=True,
    backslash=True,
    json_rows="SELECT VALUE AS r FROM TABLE(FLATTEN(INPUT => PARSE_JSON(?)))",
    json_item="CAST(r[{i}] AS TEXT)",
    joined=True,
    widens=keeps_scale,
    # One statement, which either replaces the table or leaves it: nobody finds half of it.
    rewrite="CREATE OR REPLACE TABLE {table} COPY GRANTS AS"
    " SELECT * REPLACE ({casts}) FROM {table}",
)
