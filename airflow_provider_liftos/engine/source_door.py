"""A database of the user's, read through its DB-API driver in batches."""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from airflow_provider_liftos.engine.source_query import Dialect, Statement
from airflow_provider_liftos.model.errors import ConfigurationError, LiftosError, Unavailable
from airflow_provider_liftos.model.secret import Secret
from airflow_provider_liftos.transport.redact import redact

BATCH = 5_000
"""Rows that are held at once."""

_DRIVERS = {"Error", "GoogleAPICallError"}  # the base of PEP 249, and BigQuery's own
_WRONG = {"ProgrammingError", "DataError", "NotSupportedError", "IntegrityError", "BadRequest"}
_SAID = {  # of drivers that have no kind of error for it
    "sqlite3": re.compile(r"no such (table|column|function)|syntax error|near \"|not decode"),
    "MySQLdb": re.compile(r"\(1054,"),  # an unknown column
    "oracledb": re.compile(r"ORA-009\d\d"),
}


@dataclass(slots=True, kw_only=True)
class Door:
    """An open connection. ``title`` is what errors call it, ``secrets`` are left out of them."""

    connection: Any
    dialect: Dialect
    title: str
    platform: str
    secrets: Collection[Secret] = ()

    def names(self, statement: Statement) -> list[str]:
        """Names of a statement's columns. Raises as ``rows`` does."""
        with self._errors():
            cursor = self.connection.cursor()
            try:
                _execute(cursor, statement)
                names = [str(column[0]) for column in cursor.description or ()]
                cursor.fetchall()  # there are no rows, but MySQL's connector wants that seen
                return names
            finally:
                cursor.close()

    def ready(self, statement: Statement) -> None:
        """Nothing to wait for: a statement runs while it is read."""

    def rows(self, statement: Statement) -> Iterator[list[tuple[Any, ...]]]:
        """All rows of a statement, a few thousand at a time.

        Raises:
            ConfigurationError: the engine does not understand the query, or a value in it.
            Unavailable: the database does not answer, or broke off.
        """
        with self._errors():
            cursor = self._streaming()
            try:
                _execute(cursor, statement)
                while found := cursor.fetchmany(BATCH):
                    yield [_plain(row) for row in found]
            finally:
                with suppress(Exception):
                    cursor.close()

    def one(self, statement: Statement) -> tuple[Any, ...]:
        """The only row of a statement that has one. Raises as ``rows`` does."""
        return next(row for batch in self.rows(statement) for row in batch)

    def close(self) -> None:
        """Let the connection go."""
        with suppress(Exception):
            self.connection.close()

    def _streaming(self) -> Any:
        """A cursor that does not fetch everything at once, where the driver has one.

        Postgres needs a name for that, mysqlclient a class. ``redshift_connector`` has none: it
        holds the whole answer of a statement. What other drivers hold is up to them; those of
        SQLite, DuckDB, SQL Server, Oracle, BigQuery, Trino, Snowflake and Databricks take their
        rows as they are asked for, or in pages.
        """
        driver = type(self.connection).__module__.partition(".")[0]
        if driver.startswith("psycopg"):
            return self.connection.cursor(f"liftos_{uuid.uuid4().hex}")
        if driver == "MySQLdb":
            return self.connection.cursor(import_module("MySQLdb.cursors").SSCursor)
        return self.connection.cursor()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except LiftosError:
            raise
        except Exception as error:  # noqa: BLE001  drivers share no base
            raise translated(error, self.title, self.platform, self.secrets) from None


def translated(
    error: Exception, title: str, platform: str, secrets: Collection[Secret] = ()
) -> Exception:
    """What a driver's error means; what is no driver's error stays as it is."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if not names & _DRIVERS and not isinstance(error, OSError):
        return error
    said = redact(" ".join(str(error).split()), secrets, longest=300)
    known = _SAID.get(type(error).__module__.partition(".")[0])
    if names & _WRONG or (known and known.search(str(error))):
        return ConfigurationError(
            f"{title} refuses the query: {said}", platform=platform, hint="Correct the query."
        )
    return Unavailable(f"{title} cannot be read for now: {said}", platform=platform)


def _execute(cursor: Any, statement: Statement) -> None:
    if statement.parameters is None:
        cursor.execute(statement.text)
    else:
        cursor.execute(statement.text, statement.parameters)


def _plain(row: Any) -> tuple[Any, ...]:
    """A row, also where the connection asks for dictionaries."""
    return tuple(row.values()) if isinstance(row, Mapping) else row
