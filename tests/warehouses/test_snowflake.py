"""Snowflake alone: which statements are sent in which order, logins, turns, and what is refused.

Statements are recorded at the vendor's client. What the emulator cannot show (locks, rights, the
case of names) is asserted by their text.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlglot
from snowflake.connector import errors
from snowflake.connector.cursor import SnowflakeCursor
from sqlglot import exp

from airflow_provider_liftos.engine.manifest import SliceResult
from airflow_provider_liftos.model.errors import ConfigurationError, WarehouseError
from airflow_provider_liftos.quality import days
from airflow_provider_liftos.quality.audit import audit
from airflow_provider_liftos.state.audit_log import AuditLog
from airflow_provider_liftos.state.clock import ManualClock
from airflow_provider_liftos.state.store import StateStore
from airflow_provider_liftos.transforms.rates import Rate
from airflow_provider_liftos.warehouses import snowflake_ddl, snowflake_session
from airflow_provider_liftos.warehouses.cross_platform import totals
from airflow_provider_liftos.warehouses.mirror import mirror
from airflow_provider_liftos.warehouses.progress import published
from airflow_provider_liftos.warehouses.rates import gaps, newest
from airflow_provider_liftos.warehouses.waiting import discard_old, is_there
from tests.warehouses import snowflake_server
from tests.warehouses.engines import narrower
from tests.warehouses.snapshots import check_snapshot
from tests.warehouses.staging import (
    DAY1,
    DAY2,
    DAY3,
    NOON,
    ORG,
    Lab,
    entity_row,
    manifest,
    performance_row,
    report_slice,
    stream_slice,
)

HERE = Path(__file__).parent
CHANGING = ("INSERT", "UPDATE", "DELETE", "MERGE")


@pytest.fixture
def engine() -> str:
    return "snowflake"


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch, lab: Lab) -> list[str]:
    """Statements as the client gets them, from now on."""
    seen: list[str] = []
    execute = SnowflakeCursor.execute

    def recorded(self: SnowflakeCursor, command: str, *given: Any, **more: Any) -> Any:
        seen.append(command)
        return execute(self, command, *given, **more)

    monkeypatch.setattr(SnowflakeCursor, "execute", recorded)
    lab.warehouse.query("SELECT 1")  # the emulator's login asks nothing
    seen.clear()
    return seen


def plain(statements: list[str]) -> list[str]:
    """Without what differs each time, and the databases that tests make for themselves."""
    ours = (one for one in statements if not one.startswith("CREATE DATABASE "))
    named = (re.sub(r"(?i)(load_)\d+_[0-9a-f]{8}([0-9a-f]+)", r"\1\2", one) for one in ours)
    return [re.sub(r"'file://[^']*/(\d+\.parquet)'", r"'file:///\1'", one) for one in named]


def transactions(statements: list[str]) -> list[list[str]]:
    found: list[list[str]] = []
    for statement in statements:
        if statement == "BEGIN TRANSACTION":
            found.append([])
        elif found and found[-1][-1:] not in (["COMMIT"], ["ROLLBACK"]):
            found[-1].append(statement)
    return found


def work(lab: Lab) -> None:
    """A night: reports and entities come, are asked about, and replace what was there."""
    row = performance_row(DAY1, breakdowns='{"country": "é"}', extra_metrics='{"saves": "3"}')
    done = lab.staged(report_slice(), [row, performance_row(DAY2)])
    other = lab.staged(report_slice(account="2002"), [performance_row(DAY1, account_id="2002")])
    listed = lab.staged(stream_slice(), [entity_row("a", "x")], table="campaigns")
    whole = manifest(done, other, listed)
    lab.warehouse.load(whole, lambda one: "campaigns" if one.slice.stream else "performance")
    for one in (done, other, listed):
        lab.warehouse.publish(one, "load-1", ORG, NOON, table="campaigns")


@pytest.fixture
def own(snowflake) -> dict[str, Any]:
    """A database without tables, as the client connects to it."""
    return snowflake_server.new_database(snowflake)


def night(lab: Lab, _own: dict[str, Any], _sent: list[str]) -> None:
    """Reports and entities, slice by slice, and small slices together."""
    lab.warehouse._prepared = True
    work(lab)
    cuts = accounts(lab, 2)
    list(lab.warehouse.publish_each(cuts, "load-2", ORG, lambda: NOON))


def tables(_lab: Lab, own: dict[str, Any], sent: list[str]) -> None:
    """A schema that is new, one of an older version, and one that is as it should be."""
    sent.clear()
    older = snowflake_server.warehouse_at(own)
    types = {**older.layout.capabilities.types, **narrower(older)}
    capabilities = replace(older.layout.capabilities, types=types)
    older.layout = replace(older.layout, capabilities=capabilities)
    older.prepare()
    told = len(sent)
    for schema in ("liftos", "liftos_audit"):
        column = f"ALTER TABLE {schema}.performance DROP COLUMN video_views"
        snowflake_server.administer(own, column)
    del sent[told:]
    for _ in range(2):
        snowflake_server.warehouse_at(own).prepare()


def upkeep(lab: Lab, own: dict[str, Any], sent: list[str]) -> None:
    """What else is asked and written: rates, estimates, copies of the store, and the audit."""
    warehouse = snowflake_server.warehouse_at(own)
    warehouse.prepare()
    lab.warehouse = warehouse
    work(lab)
    ended = datetime(2026, 11, 3, tzinfo=UTC)
    row = performance_row(DAY2, is_estimated=True, day_end_utc=ended)
    lab.publish(report_slice(DAY2, DAY2), [row], as_of=NOON + 1)
    again = lab.staged(report_slice(DAY2, DAY2), [row], as_of=NOON + 2)
    warehouse.load(manifest(again))
    store = StateStore(f"sqlite:///{lab.folder}/state.db", ManualClock(NOON))
    AuditLog(store, ORG).note("anna", "connected", "conn")
    sent.clear()
    rate = Rate(day=DAY1, currency="EUR", rate=Decimal(1), published=DAY1)
    warehouse.replace_rates([rate], ORG, NOON)
    newest(warehouse, ORG), list(gaps(warehouse, ORG))
    warehouse.settle(ORG, "meta", 28, NOON)
    warehouse.settle(ORG, "meta", 28, NOON + 90 * 86_400)
    mirror(store, warehouse, ORG), mirror(store, warehouse, ORG)
    store.close()
    audit(manifest(again), warehouse=warehouse, expected_accounts=["1001"], today=DAY3)
    published(warehouse, ORG, "meta", 28), totals(warehouse, ORG, DAY1, DAY2)
    warehouse.checksum("performance")
    is_there(warehouse), discard_old(warehouse, NOON + 3)


SCENES = {
    "snowflake_statements": night,
    "snowflake_tables": tables,
    "snowflake_upkeep": upkeep,
}


@pytest.mark.parametrize("name", SCENES)
def test_what_is_sent_is_what_is_written_down(lab, sent, own, name):
    SCENES[name](lab, own, sent)
    statements = plain(sent)
    for statement in statements:
        assert_snowflakes(statement)
    check_snapshot(HERE / f"{name}.sql", ";\n".join(statements) + ";\n")


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        ("FLATTEN(INPUT => PARSE_JSON(?))", exp.Explode),
        ("PARSE_JSON(\"BREAKDOWNS\", 'd')", exp.ParseJSON),
        ("MERGE INTO", exp.Merge),
        ("CREATE OR REPLACE VIEW", exp.Create),
        ("COPY GRANTS", exp.CopyGrantsProperty),
        ("CREATE TRANSIENT", exp.TransientProperty),
        ("ADD COLUMN IF NOT EXISTS", exp.ColumnDef),
        ("SET DATA TYPE NUMBER(38,0)", exp.AlterColumn),
        ("COPY INTO", exp.Copy),
        ("PUT 'file:", exp.Put),
        ("CONVERT_TIMEZONE(", exp.ConvertTimezone),
        ("['", exp.Bracket),
    ],
)
def test_what_is_written_down_has_each_kind_of_statement(part, kind):
    """Parsed as what they are, in the vendor's dialect, and not only as words in a row."""
    texts = [(HERE / f"{name}.sql").read_text() for name in SCENES]
    found = [one for text in texts for one in text.split(";\n") if part in one]
    assert found
    assert all(sqlglot.parse_one(one, read="snowflake").find(kind) for one in found)


