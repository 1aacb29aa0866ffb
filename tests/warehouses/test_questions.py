"""Questions of many: asked together where statements travel far, and answered to whom they are of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import duckdb
import pytest

from airflow_provider_liftos.warehouses.contract import Layout
from airflow_provider_liftos.warehouses.duckdb import CAPABILITIES
from airflow_provider_liftos.warehouses.questions import Asking, Question, answered


class Recorded:
    def __init__(self) -> None:
        self.sent: list[str] = []
        self._con = duckdb.connect()

    def execute(self, sql: str, params: Any = ()) -> list[tuple[Any, ...]]:
        self.sent.append(sql)
        return self._con.execute(sql, list(params)).fetchall()


def ask(session: Recorded, *askers: Asking[Any], joined: bool = True) -> list[Any]:
    capabilities = replace(CAPABILITIES, joined=joined)
    layout = Layout(capabilities=capabilities, schema="s", audit_schema="a")
    return answered(session, layout, askers)


def below(number: int) -> Asking[list[int]]:
    """Asks for numbers, and where there are any for their sum."""
    rows = yield Question(shown="i", source="FROM range(?) AS r(i)", params=(number,))
    if not rows:
        return []
    [(total,)] = yield Question(
        shown="sum(i)", source="FROM range(CAST(? AS BIGINT)) AS r(i)", params=(number,)
    )
    return [*sorted(i for (i,) in rows), int(total)]


@pytest.mark.parametrize(("joined", "statements"), [(True, 2), (False, 5)])
def test_each_gets_its_own_rows_in_its_own_order(joined, statements):
    session = Recorded()
    found = ask(session, below(3), below(0), below(2), joined=joined)
    assert found == [[0, 1, 2, 3], [], [0, 1, 1]]
    assert len(session.sent) == statements


def test_other_columns_are_another_statement():
    def one(shown: str) -> Asking[Any]:
        [row] = yield Question(shown=shown, source="", params=())
        return row

    session = Recorded()
    assert ask(session, one("1, 2"), one("'x'"), one("1, 2")) == [(1, 2), ("x",), (1, 2)]
    assert sorted(session.sent) == ["SELECT 'x' ", "SELECT 0, 1, 2  UNION ALL SELECT 2, 1, 2 "]


def test_what_one_makes_of_its_answer_may_fail():
    def failing() -> Asking[None]:
        yield Question(shown="1", source="", params=())
        raise ValueError("not what it declared")

    with pytest.raises(ValueError, match="declared"):
        ask(Recorded(), below(1), failing())


def test_who_asks_nothing_is_done_and_nobody_asks_nothing():
    def silent() -> Asking[str]:
        return "done"
        yield

    session = Recorded()
    assert ask(session, silent()) == ["done"]
    assert ask(session) == []
    assert session.sent == []
