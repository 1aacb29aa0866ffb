"""What publishing a slice of a report replaces, and what it leaves alone."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial

import pytest

from airflow_provider_liftos.engine.manifest import File
from airflow_provider_liftos.model.errors import StagingError, WarehouseError
from airflow_provider_liftos.model.report import Ids, Level
from tests.warehouses.staging import (
    DAY1,
    DAY2,
    DAY3,
    NOON,
    ORG,
    Lab,
    manifest,
    performance_row,
    report_slice,
    result,
)

HOUR = 3600.0


def spend(lab: Lab) -> dict[date, Decimal]:
    sql = "SELECT date, sum(spend) FROM liftos.performance GROUP BY date"
    return {day: Decimal(str(total)) for day, total in lab.warehouse.query(sql)}


def waiting(lab: Lab) -> int:
    return lab.warehouse.query("SELECT count(*) FROM liftos_audit.performance")[0][0]


def test_published_rows_leave_the_audit_schema(lab):
    done = lab.staged(report_slice(), [performance_row(DAY1), performance_row(DAY2)])
    assert lab.warehouse.load(manifest(done)) == 2
    assert waiting(lab) == 2
    published = lab.warehouse.publish(done, "load-1", ORG, NOON)
    assert (published.rows_before, published.rows_after) == (0, 2)
    assert published.dates_published == (DAY1, DAY2)
    assert published.restated == ()
    assert waiting(lab) == 0
    assert spend(lab) == {DAY1: 5, DAY2: 5}


def test_loading_twice_is_loading_once(lab):
    done = lab.staged(report_slice(), [performance_row(DAY1)])
    for _ in range(2):
        lab.warehouse.load(manifest(done))
    assert waiting(lab) == 1
    lab.warehouse.publish(done, "load-1", ORG, NOON)
    before = lab.warehouse.checksum("performance")
    lab.warehouse.load(manifest(done))
    lab.warehouse.publish(done, "load-1", ORG, NOON)
    assert lab.warehouse.checksum("performance") == before


def test_publishing_twice_changes_nothing_although_the_audit_rows_are_gone(lab):
    done = lab.staged(report_slice(), [performance_row(DAY1)])
    lab.warehouse.load(manifest(done))
    lab.warehouse.publish(done, "load-1", ORG, NOON)
    again = lab.warehouse.publish(done, "load-1", ORG, NOON + 1)
    assert (again.rows_before, again.rows_after, again.dates_published) == (1, 1, ())
    assert spend(lab) == {DAY1: 5}


def test_publishing_what_was_never_loaded_is_an_error(lab):
    lab.publish(report_slice(), [performance_row(DAY1)])
    later = lab.staged(report_slice(), [performance_row(DAY1)], load_id="load-2", as_of=NOON + 1)
    with pytest.raises(WarehouseError, match="holds 0 of its 1 rows"):
        lab.warehouse.publish(later, "load-2", ORG, NOON)
    assert spend(lab) == {DAY1: 5}


def test_a_discarded_load_cannot_be_published(lab):
    done = lab.staged(report_slice(), [performance_row(DAY1)])
    lab.warehouse.load(manifest(done))
    lab.warehouse.discard("load-1")
    assert waiting(lab) == 0
    with pytest.raises(WarehouseError, match="Load the manifest again"):
        lab.warehouse.publish(done, "load-1", ORG, NOON)


def test_discarding_may_keep_slices(lab):
    kept = lab.staged(report_slice(), [performance_row(DAY1)])
    other = lab.staged(report_slice(account="2002"), [performance_row(DAY1, account_id="2002")])
    lab.warehouse.load(manifest(kept, other))
    lab.warehouse.discard("load-1", keep=[kept.slice.fingerprint()])
    assert waiting(lab) == 1
    assert lab.warehouse.publish(kept, "load-1", ORG, NOON).rows_after == 1


def test_loading_again_removes_what_an_earlier_plan_of_the_load_left(lab):
    wide = lab.staged(report_slice(), [performance_row(DAY1), performance_row(DAY2)])
    foreign = lab.staged(report_slice(), [performance_row(DAY1)], load_id="load-2")
    lab.warehouse.load(manifest(foreign, load_id="load-2"))
    lab.warehouse.load(manifest(wide))
    narrow = lab.staged(report_slice(DAY2), [performance_row(DAY2)])
    lab.warehouse.load(manifest(narrow))
    assert waiting(lab) == 1 + 1
    lab.warehouse.load(manifest())
    assert waiting(lab) == 1


def test_newer_replaces_older_and_tells_what_moved(lab):
    lab.publish(report_slice(), [performance_row(DAY1), performance_row(DAY2)])
    published = lab.publish(
        report_slice(),
        [performance_row(DAY1, spend="5.000001"), performance_row(DAY2)],
        load_id="load-2",
        as_of=NOON + HOUR,
    )
    [moved] = published.restated
    assert (moved.date, moved.metric) == (DAY1, "spend")
    assert (moved.old, moved.new) == (5, Decimal("5.000001"))
    assert spend(lab) == {DAY1: Decimal("5.000001"), DAY2: 5}


def test_older_never_replaces_newer_but_fills_the_days_around_it(lab):
    lab.publish(report_slice(DAY2, DAY2), [performance_row(DAY2)], as_of=NOON + HOUR)
    published = lab.publish(
        report_slice(DAY1, DAY3),
        [performance_row(day, spend="7") for day in (DAY1, DAY2, DAY3)],
        load_id="backfill",
        as_of=NOON,
    )
    assert published.dates_published == (DAY1, DAY3)
    assert published.dates_skipped == (DAY2,)
    assert (published.rows_before, published.rows_after) == (1, 3)
    assert spend(lab) == {DAY1: 7, DAY2: 5, DAY3: 7}
    assert waiting(lab) == 0


def test_a_slice_older_on_all_days_changes_nothing(lab):
    lab.publish(report_slice(), [performance_row(DAY1)], as_of=NOON + HOUR)
    published = lab.publish(report_slice(), [performance_row(DAY2)], load_id="backfill", as_of=NOON)
    assert published.dates_published == ()
    assert spend(lab) == {DAY1: 5}


def test_a_day_emptied_upstream_is_emptied(lab):
    lab.publish(report_slice(), [performance_row(DAY1), performance_row(DAY2)])
    published = lab.publish(
        report_slice(), [performance_row(DAY1)], load_id="load-2", as_of=NOON + HOUR
    )
    assert spend(lab) == {DAY1: 5}
    assert {(r.date, r.new) for r in published.restated} == {(DAY2, None)}


def test_a_wholly_empty_slice_empties_its_days_and_is_noted(lab):
    lab.publish(report_slice(), [performance_row(DAY1), performance_row(DAY2)])
    empty = result(report_slice(), as_of=NOON + HOUR)
    lab.warehouse.load(manifest(empty, load_id="load-2"))
    lab.warehouse.publish(empty, "load-2", ORG, NOON)
    assert spend(lab) == {}
    loads = lab.warehouse.query('SELECT date, "rows", spend, load_id FROM liftos.loads ORDER BY 1')
    assert loads == [(DAY1, 0, None, "load-2"), (DAY2, 0, None, "load-2")]


def test_a_failed_slice_deletes_nothing(lab):
    lab.publish(report_slice(), [performance_row(DAY1)])
    failed = result(report_slice(), as_of=NOON + HOUR, status="failed", error="report expired")
    assert lab.warehouse.load(manifest(failed, load_id="load-2")) == 0
    with pytest.raises(WarehouseError, match="report expired"):
        lab.warehouse.publish(failed, "load-2", ORG, NOON)
    assert spend(lab) == {DAY1: 5}


def test_a_slice_of_only_some_ids_is_refused(lab):
    part = report_slice().narrowed(ids=Ids(values=("c1",)))
    with pytest.raises(WarehouseError, match="restricted to some ids"):
        lab.publish(part, [performance_row(DAY1)])


def test_a_slice_that_was_not_normalized_is_refused(lab):
    raw = (File(path="raw", rows=3, bytes=1, sha256=""),)
    with pytest.raises(StagingError, match="Normalize"):
        lab.warehouse.publish(result(report_slice(), raw=raw), "load-1", ORG, NOON)


def test_a_report_by_action_may_come_to_nothing(lab):
    raw = (File(path="raw", rows=3, bytes=1, sha256=""),)
    part = report_slice(action_breakdowns=("action_type",))
    done = result(part, raw=raw, normalized=True)
    assert lab.warehouse.publish(done, "load-1", ORG, NOON).rows_after == 0
    with pytest.raises(StagingError, match="Normalize"):
        lab.warehouse.publish(result(part, raw=raw), "load-1", ORG, NOON)


@pytest.mark.parametrize(
    "stranger",
    [{"date": DAY3}, {"account_id": "other"}, {"org_id": "other"}, {"report": "other"},
     {"level": "ad"}, {"platform": None}, {"date": None}],
)  # fmt: skip
def test_a_row_the_slice_did_not_declare_stops_it(lab, stranger):
    lab.publish(report_slice(), [performance_row(DAY1)])
    rows = [performance_row(DAY1, spend="9"), performance_row(DAY2, **stranger)]
    with pytest.raises(WarehouseError, match="1 of its 2 rows"):
        lab.publish(report_slice(), rows, load_id="load-2", as_of=NOON + HOUR)
    assert spend(lab) == {DAY1: 5}


def test_other_reports_levels_and_accounts_are_untouched(lab):
    ad, wide, other = Level.AD, "demographics_country", "2002"
    lab.publish(report_slice(level=ad), [performance_row(DAY1, level="ad")], load_id="a")
    lab.publish(report_slice(report=wide), [performance_row(DAY1, report=wide)], load_id="b")
    lab.publish(report_slice(account=other), [performance_row(DAY1, account_id=other)], load_id="c")
    lab.publish(report_slice(DAY3, DAY3), [performance_row(DAY3)], load_id="d")
    before = lab.warehouse.checksum("performance")
    lab.publish(report_slice(), [performance_row(DAY1)], load_id="e")
    mine = "load_id = 'e'"
    assert lab.warehouse.checksum("performance", f"NOT ({mine})") == before
    empty = result(report_slice(), as_of=NOON + HOUR)
    lab.warehouse.publish(empty, "f", ORG, NOON)
    assert lab.warehouse.checksum("performance") == before


def test_nulls_in_key_columns_are_kept_and_replaced(lab):
    rows = [performance_row(DAY1, campaign_id=None), performance_row(DAY1, campaign_id="")]
    for load in ("load-1", "load-2"):
        lab.publish(report_slice(), rows, load_id=load)
    found = lab.warehouse.query("SELECT campaign_id FROM liftos.performance ORDER BY 1 NULLS LAST")
    assert found == [("",), (None,)]


MOVED = {"spend": "6", "conversions": "3", "conversions_value": "7.5", "impressions": 200,
         "clicks": 9}  # fmt: skip


@pytest.mark.parametrize("metric", MOVED)
def test_each_metric_that_moves_is_told(lab, metric):
    before = {"conversions_value": "1", "impressions": 100, "clicks": 8}
    lab.publish(report_slice(), [performance_row(DAY1, **before)])
    after = {**before, metric: MOVED[metric]}
    published = lab.publish(
        report_slice(), [performance_row(DAY1, **after)], load_id="b", as_of=NOON + HOUR
    )
    assert [(r.date, r.metric, r.new) for r in published.restated] == [
        (DAY1, metric, Decimal(str(MOVED[metric])))
    ]


def test_a_day_that_was_published_empty_moves_when_it_has_rows(lab):
    lab.publish(report_slice(DAY1, DAY1), [performance_row(DAY1)])
    lab.publish(report_slice(DAY2, DAY2), [performance_row(DAY1)][:0], load_id="b")
    three = [performance_row(day) for day in (DAY1, DAY2, DAY3)]
    published = lab.publish(report_slice(DAY1, DAY3), three, load_id="c", as_of=NOON + HOUR)
    assert {(r.date, r.old) for r in published.restated} == {(DAY2, None)}, (
        "a first time is no move"
    )


def test_another_attribution_window_is_no_restatement(lab):
    clicked = report_slice(attribution_windows=("7d_click",))
    viewed = report_slice(attribution_windows=("1d_view",))
    lab.publish(clicked, [performance_row(DAY1, attribution_window="7d_click")])
    published = lab.publish(
        viewed, [performance_row(DAY1, attribution_window="1d_view", spend="9")], load_id="b",
        as_of=NOON + HOUR,
    )  # fmt: skip
    assert published.restated == ()


def test_attribution_windows_do_not_multiply_a_day(lab):
    part = report_slice(attribution_windows=("7d_click", "1d_view"))
    rows = [performance_row(DAY1, attribution_window=w) for w in part.report.attribution_windows]
    lab.publish(part, rows)
    moved = [dict(row, spend="6") for row in rows]
    published = lab.publish(part, moved, load_id="load-2", as_of=NOON + HOUR)
    assert [(r.old, r.new) for r in published.restated] == [(5, 6)]
    [(rows_of_day, total)] = lab.warehouse.query(
        'SELECT "rows", spend FROM liftos.loads WHERE date = ?', [DAY1]
    )
    assert (rows_of_day, total) == (2, 6)


def test_restatements_are_told_before_they_are_committed(lab):
    lab.publish(report_slice(), [performance_row(DAY1)])
    moved = lab.staged(
        report_slice(), [performance_row(DAY1, spend="6")], load_id="b", as_of=NOON + HOUR
    )
    lab.warehouse.load(manifest(moved, load_id="b"))
    told: list[tuple] = []

    def note(restated, *, dies: bool) -> None:
        told.append(tuple(restated))
        if dies:
            raise RuntimeError("the process dies here")

    with pytest.raises(RuntimeError, match="dies here"):
        lab.warehouse.publish(moved, "b", ORG, NOON, note=partial(note, dies=True))
    assert spend(lab) == {DAY1: 5}
    assert waiting(lab) == 1
    published = lab.warehouse.publish(moved, "b", ORG, NOON, note=partial(note, dies=False))
    assert spend(lab) == {DAY1: 6}
    assert told == [published.restated] * 2
    lab.warehouse.publish(moved, "b", ORG, NOON, note=partial(note, dies=True))
    assert len(told) == 2, "nothing moved by publishing again"


def test_rows_that_a_later_answer_of_the_same_load_lost_are_not_taken_for_published(lab):
    lab.publish(report_slice(), [performance_row(DAY1)])
    later = lab.staged(report_slice(), [performance_row(DAY1, spend="6")], as_of=NOON + HOUR)
    with pytest.raises(WarehouseError, match="holds 0 of its 1 rows"):
        lab.warehouse.publish(later, "load-1", ORG, NOON)


def test_loads_tell_rows_spend_and_moment_of_every_declared_day(lab):
    lab.publish(report_slice(), [performance_row(DAY1), performance_row(DAY1, campaign_id="c2")])
    loads = lab.warehouse.query(
        'SELECT org_id, platform, report, level, account_id, date, "rows", spend, conversions,'
        " extract(epoch FROM as_of), load_id FROM liftos.loads ORDER BY date"
    )
    head = (ORG, "meta", "basic", "campaign", "1001")
    assert loads == [
        (*head, DAY1, 2, 10, 2, NOON, "load-1"),
        (*head, DAY2, 0, None, None, NOON, "load-1"),
    ]


def test_rows_of_several_days_belong_to_their_first_day(lab):
    part = report_slice(DAY1, DAY3, time_increment=3)
    lab.publish(part, [performance_row(DAY1, date_end=DAY3)])
    lab.publish(part, [performance_row(DAY1, date_end=DAY3)], load_id="b", as_of=NOON + HOUR)
    assert spend(lab) == {DAY1: 5}


def test_organizations_do_not_replace_one_another(lab):
    lab.publish(report_slice(), [performance_row(DAY1)])
    theirs = lab.staged(report_slice(), [performance_row(DAY1, org_id="globex")], load_id="g")
    lab.warehouse.load(manifest(theirs, load_id="g", org_id="globex"))
    lab.warehouse.publish(theirs, "g", "globex", NOON)
    assert spend(lab) == {DAY1: 10}


def test_days_are_final_when_their_window_closes_read_again_or_not(lab):
    day = 86_400.0
    ends = {d: datetime(d.year, d.month, d.day, 23, tzinfo=UTC) for d in (DAY1, DAY2)}  # Berlin
    rows = [performance_row(d, is_estimated=True, day_end_utc=ends[d]) for d in ends]
    lab.publish(report_slice(), rows)

    def estimated(org: str = ORG) -> list[date]:
        sql = "SELECT date FROM liftos.performance WHERE is_estimated AND org_id = ? ORDER BY 1"
        return [found for (found,) in lab.warehouse.query(sql, [org])]

    closes = ends[DAY1].timestamp() + 27 * day  # where 28 days after it begin
    lab.warehouse.settle(ORG, "meta", 28, closes - 1)
    lab.warehouse.settle(ORG, "tiktok", 28, closes + day)
    lab.warehouse.settle("globex", "meta", 28, closes + day)
    assert estimated() == [DAY1, DAY2]
    lab.warehouse.settle(ORG, "meta", 28, closes)
    assert estimated() == [DAY2]
    lab.warehouse.settle(ORG, "meta", 7, closes)
    assert estimated() == []