def assert_snowflakes(statement: str) -> None:
    """It parses in the vendor's dialect, and its names are as people type them."""
    parsed = sqlglot.parse_one(statement, read="snowflake")
    command = isinstance(parsed, exp.Command) and not statement.startswith(("REMOVE", "SHOW"))
    assert not command, statement
    quoted = {one.name for one in parsed.find_all(exp.Identifier) if one.args.get("quoted")}
    assert {name for name in quoted if name != name.upper()} <= {"date"}, statement


def accounts(lab: Lab, count: int) -> list[SliceResult]:
    """Small slices of as many accounts, loaded."""
    cuts = []
    for number in range(count):
        row = performance_row(DAY1, account_id=f"a{number}")
        part = report_slice(DAY1, DAY1, account=f"a{number}")
        cuts.append(lab.staged(part, [row], load_id="load-2", as_of=NOON + 1))
    lab.warehouse.load(manifest(*cuts, load_id="load-2"))
    return cuts


def test_many_small_slices_are_published_by_as_many_statements_as_two(lab, sent):
    lab.warehouse._prepared = True
    counts = []
    for count in (2, 12):
        cuts = accounts(lab, count)
        sent.clear()
        assert len(list(lab.warehouse.publish_each(cuts, "load-2", ORG, lambda: NOON))) == count
        counts.append(len(sent))
    assert counts == [11, 11]


