"""Warehouses that run statements by themselves, and tasks that wait for them, stint by stint."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from airflow.sdk.exceptions import TaskDeferred
from airflow.sdk.module_loading import import_string

from airflow_provider_liftos.hooks import config
from airflow_provider_liftos.operators.sql_extract import LiftosSqlExtractOperator
from airflow_provider_liftos.operators.task import read_manifest
from airflow_provider_liftos.sandbox.databricks import DatabricksSandbox
from airflow_provider_liftos.sandbox.snowflake_api import SnowflakeApi
from tests.operators.sources import TABLE, Run
from tests.warehouses import snowflake_server

SNOWFLAKE = {"date": "DATE", "text": "VARCHAR", "money": "NUMBER(24,8)", "int": "NUMBER(38,0)",
             "moment": "TIMESTAMP_NTZ"}  # fmt: skip
DUCKDB = {"date": "DATE", "text": "VARCHAR", "money": "DECIMAL(24,8)", "int": "BIGINT",
          "moment": "TIMESTAMP WITH TIME ZONE"}  # fmt: skip


class Snowflake:
    """The emulator for sessions, and in front of it the sandbox's SQL API on the same rows."""

    def __init__(self, run: Run, given: dict[str, Any], key: str) -> None:
        import snowflake.connector

        self.run, self.key = run, key
        self._given = snowflake_server.new_database(given)
        snowflake_server.administer(self._given, "CREATE SCHEMA IF NOT EXISTS SHOP")
        self._given["schema"] = "SHOP"
        self._session = snowflake.connector.connect(**self._given)
        self.execute(TABLE.format(**SNOWFLAKE))
        place = f"http://{given['host']}:{given['port']}"
        self.api = SnowflakeApi(engine=self._carry_out, behind=place)

    def execute(self, sql: str) -> Any:
        return self._session.cursor().execute(sql)

    def _carry_out(self, sql: str) -> tuple[str, list[str], list[Any]]:
        cursor = self.execute(sql)
        return cursor.sfqid, [column[0] for column in cursor.description], cursor.fetchall()

    @contextmanager
    def served(self) -> Iterator[Snowflake]:
        with self.api:
            self.connect(private_key_content=self.key)
            yield self
        self._session.close()

    def connect(self, **extra: Any) -> None:
        self.run.connect(
            "snowflake", login="liftos", password="s3cret-password", schema="shop",
            extra={**self.api.extra, "database": self._given["database"].lower(),
                   "warehouse": "small", "session_parameters": {"TIMEZONE": "UTC"}, **extra},
        )  # fmt: skip

    @property
    def texts(self) -> list[str]:
        return [one["statement"] for one in self.api.seen]

    @property
    def cancelled(self) -> list[str]:
        return self.api.cancelled

    def busy(self, looks: int) -> None:
        self.api.looks = looks

    def busy_looks(self) -> int:
        return min(one.looks for one in self.api._found.values())

    def forget(self) -> None:
        self.api.forget()

    def cancel_all(self) -> None:
        self.api.cancel_all()

    def breaks(self, *, final: bool) -> None:
        broken = ("002003", "42S02", "Object 'SPEND' does not exist or not authorized.")
        timeout = ("000630", "57014", "Statement reached its timeout of 3600 second(s).")
        self.api.broken = [broken if final else timeout]

    def new_token(self) -> None:
        self.api.end_tokens()


class Databricks:
    """The sandbox's server, by thrift and by REST."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.server = DatabricksSandbox()
        logging.getLogger("databricks.sql.unsafe").disabled = True

    @contextmanager
    def served(self) -> Iterator[Databricks]:
        with self.server:
            self.execute(TABLE.format(**DUCKDB))
            self.connect()
            yield self

    def execute(self, sql: str) -> Any:
        return self.server.lakehouse.run(sql)

    def connect(self, **extra: Any) -> None:
        self.run.connect(
            "databricks", host=self.server.host, port=self.server.port, schema="http",
            password=self.server.token, extra={**self.server.extra, **extra},
        )  # fmt: skip

    @property
    def texts(self) -> list[str]:
        return [one["statement"] for one in self.server.statements.asked]

    @property
    def cancelled(self) -> list[str]:
        return self.server.statements.cancelled

    def busy(self, looks: int) -> None:
        # The look itself counts there.
        self.server.statements.polls = looks + 1 if looks else 0

    def busy_looks(self) -> int:
        return min(one.polls for one in self.server.statements._found.values())

    def forget(self) -> None:
        self.server.statements.forget()

    def cancel_all(self) -> None:
        self.server.statements.cancel_all()

    def breaks(self, *, final: bool) -> None:
        broken = ("BAD_REQUEST", "[TABLE_OR_VIEW_NOT_FOUND] spend SQLSTATE: 42P01")
        away = ("TEMPORARILY_UNAVAILABLE", "the warehouse is stopping")
        self.server.statements.broken = [broken if final else away]

    def new_token(self) -> None:
        self.server.token = "dapi-that-came-later"
        self.connect()


def fill(warehouse: Snowflake | Databricks, rows: Sequence[tuple]) -> None:
    for one in rows:
        values = ", ".join("NULL" if v is None else "'" + v.replace("'", "''") + "'" for v in one)
        warehouse.execute(f"INSERT INTO spend VALUES ({values})")


class Stints:
    """A task, process by process: after every wait it is made anew, as is its trigger."""

    def __init__(self, run: Run, **options: Any) -> None:
        self.run = run
        self.options = {"deferrable": True, **run.options, **options}
        self.try_number, self.max_tries = 1, 2
        self.triggers: list[Any] = []
        self.method = ""

    def task(self) -> LiftosSqlExtractOperator:
        return LiftosSqlExtractOperator(task_id="extract", **self.options)

    def stint(self, event: Any = None, task: Any = None) -> Any:
        """A summary, or the trigger that is waited with, as it comes from its row."""
        context = self.run.context(self.run.task_id)
        context["ti"].try_number, context["ti"].max_tries = self.try_number, self.max_tries
        task = task or self.task()
        try:
            if event is None:
                return task.execute(context)
            return task.resume_execution(self.method, {"event": event}, context)
        except TaskDeferred as deferred:
            self.method = deferred.method_name
            path, given = deferred.trigger.serialize()
            self.triggers.append(import_string(path)(**json.loads(json.dumps(given))))
            return self.triggers[-1]

    async def whole(self) -> dict[str, Any]:
        """All stints and waits of one try."""
        done = self.stint()
        while not isinstance(done, dict):
            done = self.stint(await fired(done))
        return done


async def fired(trigger: Any) -> dict[str, Any]:
    [event] = [event.payload async for event in trigger.run()]
    return event


def staged(summary: dict[str, Any]) -> list[Any]:
    """All that later tasks find: slices, accounts, and their raw lines, file by file."""
    import pyarrow as pa

    staging = config.staging()
    found = []
    for cut in read_manifest(staging, summary).slices:
        files = []
        for file in cut.raw:
            with staging.open(file.path) as opened, pa.CompressedInputStream(opened, "zstd") as raw:
                files.append((file.rows, raw.read()))
        found.append((cut.slice, cut.account, files))
    return found
