"""What planning, the audit and comparisons ask a warehouse, answered alike by every engine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from airflow_provider_liftos.model.report import Level, Window
from airflow_provider_liftos.model.unified import TABLES
from airflow_provider_liftos.quality import days, published_entities
from airflow_provider_liftos.quality.awaited import Awaited
from airflow_provider_liftos.warehouses.cross_platform import totals
from airflow_provider_liftos.warehouses.progress import published
from tests.warehouses.staging import (
    DAY1,
    DAY2,
    DAY3,
    NOON,
    ORG,
    entity_row,
    manifest,
    performance_row,
    report_slice,
    stream_slice,
)

KEY = ("1001", "basic", "campaign")
ASKED = datetime.fromtimestamp(NOON, UTC)


def test_published_days_are_spans_of_early_and_final_ones(lab):
    for day in (DAY1, DAY3):
        lab.publish(report_slice(day, day), [performance_row(day)])
    lab.publish(stream_slice(), [entity_row("a", "x")], table="campaigns")
    found = published(lab.warehouse, ORG, "meta", 18)
    assert set(found) == {KEY}
    [final], [early] = found[KEY].final, found[KEY].early
    assert (final, early) == (Window(since=DAY1, until=DAY1), Window(since=DAY3, until=DAY3))
    lab.publish(report_slice(DAY2, DAY2), [performance_row(DAY2)])
    [whole] = published(lab.warehouse, ORG, "meta", 28)[KEY].early
    assert whole == Window(since=DAY1, until=DAY3)


def test_rows_under_audit_are_counted_summed_and_searched_for_repeated_keys(lab):
    rows = [performance_row(DAY1), performance_row(DAY1), performance_row(DAY2, spend=None)]
    done = lab.staged(report_slice(), rows)
    loaded = manifest(done)
    lab.warehouse.load(loaded)
    found = days.loaded_days(lab.warehouse, loaded)[KEY]
    one, two = found[DAY1]["default"], found[DAY2]["default"]
    assert (one.rows, one.duplicates, one.sums) == (2, 1, (2000.0, 20.0, 10.0))
    assert (two.rows, two.duplicates, two.sums) == (1, 0, (1000.0, 10.0, None))
    lab.warehouse.publish(done, "load-1", ORG, NOON)
    assert days.seen_days(lab.warehouse, loaded, DAY1, DAY2)[KEY] == found
    known = days.publications(lab.warehouse, loaded)[KEY]
    assert known == {day: days.Publication(as_of=ASKED, mine=True) for day in (DAY1, DAY2)}
    told = {d.date: (d.rows, d.spend) for d in days.published_days(lab.warehouse, loaded)}
    assert told == {DAY1: (2, 10.0), DAY2: (1, None)}


def test_entities_are_counted_under_audit_and_as_published(lab):
    done = lab.staged(stream_slice(), [entity_row("a", "x"), entity_row("b", "x")],
                      table="campaigns")  # fmt: skip
    loaded, table = manifest(done), TABLES["campaigns"]
    lab.warehouse.load(loaded)
    assert days.loaded_entities(lab.warehouse, loaded, table) == {"1001": (2, 0)}
    lab.warehouse.publish(done, "load-1", ORG, NOON)
    assert days.current_entities(lab.warehouse, loaded, table) == {"1001": 2}


def test_accounts_with_active_ads_are_able(lab):
    made = []
    for table, key, parts in (
        ("ads", "ad_id", {"ad_group_id": "g"}),
        ("ad_groups", "ad_group_id", {"end_at": ASKED + timedelta(days=1)}),
    ):
        row = {k: v for k, v in entity_row("c", "x").items() if k != "campaign_id"}
        row |= {key: "g", "effective_status": "ACTIVE", **parts}
        made.append(lab.staged(stream_slice(table), [row], table=table))
    loaded = manifest(*made)
    lab.warehouse.load(loaded)
    assert days.able_accounts(lab.warehouse, loaded) == {"1001"}
    for done in made:
        lab.warehouse.publish(done, "load-1", ORG, NOON)
    assert days.able_accounts(lab.warehouse, loaded) == {"1001"}


def test_platforms_are_summed_side_by_side(lab):
    part = report_slice(level=Level.ACCOUNT)
    rows = [performance_row(day, level="account", currency="USD") for day in (DAY1, DAY2)]
    lab.publish(part, rows)
    [found], warnings = totals(lab.warehouse, ORG, DAY1, DAY3)
    assert (found.impressions, found.spend, found.roas) == (2000, Decimal(10), 4.0)
    assert (found.first_day, found.last_day, found.unconverted) == (DAY1, DAY2, 0)
    assert warnings == []


def test_what_is_waited_for_is_found_by_its_days_and_tables(lab):
    for day in (DAY1, DAY3):
        lab.publish(report_slice(day, day), [performance_row(day)])
    lab.publish(stream_slice(), [entity_row("a", "x")], table="campaigns")

    def lacking(*tables):
        awaited = Awaited(platform="meta", tables=tables, window=Window(since=DAY1, until=DAY3))
        return awaited.lacking(lab.warehouse, ORG, ASKED)

    assert lacking("basic:campaign") == [f"meta account 1001 lacks {DAY2} of basic:campaign"]
    assert lacking("campaigns", "basic:ad")[0].endswith(f"{DAY1} and 2 more days of basic:ad")


def test_living_entities_are_read_in_pieces_that_follow_one_another(lab, monkeypatch):
    monkeypatch.setattr(published_entities, "AT_ONCE", 2)
    lab.publish(stream_slice(), [entity_row(n, "x") for n in "abcde"], table="campaigns")
    table = TABLES["campaigns"]
    position = table.names().index("campaign_id")
    found = published_entities._pieces(lab.warehouse, manifest(), table)
    assert [[row[position] for row in piece] for piece in found] == [["a", "b"], ["c", "d"], ["e"]]
