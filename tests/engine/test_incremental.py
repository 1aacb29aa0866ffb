"""Which days a run lacks, whatever was published before it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_liftos.engine import incremental, plan
from airflow_provider_liftos.engine.incremental import History, Progress, listings, missing
from airflow_provider_liftos.model.report import Level, Window
from airflow_provider_liftos.platforms import get
from tests.engine.harness import META, YESTERDAY, basic
from tests.engine.test_plan import BERLIN, MEMORY

RUN = Window(since=YESTERDAY - timedelta(days=28), until=YESTERDAY)
NONE = History()


def days(first: int, last: int) -> Window:
    """So many days before yesterday, up to so many."""
    return Window(since=YESTERDAY - timedelta(days=first), until=YESTERDAY - timedelta(days=last))


def lacks(progress: Progress, history: History = NONE) -> list[Window]:
    return missing(progress, RUN, MEMORY, history)


def test_a_first_load_is_the_run_alone():
    assert lacks(Progress()) == []
    assert lacks(Progress(), History(since=date(2024, 1, 1))) == []


def test_a_run_after_yesterdays_lacks_nothing():
    assert lacks(Progress(final=(days(60, 29),), early=(days(28, 1),))) == []


def test_days_of_runs_that_never_were_come_at_once_however_many():
    after_a_break = Progress(final=(days(200, 129),), early=(days(128, 100),))
    assert lacks(after_a_break) == [days(128, 29)], "cursor, less the restatement window"
    assert lacks(Progress(final=(days(200, 100),))) == [days(99, 29)]


def test_days_read_too_early_and_left_alone_are_read_again():
    assert lacks(Progress(final=(days(200, 61), days(58, 1)), early=(days(60, 59),))) == [
        days(60, 59)
    ]


def test_holes_are_filled_newest_first_so_many_days_a_run():
    holed = Progress(final=(days(300, 200), days(100, 50), days(40, 1)))
    assert holed.cursor == YESTERDAY - timedelta(days=200)
    assert holed.beyond == (days(100, 50), days(40, 1))
    assert holed.holes == (days(199, 101), days(49, 41))
    assert lacks(holed) == [days(49, 41), days(121, 101)]
    assert lacks(holed, History(days=0)) == []
    assert lacks(holed, History(days=500)) == [days(49, 41), days(199, 101)]


def test_history_comes_backwards_run_by_run_until_its_first_day():
    history = History(since=YESTERDAY - timedelta(days=75))
    known = Progress(final=(days(29, 29),), early=(days(28, 1),))
    brought = []
    for _ in range(4):
        found = lacks(known, history)
        brought.append(found)
        known = replace(known, final=(*known.final, *found))
    assert brought == [[days(59, 30)], [days(75, 60)], [], []]


def test_history_ends_where_the_platforms_memory_does():
    known = Progress(final=(days(1119, 1),))
    assert lacks(known, History(since=date(2010, 1, 1))) == [
        Window(since=MEMORY.since, until=YESTERDAY - timedelta(days=1120))
    ]
    forgotten = Progress(final=(days(1500, 1400), days(29, 1)))
    [found] = lacks(forgotten, History(days=5000))
    assert found == Window(since=MEMORY.since, until=YESTERDAY - timedelta(days=30))


def test_a_later_first_day_forgives_older_holes():
    holed = Progress(final=(days(300, 200), days(100, 1)))
    assert lacks(holed, History(since=YESTERDAY - timedelta(days=90))) == []


def test_each_report_has_progress_of_its_own():
    account = BERLIN.account_id
    known = {(account, "basic", "ad"): Progress(final=(days(90, 60), days(40, 1)))}
    reports = [basic(Level.AD), basic(Level.CAMPAIGN), replace(basic(), name="added")]
    found = incremental.missing_by_report(known, account, reports, RUN, MEMORY, NONE)
    assert found == {"basic:ad": [days(59, 41)]}


def test_a_report_that_is_kept_for_fewer_days_is_asked_for_no_older_ones():
    account = BERLIN.account_id
    known = {
        (account, "basic", level): Progress(final=(days(28, 1),)) for level in ("ad", "campaign")
    }
    history = History(since=YESTERDAY - timedelta(days=400), days=500)
    found = incremental.missing_by_report(
        known, account, [basic(Level.AD), basic(Level.CAMPAIGN)], RUN, MEMORY, history,
        lambda report: 90 if report.level is Level.AD else None,
    )  # fmt: skip
    assert found == {"basic:ad": [days(89, 29)], "basic:campaign": [days(400, 29)]}


spans = st.lists(
    st.tuples(st.integers(0, 400), st.integers(0, 60), st.booleans()), max_size=6
)  # fmt: skip


@given(spans, st.integers(0, 90))
def test_all_that_is_known_and_all_that_is_asked_make_history_whole_in_the_end(raw, budget):
    taken: set[date] = set()
    final, early = [], []
    for ago, length, is_final in raw:
        window = days(ago + length, ago)
        fresh = [d for d in window.dates() if d not in taken]
        taken.update(fresh)
        (final if is_final else early).extend(Window(since=d, until=d) for d in fresh)
    known = Progress(final=tuple(final), early=tuple(early))
    found = lacks(known, History(days=budget))
    asked = [d for window in found for d in window.dates()]
    assert len(asked) == len(set(asked)), "nothing twice"
    assert all(MEMORY.since <= d < RUN.since for d in asked)
    assert found == sorted(found, key=lambda w: w.since, reverse=True)
    assert not set(asked) & dates(known.final), "what is final is left alone"
    assert {d for d in dates(known.early) if d < RUN.since} <= set(asked)
    whole = set(asked) | taken | set(RUN.dates())
    if known.first and len([d for d in asked if d not in taken]) < budget:
        begin = min(known.first, RUN.since)
        assert whole >= {begin + timedelta(days=n) for n in range((YESTERDAY - begin).days)}


def dates(windows: Collection[Window]) -> set[date]:
    return {d for window in windows for d in window.dates()}


@given(st.integers(1, 300), st.integers(0, 200), st.sampled_from([1, 7, 28]))
def test_slices_of_a_run_and_of_what_it_lacks_never_overlap(gap, length, increment):
    report = replace(basic(Level.CAMPAIGN), time_increment=increment)
    extra = days(28 + gap + length, 28 + gap)
    more = {BERLIN.account_id: {"basic:campaign": [extra]}}
    memories = {BERLIN.account_id: MEMORY}
    cuts = plan.slices(META, [(BERLIN, RUN)], [report], [], 30, memories, more)
    covered = [d for cut in cuts for d in cut.window.dates()]
    assert len(covered) == len(set(covered))
    assert set(covered) >= set(RUN.dates()) | set(extra.dates())
    assert [cut.window.until for cut in cuts] == sorted(
        (cut.window.until for cut in cuts), reverse=True
    ), "yesterday first"


def test_changes_are_enough_while_a_listing_is_young():
    google = get("google_ads").streams
    hour, day = 3600.0, 86_400.0
    known = {("1", "ads"): 0.0, ("1", "campaigns"): 0.0, ("2", "ads"): 0.0}

    def found(moment: float, full_days: float = 7.0) -> dict[str, float]:
        return listings(known, "1", google, moment, full_days)

    assert found(6 * day + hour) == {"ads": 0.0}, "campaigns' states change by themselves"
    assert found(7 * day - hour / 2) == {}, "the seventh day's run may be early"
    assert found(88 * day, 365) == {"ads": 0.0}
    assert found(89 * day, 365) == {}, "nobody remembers"
    assert listings(known, "3", google, 0.0, 7) == {}
    assert listings(known, "1", get("meta").streams, 0.0, 7) == {}
