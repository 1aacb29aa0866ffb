"""Snowflake alone: which statements are sent in which order, logins, turns, and what is refused.

Statements are recorded at the vendor's client. What the emulator cannot show (locks, rights, the
case of names) is asserted by their text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlglot
from snowflake.connector import connection as client
from snowflake.connector import errors
from snowflake.connector.cursor import SnowflakeCursor
from sqlglot import exp

from airflow_provider_liftos.hooks.warehouse import lineage_of, open_warehouse
from airflow_provider_liftos.model.errors import ConfigurationError, WarehouseError
from airflow_provider_liftos.quality import days
from airflow_provider_liftos.warehouses import snowflake_ddl, snowflake_session
from airflow_provider_liftos.warehouses.progress import published
from airflow_provider_liftos.warehouses.snowflake import SnowflakeWarehouse
from airflow_provider_liftos.warehouses.snowflake_session import SnowflakeAccount
from tests.warehouses import snowflake_server
from tests.warehouses.staging import (
    DAY1,
    DAY2,
    NOON,
    ORG,
    Lab,
    entity_row,
    manifest,
    performance_row,
    report_slice,
    stream_slice,
)

SENT = Path(__file__).with_name("snowflake_statements.sql")
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
    """Without what differs each time."""
    named = (re.sub(r"(?i)(load_)\d+_[0-9a-f]{8}([0-9a-f]+)", r"\1\2", one) for one in statements)
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


def test_what_is_sent_is_what_is_written_down(lab, sent):
    """After a change that is meant: delete the file, run this once, and read what is new."""
    lab.warehouse._prepared = True
    work(lab)
    text = ";\n".join(plain(sent)) + ";\n"
    if not SENT.exists():
        SENT.write_text(text)
    assert text == SENT.read_text()


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
        parsed = sqlglot.parse_one(statement, read="snowflake")
        command = isinstance(parsed, exp.Command) and not statement.startswith(("REMOVE", "SHOW"))
        assert not command, statement
        quoted = {one.name for one in parsed.find_all(exp.Identifier) if one.args.get("quoted")}
        assert {name for name in quoted if name != name.upper()} <= {"date"}, statement


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


@pytest.mark.parametrize("part", ["UPDATE", "SELECT count", 'DELETE FROM "LIFTOS"."PERF',
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


class Logins:
    """Stands in for the client's connections; tells what each was made with."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.given: list[dict[str, Any]] = []
        self.closed = 0
        ours = {
            "__init__": lambda _, **given: self.given.append(given),
            "__del__": lambda _: None,
            "close": lambda _, **_more: self._close(),
        }
        for name, stand_in in ours.items():
            monkeypatch.setattr(client.SnowflakeConnection, name, stand_in, raising=False)

    def _close(self) -> None:
        self.closed += 1


def test_a_login_is_kept_for_a_minute(monkeypatch):
    logins, now = Logins(monkeypatch), 0.0
    account = SnowflakeAccount(parameters=lambda: {"database": "d"}, clock=lambda: now)
    for now in (0.0, 59.0, 118.0, 178.0):  # noqa: B007 - the clock reads it
        with account.session():
            pass
    assert (len(logins.given), logins.closed) == (2, 1)
    with pytest.raises(ZeroDivisionError), account.session():
        raise ZeroDivisionError
    with account.session() as one, account.session() as other:
        assert one.connection is not other.connection
    assert len(logins.given) == 4


def test_a_connection_without_a_database_is_refused(monkeypatch):
    Logins(monkeypatch)
    account = SnowflakeAccount(parameters=lambda: {"account": "a", "password": "s3cret"})
    assert "s3cret" not in repr(account)
    with pytest.raises(ConfigurationError, match="names no database"), account.session():
        pass


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    def define(*, password: str | None = None, **extra: Any) -> str:
        value = {"conn_type": "snowflake", "login": "liftos", "password": password,
                 "extra": {"account": "acme", "database": "ADS", **extra}}  # fmt: skip
        monkeypatch.setenv("AIRFLOW_CONN_MY_SNOWFLAKE", json.dumps(value))
        return "my_snowflake"

    return define


