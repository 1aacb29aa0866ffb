"""Reading a source: what becomes of values, which statements are sent, what is refused."""

from __future__ import annotations

import sqlite3
import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_liftos.engine.source_cursor import Reached
from airflow_provider_liftos.engine.source_door import Door
from airflow_provider_liftos.engine.source_query import PYFORMAT, Dialect, Query
from airflow_provider_liftos.model.errors import ConfigurationError, Unavailable
from airflow_provider_liftos.model.report import Window
from airflow_provider_liftos.model.source import Source
from tests.engine.source_bench import PLAIN, Bench

DAY = date(2026, 11, 3)
CLOCK = datetime(2026, 11, 3, 0, 5)  # noqa: DTZ001  as drivers give moments without a zone


def test_numbers_stay_exact_and_nothing_stays_nothing(bench: Bench) -> None:
    sql = (
        "SELECT DATE '2026-11-03' AS d, 123456789012345678901234.12345678::DECIMAL(38,8) AS cost,"
        " 0.1::DOUBLE AS revenue, 12.000::DECIMAL(9,3) AS seen, NULL AS clicks, '' AS name"
    )
    columns = {"date": "d", "spend": "cost", "conversions_value": "revenue",
               "impressions": "seen", "clicks": "clicks", "account_name": "name"}  # fmt: skip
    assert bench.rows(sql, columns) == [
        {"date": "2026-11-03", "spend": "123456789012345678901234.12345678",
         "conversions_value": "0.1", "impressions": "12", "account_name": ""}
    ]  # fmt: skip


def test_texts_keep_nul_emoji_and_quotes(bench: Bench) -> None:
    name = "a\x00b 🛒 \"'; DROP TABLE spend; -- \\ \n"
    bench.connection.execute("CREATE TABLE t (d DATE, n VARCHAR)")
    bench.connection.execute("INSERT INTO t VALUES (?, ?)", [DAY, name])
    [row] = bench.rows("SELECT * FROM t", {"date": "d", "account_name": "n"})
    assert row["account_name"] == name


@pytest.mark.parametrize(
    ("value", "day"),
    [
        ("TIMESTAMPTZ '2026-11-03 23:30:00+00'", "2026-11-04"),
        ("TIMESTAMP '2026-11-03 23:30:00'", "2026-11-03"),
        ("DATE '2026-11-03'", "2026-11-03"),
        ("'2026-11-03T23:30:00'", "2026-11-03"),
    ],
)
def test_a_moment_with_a_zone_is_of_the_day_it_is_in_the_sources_zone(
    bench: Bench, value: str, day: str
) -> None:
    reader = bench.reader(f"SELECT {value} AS d", {"date": "d"}, timezone="Europe/Berlin")
    only = Window(since=date.fromisoformat(day), until=date.fromisoformat(day))
    assert [row["date"] for row in bench.landed(reader.window(only))] == [day]
    before = Window(since=only.since - timedelta(days=3), until=only.since - timedelta(days=1))
    assert bench.landed(reader.window(before)) == []


def test_all_missing_columns_are_named_with_what_there_is(bench: Bench) -> None:
    with pytest.raises(ConfigurationError, match="no column 'cost', 'seen'; it has d, costs"):
        bench.rows("SELECT 1 AS d, 2 AS costs",
                   {"date": "d", "spend": "cost", "impressions": "seen"})  # fmt: skip


def test_columns_are_found_whatever_case_the_engine_writes_them_in(bench: Bench) -> None:
    rows = bench.rows('SELECT DATE \'2026-11-03\' AS "DAY", 5 AS "COST"',
                      {"date": "day", "spend": "cost"})  # fmt: skip
    assert rows == [{"date": "2026-11-03", "spend": "5"}]


