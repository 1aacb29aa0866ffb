"""Rights that are missing: old rows stay, one line says whose and where, and nobody tries again.

Postgres is a real server. Snowflake and Databricks have no rights behind their emulators: what they
would refuse is put in the way of the statement, worded as the vendor does (Snowflake's at its
client's door, Databricks' by the sandbox over thrift).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from snowflake.connector import errors
from snowflake.connector.cursor import SnowflakeCursor

from airflow_provider_liftos.model.errors import (
    ConfigurationError,
    LiftosError,
    WarehouseDenied,
    WarehouseError,
)
from airflow_provider_liftos.operators.outcome import TaskFailed, translated
from airflow_provider_liftos.operators.retries import advice
from airflow_provider_liftos.warehouses.postgres import PostgresWarehouse
from airflow_provider_liftos.warehouses.postgres_session import PostgresServer
from airflow_provider_liftos.warehouses.snowflake_session import refused
from tests.warehouses import databricks_server
from tests.warehouses.engines import administer, reopened
from tests.warehouses.staging import (
    DAY1,
    NOON,
    ORG,
    Lab,
    manifest,
    performance_row,
    report_slice,
)


def ends_the_task(error: LiftosError) -> str:
    """What the task says; fails unless nothing is retried."""
    assert advice(error, 1) == (False, None)
    with pytest.raises(AirflowFailException) as told, translated():
        raise error
    assert "\n" not in str(told.value)
    assert str(told.value).endswith("Nothing is retried.")
    return str(told.value)


def is_retried(error: LiftosError) -> str:
    """What the task says; fails unless it is tried again."""
    assert advice(error, 1)[0]
    with pytest.raises(TaskFailed) as told, translated():
        raise error
    assert "\n" not in str(told.value)
    return str(told.value)


def next_load(lab: Lab) -> Any:
    return lab.staged(
        report_slice(), [performance_row(DAY1, spend="9")], load_id="2", as_of=NOON + 1
    )


def tried(warehouse: Any, done: Any, moment: str) -> None:
    if moment == "load":
        warehouse.load(manifest(done, load_id="2"))
    else:
        warehouse.publish(done, "2", ORG, NOON)


def test_a_refusal_is_both_of_the_warehouse_and_for_a_person():
    assert issubclass(WarehouseDenied, WarehouseError)
    assert issubclass(WarehouseDenied, ConfigurationError)


# --- Postgres ------------------------------------------------------------------------------------


class Poor:
    """A role of a Postgres server, and its warehouse."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.owner = lab.warehouse
        given = dict(self.owner._server.parameters)
        self.name = f"poor_{given['dbname']}"
        self.run(
            f"DO $$ BEGIN CREATE ROLE {self.name} LOGIN; EXCEPTION WHEN duplicate_object THEN END $$",
            f"GRANT USAGE ON SCHEMA liftos, liftos_audit TO {self.name}",
            f"GRANT ALL ON ALL TABLES IN SCHEMA liftos, liftos_audit TO {self.name}",
        )
        self.warehouse = PostgresWarehouse({**given, "user": self.name, "password": "s3cret"})

    def run(self, *statements: str) -> None:
        administer(self.owner, *statements)


@pytest.fixture
def poor(request: pytest.FixtureRequest, engine: str) -> Iterator[Poor]:
    made = Poor(request.getfixturevalue("lab"))
    yield made
    made.run(f"DROP OWNED BY {made.name}", f"DROP ROLE {made.name}")


@pytest.mark.parametrize("engine", ["postgres"])
@pytest.mark.parametrize(
    ("lacks", "moment", "said"),
    [
        ("USAGE ON SCHEMA liftos_audit", "load", "schema liftos_audit"),
        ("INSERT ON liftos_audit.performance", "load", "table performance"),
        ("SELECT ON liftos_audit.performance", "load", "table performance"),
        ("DELETE ON liftos_audit.performance", "publish", "table performance"),
        ("USAGE ON SCHEMA liftos", "publish", "schema liftos"),
        ("INSERT ON liftos.performance", "publish", "table performance"),
        ("DELETE ON liftos.performance", "publish", "table performance"),
        ("INSERT ON liftos.loads", "publish", "table loads"),
    ],
)
def test_a_role_of_postgres_that_lacks_a_right(poor, lacks, moment, said):
    lab = poor.lab
    lab.publish(report_slice(), [performance_row(DAY1)])
    before, done = lab.warehouse.checksum("performance"), next_load(lab)
    if moment == "publish":
        tried(lab.warehouse, done, "load")
    poor.run(f"REVOKE {lacks} FROM {poor.name}")
    poor.warehouse._prepared = True  # what looking at the tables needs is another test's
    with pytest.raises(WarehouseDenied) as caught:
        tried(poor.warehouse, done, moment)
    told = ends_the_task(caught.value)
    assert f"permission denied for {said}" in told
    assert f"as {poor.name})" in told
    assert "Let the role own the schemas" in told
    assert "s3cret" not in told
    assert lab.warehouse.checksum("performance") == before
    poor.run(f"GRANT {lacks} TO {poor.name}")
    tried(poor.warehouse, done, moment)


