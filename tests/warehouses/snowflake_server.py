"""A Snowflake for tests: the real client against an emulator that stands on DuckDB.

Three things are mended for it: it knows no REMOVE, and says yes to it; of MERGE it takes no
expressions and no parameters outside of the source, so DuckDB's own MERGE is carried out; and
moments that are null it would answer as those of 1970. It takes PARSE_JSON's ``'d'`` as it is, and
keeps a key that comes twice.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from itertools import count
from typing import Any

import pytest

from airflow_provider_liftos.model.unified import TABLES
from airflow_provider_liftos.warehouses.ddl import audit_tables
from airflow_provider_liftos.warehouses.snowflake import SnowflakeWarehouse

DATABASE = "WAREHOUSE"
FALLS_SHORT = {
    "test_what_does_not_fit_is_null_and_breaks_no_query[snowflake]": (
        "the emulator sums decimals in floating point, where this one is rounded to what fits not"
    ),
}
"""Tests of the contract that the emulator cannot pass, by name, and why."""

_numbers = count()


@contextmanager
def snowflake_server() -> Iterator[dict[str, Any]]:
    """What the connector connects with; nothing else runs in the process with it."""
    serve = _server_of_fakesnow()
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        patch.setattr("fakesnow.cursor.transforms.merge", _merge_of_duckdb)
        _moments_of_fakesnow()
        patch.setattr("fakesnow.arrow.timestamp_to_sf_struct", _nulls_kept)
        with serve(session_parameters={"nop_regexes": ["^REMOVE "]}) as given:
            yield {**given, "network_timeout": 15, "login_timeout": 15, "database": DATABASE}


@cache
def _server_of_fakesnow() -> Any:
    """Its function, whose name stands for a module of the package once it was called."""
    import fakesnow

    return fakesnow.server


def _merge_of_duckdb(statement: Any) -> list[Any]:
    """In place of the emulator's translation into several statements; counts are not told."""
    import sqlglot

    if statement.key != "merge":
        return [statement]
    told = sqlglot.parse_one('SELECT 0 AS "number of rows inserted"')
    told.set("merge_counts", True)
    return [statement, told]


@cache
def _moments_of_fakesnow() -> Any:
    """The emulator's own function, asked for before another stands in its place."""
    import fakesnow.arrow

    return fakesnow.arrow.timestamp_to_sf_struct


def _nulls_kept(moments: Any) -> Any:
    import pyarrow as pa

    parts = _moments_of_fakesnow()(moments)
    fields = [parts.type.field(i) for i in range(parts.type.num_fields)]
    return pa.StructArray.from_arrays(
        [parts.field(i) for i in range(len(fields))],
        fields=[field.with_nullable(True) for field in fields],
        mask=moments.combine_chunks().is_null(),
    )


def administer(given: Mapping[str, Any], *statements: str) -> None:
    """What a person types into a worksheet."""
    import snowflake.connector

    with snowflake.connector.connect(**given) as connection:
        for statement in statements:
            connection.cursor().execute(statement)


def new_database(given: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of a database of nobody else's."""
    name = f"{DATABASE}_{next(_numbers)}"
    administer({k: v for k, v in given.items() if k != "database"}, f"CREATE DATABASE {name}")
    return {**given, "database": name}


def warehouse_at(given: Mapping[str, Any], **options: Any) -> SnowflakeWarehouse:
    return SnowflakeWarehouse(lambda: given, **{"wait": 20, **options})


def emptied(warehouse: SnowflakeWarehouse) -> SnowflakeWarehouse:
    """Without rows, and without memory of its tables; below the emulator, which takes less time."""
    from fakesnow.server import shared_fs

    given = warehouse._account.parameters()
    names = [warehouse.layout.published(name) for name in TABLES]
    names += [warehouse.layout.audit(table.name) for table in audit_tables()]
    with shared_fs.duck_conn.cursor() as cursor:
        for name in names:
            cursor.execute(f"DELETE FROM {given['database']}.{name}")
    return warehouse_at(given)
