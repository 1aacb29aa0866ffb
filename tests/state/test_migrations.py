from __future__ import annotations

from sqlalchemy import inspect, select, text

from airflow_provider_liftos.state import migrations
from airflow_provider_liftos.state.restatements import moves, note
from airflow_provider_liftos.state.store import StateStore
from airflow_provider_liftos.state.tables import dead_letters, restatements

BEFORE = (
    "CREATE TABLE {} (org_id TEXT NOT NULL, platform TEXT NOT NULL, account_id TEXT NOT NULL,"
    " report TEXT NOT NULL, level TEXT NOT NULL, date TEXT NOT NULL, metric TEXT NOT NULL,"
    " old_value TEXT, new_value TEXT, load_id TEXT NOT NULL, created_at DOUBLE PRECISION NOT NULL)"
)
SAME = {"platform": "meta", "account_id": "1", "report": "basic", "level": "ad"}


def first_version(connection):
    """The store as version 1 left it: letters and restatements as they were then."""
    migrations.create_tables(connection)
    for index in inspect(connection).get_indexes("restatements"):
        connection.execute(text(f"DROP INDEX {index['name']}"))
    restatements.drop(connection)
    connection.execute(text(BEFORE.format("restatements")))
    connection.execute(
        text("CREATE INDEX restatements_created ON restatements (org_id, created_at)")
    )
    for column in list(dead_letters.c)[11:]:
        connection.execute(text(f"ALTER TABLE dead_letters DROP COLUMN {column.name}"))
    for day in ("2026-11-01", "2026-11-02"):
        connection.execute(
            text(
                "INSERT INTO restatements VALUES ('o', 'meta', '1', 'basic', 'ad', :day, 'spend',"
                " '1', '2', 'load', 1.0)"
            ),
            {"day": day},
        )


def test_restatements_of_an_older_store_get_keys_and_stay(empty_store_url, monkeypatch):
    monkeypatch.setattr(migrations, "STEPS", (first_version,))
    old = StateStore(empty_store_url)
    with old.read() as connection:
        assert "id" not in {c["name"] for c in inspect(connection).get_columns("restatements")}
    old.close()
    monkeypatch.undo()
    store = StateStore(empty_store_url)
    assert len(moves(store, "o")) == 2
    note(store, "o", **SAME, load_id="later", moved=[("2026-11-03", "spend", None, None)])
    with store.read() as connection:
        found = inspect(connection)
        assert found.get_pk_constraint("restatements")["constrained_columns"] == ["org_id", "id"]
        ids = connection.scalars(select(restatements.c.id)).all()
        assert len(set(ids)) == len(ids) == 3
        columns = {c["name"] for c in found.get_columns("dead_letters")}
        assert columns == {c.name for c in dead_letters.c}
        names = {index["name"] for index in found.get_indexes("restatements")}
        assert names == {"restatements_day", "restatements_created"}
        assert not found.has_table("restatements_before")