@pytest.mark.parametrize("engine", ["postgres"])
def test_a_role_of_postgres_that_may_not_change_the_tables(poor):
    poor.run("ALTER TABLE liftos.performance DROP COLUMN video_views CASCADE")
    with pytest.raises(WarehouseDenied, match="must be owner of") as caught:
        poor.warehouse.prepare()
    assert f"as {poor.name})" in ends_the_task(caught.value)
    reopened(poor.owner).prepare()


@pytest.mark.parametrize("engine", ["postgres"])
@pytest.mark.parametrize(
    ("change", "said", "hint"),
    [
        ({"user": "nobody_at_all"}, 'role "nobody_at_all" does not exist', "correct login"),
        ({"user": "sleeper"}, "is not permitted to log in", "correct login"),
        ({"dbname": "nowhere"}, 'database "nowhere" does not exist', "create the database"),
        ({"user": "stranger", "dbname": "closed"}, "permission denied for database", "own"),
    ],
)
def test_a_login_that_postgres_refuses(lab, change, said, hint):
    import psycopg

    with psycopg.connect(**lab.warehouse._server.parameters, autocommit=True) as connection:
        [(there,)] = connection.execute("SELECT count(*) FROM pg_database WHERE datname = 'closed'")
        if not there:
            connection.execute("CREATE ROLE sleeper NOLOGIN")
            connection.execute("CREATE ROLE stranger LOGIN")
            connection.execute("CREATE DATABASE closed")
            connection.execute("REVOKE ALL ON DATABASE closed FROM PUBLIC")
    given = {**lab.warehouse._server.parameters, "password": "s3cret", **change}
    with pytest.raises(WarehouseDenied) as caught:
        PostgresWarehouse(given).query("SELECT 1")
    told = ends_the_task(caught.value)
    assert said in told
    assert hint in told
    assert f"as {given['user']})" in told
    assert "s3cret" not in told


@pytest.mark.parametrize(
    ("said", "denied"),
    [
        ('FATAL:  password authentication failed for user "x"', True),
        ("fe_sendauth: no password supplied", True),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "x", database "d"', True),
        ("FATAL:  sorry, too many clients already", False),
        ("FATAL:  the database system is starting up", False),
        ("Connection refused", False),
    ],
)
def test_what_libpq_says_without_a_code_is_understood(said, denied):
    import psycopg

    error = psycopg.OperationalError(
        f'connection failed: connection to server at "db", port 5432 failed: {said}'
    )
    told = PostgresServer(parameters={"dbname": "d", "user": "x"}).refused(error)
    assert isinstance(told, WarehouseDenied) is denied
    (ends_the_task if denied else is_retried)(told)


@pytest.mark.parametrize(
    "refusal", ["ReadOnlySqlTransaction", "DiskFull", "AdminShutdown", "TooManyConnections"]
)
def test_what_may_pass_on_postgres_is_retried(refusal):
    from psycopg import errors as theirs

    server = PostgresServer(parameters={"dbname": "d", "user": "x"})
    is_retried(server.refused(getattr(theirs, refusal)("could not go on")))


# --- Snowflake -----------------------------------------------------------------------------------


@contextmanager
def refusing(monkeypatch: pytest.MonkeyPatch, part: str, error: errors.Error) -> Iterator[None]:
    execute = SnowflakeCursor.execute

    def instead(self: SnowflakeCursor, command: str, *given: Any, **more: Any) -> Any:
        if part in command:
            raise error
        return execute(self, command, *given, **more)

    with monkeypatch.context() as patch:
        patch.setattr(SnowflakeCursor, "execute", instead)
        yield


def privileges(where: str) -> errors.Error:
    """As Snowflake's server words it."""
    said = f"SQL access control error:\nInsufficient privileges to operate on {where}"
    return errors.ProgrammingError(said, 3001, "42501")


@pytest.mark.parametrize("engine", ["snowflake"])
@pytest.mark.parametrize(
    ("part", "moment", "where"),
    [
        ("CREATE TRANSIENT TABLE", "load", "schema 'LIFTOS_AUDIT'"),
        ("PUT ", "load", "stage 'LOAD_FILES'"),
        ("COPY INTO", "load", "table 'LOAD_1'"),
        ('INSERT INTO "LIFTOS_AUDIT"', "load", "table 'PERFORMANCE'"),
        ('DELETE FROM "LIFTOS"."PERFORMANCE"', "publish", "table 'PERFORMANCE'"),
        ('INSERT INTO "LIFTOS"."LOADS"', "publish", "table 'LOADS'"),
    ],
)
def test_a_role_of_snowflake_that_lacks_a_right(lab, monkeypatch, part, moment, where):
    lab.publish(report_slice(), [performance_row(DAY1)])
    before, done = lab.warehouse.checksum("performance"), next_load(lab)
    if moment == "publish":
        tried(lab.warehouse, done, "load")
    with (
        refusing(monkeypatch, part, privileges(where)),
        pytest.raises(WarehouseDenied) as caught,
    ):
        tried(lab.warehouse, done, moment)
    told = ends_the_task(caught.value)
    assert where in told
    assert "(003001)" in told
    assert f"/{lab.warehouse._account.parameters()['database']}" in told
    assert "give the role what it lacks" in told
    assert lab.warehouse.checksum("performance") == before
    tried(lab.warehouse, done, moment)


