"""All that is sent to Databricks, word by word and in its order; and that it is Databricks' SQL."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_liftos.model.unified import TABLES
from airflow_provider_liftos.quality import days
from airflow_provider_liftos.state.audit_log import AuditLog
from airflow_provider_liftos.state.clock import ManualClock
from airflow_provider_liftos.state.store import StateStore
from airflow_provider_liftos.transforms.rates import Rate
from airflow_provider_liftos.warehouses.mirror import mirror
from airflow_provider_liftos.warehouses.progress import published
from airflow_provider_liftos.warehouses.waiting import discard_old
from tests.warehouses.databricks_server import warehouse_at
from tests.warehouses.snapshots import check_snapshot
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
    result,
    stream_slice,
)

HOUR, DAY = 3600.0, 86_400
EXPECTED = Path(__file__).with_name("databricks_statements.sql")
# What only the connector and Unity Catalog know, and sqlglot does not.
NOT_PARSED = re.compile(r"PUT |REMOVE |LIST |CREATE VOLUME ")
PLACEHOLDERS = 256
"""Databricks refuses a statement with more."""


class Script:
    """A life of a warehouse in sections, and what was sent in each of them."""

    def __init__(self, folder: Path, sandbox: Any) -> None:
        self.sandbox = sandbox
        self.now = NOON
        self.lab = Lab(folder, self.opened())
        self.store = StateStore(f"sqlite:///{folder / 'state.db'}", ManualClock(NOON))
        self.sections: dict[str, list[str]] = {}

    def opened(self) -> Any:
        """As a later task does it."""
        return warehouse_at(self.sandbox, clock=lambda: self.now)

    def section(self, title: str, work: Callable[[], object]) -> None:
        start = len(self.sandbox.seen)
        work()
        self.sections[title] = self.sandbox.seen[start:]

    def run(self) -> None:
        lab = self.lab
        self.section("prepare", lab.warehouse.prepare)
        self.section("prepare again: nothing to do", lambda: self.opened().prepare())
        self.age()
        self.section("prepare an older version's tables", lambda: self.opened().prepare())
        self.section("publish a report", lambda: lab.publish(report_slice(), self.report("5")))
        self.section("publish newer rows of it", lambda: self.newer(self.report("6")))
        self.section("publish that its days are empty", self.emptied)
        self.section("publish slices together", self.together)
        self.section("publish a snapshot", lambda: self.snapshot(1, "a", "b"))
        self.section("publish a later snapshot", lambda: self.snapshot(2, "a", "c"))
        self.section("replace exchange rates", self.rates)
        self.section("settle what is restated no more", self.settle)
        self.section("mirror the state store", lambda: mirror(self.store, lab.warehouse, ORG))
        AuditLog(self.store, ORG).note("anna", "connected", "meta_default")
        self.section("mirror it again", lambda: mirror(self.store, lab.warehouse, ORG))
        self.section("read for the audit", self.audit)
        self.section("read what is published", self.reading)
        self.section("discard what waits for nobody", self.discard)
        self.section("compact: list and remove files that were left", self.compact)
        self.store.close()

    def age(self) -> None:
        """A column less, and one that is narrower, as an older version had it."""
        for schema in ("liftos", "liftos_audit"):
            table = f"{schema}.performance"
            self.sandbox.lakehouse.run(f"ALTER TABLE {table} DROP COLUMN frequency")
            self.sandbox.lakehouse.run(f"ALTER TABLE {table} ALTER COLUMN clicks TYPE INTEGER")

    def report(self, amount: str) -> list[dict[str, Any]]:
        return [performance_row(day, spend=amount) for day in (DAY1, DAY2)]

    def newer(self, rows: list[dict[str, Any]]) -> None:
        self.lab.publish(report_slice(), rows, load_id="b", as_of=NOON + HOUR)

    def emptied(self) -> None:
        empty = result(report_slice(), as_of=NOON + 2 * HOUR)
        self.lab.warehouse.load(manifest(empty, load_id="c"))
        self.lab.warehouse.publish(empty, "c", ORG, NOON)

    def together(self) -> None:
        cuts = [
            self.lab.staged(
                report_slice(DAY1, DAY1, account=name),
                [performance_row(DAY1, account_id=name)],
                load_id="d",
            )
            for name in ("x", "y")
        ]
        self.lab.warehouse.load(manifest(*cuts, load_id="d"))
        list(self.lab.warehouse.publish_each(cuts, "d", ORG, lambda: NOON))

    def snapshot(self, load: int, *names: str) -> None:
        done = self.lab.staged(
            stream_slice(), [entity_row(name, f"{name}{load}") for name in names],
            load_id=f"e{load}", as_of=NOON + HOUR * load, table="campaigns",
        )  # fmt: skip
        self.lab.warehouse.load(manifest(done, load_id=f"e{load}"))
        self.lab.warehouse.publish(done, f"e{load}", ORG, NOON)

    def rates(self) -> None:
        one = Rate(day=DAY1, currency="USD", rate=Decimal("1.1"), published=DAY1)
        self.lab.warehouse.replace_rates([one], ORG, NOON)

    def settle(self) -> None:
        ended = datetime.fromtimestamp(NOON, UTC)
        rows = [row | {"is_estimated": True, "day_end_utc": ended} for row in self.report("7")]
        self.lab.publish(report_slice(), rows, load_id="f", as_of=NOON + 3 * HOUR)
        self.lab.warehouse.settle(ORG, "meta", 1, NOON + 2 * DAY)

    def audit(self) -> None:
        done = self.lab.staged(report_slice(), self.report("8"), load_id="g")
        loaded = manifest(done, load_id="g")
        self.lab.warehouse.load(loaded)
        days.loaded_days(self.lab.warehouse, loaded)
        days.seen_days(self.lab.warehouse, loaded, DAY1, DAY2)
        days.publications(self.lab.warehouse, loaded)
        days.published_days(self.lab.warehouse, loaded)
        days.able_accounts(self.lab.warehouse, loaded)
        for name in ("campaigns", "creatives"):
            days.loaded_entities(self.lab.warehouse, loaded, TABLES[name])
            days.current_entities(self.lab.warehouse, loaded, TABLES[name])

    def reading(self) -> None:
        published(self.lab.warehouse, ORG, "meta", 28)
        self.lab.warehouse.checksum("performance")
        self.lab.warehouse.query("SELECT * FROM `liftos`.`campaign_report`")

    def discard(self) -> None:
        assert discard_old(self.lab.warehouse, NOON + DAY) == 1

    def compact(self) -> None:
        made = self.opened()
        made.prepare()
        left = self.sandbox.lakehouse.file(
            f"{made._volume}/load_1_{'0' * 16}/performance/performance.parquet"
        )
        left.parent.mkdir(parents=True)
        left.write_bytes(b"")
        self.now += 2 * DAY
        assert made.compact() == {"files_removed": 1}


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from airflow_provider_liftos.sandbox.databricks import DatabricksSandbox

    with DatabricksSandbox() as sandbox:
        made = Script(tmp_path_factory.mktemp("script"), sandbox)
        made.run()
        yield made


def plain(sql: str) -> str:
    """Without what is another one each time."""
    sql = re.sub(r"PUT '[^']*/", "PUT '/folder/", sql)
    return re.sub(r"/load_files/load_\d+_[0-9a-f]{16}/", "/load_files/<attempt>/", sql)


def test_what_is_sent_and_in_which_order(script):
    lines: list[str] = []
    for title, statements in script.sections.items():
        lines += [f"-- {title}", *(f"{plain(sql)};" for sql in statements), ""]
    check_snapshot(EXPECTED, "\n".join(lines))


def test_all_that_is_sent_is_databricks_sql(script):
    import sqlglot
    from sqlglot import exp

    kinds = set()
    for sql in script.sandbox.seen:
        if not NOT_PARSED.match(sql):
            tree = sqlglot.parse_one(sql, read="databricks")
            kinds.add(type(tree))
            assert len(list(tree.find_all(exp.Placeholder))) <= PLACEHOLDERS
    needed = {exp.Insert, exp.Merge, exp.Copy, exp.Create, exp.Select, exp.Delete, exp.Update}
    assert kinds >= needed | {exp.Alter, exp.Union}
    assert exp.Command not in kinds, "sqlglot knows what it means"


@pytest.mark.parametrize(
    ("title", "sign"),
    [
        ("prepare", "CREATE SCHEMA IF NOT EXISTS"),
        ("prepare", "CLUSTER BY"),
        ("prepare", "CREATE OR REPLACE VIEW"),
        ("prepare", "CREATE VOLUME IF NOT EXISTS"),
        ("prepare an older version's tables", "ADD COLUMN"),
        ("prepare an older version's tables", "SET TBLPROPERTIES ('delta.enableTypeWidening'"),
        ("prepare an older version's tables", "ALTER COLUMN `clicks` TYPE bigint"),
        ("prepare an older version's tables", "CREATE OR REPLACE VIEW"),
        ("publish a report", "COPY INTO"),
        ("publish a report", "REPLACE WHERE"),
        ("publish a later snapshot", "MERGE INTO"),
        ("replace exchange rates", "`fx_rates` REPLACE WHERE"),
        ("settle what is restated no more", "UPDATE "),
        ("mirror the state store", "CREATE TABLE IF NOT EXISTS `liftos`.`run_ledger`"),
        ("mirror it again", "INSERT INTO `liftos`.`audit_log`"),
        ("read for the audit", "HAVING COUNT(*) > 1"),
        ("discard what waits for nobody", "DELETE FROM `liftos_audit`.`performance`"),
        ("compact: list and remove files that were left", "LIST '"),
        ("compact: list and remove files that were left", "REMOVE '"),
    ],
)
def test_every_kind_of_statement_is_among_them(script, title, sign):
    assert any(sign in sql for sql in script.sections[title])


def test_nothing_is_made_anew_where_nothing_changed(script):
    sent = script.sections["prepare again: nothing to do"]
    # The volume's name is known to nobody but the catalogue, and is asked for.
    assert all(sql.startswith(("SELECT", "CREATE VOLUME IF NOT EXISTS")) for sql in sent)