def test_many_slices_travel_in_one_file_for_each_table(lab, sent):
    work(lab)
    assert len([one for one in sent if one.startswith("PUT ")]) == 2
    assert len([one for one in sent if one.startswith("COPY INTO ")]) == 2


def test_transactions_begin_with_a_turn_and_define_nothing(lab, sent):
    work(lab)
    found = transactions(sent)
    assert len(found) == 5  # discard, load, three slices
    for statements in found:
        assert statements[-1] == "COMMIT"
        changing = [one for one in statements if one.startswith(CHANGING)]
        assert statements[0] == changing[0]
        assert statements[0].startswith('UPDATE "LIFTOS_AUDIT"."CONTROL" SET "VALUE" = ?')
        assert all(one.startswith((*CHANGING, "SELECT")) for one in statements[:-1])


def test_every_statement_is_snowflakes_and_names_are_as_people_type_them(snowflake, sent, tmp_path):
    warehouse = snowflake_server.warehouse_at(snowflake_server.new_database(snowflake))
    sent.clear()
    lab = Lab(tmp_path, warehouse)
    warehouse.prepare()
    work(lab)
    warehouse.settle(ORG, "meta", 28, NOON)
    published(warehouse, ORG, "meta", 28)
    done = manifest(lab.staged(report_slice(), [performance_row(DAY1)]))
    days.loaded_days(warehouse, done), days.publications(warehouse, done)
    warehouse.checksum("performance")
    assert len(sent) > 80
    for statement in sent:
        assert_snowflakes(statement)


def test_what_killed_loads_left_is_dropped_a_day_later(lab, sent, snowflake):
    names = [f"LOAD_{int(NOON) - age}_{age:08X}0" for age in (86_500, 10)]
    for name in names:
        snowflake_server.administer(
            lab.warehouse._account.parameters(), f"CREATE TABLE LIFTOS_AUDIT.{name} (A TEXT)"
        )
    sent.clear()
    lab.warehouse._clock = lambda: NOON
    lab.warehouse.prepare()
    dropped = [one for one in sent if one.startswith(("DROP", "REMOVE"))]
    assert dropped == [
        f'DROP TABLE IF EXISTS "LIFTOS_AUDIT"."{names[0]}"',
        f'REMOVE @"LIFTOS_AUDIT"."LOAD_FILES"/{names[0].lower()}/',
    ]
    snowflake_server.administer(
        lab.warehouse._account.parameters(), f"DROP TABLE LIFTOS_AUDIT.{names[1]}"
    )