_NOT_CONNECTED = "Failed to connect to DB: acme:443. {}"
_WRONG_ROLE = "Role 'LOADER' specified in the connect string is not granted to this user."


@pytest.mark.parametrize(
    ("number", "state", "said", "denied"),
    [
        (2003, "02000", "Database 'ADS' does not exist or not authorized.", True),
        (606, "57P03", "No active warehouse selected in the current session.", True),
        (
            250001,
            "08001",
            _NOT_CONNECTED.format("Incorrect username or password was specified."),
            True,
        ),
        (250001, "08001", _NOT_CONNECTED.format("JWT token is invalid. [0a]"), True),
        (250001, "08001", _NOT_CONNECTED.format(_WRONG_ROLE), True),
        (250001, "08001", "Could not connect to Snowflake backend after 2 attempt(s).", False),
        (625, "57014", "Statement was aborted because the number of waiters exceeds 20.", False),
    ],
)
def test_what_snowflake_says_ends_the_task_or_not(number, state, said, denied):
    told = refused(errors.DatabaseError(said, number, state), "acme/ADS as role LOADER")
    line = (ends_the_task if denied else is_retried)(told)
    assert line.startswith("Snowflake (acme/ADS as role LOADER) refused: ")
    assert said.rstrip(".") in line


# --- Databricks ----------------------------------------------------------------------------------

_USER = "User does not have {} on {}. SQLSTATE: 42501"


@pytest.mark.parametrize("engine", ["databricks"])
@pytest.mark.parametrize(
    ("part", "moment", "said"),
    [
        ("PUT '", "load", "[PERMISSION_DENIED] " + _USER.format("WRITE VOLUME", "Volume 'w.l.f'")),
        ("COPY INTO", "load", "[INSUFFICIENT_PERMISSIONS] Insufficient privileges: "
         + _USER.format("MODIFY", "Table 'w.liftos_audit.performance'")),
        ("REPLACE WHERE", "publish", "[INSUFFICIENT_PERMISSIONS] Insufficient privileges: "
         + _USER.format("MODIFY", "Table 'w.liftos.performance'")),
        ("`liftos`.`loads`", "publish", "PERMISSION_DENIED: "
         + _USER.format("USE SCHEMA", "Schema 'w.liftos'")),
    ],
)  # fmt: skip
def test_a_principal_of_databricks_that_lacks_a_right(lab, part, moment, said):
    lab.publish(report_slice(), [performance_row(DAY1)])
    before, done = lab.warehouse.checksum("performance"), next_load(lab)
    sandbox = lab.warehouse.sandbox
    if moment == "publish":
        tried(lab.warehouse, done, "load")
    sandbox.fail(part, said)
    try:
        with pytest.raises(WarehouseDenied) as caught:
            tried(lab.warehouse, done, moment)
    finally:
        sandbox.revive()
    told = ends_the_task(caught.value)
    assert said.partition(" on ")[2].partition(".")[0] in told
    assert told.startswith("Databricks (warehouse) refused: ")
    assert "grant USE CATALOG" in told
    assert sandbox.token not in told
    assert lab.warehouse.checksum("performance") == before
    tried(lab.warehouse, done, moment)


@pytest.mark.parametrize("engine", ["databricks"])
@pytest.mark.parametrize(
    ("said", "denied"),
    [
        ("[NO_SUCH_CATALOG_EXCEPTION] Catalog 'gone' was not found. SQLSTATE: 42704", True),
        ("[DELTA_CONCURRENT_APPEND] ConcurrentAppendException: Files were added", False),
        ("[INTERNAL_ERROR] The Spark SQL phase planning failed. SQLSTATE: XX000", False),
    ],
)
def test_what_databricks_says_ends_the_task_or_not(lab, said, denied):
    told = lab.warehouse._server.refused(RuntimeError(said))
    (ends_the_task if denied else is_retried)(told)


@pytest.mark.parametrize("engine", ["databricks"])
def test_a_token_that_databricks_does_not_know_ends_the_task(lab):
    given = databricks_server.warehouse_at(
        lab.warehouse.sandbox,
        retries={"access_token": "dapi-of-somebody-else", "_retry_stop_after_attempts_count": 1},
    )
    with pytest.raises(WarehouseDenied) as caught:
        given.query("SELECT 1")
    told = ends_the_task(caught.value)
    assert "correct the token" in told
    assert "somebody-else" not in told