@pytest.mark.parametrize(
    ("value", "column", "said"),
    [
        ("DATE '2026-11-03'", "spend", "'v' of the source holds date values, but fills 'spend'"),
        ("true", "clicks", "holds bool values, but fills 'clicks', which is a whole number"),
        ("1.5", "clicks", "holds numbers with fractions, but fills 'clicks'"),
        ("'ten'", "spend", "holds texts that are not an amount of money"),
        ("'\\xFF'::BLOB", "account_name", "holds bytes values, but fills 'account_name'"),
        ("[1, 2]", "spend", "holds list values"),
    ],
)
def test_a_column_of_the_wrong_type_is_named(
    bench: Bench, value: str, column: str, said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        bench.rows(f"SELECT DATE '2026-11-03' AS d, {value} AS v", {"date": "d", column: "v"})
    assert list(bench.staging.found("raw")) == []


@pytest.mark.parametrize("value", ["20261103", "'yesterday'", "1.5"])
def test_a_column_without_days_is_named(bench: Bench, value: str) -> None:
    with pytest.raises(ConfigurationError, match="column 'd' of the source holds"):
        bench.rows(f"SELECT {value} AS d", {"date": "d"})


def test_single_texts_that_are_no_numbers_are_left_to_normalize(bench: Bench) -> None:
    sql = "SELECT DATE '2026-11-03' AS d, unnest(['1', 'x', ' 2 ']) AS v"
    rows = bench.rows(sql, {"date": "d", "spend": "v"})
    assert sorted(row["spend"] for row in rows) == [" 2 ", "1", "x"]


def test_values_are_bound_and_names_quoted(bench: Bench) -> None:
    evil = '1"; DROP TABLE t; --'
    bench.connection.execute(
        f'CREATE TABLE t (d DATE, "{evil.replace(chr(34), chr(34) * 2)}" TEXT)'
    )
    bench.connection.execute("INSERT INTO t VALUES (?, ?)", [DAY, "' OR 1 = 1 --"])
    columns = {"date": "d", "account_name": evil}
    reader = bench.reader("SELECT * FROM t", columns, cursor=evil)
    first = reader.everything()
    assert first.reached == Reached(kind="text", text="' OR 1 = 1 --")
    assert len(bench.landed(reader.changes(first.reached))) == 1
    assert bench.landed(reader.changes(Reached(kind="text", text="zzz"))) == []
    assert bench.connection.execute("SELECT count(*) FROM t").fetchone() == (1,)


def test_a_query_may_have_values_comments_and_a_semicolon_of_its_own(bench: Bench) -> None:
    sql = "SELECT DATE '2026-11-03' AS d, ? AS n, 'a' AS c -- all of it\n;"
    for parameters in (["mine"], None):
        given = sql if parameters else sql.replace("?", "'mine'")
        reader = bench.reader(given, {"date": "d", "account_name": "n"}, parameters=parameters,
                              cursor="c")  # fmt: skip
        assert len(bench.landed(reader.changes(Reached(kind="text", text="a")))) == 1
    named = bench.reader(sql.replace("?", "$who"), {"date": "d", "account_name": "n"},
                         parameters={"who": "mine"}, cursor="c")  # fmt: skip
    [row] = bench.landed(named.changes(Reached(kind="text", text="a")))
    assert row["account_name"] == "mine"


def test_percent_signs_mean_what_they_mean_without_values() -> None:
    query = Query(sql="SELECT * FROM t WHERE n LIKE 'a%'", dialect=PYFORMAT)
    assert query.select("1").text.count("'a%'") == 1
    bound = query.select('q."50%"', lambda mark: f'q."50%" > {mark(5)}')
    assert "LIKE 'a%%'" in bound.text
    assert bound.text.endswith('WHERE q."50%%" > %s')
    assert bound.parameters == (5,)
    own = Query(sql="SELECT %s, '100%%'", parameters=[1], dialect=PYFORMAT)
    assert own.select("1", lambda mark: mark(2)).text.startswith(
        "SELECT 1 FROM (\nSELECT %s, '100%%'"
    )


@pytest.mark.parametrize(
    ("value", "overlap", "bound"),
    [
        (7, 0, 7),
        (7, 5, 2),
        (Decimal("7.5"), 2, Decimal("5.5")),
        (DAY, 60, DAY - timedelta(days=1)),
        (CLOCK, 600, CLOCK - timedelta(minutes=10)),
        (datetime(2026, 11, 3, 0, 5, tzinfo=UTC), 600, datetime(2026, 11, 2, 23, 55, tzinfo=UTC)),
        ("2026-11-03 00:05:00.25", 600, "2026-11-02 23:55:00"),
        ("2026-11-03T00:05:00+00:00", 600, "2026-11-02T23:55:00"),
        ("2026-11-03", 600, "2026-11-02"),
        ("b17", 0, "b17"),
    ],
)
def test_a_cursor_is_kept_as_text_and_comes_back_as_it_was(
    value: Any, overlap: float, bound: Any
) -> None:
    found = Reached.of(value, "c").bound(overlap, "c")
    assert (found, type(found)) == (bound, type(bound))


@pytest.mark.parametrize("value", [1.5, True, b"1", uuid.uuid4()])
def test_a_cursor_without_an_exact_order_is_refused(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="cursor column 'c' holds"):
        Reached.of(value, "c")


@pytest.mark.parametrize("value", ["9", " 10.50 ", "-1", "20261103"])
def test_a_cursor_of_numbers_as_text_is_refused(value: str) -> None:
    with pytest.raises(ConfigurationError, match="'c' holds numbers as text, such as") as refused:
        Reached.of(value, "c")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ("('9'), ('10')", "holds numbers as text, such as '10'"),
        ("('9'), ('10'), ('none')", "holds numbers as text, such as '10'"),
    ],
)
def test_a_column_of_numbers_as_text_is_no_cursor(bench: Bench, values: str, said: str) -> None:
    sql = f"SELECT DATE '2026-11-03' AS d, v FROM (VALUES {values}) AS t(v)"
    with pytest.raises(ConfigurationError, match=said):
        bench.reader(sql, {"date": "d"}, cursor="v").everything()
    with pytest.raises(ConfigurationError, match=said):
        bench.reader(sql, {"date": "d"}, cursor="v").changes(Reached(kind="text", text="9"))


