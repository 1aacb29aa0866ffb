from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_liftos.engine import split
from airflow_provider_liftos.model.report import Ids, Level, Report, Slice, Window
from tests.engine.harness import Harness, basic, last

METRICS = ("spend", "impressions", "clicks", "actions", "reach", "ctr", "cpm")


@st.composite
def slices(draw: st.DrawFn) -> Slice:
    since = date(2026, 1, 1) + timedelta(days=draw(st.integers(0, 300)))
    span = draw(st.integers(0, 60))
    report = Report(
        level=draw(st.sampled_from(list(Level))),
        metrics=tuple(draw(st.lists(st.sampled_from(METRICS), min_size=1, unique=True))),
        time_increment=draw(st.sampled_from([1, 1, 7, 30])),
    )
    ids = draw(
        st.none()
        | st.builds(
            lambda values, rest: Ids(values=tuple(values), everything_else=rest),
            st.lists(st.integers(1, 99).map(str), min_size=1, unique=True),
            st.booleans(),
        )
    )
    window = Window(since=since, until=since + timedelta(days=span))
    return Slice(platform="meta", account_id="1", window=window, report=report, ids=ids)


def cells(cut: Slice, world: frozenset[str]) -> set[tuple[date, str, str]]:
    """Every (day, id, metric) that a slice asks for, in a world of these ids."""
    assert cut.report is not None
    ids = world
    if cut.ids:
        named = set(cut.ids.values)
        ids = world - named if cut.ids.everything_else else world & named
    days, metrics = list(cut.window.dates()), cut.report.metrics
    return {(day, one, metric) for day in days for one in ids for metric in metrics}


WORLD = frozenset(map(str, range(1, 30)))


@given(slices())
def test_the_parts_of_a_slice_are_the_slice(cut: Slice) -> None:
    smaller = split.shrink(cut)
    if not isinstance(smaller, split.Split):
        return
    assert set().union(*(cells(part, WORLD) for part in smaller.parts)) == cells(cut, WORLD)
    assert sum(len(cells(p, WORLD)) for p in smaller.parts) == len(cells(cut, WORLD))
    assert len({part.fingerprint() for part in smaller.parts} - {cut.fingerprint()}) == len(
        smaller.parts
    )


@given(slices(), st.lists(st.integers(1, 40).map(str)))
def test_a_split_by_ids_keeps_the_rest_of_the_world(cut: Slice, found: list[str]) -> None:
    whole = cut.narrowed(ids=None)
    smaller = split.by_ids(whole, found)
    if not isinstance(smaller, split.Split):
        assert len(set(found)) < 2
        return
    unheard_of = WORLD | {"98765"}
    parts = [cells(part, unheard_of) for part in smaller.parts]
    assert set().union(*parts) == cells(whole, unheard_of)
    assert sum(map(len, parts)) == len(cells(whole, unheard_of))


@given(slices(), st.lists(st.integers(1, 400).map(str), unique=True, min_size=2))
def test_a_part_names_no_more_ids_than_one_call_may(cut: Slice, found: list[str]) -> None:
    smaller = split.by_ids(cut.narrowed(ids=None), found, 50)
    assert isinstance(smaller, split.Split)
    named = [part.ids.values for part in smaller.parts if part.ids and not part.ids.everything_else]
    assert sorted(one for part in named for one in part) == sorted(found)
    assert max(map(len, named)) <= 50
    assert max(map(len, named)) - min(map(len, named)) <= 50


@given(slices())
def test_what_looks_at_too_many_ids_is_never_asked_for_by_days_or_fields(cut: Slice) -> None:
    smaller = split.shrink(cut, ids_alone=True)
    assert not isinstance(smaller, split.DropField)
    if isinstance(smaller, split.Split):
        assert smaller.by == "ids"
        assert {part.window for part in smaller.parts} == {cut.window}
        assert {part.report for part in smaller.parts} == {cut.report}


@given(slices())
def test_shrinking_comes_to_an_end(cut: Slice) -> None:
    queue, seen = [cut], 0
    while queue:
        one = queue.pop()
        seen += 1
        assert seen < 20_000
        smaller = split.shrink(one)
        if isinstance(smaller, split.FindIds):
            instead = split.shrink(smaller.search)  # the search fails as well
            assert not isinstance(instead, split.FindIds)
            smaller = instead
        if isinstance(smaller, split.Split):
            # One branch of days and ids is like any other.
            queue += smaller.parts if smaller.by == "fields" else smaller.parts[:1]


