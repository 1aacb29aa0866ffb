from __future__ import annotations

import multiprocessing
import os
import sqlite3
import subprocess
import sys
import threading
import traceback

import pytest
from sqlalchemy import Column, MetaData, Text, func, inspect, select, text

from airflow_provider_liftos.model.errors import (
    ConfigurationError,
    StagingError,
    Unavailable,
)
from airflow_provider_liftos.state import engines, migrations, tables
from airflow_provider_liftos.state.clock import ManualClock, SystemClock
from airflow_provider_liftos.state.store import StateStore, describe, insert_into, open_store
from airflow_provider_liftos.state.tables import audit_log, dead_letters, schema_version

FORK = multiprocessing.get_context("fork")


def note(store, entry_id, org_id="o"):
    with store.write() as connection:
        connection.execute(
            audit_log.insert().values(
                org_id=org_id, id=entry_id, actor="a", action="x", created_at=store.clock.now()
            )
        )


def count(store):
    with store.read() as connection:
        return connection.scalar(select(func.count()).select_from(audit_log))


def use_first_time(url, gate, number):
    gate.wait()
    note(StateStore(url), str(number))


def test_eight_processes_may_use_an_empty_store_at_once(empty_store_url):
    gate = FORK.Barrier(8)
    workers = [
        FORK.Process(target=use_first_time, args=(empty_store_url, gate, n)) for n in range(8)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(90)
    assert [worker.exitcode for worker in workers] == [0] * 8
    store = StateStore(empty_store_url)
    assert count(store) == 8
    with store.read() as connection:
        assert connection.scalars(select(schema_version.c.version)).all() == [
            *range(1, len(migrations.STEPS) + 1)
        ]


def test_every_table_is_there_and_starts_with_the_organization(empty_store_url):
    with StateStore(empty_store_url).read() as connection:
        found = inspect(connection)
        names = set(found.get_table_names()) - {"schema_version"}
        assert names == set(tables.metadata.tables) - {"schema_version"}
        assert {found.get_columns(name)[0]["name"] for name in names} == {"org_id"}


def test_a_failed_transaction_leaves_nothing(empty_store_url):
    store = StateStore(empty_store_url)

    def note_and_fail():
        with store.write() as connection:
            connection.execute(
                audit_log.insert().values(org_id="o", id="1", actor="a", action="x", created_at=1.0)
            )
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        note_and_fail()
    assert count(store) == 0


def test_migration_is_all_or_nothing_and_forward(empty_store_url, monkeypatch):
    store = StateStore(empty_store_url)
    note(store, "before")
    store.close()

    tomorrow = dead_letters.to_metadata(MetaData())
    tomorrow.append_column(Column("added", Text))

    def second(connection):
        migrations.add_column(connection, tomorrow.c.added)

    def third(connection):
        raise ZeroDivisionError

    steps = (*migrations.STEPS, second)
    monkeypatch.setattr(migrations, "STEPS", (*steps, third))
    with pytest.raises(ZeroDivisionError):
        note(StateStore(empty_store_url), "never")
    monkeypatch.setattr(migrations, "STEPS", steps)
    later = StateStore(empty_store_url)
    with later.read() as connection:
        columns = {column["name"] for column in inspect(connection).get_columns("dead_letters")}
        assert connection.scalar(select(func.max(schema_version.c.version))) == len(steps)
    assert "added" in columns
    assert count(later) == 1  # what was there is still there
    with later.write() as connection:
        second(connection)  # adding it again does nothing


def test_a_store_of_a_newer_release_is_left_alone(empty_store_url, monkeypatch):
    known = len(migrations.STEPS)
    monkeypatch.setattr(migrations, "STEPS", (*migrations.STEPS, lambda connection: None))
    note(StateStore(empty_store_url), "1")
    monkeypatch.undo()
    with pytest.raises(
        ConfigurationError, match=f"version {known + 1}; this release knows {known}\\."
    ) as caught:
        note(StateStore(empty_store_url), "2")
    assert "Upgrade" in str(caught.value)


def test_somebody_elses_table_is_not_adopted(empty_store_url):
    engines.build(engines.parse(empty_store_url)).dispose()
    with engines.build(engines.parse(empty_store_url)).begin() as connection:
        connection.execute(text("CREATE TABLE leases (mine integer)"))
    with pytest.raises(ConfigurationError, match="already exists"):
        count(StateStore(empty_store_url))


def test_threads_share_one_store(store_url):
    store = StateStore(store_url)
    org_id = f"threads-{os.getpid()}"
    threads = [threading.Thread(target=lambda n=n: note(store, str(n), org_id)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.read() as connection:
        mine = select(func.count()).select_from(audit_log).where(audit_log.c.org_id == org_id)
        assert connection.scalar(mine) == 16


def note_from_child(store, entry_id):
    note(store, entry_id)


def test_a_fork_gets_its_own_connections_and_leaves_the_parents_alone(empty_store_url):
    store = StateStore(empty_store_url)
    note(store, "parent")
    with store.read() as open_in_parent:
        open_in_parent.execute(select(audit_log)).all()
        child = FORK.Process(target=note_from_child, args=(store, "child"))
        child.start()
        child.join(60)
        assert child.exitcode == 0
        open_in_parent.execute(select(audit_log)).all()
    note(store, "parent again")
    assert count(store) == 3


def test_what_a_child_writes_outlives_its_parents_connections(tmp_path):
    store = StateStore(f"sqlite:///{tmp_path}/state.db")
    note(store, "parent")
    begun, go_on = FORK.Event(), FORK.Event()
    child = FORK.Process(target=note_twice, args=(store, begun, go_on))
    child.start()
    assert begun.wait(60)
    store.close()  # the last one that this process knows of: its log would be deleted
    code = (
        "import sys; from airflow_provider_liftos.state.store import StateStore;"
        "store = StateStore(sys.argv[1]); store.read().__enter__(); store.close()"
    )
    subprocess.run([sys.executable, "-c", code, f"sqlite:///{tmp_path}/state.db"], check=True)
    go_on.set()
    child.join(60)
    assert child.exitcode == 0
    assert count(store) == 3


def note_twice(store, begun, go_on):
    note(store, "child")
    begun.set()
    go_on.wait(60)
    note(store, "child again")


def test_a_fork_while_another_thread_opens_the_store_does_not_block(tmp_path, monkeypatch):
    store = StateStore(f"sqlite:///{tmp_path}/state.db")
    opening, go_on = threading.Event(), threading.Event()
    real = migrations.migrate
    parent = os.getpid()

    def slow(engine, **options):
        if os.getpid() == parent:
            opening.set()
            go_on.wait(60)
        real(engine, **options)

    monkeypatch.setattr(migrations, "migrate", slow)
    thread = threading.Thread(target=note, args=(store, "parent"))
    thread.start()
    opening.wait(60)
    child = FORK.Process(target=note_from_child, args=(store, "child"))
    child.start()
    child.join(60)
    go_on.set()
    thread.join()
    assert child.exitcode == 0
    assert count(store) == 2


def test_sqlite_is_set_up_for_many_processes(tmp_path):
    store = StateStore(f"sqlite:///{tmp_path}/deep/er/state.db")
    with store.read() as connection:
        pragma = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "busy_timeout", "synchronous")
        }
    assert pragma == {"journal_mode": "wal", "busy_timeout": 30_000, "synchronous": 1}
    assert store.on_one_host


def test_sqlite_writers_wait_at_the_beginning_not_in_the_middle(tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path}/state.db"
    first = StateStore(url)
    monkeypatch.setattr(engines, "BUSY_SECONDS", 0.05)
    second = StateStore(url)
    note(first, "1")
    with first.write():
        assert count(second) == 1  # readers go on
        with pytest.raises(Unavailable, match="locked"), second.write():
            pytest.fail("two writers at once")


@pytest.mark.parametrize(
    "url",
    [
        "mysql://localhost/x",
        "duckdb:///x.db",
        "sqlite://",
        "sqlite:///:memory:",
        "postgresql+psycopg2://localhost/x",
        "not a url",
        "",
    ],
)
def test_other_urls_are_refused(url):
    with pytest.raises(ConfigurationError, match="state_url"):
        StateStore(url)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_spelling_of_postgres_is_accepted(postgres_url, scheme):
    store = StateStore(postgres_url.replace("postgresql", scheme, 1))
    assert not store.on_one_host
    assert count(store) >= 0


def test_secrets_do_not_show():
    url = "postgresql://liftos:s3cret@db.example/state?sslpassword=s3cret&sslmode=require"
    for shown in (describe(url), StateStore(url).where, repr(StateStore(url)), describe("s3cret")):
        assert "s3cret" not in shown
    assert "liftos:***@db.example/state" in describe(url)
    assert "sslmode=require" in describe(url)
    with pytest.raises(ConfigurationError) as caught:
        StateStore("mysql://me:s3cret@x/y")
    assert "s3cret" not in str(caught.value)


def test_a_server_out_of_reach_is_unavailable():
    store = StateStore("postgresql://liftos:s3cret@127.0.0.1:1/state")
    with pytest.raises(Unavailable, match="did not answer") as caught:
        count(store)
    assert "s3cret" not in f"{caught.value}{caught.value.__cause__}"


def test_a_database_that_is_not_there_is_a_configuration_error(postgres_server):
    with pytest.raises(ConfigurationError, match="does not exist"):
        count(StateStore(postgres_server.replace("/postgres?", "/absent?")))


def test_a_role_that_may_not_create_tables_is_a_configuration_error(new_postgres_database):
    import psycopg

    url = new_postgres_database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE ROLE reader LOGIN")
        connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    with pytest.raises(ConfigurationError, match="permission denied"):
        count(StateStore(url.replace("liftos@", "reader@")))


def test_a_folder_that_cannot_be_made_is_a_configuration_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be created: Not a directory"):
        count(StateStore(f"sqlite:///{tmp_path}/file/sub/state.db"))


def test_a_file_that_is_no_database_is_a_configuration_error(tmp_path):
    (tmp_path / "state.db").write_text("hello, this is a text file of some length" * 50)
    with pytest.raises(ConfigurationError, match="not a database"):
        count(StateStore(f"sqlite:///{tmp_path}/state.db"))


def test_a_full_disk_is_a_staging_error_and_rolls_back(tmp_path):
    store = StateStore(f"sqlite:///{tmp_path}/state.db")
    note(store, "1")

    def write_more_than_fits():
        with store.write() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
            entry = {"org_id": "o", "id": "2", "actor": "a", "action": "x", "created_at": 1.0}
            connection.execute(audit_log.insert().values(detail="long" * 100_000, **entry))

    with pytest.raises(StagingError, match="full"):
        write_more_than_fits()
    assert count(store) == 1


def test_error_texts_hold_no_values(store_url):
    from sqlalchemy.exc import IntegrityError

    store = StateStore(store_url)
    with pytest.raises(IntegrityError) as caught, store.write() as connection:
        connection.execute(
            dead_letters.insert().values(
                org_id="o", id="1", platform=None, kind="k", reason="r", payload="s3cret"
            )
        )
    told = "".join(traceback.format_exception(caught.value))
    assert "s3cret" not in told
    assert "platform" in str(caught.value)


def test_nor_do_those_of_values_that_do_not_fit(postgres_url):
    from sqlalchemy.exc import DataError

    given = {"value": "s3cret"}
    with pytest.raises(DataError) as caught, StateStore(postgres_url).read() as connection:
        connection.execute(text("SELECT CAST(:value AS integer)"), given)
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("said", ["a\x00b", "half of \ud83d", "whole 😀 ␀"])
def test_every_text_of_a_platform_can_be_kept(store_url, said):
    store, org_id = StateStore(store_url), f"texts-{os.getpid()}"
    note(store, said, org_id)
    with store.write() as connection:
        connection.execute(audit_log.update().values(detail=said).where(audit_log.c.id == said))
        mine = audit_log.c.org_id == org_id
        kept = connection.execute(select(audit_log).where(mine)).all()
        connection.execute(audit_log.delete().where(mine))
    shown = said.replace("\x00", "␀").replace("\ud83d", "?")
    assert [(row.id, row.detail) for row in kept] == [(shown, shown)]


def test_a_doubled_key_stays_an_integrity_error(empty_store_url):
    from sqlalchemy.exc import IntegrityError

    store = StateStore(empty_store_url)
    note(store, "already exists, disk is full")
    with pytest.raises(IntegrityError):
        note(store, "already exists, disk is full")


def test_a_wrong_statement_stays_what_it_is(store_url):
    from sqlalchemy.exc import DBAPIError

    with pytest.raises(DBAPIError), StateStore(store_url).read() as connection:
        connection.execute(text("SELECT nothing FROM nowhere"))


def test_one_store_per_process_and_url(tmp_path):
    url = f"sqlite:///{tmp_path}/state.db"
    assert open_store(url) is open_store(url)
    assert open_store(url) is not open_store(url + "2")
    clock = ManualClock(5.0)
    assert open_store(url, clock).clock is clock
    assert isinstance(open_store(url).clock, SystemClock)


def test_upserts_read_the_same_on_both(store_url):
    store = StateStore(store_url)
    for value in ("first", "second"):
        with store.write() as connection:
            connection.execute(
                insert_into(connection, tables.leases)
                .values(org_id="upsert", name="n", holder=value, expires_at=1.0)
                .on_conflict_do_update(index_elements=["org_id", "name"], set_={"holder": value})
            )
    with store.read() as connection:
        mine = tables.leases.c.org_id == "upsert"
        assert connection.scalars(select(tables.leases.c.holder).where(mine)).all() == ["second"]


def test_neither_package_imports_airflow():
    code = (
        "import sys, airflow_provider_liftos.state.ledger, airflow_provider_liftos.state.leases,"
        " airflow_provider_liftos.resilience.limiter, airflow_provider_liftos.resilience.breaker;"
        "sys.exit(any(m == 'airflow' or m.startswith('airflow.') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_importing_the_packages_alone_costs_no_sqlalchemy():
    code = (
        "import sys, airflow_provider_liftos.state, airflow_provider_liftos.resilience.backoff,"
        " airflow_provider_liftos.state.clock; sys.exit('sqlalchemy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_sqlite_knows_the_statements_we_use():
    assert sqlite3.sqlite_version_info >= (3, 35)  # RETURNING