def test_a_cursor_of_texts_among_numbers_is_refused(bench: Bench, tmp_path: Path) -> None:
    made = sqlite3.connect(tmp_path / "mixed.db")
    made.execute("CREATE TABLE t (d TEXT, v)")
    made.executemany("INSERT INTO t VALUES ('2026-11-03', ?)", [(9,), ("none",)])
    door = Door(connection=made, dialect=Dialect(), title="mixed", platform="internal")
    with pytest.raises(ConfigurationError, match="'v' holds texts among other values"):
        bench.reader("SELECT * FROM t", {"date": "d"}, door=door, cursor="v").everything()
    made.close()


def test_a_cursor_of_another_type_begins_anew_from_the_first_day_that_counts(
    bench: Bench,
) -> None:
    sql = "SELECT DATE '2026-11-03' + i::INTEGER AS d, i AS v FROM range(5) t(i)"
    reader = bench.reader(sql, {"date": "d"}, cursor="v")
    read = reader.changes(Reached(kind="text", text="b"), DAY + timedelta(days=3))
    days = sorted(row["date"] for row in bench.landed(read))
    assert days == ["2026-11-06", "2026-11-07"]


def test_a_missing_currency_is_not_made_up(bench: Bench) -> None:
    sql = (
        "SELECT DATE '2026-11-03' AS d, shop, cur FROM (VALUES ('a', 'USD'), ('a', NULL),"
        " ('b', ''), ('b', 'USD'), ('c', 'USD'), ('c', 'USD')) AS t(shop, cur)"
    )
    columns = {"date": "d", "account_id": "shop", "currency": "cur"}
    read = bench.reader(sql, columns, account="", currency="").everything()
    found = {cut.slice.account_id: cut.account.currency for cut in read.slices}
    assert found == {"a": "", "b": "", "c": "USD"}
    assert [row.get("currency") for row in bench.landed(read)].count("USD") == 4
    read = bench.reader(sql, columns, account="", currency="EUR").everything()
    assert {cut.account.currency for cut in read.slices} == {"EUR"}
    assert [row.get("currency") for row in bench.landed(read)].count(None) == 2


def test_an_overlap_of_texts_that_are_no_moments_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no overlap"):
        Reached(kind="text", text="b17").bound(60, "c")


def test_rows_are_sorted_into_their_accounts_days_in_few_files(bench: Bench) -> None:
    sql = (
        "SELECT DATE '2026-01-01' + (i % 200)::INTEGER AS d, 'shop' || (i % 30) AS shop, i AS n"
        " FROM range(12000) t(i)"
    )
    read = bench.reader(sql, {"date": "d", "account_id": "shop", "impressions": "n"},
                        account="").everything()  # fmt: skip
    assert sum(cut.raw_rows for cut in read.slices) == 12000
    assert {len(cut.raw) for cut in read.slices} == {1}
    for cut in read.slices[:40]:
        window = cut.slice.window
        assert {
            row["date"] for row in bench.landed(type(read)(slices=(cut,)))
        } <= {str(day) for day in window.dates()}  # fmt: skip
    assert sorted(read.days) == sorted(f"shop{number}" for number in range(30))


