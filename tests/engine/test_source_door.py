"""Answers of databases are taken batch by batch, never as a whole, where the driver can do that."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from airflow_provider_liftos.engine.source_door import BATCH, Door, translated
from airflow_provider_liftos.engine.source_query import PYFORMAT, Statement
from airflow_provider_liftos.model.errors import ConfigurationError, Unavailable

MANY = Statement(text=f"SELECT generate_series(1, {2 * BATCH + 1})", parameters=None)


def door(connection: Any) -> Door:
    return Door(connection=connection, dialect=PYFORMAT, title="shop", platform="internal")


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_postgres_keeps_the_rows_and_hands_them_out_as_they_are_read(
    driver: str, new_postgres_database: Callable[[], str]
) -> None:
    connection = importlib.import_module(driver).connect(new_postgres_database())
    asks = connection.cursor()
    batches = door(connection).rows(MANY)
    sizes = [len(next(batches))]
    asks.execute("SELECT statement FROM pg_cursors")
    [(held,)] = asks.fetchall()
    assert MANY.text in held
    sizes += map(len, batches)
    assert sizes == [BATCH, BATCH, 1]
    asks.execute("SELECT count(*) FROM pg_cursors")
    assert asks.fetchall() == [(0,)]
    connection.close()


class Connection:
    """Of mysqlclient; its cursor class is told by ``cursor``'s argument, as there."""

    def __init__(self) -> None:
        self.cursors: list[Any] = []

    def cursor(self, kind: Any = None) -> Any:
        made = (kind or Cursor)()
        self.cursors.append(made)
        return made


class Cursor:
    description = (("a",), ("b",))

    def __init__(self) -> None:
        self.left = list(range(2 * BATCH + 1))
        self.unread = False

    def execute(self, _text: str) -> None:
        self.unread = True

    def fetchmany(self, size: int) -> list[tuple[int]]:
        found, self.left = self.left[:size], self.left[size:]
        return [(number,) for number in found]

    def fetchall(self) -> list[tuple[int]]:
        self.unread = False
        return []

    def close(self) -> None:
        if type(self) is Cursor and self.unread:
            raise RuntimeError("Unread result found")


class SSCursor(Cursor):
    pass


@pytest.fixture
def mysql(monkeypatch: pytest.MonkeyPatch) -> Connection:
    cursors = ModuleType("MySQLdb.cursors")
    cursors.SSCursor = SSCursor  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "MySQLdb", ModuleType("MySQLdb"))
    monkeypatch.setitem(sys.modules, "MySQLdb.cursors", cursors)
    monkeypatch.setattr(Connection, "__module__", "MySQLdb.connections")
    return Connection()


def test_mysqlclient_is_asked_for_the_cursor_that_leaves_rows_on_the_server(
    mysql: Connection,
) -> None:
    assert [len(batch) for batch in door(mysql).rows(MANY)] == [BATCH, BATCH, 1]
    assert [type(cursor) for cursor in mysql.cursors] == [SSCursor]


def test_a_cursor_is_not_closed_before_its_answer_was_read_to_the_end() -> None:
    # MySQL's own connector takes that for a mistake, even where there are no rows.
    connection = Connection()
    assert door(connection).names(MANY) == ["a", "b"]


def kind(module: str, *names: str) -> type[Exception]:
    """A driver's error, by the names of its bases and its own."""
    found: type[Exception] = Exception
    for name in names:
        found = type(name, (found,), {"__module__": module})
    return found


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (kind("x", "Error", "ProgrammingError"), "no such thing"),
        (kind("google.api_core.exceptions", "GoogleAPICallError", "BadRequest"), "Unrecognized"),
        (kind("MySQLdb", "Error", "OperationalError"), '(1054, "Unknown column")'),
        (kind("oracledb.exceptions", "Error", "DatabaseError"), "ORA-00942: no table"),
    ],
)
def test_a_wrong_query_is_not_asked_again(wrong: type[Exception], said: str) -> None:
    class Refusing(Connection):
        def cursor(self, _kind: Any = None) -> Any:
            raise wrong(said)

    with pytest.raises(ConfigurationError, match=f"shop refuses the query: {re.escape(said)}"):
        door(Refusing()).names(MANY)


def test_a_server_that_is_gone_is_asked_again() -> None:
    gone = kind("MySQLdb", "Error", "OperationalError")("(2006, 'Server has gone away')")
    assert isinstance(translated(gone, "shop", "internal"), Unavailable)
