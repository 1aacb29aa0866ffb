"""A Postgres server among many tasks: turns, crashes, rights, evolution."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from airflow_provider_liftos.model.errors import ConfigurationError, WarehouseError
from airflow_provider_liftos.model.unified import Kind
from airflow_provider_liftos.warehouses import postgres_copy, postgres_ddl
from airflow_provider_liftos.warehouses.ddl import audit_tables
from airflow_provider_liftos.warehouses.postgres import PostgresWarehouse
from airflow_provider_liftos.warehouses.postgres_ddl import LONGEST_NAME
from airflow_provider_liftos.warehouses.postgres_session import PostgresServer, _numbered
from airflow_provider_liftos.warehouses.postgres_sql import CAPABILITIES
from airflow_provider_liftos.warehouses.views import ViewSettings
from tests.warehouses.engines import administer, columns, reopened
from tests.warehouses.staging import (
    DAY1,
    DAY2,
    DAY3,
    NOON,
    ORG,
    Lab,
    entity_row,
    manifest,
    memory,
    performance_row,
    report_slice,
    stage_many,
    stream_slice,
)
from tests.warehouses.staging import result as complete

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def engine() -> str:
    return "postgres"


def run(*threads: threading.Thread) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Racer(threading.Thread):
    """Publishes in a thread; what went wrong is raised by ``join``."""

    def __init__(self, work: Any) -> None:
        super().__init__()
        self.work, self.error = work, None

    def run(self) -> None:
        try:
            self.work()
        except Exception as error:  # noqa: BLE001 - the test shows it
            self.error = error

    def join(self, timeout: float | None = None) -> None:
        super().join(timeout)
        if self.error:
            raise self.error


def staged(lab: Lab, load_id: str, as_of: float, *days: Any, **parts: Any) -> Any:
    part = report_slice(days[0], days[-1], account=parts.get("account_id", "1001"))
    rows = [performance_row(day, **parts) for day in days]
    done = lab.staged(part, rows, load_id=load_id, as_of=as_of)
    lab.warehouse.load(manifest(done, load_id=load_id))
    return done


def spends(lab: Lab) -> list[tuple]:
    return lab.warehouse.query("SELECT date, spend, load_id FROM liftos.performance ORDER BY date")


# --- turns ---------------------------------------------------------------------------------------


def test_publishers_of_one_slice_and_of_its_neighbours_lose_nothing_and_the_newest_wins(lab):
    made = []
    for n in range(4):
        made += [
            (f"one-{n}", staged(lab, f"one-{n}", NOON + n, DAY1, DAY2, spend=str(n))),
            (f"own-{n}", staged(lab, f"own-{n}", NOON, DAY1, account_id=f"a{n}")),
        ]
    made.append(("next", staged(lab, "next", NOON, DAY3, spend="7")))
    run(*(Racer(lambda d=d, load=load: lab.warehouse.publish(d, load, ORG, NOON))
          for load, d in made))  # fmt: skip
    found = lab.warehouse.query(
        "SELECT account_id, date, spend FROM liftos.performance ORDER BY 1, 2"
    )
    mine = [("1001", DAY1, 3), ("1001", DAY2, 3), ("1001", DAY3, 7)]
    assert found == [*mine, *((f"a{n}", DAY1, 5) for n in range(4))]
    assert lab.warehouse.query("SELECT count(*) FROM liftos.loads") == [(7,)]
    assert lab.warehouse.query("SELECT count(*) FROM liftos_audit.performance") == [(0,)]


def test_publishers_of_the_same_accounts_in_different_orders_do_not_cross(lab):
    accounts = [f"a{n}" for n in range(12)]

    def cuts(load_id: str, as_of: float, names: list[str]) -> list[Any]:
        made = [
            lab.staged(
                report_slice(DAY1, DAY1, account=name),
                [performance_row(DAY1, account_id=name)],
                load_id=load_id,
                as_of=as_of,
            )
            for name in names
        ]
        lab.warehouse.load(manifest(*made, load_id=load_id))
        return made

    def publish(load_id: str, made: list[Any]) -> None:
        list(lab.warehouse.publish_each(made, load_id, ORG, lambda: NOON))

    for n in range(5):
        ways = (accounts, accounts[::-1])
        loads = [(f"{n}-{k}", cuts(f"{n}-{k}", NOON + n, way)) for k, way in enumerate(ways)]
        ended = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        run(*(Racer(lambda one=one: publish(*one)) for one in loads))
        assert lab.warehouse.query(ended) == [(0,)]
    assert len(spends(lab)) == len(accounts)


def test_a_publisher_of_another_account_does_not_wait(lab):
    lab.publish(report_slice(), [performance_row(DAY1)])
    mine = staged(lab, "mine", NOON + 1, DAY1, spend="6")
    same, other = staged(lab, "same", NOON + 2, DAY1), staged(lab, "x", NOON, DAY1, account_id="x")
    impatient = reopened(lab.warehouse, wait=1)
    impatient.discard("nothing")

    def meanwhile(_: object) -> None:
        impatient.publish(other, "x", ORG, NOON)
        with pytest.raises(WarehouseError, match=r"lock timeout.*pg_stat_activity"):
            impatient.publish(same, "same", ORG, NOON)

    lab.warehouse.publish(mine, "mine", ORG, NOON, note=meanwhile)
    found = lab.warehouse.query("SELECT account_id, load_id FROM liftos.performance ORDER BY 1")
    assert found == [("1001", "mine"), ("x", "x")]


def test_a_load_is_not_taken_away_while_it_is_published(lab):
    lab.publish(report_slice(), [performance_row(DAY1)])
    done = staged(lab, "mine", NOON + 1, DAY1, spend="6")
    impatient = reopened(lab.warehouse, wait=1)
    impatient.discard("nothing")

    def meanwhile(_: object) -> None:
        with pytest.raises(WarehouseError, match="lock timeout"):
            impatient.discard("mine")

    lab.warehouse.publish(done, "mine", ORG, NOON, note=meanwhile)
    assert spends(lab) == [(DAY1, 6, "mine")]


def test_tasks_that_begin_at_once_make_the_tables_once(bare, tmp_path):
    run(*(Racer(reopened(bare).prepare) for _ in range(4)))
    Lab(tmp_path, bare).publish(report_slice(), [performance_row(DAY1)])


# --- crashes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "moment", ['INSERT INTO "liftos"."performance"', 'DELETE FROM "liftos_audit"."performance"']
)
def test_a_kill_in_the_middle_of_publishing_leaves_the_old_rows(lab, moment):
    lab.publish(report_slice(), [performance_row(DAY1), performance_row(DAY2)])
    before = spends(lab)
    done = staged(lab, "load-2", NOON + 1, DAY1, DAY2, spend="9")
    path = lab.folder / "manifest.json"
    path.write_text(json.dumps(manifest(done, load_id="load-2").to_json()))
    given = json.dumps(dict(lab.warehouse._server.parameters))
    child = subprocess.run(
        [sys.executable, "-m", "tests.warehouses.children", "die_in_postgres", given, path, moment],
        cwd=REPOSITORY, check=False, capture_output=True, timeout=60,
    )  # fmt: skip
    assert child.returncode == -signal.SIGKILL, child.stderr
    assert spends(lab) == before
    lab.warehouse.publish(done, "load-2", ORG, NOON)
    assert spends(lab) == [(day, 9, "load-2") for day in (DAY1, DAY2)]


def test_a_connection_that_ends_while_rows_are_sent_leaves_nothing_behind(lab, monkeypatch):
    lab.publish(report_slice(), [performance_row(DAY1)])
    file = stage_many(lab.path(), ads=20_000, first=DAY1, days=2, load_id="2")
    part = report_slice(level="ad")
    ended = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND application_name = 'liftos' AND datname = '{lab.warehouse._server.parameters['dbname']}'"
    lines = postgres_copy._lines

    def cut(pipe: int) -> Any:
        for n, some in enumerate(lines(pipe)):
            if n == 1:
                administer(lab.warehouse, ended)
            yield some

    monkeypatch.setattr(postgres_copy, "_lines", cut)
    with pytest.raises(WarehouseError, match=r"Postgres .* run the task again"):
        lab.warehouse.load(manifest(complete(part, file), load_id="2"))
    assert lab.warehouse.query("SELECT count(*) FROM liftos_audit.performance") == [(0,)]
    monkeypatch.undo()
    assert lab.warehouse.load(manifest(complete(part, file), load_id="2")) == 40_000


def test_after_a_crash_of_the_server_the_load_is_asked_for_again(lab):
    logged = "SELECT DISTINCT n.nspname, c.relpersistence FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'i') AND n.nspname LIKE 'liftos%' ORDER BY 1"
    assert lab.warehouse.query(logged) == [("liftos", "p"), ("liftos_audit", "u")]
    lab.publish(report_slice(), [performance_row(DAY1)])
    done = staged(lab, "2", NOON + 1, DAY1, DAY2, spend="9")
    administer(lab.warehouse, "TRUNCATE liftos_audit.performance")  # as the server itself does it
    with pytest.raises(WarehouseError, match=r"0 of its 2 rows.*Load the manifest again"):
        lab.warehouse.publish(done, "2", ORG, NOON)
    assert spends(lab) == [(DAY1, 5, "load-1")]
    lab.warehouse.load(manifest(done, load_id="2"))
    lab.warehouse.publish(done, "2", ORG, NOON)
    assert spends(lab) == [(DAY1, 9, "2"), (DAY2, 9, "2")]


def test_who_wants_no_more_rows_leaves_no_thread_and_no_pipe_behind():
    before = threading.active_count(), len(list(Path("/dev/fd").iterdir()))
    many = "SELECT repeat('x', 1000) AS x FROM range(100000)"
    with duckdb.connect() as con, pytest.raises(KeyError), postgres_copy._written(con, many):
        raise KeyError
    assert (threading.active_count(), len(list(Path("/dev/fd").iterdir()))) == before


def test_what_cannot_be_read_is_raised_before_the_rows_are_taken():
    with (
        duckdb.connect() as con,
        pytest.raises(duckdb.Error, match="not that"),
        postgres_copy._written(con, "SELECT error('not that') AS x") as pipe,
    ):
        assert list(postgres_copy._lines(pipe)) == []


# --- rights and places ---------------------------------------------------------------------------


def test_a_server_that_is_not_there_is_one_line_without_the_password():
    nowhere = PostgresWarehouse(
        {"host": "127.0.0.1", "port": "1", "dbname": "ads", "password": "s3cret"}
    )
    with pytest.raises(WarehouseError, match=r"ads at 127\.0\.0\.1") as caught:
        nowhere.query("SELECT 1")
    assert "s3cret" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_role_without_rights_is_told_what_it_needs(bare):
    role = f"poor_{bare._server.parameters['dbname']}"
    administer(bare, f"CREATE ROLE {role} LOGIN")
    poor = PostgresWarehouse({**bare._server.parameters, "user": role})
    with pytest.raises(WarehouseError, match=r"permission denied.*own the schemas"):
        poor.prepare()
    for schema in ("liftos", "liftos_audit"):
        administer(bare, f"CREATE SCHEMA {schema} AUTHORIZATION {role}")
    poor.prepare()


def test_a_database_that_is_read_only_says_so(lab):
    given = {**lab.warehouse._server.parameters, "options": "-c default_transaction_read_only=on"}
    done = lab.staged(report_slice(), [performance_row(DAY1)])
    with pytest.raises(WarehouseError, match=r"read-only transaction.*primary"):
        PostgresWarehouse(given).load(manifest(done))


@pytest.mark.parametrize(
    ("refusal", "told"),
    [
        ("DiskFull", "make room on the server's disk"),
        ("AdminShutdown", "run the task again"),
        ("DeadlockDetected", "run the task again"),
        ("InvalidPassword", "correct login, password"),
        ("InvalidCatalogName", "create the database"),
    ],
)
def test_every_refusal_says_what_to_do(refusal, told):
    from psycopg import errors

    server = PostgresServer(parameters={"dbname": "ads", "password": "s3cret"})
    error = server.refused(getattr(errors, refusal)("could not go on\nDETAIL: a row"))
    text = str(error)
    assert told in text
    assert "could not go on" in text
    assert "DETAIL" not in text


def test_a_schema_of_too_many_bytes_is_refused(bare):
    with pytest.raises(ConfigurationError, match="63 bytes"):
        reopened(bare, schema="ü" * 32).prepare()


def test_all_names_are_short_enough(lab):
    found = columns(lab.warehouse) | columns(lab.warehouse, schema="liftos_audit")
    assert len({name for _, name, _ in found}) > len(audit_tables())
    names = {part for parts in found for part in parts}
    names |= {n for (n,) in lab.warehouse.query("SELECT indexname FROM pg_indexes")}
    assert max(len(name.encode()) for name in names) <= LONGEST_NAME


# --- evolution -----------------------------------------------------------------------------------


def test_views_that_others_rest_on_stay_and_loading_goes_on(bare, tmp_path, caplog):
    lab = Lab(tmp_path, bare)
    lab.publish(report_slice(), [performance_row(DAY1)])
    administer(
        bare,
        "DROP VIEW liftos.tiktok_campaigns",
        "DROP VIEW liftos.country_report",
        "CREATE VIEW liftos.country_report AS SELECT 1 AS ours_of_an_older_version",
        "CREATE VIEW public.theirs AS SELECT * FROM liftos.country_report",
        "UPDATE liftos.schema_changes SET statement = 'older' WHERE object = 'views'",
    )
    later = Lab(tmp_path / "later", reopened(bare))
    later.publish(report_slice(), [performance_row(DAY1, spend="8")], load_id="b", as_of=NOON + 1)
    assert "public.theirs" in caplog.text.replace("view theirs", "view public.theirs")
    assert bare.query("SELECT * FROM public.theirs") == [(1,)]
    administer(bare, "DROP VIEW public.theirs")
    reopened(bare).prepare()
    assert bare.query("SELECT country FROM liftos.country_report") == []
    assert bare.query("SELECT spend FROM liftos.campaign_report") == [(8,)]


def test_a_column_that_others_rest_on_stays_narrow_and_loading_goes_on(bare, tmp_path, caplog):
    older = reopened(bare)
    types = {**older.layout.capabilities.types, Kind.INT: "integer"}
    older.layout = replace(older.layout, capabilities=replace(CAPABILITIES, types=types))
    lab = Lab(tmp_path, older)
    lab.publish(report_slice(), [performance_row(DAY1)])
    administer(bare, "CREATE VIEW public.theirs AS SELECT clicks FROM liftos.performance")
    for turn in (1, 2):
        later = Lab(tmp_path / str(turn), reopened(bare))
        later.publish(report_slice(), [performance_row(DAY1, spend=turn)], load_id="b")
    assert "public.theirs" in caplog.text.replace("view theirs", "view public.theirs")
    question = "SELECT count(*) FROM liftos.schema_changes WHERE change = ?"
    assert bare.query(question, ["widened from integer to bigint"]) == [(0,)]
    assert bare.query(question, ["made"])[0][0] <= 2
    assert bare.query("SELECT spend FROM liftos.campaign_report") == [(2,)]
    administer(bare, "DROP VIEW public.theirs")
    reopened(bare).prepare()
    assert bare.query(question, ["widened from integer to bigint"])[0][0] > 1


def test_views_keep_rights_that_people_gave_when_their_columns_stay(bare):
    bare.prepare()
    administer(bare, "GRANT SELECT ON liftos.ad_report TO PUBLIC")
    reopened(bare, views=ViewSettings(report="other")).prepare()
    [(rights,)] = bare.query(
        "SELECT CAST(relacl AS text) FROM pg_class WHERE oid = CAST('liftos.ad_report' AS regclass)"
    )
    assert "{=r/" in rights or ",=r/" in rights


# --- values --------------------------------------------------------------------------------------


def test_objects_that_jsonb_does_not_take_are_kept_as_near_as_can_be(lab):
    given = {
        r'{"a": "x\u0000y"}': '{"a": "x␀y"}',
        r'{"a": "x\\u0000y"}': r'{"a": "x\\u0000y"}',
        r'{"a": "\\\u0000\u0000"}': r'{"a": "\\␀␀"}',
        r'{"a": "\ud83e\udda9"}': '{"a": "🦩"}',
    }
    rows = [performance_row(DAY1, ad_id=str(n), extra_metrics=t) for n, t in enumerate(given)]
    lab.publish(report_slice(), rows)
    found = lab.warehouse.query("SELECT extra_metrics FROM liftos.performance ORDER BY ad_id")
    assert [text for (text,) in found] == list(given.values())


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (r"\\\\ud83e \\\\\ud83e.", "\\\\\\\\ud83e \\\\\\\\\ufffd."),
        (r"\uD83E\uDDA9\udda9", r"\uD83E\uDDA9" + "\ufffd"),
        (r"\ud83e\ud83e\udda9\u0000", "\ufffd" + r"\ud83e\udda9" + "␀"),
        (r"\\\u0000\u00e9", r"\\␀\u00e9"),
    ],
)
def test_halves_of_pairs_are_replaced_and_nothing_else_is(given, kept):
    found = (
        memory()
        .execute(f"SELECT {postgres_copy._cleaned('t')} FROM (SELECT ? AS t)", [given])
        .fetchone()
    )
    assert found == (kept,)


def test_question_marks_in_quotes_are_no_placeholders():
    assert _numbered("""SELECT '?', "a?", 'it''s ?' WHERE x = ? AND y = ?""") == (
        """SELECT '?', "a?", 'it''s ?' WHERE x = $1 AND y = $2"""
    )


def test_a_server_without_merge_is_refused_in_one_line(lab, monkeypatch):
    monkeypatch.setattr(postgres_ddl, "OLDEST_SERVER", 990_000)
    with pytest.raises(WarehouseError, match=r"The server is Postgres \d+; publishing takes MERGE"):
        reopened(lab.warehouse).prepare()


def test_large_snapshots_are_published_by_index(lab):
    rows = [entity_row(f"c{n}", "x") for n in range(300)]
    lab.publish(stream_slice(), rows, table="campaigns")
    import psycopg

    with psycopg.connect(**lab.warehouse._server.parameters) as connection:
        # A table this small may be read whole, as soon as the server has looked at its size.
        connection.execute("SET enable_seqscan = off")
        plan = connection.execute(
            "EXPLAIN SELECT 1 FROM liftos.campaigns WHERE account_id = '1' AND campaign_id = '2'"
        ).fetchall()
    assert any("campaigns_liftos_slice" in line for (line,) in plan)


def test_importing_the_warehouse_imports_no_driver():
    code = (
        "import sys, airflow_provider_liftos.warehouses.postgres;"
        "sys.exit(bool({'psycopg', 'duckdb', 'pandas', 'pyarrow', 'airflow'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