def test_accounts_that_have_no_row_left_have_their_days_emptied(bench: Bench) -> None:
    reader = bench.reader("SELECT DATE '2026-11-03' AS d, 'a' AS shop",
                          {"date": "d", "account_id": "shop"}, account="")  # fmt: skip
    read = reader.window(Window(since=DAY, until=DAY), ["gone"])
    assert {cut.slice.account_id: cut.raw_rows for cut in read.slices} == {"gone": 0, "a": 1}


def test_rows_without_an_account_are_told_of_or_have_the_given_one(bench: Bench) -> None:
    sql = "SELECT DATE '2026-11-03' AS d, unnest(['a', NULL, '']) AS shop"
    columns = {"date": "d", "account_id": "shop"}
    read = bench.reader(sql, columns, account="").everything()
    assert read.warnings == ("2 rows were left out: no account in 'shop'",)
    read = bench.reader(sql, columns, account="rest").everything()
    assert {cut.slice.account_id: cut.raw_rows for cut in read.slices} == {"rest": 2, "a": 1}


def test_a_failed_read_leaves_no_file_behind(bench: Bench) -> None:
    sql = (
        "SELECT DATE '2026-11-03' + (i // 10000)::INTEGER AS d, i + 0.5 * (i // 29999) AS n"
        " FROM range(30000) t(i)"
    )
    with pytest.raises(ConfigurationError, match="numbers with fractions"):
        bench.rows(sql, {"date": "d", "clicks": "n"})
    assert list(bench.staging.found("raw")) == []


def test_errors_of_the_driver_name_the_source_and_show_no_secret(bench: Bench) -> None:
    with pytest.raises(ConfigurationError, match="shop refuses the query") as refused:
        bench.rows("SELECT hunter22 FROM nowhere", {"date": "d"})
    assert "hunter22" not in str(refused.value)


def test_a_database_that_is_busy_or_gone_is_asked_again_later(tmp_path: Path, bench: Bench) -> None:
    path = tmp_path / "busy.db"
    busy = sqlite3.connect(path, isolation_level=None)
    busy.execute("CREATE TABLE t (d TEXT)")
    busy.execute("BEGIN EXCLUSIVE")
    there = sqlite3.connect(path, timeout=0)
    door = Door(connection=there, dialect=Dialect(), title="busy", platform="internal")
    with pytest.raises(Unavailable, match="busy cannot be read for now: database is locked"):
        bench.rows("SELECT * FROM t", {"date": "d"}, door=door)
    busy.execute("ROLLBACK")
    with pytest.raises(ConfigurationError, match="no such table"):
        bench.rows("SELECT * FROM nowhere", {"date": "d"}, door=door)
    there.close()
    busy.close()


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"columns": {"date": "d", "impresions": "n"}}, "Did you mean 'impressions'"),
        ({"columns": {"spend": "n"}}, "what fills 'date'"),
        ({"columns": {"date": "d"}, "level": "ad"}, "what fills 'ad_id'"),
        ({"columns": {"date": "d"}, "account": ""}, "rows have no account"),
        ({"columns": {"date": "d"}, "currency": ""}, "rows have no currency"),
        ({"columns": {"date": "d"}, "extra_metrics": ("spend",)}, "unified column"),
        ({"columns": {"date": "d"}, "overlap": -1}, "below 0"),
        ({"columns": {"ad_id": "d"}, "stream": "ads", "cursor": "c"}, "read in full"),
        ({"columns": {"date": "d"}, "stream": "shops"}, "no stream 'shops'"),
    ],
)
def test_a_declaration_that_cannot_work_is_refused(parts: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Source(**{**PLAIN, **parts})
    assert said in str(refused.value)


def test_a_zone_that_is_none_is_named(bench: Bench) -> None:
    with pytest.raises(ConfigurationError, match="unknown time zone 'Mars'"):
        bench.rows("SELECT DATE '2026-11-03' AS d", {"date": "d"}, timezone="Mars")
