"""Rows of a source of one's own go all the way to what people see."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from airflow.sdk.exceptions import AirflowException

from airflow_provider_liftos.model.errors import ConfigurationError
from airflow_provider_liftos.operators.sql_extract import LiftosSqlExtractOperator
from airflow_provider_liftos.operators.sql_pipeline import SqlPipeline
from tests.operators.sources import COLUMNS, KINDS, Run, day, postgres, row, source_of


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with pytest.MonkeyPatch.context() as environment:
        yield Run(tmp_path, environment)


def test_rows_of_a_query_are_published_and_audited(run: Run) -> None:
    run.sqlite([row(0), row(1, cost="7.25"), row(1, "b")])
    run.params = {"since": day(0), "until": day(1)}
    summary = run.whole()
    assert (summary["rows"], summary["held"], summary["status"]) == (3, 0, "complete")
    assert summary["score"] > 90
    assert run.seen() == [
        ("a", day(0), Decimal("10.500000")),
        ("a", day(1), Decimal("7.250000")),
        ("b", day(1), Decimal("10.500000")),
    ]
    assert run.seen("platform, report, level, currency, account_timezone")[0] == (
        "internal", "basic", "account", "EUR", "UTC",
    )  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_source_publishes_the_same(
    kind: str, run: Run, request: pytest.FixtureRequest
) -> None:
    exact = "123456789012.123456"
    rows = [row(0, cost=exact), row(0, "bü🛒", cost="0.000001"), row(1, cost=None), row(2, "b")]
    run.params = {"since": day(0), "until": day(2)}
    summary = run.whole(**source_of(kind, run, rows, request))
    assert (summary["rows"], summary["held"]) == (4, 0)
    assert run.seen("account_id, date, spend, conversions, conversions_value, impressions") == [
        ("a", day(0), Decimal(exact), 2, Decimal("99.99"), 1000),
        ("a", day(1), None, 2, Decimal("99.99"), 1000),
        ("b", day(2), Decimal("10.5"), 2, Decimal("99.99"), 1000),
        ("bü🛒", day(0), Decimal("0.000001"), 2, Decimal("99.99"), 1000),
    ]


@pytest.mark.parametrize("kind", ["sqlite", "duckdb", "postgres", "parquet"])
def test_a_cursor_brings_the_days_that_changed_and_no_others(
    kind: str, run: Run, request: pytest.FixtureRequest
) -> None:
    rows = [row(number, shop) for number in range(4) for shop in "ab"]
    options = {"cursor": "changed", **source_of(kind, run, rows, request)}
    first = run.extract(**options)
    assert (first["rows"], first["since"], first["until"]) == (8, day(0), day(3))
    run.rest(first)
    run.number += 1
    again = run.extract(**options)
    # At the boundary: rows of the greatest value are read again, and only their day.
    assert (again["rows"], again["since"], again["until"]) == (2, day(3), day(3))
    run.rest(again)
    assert len(run.seen()) == 8


class Growing:
    """A table that changes between runs, in SQLite or Postgres."""

    def __init__(self, kind: str, run: Run, request: pytest.FixtureRequest) -> None:
        self.run = run
        if kind == "sqlite":
            self.made, self.mark = run.sqlite(), "?"
            return
        import psycopg

        self.made = psycopg.connect(postgres(run, request, []), autocommit=True)
        self.mark = "%s"
        request.addfinalizer(self.made.close)

    def add(self, *rows: tuple) -> None:
        self.run.insert(self.made, rows, self.mark)


@pytest.fixture(params=["sqlite", "postgres"])
def growing(request: pytest.FixtureRequest, run: Run) -> Growing:
    run.options["cursor"] = "changed"
    return Growing(request.param, run, request)


def test_a_row_with_the_same_cursor_value_that_comes_later_is_neither_lost_nor_doubled(
    run: Run, growing: Growing
) -> None:
    growing.add(row(0), row(1, changed=f"{day(2)} 08:00:00"))
    run.whole()
    growing.add(row(0, "late", changed=f"{day(2)} 08:00:00"))
    run.whole()
    run.whole()
    assert [found[:2] for found in run.seen()] == [
        ("a", day(0)), ("a", day(1)), ("late", day(0)),
    ]  # fmt: skip


def test_what_was_committed_late_is_found_within_the_overlap_only(
    run: Run, growing: Growing
) -> None:
    growing.add(row(0), row(1, changed=f"{day(2)} 08:00:00"))
    run.whole()
    growing.add(row(0, "late", changed=f"{day(2)} 07:55:00"))
    run.whole()
    assert len(run.seen()) == 2
    run.whole(overlap=600)
    assert [found[0] for found in run.seen()] == ["a", "a", "late"]


def test_a_changed_row_replaces_its_day_which_keeps_its_other_rows(
    run: Run, growing: Growing
) -> None:
    growing.add(row(0, cost="1"), row(0, cost="2", seen="5"), row(1), row(5))
    run.options["breakdowns"] = ["seen"]
    run.options["columns"] = {k: v for k, v in COLUMNS.items() if k != "impressions"}
    run.whole()
    growing.made.execute(
        f"UPDATE spend SET cost = '3', changed = '{day(6)} 00:00:00' WHERE cost IN ('1', 1)"
    )
    run.number += 1
    extracted = run.extract()
    assert extracted["rows"] == 2 + 1
    run.rest(extracted)
    assert [int(found[2]) for found in run.seen() if found[1] == day(0)] in ([3, 2], [2, 3])
    assert len(run.seen()) == 4


def test_rows_without_a_cursor_value_are_read_each_time(run: Run, growing: Growing) -> None:
    growing.add(row(0), row(9))
    run.whole()
    growing.add((*row(1, "unset")[:-1], None))
    run.whole()
    assert ("unset", day(1)) in [found[:2] for found in run.seen()]


def test_a_run_that_died_before_publishing_is_made_up_for_by_the_next(
    run: Run, growing: Growing
) -> None:
    growing.add(row(0))
    run.whole()
    growing.add(row(1), row(2))
    run.number += 1
    assert run.extract()["rows"] == 2 + 1
    growing.add(row(3))
    run.whole()
    assert [found[1] for found in run.seen()] == [day(0), day(1), day(2), day(3)]


def test_a_day_that_the_audit_holds_back_keeps_the_cursor_where_it_was(
    run: Run, growing: Growing
) -> None:
    growing.add(row(0))
    run.whole()
    growing.add(row(1, cost="5"), row(1, cost="6"), row(30))  # two rows of one key
    assert run.whole(slice_days=1)["held"] == 1
    assert day(1) not in [found[1] for found in run.seen()]
    growing.made.execute("DELETE FROM spend WHERE cost IN ('6', 6)")
    assert run.whole(slice_days=1)["held"] == 0
    assert [found[1] for found in run.seen()] == [day(0), day(1), day(30)]


def test_a_retry_leaves_what_the_first_try_would_have(run: Run, growing: Growing) -> None:
    growing.add(row(0), row(1))
    run.number += 1
    run.extract()
    run.rest(run.extract())
    assert len(run.seen()) == 2
    assert run.extract()["rows"] == 1


def test_an_organization_and_its_invented_rows_stay_among_themselves(run: Run) -> None:
    from airflow_provider_liftos.hooks import config
    from airflow_provider_liftos.state.ledger import Ledger

    run.sqlite([row(0)])
    run.connect("sqlite", host=str(run.folder / "shop.db"), extra={"org_id": "acme"})
    run.whole(cursor="changed")
    assert run.seen("org_id, date") == [("acme", day(0))]
    entries = Ledger(config.state_store(), "acme").rows(platform="internal")
    assert {entry.run.phase for entry in entries} == {
        "extract", "normalize", "load", "audit", "publish",
    }  # fmt: skip


def two_tables(run: Run) -> None:
    """``spend`` has rows of a, changed lately; ``other`` has rows of b, changed before."""
    made = run.sqlite([row(0, "b"), row(1, "b")])
    made.execute("CREATE TABLE other AS SELECT * FROM spend")
    made.execute("DELETE FROM spend")
    run.insert(made, [row(9), row(10)])
    run.options["cursor"] = "changed"


def test_tasks_of_the_same_query_each_read_it(run: Run) -> None:
    run.sqlite([row(0), row(1)])
    run.options["cursor"] = "changed"
    run.whole()
    run.number += 1
    assert run.extract()["rows"] == 1
    run.task_id = "again"
    assert run.extract()["rows"] == 2
    run.task_id, run.dag_id = "extract", "another"
    assert run.extract()["rows"] == 2


def test_mapped_tasks_keep_their_cursors_when_their_list_changes(run: Run) -> None:
    two_tables(run)
    run.map_index = 0
    run.whole()
    run.map_index = 1
    run.whole(sql="SELECT * FROM other")
    assert [found[0] for found in run.seen()] == ["a", "a", "b", "b"]
    run.number += 1
    run.map_index = 0
    assert run.extract(sql="SELECT * FROM other")["rows"] == 1
    run.map_index = 5
    assert run.extract()["rows"] == 1


def test_a_template_that_becomes_another_text_goes_on_where_it_was(run: Run) -> None:
    run.sqlite([row(0), row(1)])
    task = LiftosSqlExtractOperator(
        task_id="extract", **{**run.options, "sql": "SELECT * FROM spend -- {{ ds }}"},
        cursor="changed",
    )  # fmt: skip
    for ds, rows in (("2026-11-01", 2), ("2026-11-02", 1)):
        run.number += 1
        task.sql = f"SELECT * FROM spend -- {ds}"
        extracted = task.execute(run.context("extract"))
        assert extracted["rows"] == rows
        run.rest(extracted)


def test_a_cursor_that_becomes_a_number_begins_anew_where_days_count(run: Run) -> None:
    run.sqlite([row(number, changed=f"{day(number)} 08:00:00") for number in range(5)])
    run.whole(cursor="changed", since=day(3))
    run.number += 1
    sql = "SELECT *, CAST(julianday(changed) AS INTEGER) AS changed_ FROM spend"
    cast = f"SELECT day, shop, cost, orders, revenue, seen, changed_ AS changed FROM ({sql})"
    task = LiftosSqlExtractOperator(
        task_id="extract", cursor="changed", since=day(3), **run.options
    )
    task.sql = cast
    again = task.execute(run.context("extract"))
    assert (again["rows"], again["since"]) == (2, day(3))


def test_rows_without_a_currency_are_held_back(run: Run) -> None:
    run.sqlite([row(0), row(1)])
    run.params = {"since": day(0), "until": day(1)}
    sql = f"SELECT *, CASE WHEN day = '{day(0)}' THEN 'USD' END AS cur FROM spend"
    summary = run.whole(sql=sql, currency="", columns={**COLUMNS, "currency": "cur"}, slice_days=1)
    assert summary["held"] == 1
    assert run.seen("account_id, date, currency") == [("a", day(0), "USD")]
    assert run.whole(sql=sql, columns={**COLUMNS, "currency": "cur"}, currency="USD")["held"] == 0
    assert len(run.seen()) == 2


def test_what_a_run_held_back_is_not_asked_for_by_a_replay(run: Run) -> None:
    from airflow_provider_liftos.operators.letters import box
    from airflow_provider_liftos.operators.replay import (
        LiftosChooseLettersOperator,
        LiftosReplayOperator,
    )
    from airflow_provider_liftos.state.letter import OPEN, REPLAYING, Wanted

    run.sqlite([row(0), row(0, cost="6")])  # two rows of one key
    run.params = {"since": day(0), "until": day(0)}
    assert run.whole()["held"] == 1
    run.params = {}
    [batch] = LiftosChooseLettersOperator(task_id="choose").execute(run.context("choose"))
    task = LiftosReplayOperator(task_id="replay", letters=batch)
    said = "rows of internal come from a query, not from a platform's interface"
    with pytest.raises(AirflowException, match=said) as refused:
        task.execute(run.context("replay"))
    assert "\n" not in str(refused.value)
    assert "Run the DAG of its LiftosSqlExtractOperator" in str(refused.value)
    kept = Wanted(ids=batch["ids"], states=(OPEN, REPLAYING))
    assert len(box("default").find(kept)) == 1


def test_a_folder_is_read_without_what_others_leave_there(run: Run) -> None:
    folder = run.folder / "files"
    folder.mkdir()
    text = f"day,shop,cost,orders,revenue,seen\n{day(0)},a,1,1,1,1\n"
    for name in ("a.csv", "B.CSV", "x.csv.tmp", ".a.csv.crc", "_b.csv", "._a.csv", "_SUCCESS"):
        (folder / name).write_text(text)
    run.params = {"since": day(0), "until": day(0)}
    assert run.extract(sql="", path=str(folder), conn_id=None)["rows"] == 2


def test_entities_are_published_with_their_history(run: Run) -> None:
    made = run.sqlite([row(0, "s1", seen="First"), row(0, "s2", seen="Second")])
    stores = {"stream": "campaigns", "account": "chain",
              "columns": {"campaign_id": "shop", "name": "seen"}}  # fmt: skip
    run.whole(**stores)
    made.execute("UPDATE spend SET seen = 'Renamed' WHERE shop = 's1'")
    made.execute("DELETE FROM spend WHERE shop = 's2'")
    run.whole(**stores)
    current = [
        found[:3]
        for found in run.seen("campaign_id, name, is_deleted, valid_to", "campaigns")
        if found[3] is None
    ]
    assert sorted(current) == [("s1", "Renamed", False), ("s2", "Second", True)]


def test_published_days_of_an_account_without_rows_are_read_as_empty(run: Run) -> None:
    made = run.sqlite([row(0, "a"), row(0, "b", cost="0")])
    run.params = {"since": day(0), "until": day(0)}
    run.whole()
    made.execute("DELETE FROM spend WHERE shop = 'b'")
    run.number += 1
    assert run.extract()["slices"] == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"platform": "metta"}, "a source cannot be called 'metta'"),
        ({"conn_id": "nobody"}, "connection 'nobody' is not defined"),
        ({"conn_id": "web"}, "connection 'web' is of type 'http'"),
        ({"path": "/x.csv"}, "either sql, with conn_id, or path"),
        ({"sql": "", "path": "/nowhere/*.csv", "conn_id": None}, "there is no file at"),
        ({"level": "shop"}, "unknown level 'shop'"),
        ({"sql": "SELECT day, shop FROM spend"}, "no column 'cost', 'orders'"),
        ({"sql": "SELECT * FROM nowhere"}, "connection 'shop' refuses the query"),
    ],
)
def test_what_cannot_work_ends_in_one_line(run: Run, options: dict, said: str) -> None:
    run.sqlite([row(0)])
    run.connect("http", "web", host="localhost")
    with pytest.raises(AirflowException, match=said) as failed:
        run.extract(**options)
    assert "\n" not in str(failed.value)


def test_a_password_is_in_no_message(run: Run) -> None:
    run.connect("postgres", host="127.0.0.1", port=1, login="me", password="hunter22")
    with pytest.raises(AirflowException, match="cannot be read for now") as failed:
        run.extract()
    assert "hunter22" not in str(failed.value)


def test_the_query_its_values_and_its_place_are_templates() -> None:
    task = LiftosSqlExtractOperator(
        task_id="extract", columns=COLUMNS, currency="EUR", conn_id="{{ c }}",
        sql="SELECT {{ c }}", parameters=["{{ c }}"], path="/{{ c }}.csv",
    )  # fmt: skip
    task.render_template_fields({"c": "shop"})
    found = (task.conn_id, task.sql, task.parameters, task.path)
    assert found == ("shop", "SELECT shop", ["shop"], "/shop.csv")
    assert ".sql" in task.template_ext


def test_what_a_dag_is_told_goes_before_what_it_is_by_itself() -> None:
    pipeline = SqlPipeline(conn_id="shop", sql="SELECT 1", columns=COLUMNS, currency="EUR")
    begin = datetime(2025, 5, 1, tzinfo=UTC)
    dag = pipeline.dag(
        tags=["mine"], start_date=begin, catchup=True, description="Mine", params={"x": 5},
        max_active_runs=2,
    )  # fmt: skip
    assert (dag.tags, dag.start_date, dag.catchup) == ({"mine"}, begin, True)
    assert (dag.description, dag.max_active_runs) == ("Mine", 2)
    assert set(dag.params) == {"since", "until", "last_n_days", "lifetime", "x"}
    assert (dag.params["x"], dag.params["lifetime"]) == (5, False)
    plain = pipeline.dag()
    assert (plain.tags, plain.catchup) == ({"liftos", "internal"}, False)
    assert "x" not in plain.params


def test_the_example_of_a_configuration_makes_dags() -> None:
    example = Path(__file__).parents[2] / "include" / "config" / "internal_source.yaml"
    pipelines = SqlPipeline.from_yaml(example)
    assert set(pipelines) == {"internal_shop", "offline_agency"}
    for name, pipeline in pipelines.items():
        dag = pipeline.dag()
        assert dag.dag_id == f"liftos_{name}"
        assert dag.get_task("extract").source.fills
        assert set(dag.get_task("load").upstream_task_ids) == {"normalize"}
    with pytest.raises(ConfigurationError, match="describes no sources"):
        SqlPipeline.from_yaml("/nowhere.yaml")