@pytest.fixture(scope="module")
def private_key() -> str:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return made.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def login(monkeypatch: pytest.MonkeyPatch, conn_id: str) -> dict[str, Any]:
    """What the client is given for a connection."""
    logins = Logins(monkeypatch)
    warehouse = open_warehouse(conn_id, ORG, store=None)
    assert isinstance(warehouse, SnowflakeWarehouse)
    with warehouse._account.session():
        pass
    return logins.given[0]


def test_a_password_and_what_stands_in_the_extra_reach_the_client(connect, monkeypatch):
    name = connect(password="s3cret", warehouse="SMALL", role="LOADER", host="sf.internal",
                   port=8443, network_timeout=9, session_parameters={"QUERY_TAG": "mine"})  # fmt: skip
    given = login(monkeypatch, name)
    wanted = {"user": "liftos", "password": "s3cret", "account": "acme", "database": "ADS",
              "warehouse": "SMALL", "role": "LOADER", "host": "sf.internal", "port": 8443,
              "network_timeout": 9, "login_timeout": 30, "paramstyle": "qmark"}  # fmt: skip
    assert given | wanted == given
    session = given["session_parameters"]
    assert (session["QUERY_TAG"], session["TIMEZONE"], session["LOCK_TIMEOUT"]) == (
        "mine",
        "UTC",
        420,
    )


def test_a_key_pair_reaches_the_client_and_no_password(connect, monkeypatch, private_key):
    given = login(monkeypatch, connect(private_key_content=private_key))
    assert given["private_key"].startswith(b"0\x82")
    assert "password" not in given
    assert given["session_parameters"]["QUERY_TAG"] == "liftos"


def test_oauth_gives_each_login_a_token_that_counts(connect, monkeypatch):
    from airflow.providers.snowflake.hooks import snowflake as provider

    asked: list[str] = []
    monkeypatch.setattr(
        provider._SnowflakeOAuthManager, "get_valid_oauth_token",
        lambda _self, **given: asked.append(given["grant_type"]) or "t0ken",
    )  # fmt: skip
    given = login(monkeypatch, connect(password="client", authenticator="oauth",
                                       grant_type="client_credentials"))  # fmt: skip
    assert (given["token"], given["authenticator"]) == ("t0ken", "oauth")
    assert asked == ["client_credentials"]
    assert "password" not in given


def test_without_tls_only_this_host_is_spoken_to(connect, monkeypatch):
    with pytest.raises(ConfigurationError, match="without TLS"):
        login(monkeypatch, connect(password="p", host="sf.internal", protocol="http"))
    given = login(monkeypatch, connect(password="p", host="127.0.0.1", protocol="http"))
    assert given["protocol"] == "http"


def test_lineage_names_the_account_and_the_database(connect):
    assert lineage_of(connect(region="eu-central-1")) == ("snowflake://acme.eu-central-1", "ADS.")


def test_the_turn_is_of_all_writers(lab):
    with lab.warehouse._account.transaction() as session:
        snowflake_ddl.take_turn(session, lab.warehouse.layout, "somebody")
    [(rows, whose)] = lab.warehouse.query("SELECT count(*), max(value) FROM liftos_audit.control")
    assert (rows, whose) == (1, "somebody")


def test_an_amount_that_does_not_fit_is_null_and_no_error(lab):
    number = "CAST('{}' AS NUMBER(18,6))".format
    given = {"times": number("100000"), "by": number("1")}
    convert = lab.warehouse.layout.capabilities.convert
    amounts = ("999999999999.999999", "-7.000001", "7.000001")
    wanted = [convert.format(amount=number(amount), **given) for amount in amounts]
    [(too_much, less, more)] = lab.warehouse.query(f"SELECT {', '.join(wanted)}")
    assert (too_much, less, more) == (None, Decimal("-700000.1"), Decimal("700000.1"))
