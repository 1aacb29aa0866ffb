"""What the SQL builders need to know of Postgres."""

from __future__ import annotations

from airflow_provider_liftos.model.unified import Kind
from airflow_provider_liftos.warehouses.contract import Capabilities

NUL, SHOWN = "\x00", "␀"

# Numerics divide to some sixteen digits, which would round twice; div() is exact to the integer.
_MILLIONTHS = (
    "sign({amount}) * div(2000000 * abs({amount}) * {times} + {by}, NULLIF(2 * {by}, 0)) * 0.000001"
)
_CONVERT = (
    f"CASE WHEN abs({_MILLIONTHS}) < 1000000000000 THEN CAST({_MILLIONTHS} AS numeric(18,6)) END"
)

CAPABILITIES = Capabilities(
    name="postgres",
    types={
        Kind.TEXT: "text",
        Kind.ID: "text",
        Kind.DATE: "date",
        Kind.TIMESTAMP: "timestamp with time zone",
        Kind.INT: "bigint",
        Kind.DECIMAL: "numeric(18,6)",
        Kind.MONEY: "numeric(18,6)",
        Kind.BOOL: "boolean",
        Kind.JSON: "jsonb",
    },
    ratio="double precision",
    json_text="{column} ->> {key}",
    convert=_CONVERT,
    unnest="unnest(CAST(? AS {type}[]))",
    plus_hours="CAST({day} AS timestamp) + CAST({hours} AS integer) * INTERVAL '1 hour'",
    zoned="timezone({there}, timezone({here}, {clock}))",
    substitutes=((NUL, SHOWN),),
    digest="sum(hashtextextended(CAST(ROW({columns}) AS text), 0))",
)