def test_rows_that_do_not_arrive_stop_the_load_and_nothing_stays(lab, sent, monkeypatch):
    execute = snowflake_session.SnowflakeSession.execute

    def lossy(self: Any, sql: str, params: Any = ()) -> list[tuple[Any, ...]]:
        rows = execute(self, sql, params)
        return [(*row[:3], 0) for row in rows] if sql.startswith("COPY") else rows

    monkeypatch.setattr(snowflake_session.SnowflakeSession, "execute", lossy)
    done = lab.staged(report_slice(), [performance_row(DAY1)])
    with pytest.raises(WarehouseError, match="loaded 0 of 1 rows of performance"):
        lab.warehouse.load(manifest(done))
    assert sent[-1].startswith('DROP TABLE IF EXISTS "LIFTOS_AUDIT"."LOAD_')
    assert sent[-2].startswith('REMOVE @"LIFTOS_AUDIT"."LOAD_FILES"/load_')
    assert lab.warehouse.query("SELECT count(*) FROM liftos_audit.performance") == [(0,)]


@pytest.mark.parametrize("part", ["UPDATE", 'SELECT "SLICE_KEY"', 'DELETE FROM "LIFTOS"."PERF',
                                  'INSERT INTO "LIFTOS"."LOADS"', "COMMIT"])  # fmt: skip
def test_a_statement_that_is_refused_leaves_old_rows(lab, monkeypatch, part):
    lab.publish(report_slice(), [performance_row(DAY1)])
    before = lab.warehouse.checksum("performance")
    done = lab.staged(report_slice(), [performance_row(DAY1, spend="9")], load_id="b",
                      as_of=NOON + 1)  # fmt: skip
    lab.warehouse.load(manifest(done, load_id="b"))
    execute = SnowflakeCursor.execute

    def refusing(self: SnowflakeCursor, command: str, *given: Any, **more: Any) -> Any:
        if command.startswith(part):
            raise errors.ProgrammingError(
                "SQL access control error:\nInsufficient privileges\non table", 3001, "42501"
            )
        return execute(self, command, *given, **more)

    with monkeypatch.context() as patch:
        patch.setattr(SnowflakeCursor, "execute", refusing)
        with pytest.raises(WarehouseError) as refused:
            lab.warehouse.publish(done, "b", ORG, NOON)
    given = lab.warehouse._account.parameters()
    place = f"{given['account']}/{given['database']}"
    assert str(refused.value) == (
        f"Snowflake ({place}) refused: SQL access control error: Insufficient privileges on table (003001)."
        " Nothing was changed; give the role what it lacks on the database, its schemas and their"
        " tables, or name another role in the connection's extra."
    )
    assert lab.warehouse.checksum("performance") == before
    lab.warehouse.publish(done, "b", ORG, NOON)
    assert lab.warehouse.checksum("performance") != before


def test_who_is_out_of_reach_is_told_in_one_line_without_secrets(snowflake):
    given = {**snowflake, "port": 1, "password": "s3cret", "login_timeout": 2, "network_timeout": 2}
    with pytest.raises(WarehouseError) as refused:
        snowflake_server.warehouse_at(given).prepare()
    assert re.fullmatch(r"Snowflake \([^\n]*\) refused: [^\n]* \(250001\)\. Nothing was changed; see [^\n]*",
                        str(refused.value))  # fmt: skip
    assert "s3cret" not in str(refused.value) + repr(refused.value.__cause__)


def test_a_name_that_is_too_long_is_refused(snowflake):
    with pytest.raises(ConfigurationError, match="longer than 255 characters"):
        snowflake_server.warehouse_at(snowflake, schema="x" * 256).prepare()