@given(slices())
def test_weeks_are_cut_between_weeks(cut: Slice) -> None:
    smaller = split.shrink(cut)
    assert cut.report is not None
    if isinstance(smaller, split.Split) and smaller.by == "days":
        increment = cut.report.time_increment
        oldest = min(smaller.parts, key=lambda part: part.window.since)
        assert increment in {1, oldest.window.days}


@given(slices(), st.sampled_from((*METRICS, "campaign_name")))
def test_a_slice_without_a_field_asks_for_all_the_others(cut: Slice, field: str) -> None:
    rest = split.without(cut, field)
    assert cut.report is not None
    assert rest.report is not None
    assert rest.report.metrics == tuple(name for name in cut.report.metrics if name != field)
    assert (rest.without == (field,)) == (field not in cut.report.metrics)
    assert Slice.from_json(rest.to_json()) == rest


def test_a_stream_cannot_be_asked_for_less() -> None:
    window = last(1)
    assert split.shrink(Slice(platform="meta", account_id="1", window=window, stream="ads")) is None


def test_a_field_that_fails_alone_is_left_out_and_all_else_is_as_if_unsplit(
    harness: Harness,
) -> None:
    harness.sandbox.faults.add(kind="job_failed", field="inline_link_clicks")
    done = harness.run_to_end(harness.slices([basic(Level.CAMPAIGN)], last(1)))
    assert harness.published_equals_truth(), harness.differences()
    assert [cut.dropped for cut in done.slices] == [("inline_link_clicks",)]
    assert harness.warehouse.query("SELECT DISTINCT link_clicks FROM liftos.performance") == [
        (None,)
    ]
    names = "SELECT count(*), count(campaign_name), count(reach) FROM liftos.performance"
    (counts,) = harness.warehouse.query(names)
    assert len(set(counts)) == 1


def test_conversions_that_cannot_be_had_are_unknown_and_not_zero(harness: Harness) -> None:
    harness.sandbox.faults.add(kind="job_failed", field="actions")
    report = basic(Level.ACCOUNT, metrics=("spend", "actions"))
    done = harness.run_to_end(harness.slices([report], last(1)))
    assert [cut.status for cut in done.slices] == ["complete"]
    found = harness.warehouse.query("SELECT conversions, spend > 0 FROM liftos.performance")
    assert found == [(None, True)]


def test_one_sick_ad_costs_the_others_nothing(harness: Harness) -> None:
    rows = harness.sandbox.truth(level="ad", account=harness.slices([basic()])[0].account_id)[
        "rows"
    ]
    sick = rows[-1]["ad_id"]
    harness.sandbox.faults.add(kind="job_failed", field="inline_link_clicks", ad_ids=[sick])
    done = harness.run_to_end(harness.slices([basic()], last(1)))
    assert harness.published_equals_truth(), harness.differences()
    assert [cut.status for cut in done.slices] == ["complete"]
    assert len(harness.submissions()) < 60


@pytest.mark.parametrize("most", [1, 2, 3])
def test_days_are_halved_until_they_fit(harness: Harness, most: int) -> None:
    harness.sandbox.faults.add(kind="too_much_data", max_days=most)
    harness.run_to_end(harness.slices([basic()], last(8)))
    assert harness.published_equals_truth(), harness.differences()


def test_a_search_for_ids_that_fails_costs_neither_a_row_nor_a_field(harness: Harness) -> None:
    harness.sandbox.faults.add(kind="job_failed", times=4)  # the report twice, its search twice
    done = harness.run_to_end(harness.slices([basic()], last(1)))
    points = harness.points()
    assert {p.split_by for p in points if p.slice.find_ids} == {"fields"}
    assert [(cut.status, cut.dropped) for cut in done.slices] == [("complete", ())]
    assert harness.published_equals_truth(), harness.differences()


def test_what_fails_however_little_is_asked_is_given_up_and_not_published_in_part(
    harness: Harness,
) -> None:
    harness.sandbox.faults.add(kind="job_failed")
    done = harness.run_to_end(harness.slices([basic(metrics=("spend", "clicks"))], last(2)))
    assert {cut.status for cut in done.slices} == {"failed"}
    assert {day for cut in done.slices for day in cut.slice.window.dates()} == set(last(2).dates())
    assert harness.warehouse.query("SELECT count(*) FROM liftos.performance") == [(0,)]