def test_the_turn_is_of_all_writers(lab):
    with lab.warehouse._account.transaction() as session:
        snowflake_ddl.take_turn(session, lab.warehouse.layout, "somebody")
    [(rows, whose)] = lab.warehouse.query("SELECT count(*), max(value) FROM liftos_audit.control")
    assert (rows, whose) == (1, "somebody")


class Crowd:
    """Refuses so many turns as Snowflake does when too many wait; time passes only by pauses."""

    def __init__(self, lab: Lab, monkeypatch: pytest.MonkeyPatch, refusals: int) -> None:
        self.left, self.now, self.pauses = refusals, 0.0, list[float]()
        execute = SnowflakeCursor.execute

        def crowded(cursor: SnowflakeCursor, command: str, *given: Any, **more: Any) -> Any:
            if command.startswith('UPDATE "LIFTOS_AUDIT"."CONTROL"') and self.left:
                self.left -= 1
                raise errors.ProgrammingError(
                    "Your statement was aborted because the number of waiters for this lock"
                    " exceeds the 20 statements limit.", 625, "57014",
                )  # fmt: skip
            return execute(cursor, command, *given, **more)

        monkeypatch.setattr(SnowflakeCursor, "execute", crowded)
        lab.warehouse._account = replace(
            lab.warehouse._account, clock=lambda: self.now, sleep=self._sleep
        )

    def _sleep(self, seconds: float) -> None:
        self.now += seconds
        self.pauses.append(seconds)


def test_a_full_queue_is_tried_again_in_new_transactions(lab, sent, monkeypatch):
    lab.warehouse._prepared = True
    crowd = Crowd(lab, monkeypatch, 3)
    lab.warehouse.apply([("DELETE FROM liftos.loads WHERE org_id = ?", ("nobody",))])
    assert (crowd.left, crowd.pauses) == (3, [])  # it takes no turn
    sent.clear()
    lab.warehouse.discard("load-9")
    assert [one.split()[0] for one in sent] == ["BEGIN", "ROLLBACK"] * 3 + [
        "BEGIN", "UPDATE", "SELECT", "COMMIT",
    ]  # fmt: skip
    assert len(set(crowd.pauses)) == 3
    assert all(1 <= pause <= 5 for pause in crowd.pauses)


def test_a_queue_that_stays_full_is_one_line_when_the_wait_is_over(lab, monkeypatch):
    lab.warehouse._prepared = True
    crowd = Crowd(lab, monkeypatch, 1_000)
    with pytest.raises(WarehouseError) as refused:
        lab.warehouse.discard("load-9")
    assert crowd.now == 20
    assert re.fullmatch(
        r"Snowflake \([^\n]*\) refused: [^\n]*20 statements limit \(000625\)\. [^\n]*run the task"
        r" again\.",
        str(refused.value),
    )


def test_of_a_key_that_an_object_has_twice_the_last_value_counts(lab, sent):
    """By the vendor's reference; the emulator keeps both."""
    row = performance_row(DAY1, breakdowns='{"country": "a", "country": "b"}')
    done = lab.staged(report_slice(), [row])
    lab.warehouse.load(manifest(done))
    [filled] = [one for one in sent if one.startswith('INSERT INTO "LIFTOS_AUDIT"')]
    parsed = sqlglot.parse_one(filled, read="snowflake").find_all(exp.ParseJSON)
    assert [one.expression.name for one in parsed] == ["d"] * filled.count("PARSE_JSON(")


def test_an_amount_that_does_not_fit_is_null_and_no_error(lab):
    number = "CAST('{}' AS NUMBER(18,6))".format
    given = {"times": number("100000"), "by": number("1")}
    convert = lab.warehouse.layout.capabilities.convert
    amounts = ("999999999999.999999", "-7.000001", "7.000001")
    wanted = [convert.format(amount=number(amount), **given) for amount in amounts]
    [(too_much, less, more)] = lab.warehouse.query(f"SELECT {', '.join(wanted)}")
    assert (too_much, less, more) == (None, Decimal("-700000.1"), Decimal("700000.1"))
